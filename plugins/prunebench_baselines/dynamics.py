"""Scores from class probabilities over the epochs of one recorded training run."""

from __future__ import annotations

from collections.abc import Iterator
from typing import cast

import numpy as np
from numpy.typing import NDArray

from prunebench import DataError, ScoreContext


def el2n(ctx: ScoreContext) -> NDArray[np.float64]:
    """Return the mean over early epochs of ||p - onehot(y)||_2, float64 [n] in [0, sqrt(2)].

    Source: Paul et al. 2021, with the window of the CCS code.  Raises DataError for unusable dynamics.
    """
    recorded = len(ctx.dynamics)
    last = min(cast(int, ctx.params["epochs"]), recorded)
    first = last - 1 if ctx.params["window"] == "single" else 0
    total, rows = np.zeros(ctx.n), np.arange(ctx.n)
    for probabilities in _epochs(ctx, first, last):
        probabilities[rows, ctx.labels] -= 1.0
        total += np.sqrt(np.square(probabilities).sum(axis=1, dtype=np.float64))
    return total / (last - first)


def forgetting(ctx: ScoreContext) -> NDArray[np.float64]:
    """Return the number of epochs at which a sample went from right to wrong, float64 [n].

    A sample that was never right gets `epochs` (above any possible count) or 0, by `never_learnt`.
    Source: Toneva et al. 2019.  Raises DataError for unusable dynamics.
    """
    before = np.zeros(ctx.n, dtype=np.bool_)
    learnt, count = before.copy(), np.zeros(ctx.n)
    for probabilities in _epochs(ctx):
        right = _margins(probabilities, ctx.labels) > 0
        count += before & ~right
        learnt |= right
        before = right
    if ctx.params["never_learnt"] == "most":
        count[~learnt] = len(ctx.dynamics)
    return count


def aum(ctx: ScoreContext) -> NDArray[np.float64]:
    """Return the mean over epochs of p_y - max of the other p, float64 [n] in [-1, 1], sign by `prefer`.

    Source: Pleiss et al. 2020, on probabilities.  Raises DataError for unusable dynamics.
    """
    total = np.zeros(ctx.n)
    for probabilities in _epochs(ctx):
        total += _margins(probabilities, ctx.labels)
    margin = total / len(ctx.dynamics)
    return margin if ctx.params["prefer"] == "clean" else -margin


def _epochs(ctx: ScoreContext, first: int = 0, last: int | None = None) -> Iterator[NDArray[np.float32]]:
    """Yield the probabilities float32 [n, classes] of each epoch, a copy; one epoch in memory at a time."""
    dynamics = ctx.dynamics
    if dynamics.ndim != 3 or dynamics.shape[0] == 0 or dynamics.shape[1] != ctx.n:
        raise DataError(
            f"training dynamics have shape {dynamics.shape}, not (epochs, {ctx.n}, classes)",
            "record them again with this data set",
        )
    for epoch in range(first, len(dynamics) if last is None else last):
        ctx.check_deadline()
        probabilities = dynamics[epoch].astype(np.float32)
        if not np.isfinite(probabilities).all():
            raise DataError(f"training dynamics are not finite at epoch {epoch}", "the recorded run may have diverged")
        yield probabilities


def _margins(probabilities: NDArray[np.float32], labels: NDArray[np.int64]) -> NDArray[np.float32]:
    """Return p_y - max of the others; above 0 exactly where the label wins alone, so ties count as wrong."""
    rows = np.arange(len(labels))
    own = probabilities[rows, labels]
    others = probabilities.copy()
    others[rows, labels] = 0.0
    margins: NDArray[np.float32] = own - others.max(axis=1)
    return margins
