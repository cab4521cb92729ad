"""Shared numeric parts for implementations: exact budgets, class quotas, orders without biased ties."""

from __future__ import annotations

from decimal import ROUND_HALF_UP, Decimal

import numpy as np
from numpy.typing import NDArray

from prunebench.errors import DataError

__all__ = ["apportion", "class_quotas", "min_max", "misclassified", "n_keep", "preference_order"]


def n_keep(keep: str | Decimal, n: int) -> int:
    """Return the exact budget max(1, floor(keep * n + 1/2)), in decimal arithmetic (METHODS 1.1)."""
    return max(1, int((Decimal(keep) * n).quantize(Decimal(1), rounding=ROUND_HALF_UP)))


def apportion(total: int, sizes: NDArray[np.int64]) -> NDArray[np.int64]:
    """Split `total` over groups in proportion to `sizes` by largest remainders, never above a size.

    Every non-empty group gets at least 1 where `total` allows it.  sizes: int64 [k]; returns int64 [k] with
    sum min(total, sum(sizes)).  Equal remainders go to the lower index.
    """
    sizes = np.asarray(sizes, dtype=np.int64)
    population = int(sizes.sum())
    total = min(total, population)
    if population == 0:
        return np.zeros_like(sizes)
    whole, remainder = np.divmod(sizes * total, population)
    left = total - int(whole.sum())
    whole[np.argsort(-remainder, kind="stable")[:left]] += 1
    occupied = sizes > 0
    if total >= int(occupied.sum()):
        for empty in np.flatnonzero(occupied & (whole == 0)):
            whole[int(np.argmax(whole))] -= 1
            whole[empty] = 1
    return whole


def class_quotas(labels: NDArray[np.int64], n_classes: int, total: int) -> NDArray[np.int64]:
    """Return the class-balanced budget int64 [n_classes], proportional to the class sizes."""
    return apportion(total, np.bincount(labels, minlength=n_classes).astype(np.int64))


def preference_order(
    scores: NDArray[np.float64],
    rng: np.random.Generator,
    eligible: NDArray[np.bool_] | None = None,
    refill: NDArray[np.float64] | None = None,
) -> NDArray[np.int64]:
    """Return indices int64 [n], highest score first, ties in random order, ineligible samples last.

    A seeded permutation followed by a stable sort: neither the processor nor the order of the file decides.
    """
    shuffled = rng.permutation(len(scores))
    order: NDArray[np.int64] = shuffled[np.argsort(-scores[shuffled], kind="stable")]
    if eligible is None:
        return order
    late = order[~eligible[order]]
    if refill is not None:
        late = shuffled[~eligible[shuffled]]
        late = late[np.argsort(-refill[late], kind="stable")]
    return np.concatenate([order[eligible[order]], late])


def min_max(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Scale to [0, 1]; a constant vector becomes 0."""
    low, high = float(values.min()), float(values.max())
    if high <= low:
        return np.zeros_like(values, dtype=np.float64)
    return (values - low) / (high - low)


def misclassified(
    logits: NDArray[np.floating], labels: NDArray[np.int64]
) -> tuple[NDArray[np.bool_], NDArray[np.float64]]:
    """Return which samples are not predicted as labelled, bool [n], and the log-probability of the label [n].

    Sorted by the second, highest first, is by lowest loss.  logits: floating [n, classes].  Raises DataError for
    logits that are not finite: NaN would count as the prediction.
    """
    from scipy.special import log_softmax

    if bad := int((~np.isfinite(logits).all(axis=1)).sum()):
        raise DataError(
            f"the logits of {bad} of {len(logits)} samples are not finite", "look at the backbone and its weights"
        )
    log_probability: NDArray[np.float64] = log_softmax(np.asarray(logits, dtype=np.float64), axis=1)
    return logits.argmax(axis=1) != labels, log_probability[np.arange(len(labels)), labels]
