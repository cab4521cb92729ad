"""What both scorers share around their own quantity: sound features, ranks within a class, and the filter."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

from prunebench import DataError, ScoreContext
from prunebench.toolbox import misclassified

Floats = NDArray[np.float64]


def require_finite(features: NDArray[np.float32]) -> None:
    """Raise DataError with the number of samples whose features are not finite."""
    if bad := int((~np.isfinite(features).all(axis=1)).sum()):
        raise DataError(f"the features of {bad} samples are not finite", "look at the backbone and its weights")


def by_rank(heights: Floats) -> Floats:
    """Return ranks scaled to [0, 1], shared by equal heights; 0 where all are equal."""
    if len(heights) < 2 or float(np.ptp(heights)) == 0.0:
        return np.zeros(len(heights))
    ranks: Floats = (rankdata(heights) - 1.0) / (len(heights) - 1.0)
    return ranks


def filtered(ctx: ScoreContext) -> tuple[NDArray[np.bool_], Floats]:
    """Return which samples the backbone misclassifies, and minus their loss: the order in which they return."""
    wrong, log_probability = misclassified(ctx.logits, ctx.labels)
    if not ctx.params["filter_misclassified"]:
        wrong = np.zeros(ctx.n, dtype=np.bool_)
    return wrong, log_probability
