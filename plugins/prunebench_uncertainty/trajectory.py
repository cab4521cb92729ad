"""TDDS (Zhang et al., CVPR 2024): how much a sample's changes from epoch to epoch vary."""

from __future__ import annotations

from collections import deque
from typing import cast

import numpy as np
from numpy.typing import NDArray

from prunebench import DataError, NotApplicable, ScoreContext, Scores
from prunebench_uncertainty.evidence import blocks, require_finite

_LOG_OFFSET = 1e-8  # inside the logarithms of the authors' code
_FEWEST_EPOCHS = 3  # two changes: one alone does not vary


def tdds(ctx: ScoreContext) -> Scores:
    """Return the decaying sum over windows of the spread of changes in one window, float64 [n] >= 0.

    Change: d_t = sum_c |p_{t+1,c} (log p_{t+1,c} - log p_{t,c})|, logarithms of p + 1e-8, over the first
    `epochs` recorded epochs (T; a shorter recording is used whole).  A window holds J epochs, so J - 1
    changes; its spread is the L2 norm of d_t minus their mean.  The window that starts at epoch k has weight
    decay * (1 - decay)^(T - J - k); J is at most T.  Samples come in blocks: what is in memory does not grow with them.
    Raises NotApplicable for fewer than three epochs, DataError for unusable dynamics.
    """
    n_epochs, window = _lengths(ctx)
    decay, absolute = cast(float, ctx.params["decay"]), ctx.params["divergence"] == "absolute"
    values = np.empty(ctx.n)
    for rows in blocks(ctx.n, ctx.dynamics.shape[2]):
        ctx.check_deadline()
        values[rows] = _spreads(ctx.dynamics[:n_epochs, rows], window, decay, absolute=absolute)
    windows = n_epochs - window + 1
    return Scores(values=values, diagnostics={"epochs": n_epochs, "window": window, "windows": windows})


def _spreads(dynamics: NDArray[np.float16], window: int, decay: float, *, absolute: bool) -> NDArray[np.float64]:
    """Return the decaying sum for some samples, float64 [m]; dynamics: [epochs, m, classes]."""
    changes: deque[NDArray[np.float64]] = deque(maxlen=window - 1)
    score, before = np.zeros(dynamics.shape[1]), _epoch(dynamics, 0)
    for epoch in range(1, len(dynamics)):
        after = _epoch(dynamics, epoch)
        terms = after * (np.log(after + _LOG_OFFSET) - np.log(before + _LOG_OFFSET))
        changes.append(np.abs(terms).sum(axis=1) if absolute else terms.sum(axis=1))
        before = after
        if len(changes) == window - 1:
            # a running average: each later window multiplies the weights of all earlier ones by 1 - decay
            score = (1.0 - decay) * score + decay * _spread(np.stack(changes))
    return score


def _lengths(ctx: ScoreContext) -> tuple[int, int]:
    """Return the number of epochs to read and the length of a window."""
    dynamics = ctx.dynamics
    if dynamics.ndim != 3 or dynamics.shape[1] != ctx.n:
        raise DataError(
            f"training dynamics have shape {dynamics.shape}, not (epochs, {ctx.n}, classes)",
            "record them again with this data set",
        )
    if len(dynamics) < _FEWEST_EPOCHS:
        raise NotApplicable(
            f"changes over {len(dynamics)} recorded epochs do not vary; at least {_FEWEST_EPOCHS} are needed",
            "train the proxy for more epochs",
        )
    n_epochs = min(cast(int, ctx.params["epochs"]), len(dynamics))
    return n_epochs, min(cast(int, ctx.params["window"]), n_epochs)


def _epoch(dynamics: NDArray[np.float16], epoch: int) -> NDArray[np.float64]:
    probabilities = dynamics[epoch]
    require_finite(probabilities, f"training dynamics at epoch {epoch}")
    exact: NDArray[np.float64] = probabilities.astype(np.float64)
    return exact


def _spread(changes: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the L2 norm over time of `changes` (float64 [t, n]) minus their mean, float64 [n]."""
    spread: NDArray[np.float64] = np.sqrt(np.square(changes - changes.mean(axis=0)).sum(axis=0))
    return spread
