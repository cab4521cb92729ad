"""Mean change of the image when one sample leaves its cloud, by the network or exactly."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from prunebench_ripsnet.clouds import CloudGroup
from prunebench_ripsnet.diagrams import cloud_distances, persistence
from prunebench_ripsnet.image import Imager
from prunebench_ripsnet.network import RipsNet
from prunebench_ripsnet.training import embed_points

# members int64 [c, m], rows int64 [p], columns int64 [p] -> float64 [p]
Change = Callable[[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]], NDArray[np.float64]]


def mean_change(
    groups: list[CloudGroup], n: int, change: Change, clouds_at_once: int, after_chunk: Callable[[], None]
) -> NDArray[np.float64]:
    """Return the mean of `change` over the clouds that score a sample, float64 [n]; 0 where none does."""
    total, count = np.zeros(n), np.zeros(n)
    for group in groups:
        for start in range(0, len(group.members), clouds_at_once):
            members = group.members[start : start + clouds_at_once]
            rows, columns = np.nonzero(group.scored[start : start + clouds_at_once])
            samples = members[rows, columns]
            total += np.bincount(samples, change(members, rows, columns), minlength=n)
            count += np.bincount(samples, minlength=n)
            after_chunk()
    return total / np.maximum(count, 1)


def exact_change(points: NDArray[np.float32], imager: Imager) -> Change:
    """Return the function that compares exact images of a cloud with and without one sample."""

    def change(members: NDArray[np.int64], rows: NDArray[np.int64], columns: NDArray[np.int64]) -> NDArray[np.float64]:
        distances = cloud_distances(points[members])
        whole = imager.images(persistence(distances, np.arange(len(members)), None, imager.homology))
        without = imager.images(persistence(distances, rows, columns, imager.homology))
        difference: NDArray[np.float64] = np.linalg.norm(whole[rows] - without, axis=1)
        difference *= np.sqrt(imager.copies)
        return difference

    return change


def network_change(points: Tensor, network: RipsNet) -> Change:
    """Return the function that compares the network's images; the pooled cloud without a sample is closed form."""
    embedded = embed_points(network, points)

    @torch.no_grad()
    def change(members: NDArray[np.int64], rows: NDArray[np.int64], columns: NDArray[np.int64]) -> NDArray[np.float64]:
        left_out = embedded[torch.from_numpy(members[rows, columns]).to(embedded.device)]
        pooled = network.pool(embedded, torch.from_numpy(members).to(embedded.device))
        which = torch.from_numpy(rows).to(embedded.device)
        without = network.head(network.without(pooled[which], left_out, members.shape[1]))
        difference = torch.linalg.vector_norm(network.head(pooled)[which] - without, dim=1)
        values: NDArray[np.float64] = difference.double().cpu().numpy()
        return values

    return change
