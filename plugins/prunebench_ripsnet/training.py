"""Training of RipsNet on exact images: Adamax, mean squared error, early stop on held-out clouds."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import mse_loss

from prunebench import Diverged
from prunebench_ripsnet.network import RipsNet


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """How to train; defaults are those of the TopKD code but for `max_epochs`."""

    max_epochs: int
    patience: int = 50
    min_delta: float = 1e-10
    held_out: float = 0.25
    batch_size: int = 64
    learning_rate: float = 5e-4


@dataclass(frozen=True, kw_only=True)
class Fit:
    """The epoch whose weights were kept, its mean squared errors a pixel, and the epochs that ran."""

    best_epoch: int
    epochs: int
    train_loss: float
    validation_loss: float


def train_network(
    network: RipsNet,
    points: Tensor,
    clouds: NDArray[np.int64],
    images: NDArray[np.float32],
    recipe: Recipe,
    rng: np.random.Generator,
    after_epoch: Callable[[int], None],
) -> Fit:
    """Train in place and leave the weights of the best held-out loss.

    points: float32 [n, d].  clouds: int64 [t, m], -1 = no point.  images: float32 [t, pixels], the targets.
    The held-out quarter is drawn at random (the TopKD code takes the last clouds; its paper says 0.25 %).
    Raises Diverged where a loss is not finite.
    """
    order = rng.permutation(len(clouds))
    n_held = max(1, round(len(clouds) * recipe.held_out))
    held, kept = order[:n_held], order[n_held:]
    optimiser = torch.optim.Adamax(network.parameters(), lr=recipe.learning_rate)
    best = Fit(best_epoch=0, epochs=0, train_loss=np.inf, validation_loss=np.inf)
    weights, epoch = copy.deepcopy(network.state_dict()), 0
    for epoch in range(1, recipe.max_epochs + 1):
        shuffled = rng.permutation(kept)
        train_loss = _one_epoch(network, optimiser, points, clouds[shuffled], images[shuffled], recipe.batch_size)
        loss = held_out_loss(network, points, clouds[held], images[held])
        if not np.isfinite([train_loss, loss]).all():
            raise Diverged(f"the loss of RipsNet is {loss} after epoch {epoch}", "check the scale of the features")
        if loss < best.validation_loss - recipe.min_delta:
            best = Fit(best_epoch=epoch, epochs=epoch, train_loss=train_loss, validation_loss=loss)
            weights = copy.deepcopy(network.state_dict())
        after_epoch(epoch)
        if epoch - best.best_epoch >= recipe.patience:
            break
    network.load_state_dict(weights)
    return Fit(
        best_epoch=best.best_epoch,
        epochs=epoch,
        train_loss=best.train_loss,
        validation_loss=best.validation_loss,
    )


def _one_epoch(
    network: RipsNet,
    optimiser: torch.optim.Optimizer,
    points: Tensor,
    clouds: NDArray[np.int64],
    images: NDArray[np.float32],
    batch_size: int,
) -> float:
    total = 0.0
    for start in range(0, len(clouds), batch_size):
        # clouds of a batch share samples, and a shared one is embedded once
        used, members = _local_rows(clouds[start : start + batch_size])
        target = torch.from_numpy(images[start : start + batch_size]).to(points.device)
        output = network(points[torch.from_numpy(used).to(points.device)], torch.from_numpy(members).to(points.device))
        loss = mse_loss(output, target)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        total += loss.item() * len(target)
    return total / len(clouds)


def _local_rows(clouds: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the samples in use, int64 [u], and the clouds in terms of their places, with u for -1."""
    used, members = np.unique(clouds, return_inverse=True)
    members = members.reshape(clouds.shape)
    if used[0] >= 0:
        return used, members
    return used[1:], np.where(members == 0, len(used) - 1, members - 1)


@torch.no_grad()
def embed_points(network: RipsNet, points: Tensor, batch_size: int = 4096) -> Tensor:
    """Return the point embeddings float32 [n, h] of `points` [n, d]."""
    return torch.cat([network.point(batch) for batch in torch.split(points, batch_size)])


@torch.no_grad()
def held_out_loss(
    network: RipsNet,
    points: Tensor,
    clouds: NDArray[np.int64],
    images: NDArray[np.float32],
    batch_size: int = 1024,
) -> float:
    """Return the mean squared error a pixel on clouds int64 [t, m] with images float32 [t, pixels]."""
    used, members = _local_rows(clouds)
    embedded = embed_points(network, points[torch.from_numpy(used).to(points.device)])
    total = 0.0
    for start in range(0, len(clouds), batch_size):
        rows = torch.from_numpy(members[start : start + batch_size]).to(points.device)
        target = torch.from_numpy(images[start : start + batch_size]).to(points.device)
        total += mse_loss(network.head(network.pool(embedded, rows)), target).item() * len(target)
    return total / len(clouds)
