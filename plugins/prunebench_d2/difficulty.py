"""Difficulty of samples from the probabilities of one recorded training run, as D2 and CCS compute it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from prunebench import DataError, ScoreContext

_EL2N_EPOCHS = 10
_BLOCK_VALUES = 1 << 20


@dataclass(frozen=True, kw_only=True)
class Difficulty:
    """Measures of one run, float64 [n] each: mean probability margin in [-1, 1], forgetting events, EL2N sum."""

    margin: NDArray[np.float64]
    forgetting: NDArray[np.float64]
    el2n: NDArray[np.float64]

    def named(self, score: str) -> NDArray[np.float64]:
        """Return the difficulty float64 [n] >= 0, higher = harder, by the name of the parameter `score`."""
        if score == "forgetting":
            return self.forgetting
        if score == "el2n":
            return self.el2n
        return (1.0 - self.margin) / 2 if score == "aum" else np.ones_like(self.margin)


def measure(ctx: ScoreContext) -> Difficulty:
    """Return the measures of the recorded run; one epoch of a block of samples is in memory at a time.

    Never-learnt samples have no forgetting events, and a tied prediction is wrong.  Raises DataError for
    dynamics of another shape than [epochs, n, classes] or with values that are not finite.
    """
    dynamics, labels = ctx.dynamics, ctx.labels
    if dynamics.ndim != 3 or dynamics.shape[0] == 0 or dynamics.shape[1] != ctx.n:
        raise DataError(
            f"training dynamics have shape {dynamics.shape}, not (epochs, {ctx.n}, classes)",
            "record them again with this data set",
        )
    measures, step = np.empty((3, ctx.n)), max(1, _BLOCK_VALUES // max(1, dynamics.shape[2]))
    for start in range(0, ctx.n, step):
        ctx.check_deadline()
        block = slice(start, start + step)
        measures[:, block] = _measures(dynamics[:, block], labels[block])
    return Difficulty(margin=measures[0], forgetting=measures[1], el2n=measures[2])


def _measures(dynamics: NDArray[np.float16], labels: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return mean margin, forgetting events and EL2N sum of some samples, float64 [3, m]."""
    margin, forgetting, el2n = measures = np.zeros((3, len(labels)))
    before, rows = np.zeros(len(labels), dtype=np.bool_), np.arange(len(labels))
    for epoch in range(len(dynamics)):
        others = _finite(dynamics[epoch], epoch)
        own = others[rows, labels].copy()
        others[rows, labels] = 0.0
        gap = own - others.max(axis=1)
        forgetting += before & (gap <= 0)
        before = gap > 0
        margin += gap
        if epoch < _EL2N_EPOCHS:
            others[rows, labels] = own - 1.0
            el2n += np.sqrt(np.square(others).sum(axis=1, dtype=np.float64))
    margin /= len(dynamics)
    return measures


def _finite(probabilities: NDArray[np.float16], epoch: int) -> NDArray[np.float32]:
    exact = probabilities.astype(np.float32)
    if not np.isfinite(exact).all():
        raise DataError(f"training dynamics are not finite at epoch {epoch}", "the recorded run may have diverged")
    return exact
