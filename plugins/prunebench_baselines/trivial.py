"""Scores that look at nothing: random and constant."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from prunebench import ScoreContext


def uniform(ctx: ScoreContext) -> NDArray[np.float64]:
    """Return float64 [n] drawn uniformly from [0, 1)."""
    return ctx.rng.random(ctx.n)


def constant(ctx: ScoreContext) -> NDArray[np.float64]:
    """Return float64 [n] zeros: every sample is as good as any other."""
    return np.zeros(ctx.n)
