"""TEMI (Adaloglou et al., BMVC 2023): clusters that a sample shares with its neighbours, by mutual information."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from prunebench import Diverged
from prunebench_elfs.heads import Heads, Shape
from prunebench_elfs.neighbours import cosine_neighbours

_TEMPERATURE, _PRIOR_MOMENTUM, _WEIGHT_DECAY, _FROZEN_EPOCHS = 0.1, 0.9, 1e-4, 1
_ROWS, _RATE_BATCH = 8192, 256


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """How the heads are trained; learning_rate is for batches of 256 and grows with the batch."""

    neighbours: int
    epochs: int
    warmup_epochs: int
    batch_size: int
    learning_rate: float
    beta: float
    teacher_momentum: float


@dataclass(frozen=True, kw_only=True)
class Clusters:
    """Cluster int64 [n] of every sample by the best head, and the mean loss [heads] of the last epoch."""

    labels: NDArray[np.int64]
    losses: NDArray[np.float64]


def objective(student: Tensor, teacher: Tensor, prior: Tensor, beta: float) -> Tensor:
    """Return the loss [heads] of a batch: minus the weighted pointwise mutual information of both pairings.

    student, teacher: log-probabilities [2, heads, b, clusters] of the samples and of one neighbour of each.
    prior: float [heads, clusters], the share of each cluster.  The weight of a pair is the chance that the teacher
    gives it one cluster, over all heads.  Source: Adaloglou et al. 2023, TEMI.
    """
    weight = (teacher[0] + teacher[1]).exp().sum(dim=2).mean(dim=0)
    # in logarithms: the power of a probability that underflows has no gradient
    shared = beta * (student + teacher.flip(0)) - prior.log()[:, None]
    information = torch.logsumexp(shared, dim=3)
    return -(weight * information).mean(dim=(0, 2))


def temi_clusters(
    features: NDArray[np.float32],
    shape: Shape,
    recipe: Recipe,
    rng: np.random.Generator,
    device: str,
    after_epoch: Callable[[int], None],
) -> Clusters:
    """Cluster `features` [n, d], of two samples or more.  Raises Diverged for a loss that is not finite."""
    points = torch.tensor(features, device=device)
    neighbours = cosine_neighbours(points, min(recipe.neighbours, len(points) - 1))
    generator = torch.Generator().manual_seed(int(rng.integers(2**62)))
    student = Heads(shape, generator).to(device)
    teacher = student.teacher()
    optimiser = _optimiser(student)
    prior = torch.full((shape.heads, shape.clusters), 1 / shape.clusters, device=device)
    batch = min(recipe.batch_size, len(points))
    per_epoch = len(points) // batch
    losses = torch.zeros(shape.heads)
    for epoch in range(1, recipe.epochs + 1):
        total = torch.zeros(shape.heads, device=device)
        for step, (rows, others) in enumerate(_pairs(neighbours, batch, rng)):
            _set_rate(optimiser, recipe, batch, (epoch - 1) * per_epoch + step, per_epoch)
            loss, prior = _losses(student, teacher, torch.cat([points[rows], points[others]]), prior, recipe.beta)
            optimiser.zero_grad(set_to_none=True)
            loss.sum().backward()  # type: ignore[no-untyped-call]
            if epoch <= _FROZEN_EPOCHS:
                for parameter in student.last_layer():
                    parameter.grad = None
            optimiser.step()
            teacher.follow(student, recipe.teacher_momentum)
            total += loss.detach()
        losses = (total / per_epoch).cpu()
        if not bool(losses.isfinite().all()):
            raise Diverged(f"the clustering loss is {losses.mean()} after epoch {epoch}", "lower learning_rate")
        after_epoch(epoch)
    best = int(losses.argmin())
    return Clusters(labels=_labels(teacher, points, best), losses=losses.double().numpy())


def _optimiser(student: Heads) -> torch.optim.Optimizer:
    biases = student.biases()
    kept = {id(parameter) for parameter in biases}
    weights = [parameter for parameter in student.parameters() if id(parameter) not in kept]
    groups = [{"params": weights, "weight_decay": _WEIGHT_DECAY}, {"params": biases, "weight_decay": 0.0}]
    return torch.optim.AdamW(groups, fused=True)


def _pairs(neighbours: Tensor, batch: int, rng: np.random.Generator) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield int64 [b] twice for each whole batch of an epoch: samples, and one neighbour of each."""
    n, k = neighbours.shape
    order = torch.from_numpy(rng.permutation(n)).to(neighbours.device)
    chosen = torch.from_numpy(rng.integers(k, size=n)).to(neighbours.device)
    for start in range(0, n - batch + 1, batch):
        rows = order[start : start + batch]
        yield rows, neighbours[rows, chosen[rows]]


def _set_rate(optimiser: torch.optim.Optimizer, recipe: Recipe, batch: int, step: int, per_epoch: int) -> None:
    warmup = recipe.warmup_epochs * per_epoch
    rate = recipe.learning_rate * batch / _RATE_BATCH * min(1.0, step / max(1, warmup - 1))
    for group in optimiser.param_groups:
        group["lr"] = rate


def _losses(student: Heads, teacher: Heads, inputs: Tensor, prior: Tensor, beta: float) -> tuple[Tensor, Tensor]:
    """Return the losses [heads] of pairs, inputs [2 b, d] with the neighbours below, and the prior after them."""
    half = len(inputs) // 2

    def log_probabilities(heads: Heads) -> Tensor:
        logits = heads(inputs) / _TEMPERATURE
        return torch.stack(logits.log_softmax(dim=2).view(len(logits), 2, half, -1).unbind(dim=1))

    with torch.no_grad():
        taught = log_probabilities(teacher)
        prior = _PRIOR_MOMENTUM * prior + (1 - _PRIOR_MOMENTUM) * taught.exp().mean(dim=(0, 2))
    return objective(log_probabilities(student), taught, prior, beta), prior


@torch.no_grad()
def _labels(heads: Heads, points: Tensor, head: int) -> NDArray[np.int64]:
    starts = range(0, len(points), _ROWS)
    parts = [heads(points[start : start + _ROWS])[head].argmax(dim=1).cpu() for start in starts]
    return torch.cat(parts).numpy()
