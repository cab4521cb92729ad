"""ECHO's training: the DeepCore recipe with a structure loss on the network's outputs."""

from __future__ import annotations

from functools import partial
from typing import cast

import torch
from torch.nn.functional import pdist, relu

from prunebench import TrainContext, TrainResult
from prunebench_learners.deepcore import train_with


def train(ctx: TrainContext) -> TrainResult:
    """Train by cross-entropy plus `structure_weight` times the structure loss of each batch of the subset.

    With a weight of 0 it is `deepcore`, byte for byte.  Fails as `deepcore` does.  Source: ECHO, the section on
    training.
    """
    weight, margin = (cast(float, ctx.params[name]) for name in ("structure_weight", "structure_margin"))
    penalty = partial(weighted_structure_loss, weight=weight, margin=margin) if weight else None
    return train_with(ctx, penalty, fixed_shapes=True)


def weighted_structure_loss(
    outputs: torch.Tensor, labels: torch.Tensor, *, weight: float, margin: float
) -> torch.Tensor:
    """Return weight times `structure_loss`."""
    return weight * structure_loss(outputs, labels, margin)


def structure_loss(outputs: torch.Tensor, labels: torch.Tensor, margin: float) -> torch.Tensor:
    """Return the mean of ||f_i - f_j||^2 over pairs of one label plus that of (margin - ||f_i - f_j||)+ over others.

    outputs: floating f [b, k], margin in its units.  labels: int64 [b].  Each pair counts once; a mean over no
    pairs is 0.  Where two outputs coincide the hinge has gradient 0.  Source: ECHO, structure loss.
    """
    first, second = torch.triu_indices(len(labels), len(labels), 1, device=labels.device)
    same = labels[first] == labels[second]
    # not by the expansion of squares, which loses the short distances that the margin is about
    distance = pdist(outputs)
    # masks instead of selections, so that shapes do not depend on labels
    pull = (distance.square() * same).sum() / same.sum().clamp_min(1)
    push = (relu(margin - distance) * ~same).sum() / (~same).sum().clamp_min(1)
    return pull + push
