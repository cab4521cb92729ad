"""The nearest neighbours of every sample by cosine, in blocks of rows."""

from __future__ import annotations

import torch
from torch import Tensor

_ROWS = 512


@torch.no_grad()
def cosine_neighbours(points: Tensor, k: int) -> Tensor:
    """Return int64 [n, k], the k nearest others of each of `points` [n, d], nearest first; k is at most n - 1.

    Memory grows with n, never with n * n.  A row of zeros is at right angles to all.
    """
    # in double precision: single does not tell apart what is within 3e-4 of one direction
    unit = torch.nn.functional.normalize(points if points.device.type == "mps" else points.double(), dim=1, eps=0.0)
    unit = unit.nan_to_num_(0.0)
    found = []
    for start in range(0, len(unit), _ROWS):
        similarity = unit[start : start + _ROWS] @ unit.T
        rows = torch.arange(len(similarity), device=unit.device)
        similarity[rows, rows + start] = -torch.inf
        found.append(similarity.topk(k, dim=1).indices)
    return torch.cat(found)
