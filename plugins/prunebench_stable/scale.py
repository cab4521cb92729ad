"""What both scorers share around their own quantity: sound features, ranks within a class, and the filter."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

from prunebench import DataError, ScoreContext
from prunebench.toolbox import misclassified

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


def require_finite(features: NDArray[np.float32]) -> None:
    """Raise DataError with the number of samples whose features are not finite."""
    if bad := int((~np.isfinite(features).all(axis=1)).sum()):
        raise DataError(f"the features of {bad} samples are not finite", "look at the backbone and its weights")


def content_order(features: NDArray[np.floating]) -> tuple[Ints, Ints]:
    """Return an order of the samples that their features alone decide, and the row that each one has, both int64 [n].

    It is that of the first feature, then of the next, so shifting or scaling the features does not change it.  Samples
    with equal features have the same row.  Work in this order does not depend on that of the file.
    """
    bits = (np.ascontiguousarray(features, dtype=np.float64) + 0.0).view(np.int64)  # no negative zeros
    # Unsigned numbers in the order of the floats, highest byte first: rows then compare by value as strings of bytes.
    ascending = np.where(bits < 0, ~bits, bits ^ np.int64(-(2**63))).view(np.uint64).astype(">u8")
    _, row = np.unique(ascending.view(np.dtype((np.void, ascending[0].nbytes)))[:, 0], return_inverse=True)
    return np.argsort(row, kind="stable"), row


def shared(values: Floats, row: Ints) -> Floats:
    """Return the mean of values over the samples that have the same row, float64 [n]."""
    mean: Floats = (np.bincount(row, values) / np.maximum(np.bincount(row), 1))[row]
    return mean


def settled(values: Floats) -> Floats:
    """Return values >= 0 over their maximum, rounded to ten decimals: what only rounding tells apart is equal."""
    top = float(values.max(initial=0.0))
    result: Floats = np.round(values / top, 10) if top > 0.0 else np.zeros_like(values)
    return result


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
