"""Scores that look at nothing: random and constant."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from prunebench import ScoreContext, Scores
from prunebench.toolbox import misclassified


def uniform(ctx: ScoreContext) -> NDArray[np.float64]:
    """Return float64 [n] drawn uniformly from [0, 1)."""
    return ctx.rng.random(ctx.n)


def constant(ctx: ScoreContext) -> NDArray[np.float64]:
    """Return float64 [n] zeros: every sample is as good as any other."""
    return np.zeros(ctx.n)


def filtered(ctx: ScoreContext) -> Scores:
    """Return uniform random numbers float64 [n], with misclassified samples excluded.

    Those return by lowest loss where a class falls short of its budget.  Reads logits [n, classes] and labels.
    Raises DataError for logits that are not finite.
    """
    excluded, log_probability = misclassified(ctx.logits, ctx.labels)
    return Scores(
        values=ctx.rng.random(ctx.n),
        excluded=excluded,
        refill=log_probability,
        diagnostics={"n_filtered": int(excluded.sum())},
    )
