"""Scores from class probabilities over the epochs of one recorded training run."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import cast

import numpy as np
from numpy.typing import NDArray

from prunebench import DataError, ScoreContext

Epochs = Iterator[NDArray[np.float32]]
Labels = NDArray[np.int64]

_BLOCK_VALUES = 1 << 20


def el2n(ctx: ScoreContext) -> NDArray[np.float64]:
    """Return the mean over early epochs of ||p - onehot(y)||_2, float64 [n] in [0, sqrt(2)].

    Source: Paul et al. 2021, with the window of the CCS code.  Raises DataError for unusable dynamics.
    """
    recorded = len(ctx.dynamics)
    last = min(cast(int, ctx.params["epochs"]), recorded)
    first = last - 1 if ctx.params["window"] == "single" else 0

    def total(epochs: Epochs, labels: Labels) -> NDArray[np.float64]:
        norms, rows = np.zeros(len(labels)), np.arange(len(labels))
        for probabilities in epochs:
            probabilities[rows, labels] -= 1.0
            norms += np.sqrt(np.square(probabilities).sum(axis=1, dtype=np.float64))
        return norms

    return _by_block(ctx, total, first, last) / (last - first)


def forgetting(ctx: ScoreContext) -> NDArray[np.float64]:
    """Return the number of epochs at which a sample went from right to wrong, float64 [n].

    A sample that was never right gets `epochs` (above any possible count) or 0, by `never_learnt`.
    Source: Toneva et al. 2019.  Raises DataError for unusable dynamics.
    """
    never = float(len(ctx.dynamics)) if ctx.params["never_learnt"] == "most" else 0.0

    def events(epochs: Epochs, labels: Labels) -> NDArray[np.float64]:
        before = np.zeros(len(labels), dtype=np.bool_)
        learnt, count = before.copy(), np.zeros(len(labels))
        for probabilities in epochs:
            right = _margins(probabilities, labels) > 0
            count += before & ~right
            learnt |= right
            before = right
        return np.where(learnt, count, never)

    return _by_block(ctx, events)


def aum(ctx: ScoreContext) -> NDArray[np.float64]:
    """Return the mean over epochs of p_y - max of the other p, float64 [n] in [-1, 1], sign by `prefer`.

    Source: Pleiss et al. 2020, on probabilities.  Raises DataError for unusable dynamics.
    """

    def total(epochs: Epochs, labels: Labels) -> NDArray[np.float64]:
        margins = np.zeros(len(labels))
        for probabilities in epochs:
            margins += _margins(probabilities, labels)
        return margins

    margin = _by_block(ctx, total) / len(ctx.dynamics)
    return margin if ctx.params["prefer"] == "clean" else -margin


def _by_block(
    ctx: ScoreContext, measure: Callable[[Epochs, Labels], NDArray[np.float64]], first: int = 0, last: int | None = None
) -> NDArray[np.float64]:
    """Return what `measure` makes of the epochs and labels of one block of samples after the other, float64 [n].

    An epoch is probabilities float32 [m, classes], a copy; one epoch of one block is in memory at a time.
    """
    dynamics = ctx.dynamics
    if dynamics.ndim != 3 or dynamics.shape[0] == 0 or dynamics.shape[1] != ctx.n:
        raise DataError(
            f"training dynamics have shape {dynamics.shape}, not (epochs, {ctx.n}, classes)",
            "record them again with this data set",
        )
    values, step = np.empty(ctx.n), max(1, _BLOCK_VALUES // max(1, dynamics.shape[2]))
    for start in range(0, ctx.n, step):
        ctx.check_deadline()
        rows = slice(start, start + step)
        values[rows] = measure(_epochs(dynamics[:last, rows], first), ctx.labels[rows])
    return values


def _epochs(dynamics: NDArray[np.float16], first: int) -> Epochs:
    for epoch in range(first, len(dynamics)):
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
