"""The recipe as data: its parameters, how long it trains, and its learning rate at every iteration."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from itertools import pairwise
from typing import Any, cast

from prunebench import TrainContext


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """The parameters of the `deepcore` learner, by the names of its spec; epochs count where iterations are 0."""

    iterations: int
    batch_size: int
    optimiser: str
    learning_rate: float
    eta_min: float
    momentum: float
    nesterov: bool
    weight_decay: float
    label_smoothing: float
    augment: str
    crop_padding: int
    image_size: int
    amp: bool
    evaluate_every: int
    epochs: int = 0

    @property
    def padding(self) -> int:
        """Pixels added on each side of a training image."""
        return self.crop_padding if self.augment == "crop_flip" else 0


@dataclass(frozen=True, kw_only=True)
class Plan:
    """How a run is cut: (start, stop) of the batches of one pass, passes, iterations, evaluated epochs."""

    batches: tuple[tuple[int, int], ...]
    n_epochs: int
    n_iterations: int
    evaluated: frozenset[int]


def recipe_of(ctx: TrainContext) -> Recipe:
    """Return the parameters of `ctx` that make up a recipe; a learner may have more of its own."""
    return Recipe(
        **{name: cast(Any, ctx.params[name]) for name in (f.name for f in fields(Recipe)) if name in ctx.params}
    )


def draws_per_epoch(n: int) -> int:
    """Return how many samples one pass draws: `n`, but a subset of one sample is drawn twice.

    The mean gradient is that of the single sample, and batch normalisation gets the two values it needs.
    """
    return max(n, 2)


def batch_windows(n: int, batch_size: int) -> tuple[tuple[int, int], ...]:
    """Return (start, stop) of consecutive batches over `n` samples; all samples are used.

    A last batch of one sample joins the batch before it, since batch normalisation cannot train on one value.
    """
    starts = list(range(0, n, batch_size))
    if len(starts) > 1 and n - starts[-1] == 1:
        starts.pop()
    return tuple(zip(starts, [*starts[1:], n], strict=True))


def micro_windows(start: int, stop: int, micro_batch: int) -> tuple[tuple[int, int], ...]:
    """Cut one batch into near-equal pieces of at most `micro_batch` + 1 samples, never of one alone.

    The one above is the sample that may have joined the last batch.  micro_batch: at least 2.
    """
    size = stop - start
    pieces = max(1, math.ceil((size - 1) / micro_batch))
    edges = [start + size * piece // pieces for piece in range(pieces + 1)]
    return tuple(pairwise(edges))


def evaluated_epochs(n_epochs: int, every: int) -> frozenset[int]:
    """Return the epochs, from 1, after which to evaluate: every so many, or ten in all; always the last."""
    if every > 0:
        return frozenset({*range(every, n_epochs + 1, every), n_epochs})
    return frozenset(math.ceil(n_epochs * part / 10) for part in range(1, 11))


def plan_of(recipe: Recipe, n: int) -> Plan:
    """Return the plan for a subset of `n` samples; with `iterations`, the last pass may be partial."""
    batches = batch_windows(draws_per_epoch(n), recipe.batch_size)
    n_epochs = math.ceil(recipe.iterations / len(batches)) if recipe.iterations else recipe.epochs
    return Plan(
        batches=batches,
        n_epochs=n_epochs,
        n_iterations=recipe.iterations or n_epochs * len(batches),
        evaluated=evaluated_epochs(n_epochs, recipe.evaluate_every),
    )


def cosine_rate(iteration: int, n_iterations: int, peak: float, floor: float) -> float:
    """Return the rate of iteration t of 0..T-1: floor + (peak - floor)(1 + cos(pi t / T)) / 2.

    Source: Loshchilov and Hutter 2017, SGDR, arXiv:1608.03983, equation 5, without restarts.
    """
    return floor + (peak - floor) * (1 + math.cos(math.pi * iteration / n_iterations)) / 2
