"""What both scorers share around their own quantity: sound features, ranks within a class, and the filter."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

from prunebench import DataError, ScoreContext
from prunebench.toolbox import misclassified

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

_BLOCK_ROWS = 4096


def require_finite(features: NDArray[np.float32]) -> None:
    """Raise DataError with the number of samples whose features are not finite."""
    parts = (features[start : start + _BLOCK_ROWS] for start in range(0, len(features), _BLOCK_ROWS))
    if bad := sum(int((~np.isfinite(part).all(axis=1)).sum()) for part in parts):
        raise DataError(f"the features of {bad} samples are not finite", "look at the backbone and its weights")


def content_order(features: NDArray[np.floating]) -> tuple[Ints, Ints]:
    """Return an order of the samples that their features alone decide, and the row that each one has, both int64 [n].

    It is that of the first feature, then of the next, so shifting or scaling the features does not change it.  Samples
    with equal features have the same row.  Work in this order does not depend on that of the file.  A feature is read
    of those samples alone that the features before it leave equal, so memory grows with n.
    """
    order, tied = np.arange(len(features)), np.arange(len(features))  # tied: places in the order
    starts = order == 0  # of each place in the order: whether another row begins there
    for column in features.T:
        if not len(tied):
            break
        values = column[order[tied]]
        ranked = np.lexsort((values, np.cumsum(starts[tied])))
        order[tied], values = order[tied[ranked]], values[ranked]
        starts[tied[1:]] |= values[1:] != values[:-1]
        tied = tied[~(starts & np.append(starts[1:], True))[tied]]
    row = np.empty_like(order)
    row[order] = np.cumsum(starts) - 1
    return order, row


def classes_of(order: Ints, labels: Ints) -> list[Ints]:
    """Return the samples of each class, int64 each, as they follow each other in `order` (int64 [n])."""
    members = order[np.argsort(labels[order], kind="stable")]
    return np.split(members, np.flatnonzero(np.diff(labels[members])) + 1)


def shared(values: Floats, row: Ints) -> Floats:
    """Return the mean of values over the samples that have the same row, float64 [n]."""
    _, row = np.unique(row, return_inverse=True)
    mean: Floats = (np.bincount(row, values) / np.bincount(row))[row]
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
