"""Shared numeric parts for implementations: exact budgets, class quotas, orders without biased ties."""

from __future__ import annotations

from decimal import ROUND_HALF_UP, Decimal
from typing import Any

import numpy as np
from numpy.typing import NDArray

from prunebench.errors import DataError

__all__ = [
    "apportion", "class_quotas", "content_order", "min_max", "misclassified", "n_keep", "preference_order",
    "squared_distances", "within_range",
]  # fmt: skip

_BLOCK_VALUES = 1 << 17
_REACH = 20  # as a power of two
_CANCELLED = 1e-8  # of the squared norms: below it the expansion of a square has lost half of its digits


def n_keep(keep: str | Decimal, n: int) -> int:
    """Return the exact budget max(1, floor(keep * n + 1/2)), in decimal arithmetic (METHODS 1.1)."""
    return max(1, int((Decimal(keep) * n).quantize(Decimal(1), rounding=ROUND_HALF_UP)))


def apportion(total: int, sizes: NDArray[np.int64]) -> NDArray[np.int64]:
    """Split `total` over groups in proportion to `sizes` by largest remainders, never above a size.
    Every non-empty group gets at least 1 where `total` allows it.  sizes: int64 [k]; returns int64 [k] with
    sum min(total, sum(sizes)).  Equal remainders go to the lower index."""
    sizes = np.asarray(sizes, dtype=np.int64)
    population = int(sizes.sum())
    total = min(total, population)
    whole, remainder = np.divmod(sizes * total, max(1, population))
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
    A seeded permutation followed by a stable sort: neither the processor nor the order of the file decides."""
    shuffled = rng.permutation(len(scores))
    order: NDArray[np.int64] = shuffled[np.argsort(-scores[shuffled], kind="stable")]
    if eligible is None:
        return order
    late = order if refill is None else shuffled[np.argsort(-refill[shuffled], kind="stable")]
    return np.concatenate([order[eligible[order]], late[~eligible[late]]])


def content_order(rng: np.random.Generator, *evidence: NDArray[Any]) -> NDArray[np.int64]:
    """Return an order int64 [n] of the samples that follows from the seed and their content, never from their places.
    A greedy method that gives ties to the first sample in this order breaks them by the seed, and picks the same
    samples whatever the order of the file.  evidence: arrays [n, ...], of which floating values count in single
    precision, and a common factor that is a power of two does not count.  Samples that are alike in all of it follow
    each other in random order."""
    shuffled = rng.permutation(len(evidence[0])).astype(np.int64)
    keys = np.zeros(len(shuffled), dtype=np.uint64)
    for array in evidence:
        flat = array.reshape(len(array), -1)
        exponent = _exponent(flat)
        factors = rng.integers(1 << 64, size=flat.shape[1], dtype=np.uint64) | np.uint64(1)
        step = max(1, _BLOCK_VALUES // max(1, flat.shape[1]))
        for start in range(0, len(flat), step):
            words = _words(flat[start : start + step], exponent)
            keys[start : start + step] += (words * factors).sum(axis=1, dtype=np.uint64)
    # the low bits of such a sum know the low bits of its terms alone
    keys ^= keys >> np.uint64(32)
    keys *= np.uint64(0x9E3779B97F4A7C15)
    return shuffled[np.argsort(keys[shuffled], kind="stable")]


def _exponent(values: NDArray[Any]) -> int:
    """Return the power of two just above the largest magnitude, 0 for whole numbers."""
    if not values.size or not np.issubdtype(values.dtype, np.floating):
        return 0
    return int(np.frexp(max(float(values.max()), -float(values.min())))[1])


def _words(values: NDArray[Any], exponent: int) -> NDArray[np.uint64]:
    """Return the bits of each value over 2^exponent as uint64 of the same shape; 0 and -0 have none."""
    if np.issubdtype(values.dtype, np.floating):
        scaled = np.ldexp(values.astype(np.float64), -exponent).astype(np.float32) + np.float32(0)
        words: NDArray[np.uint64] = scaled.view(np.uint32).astype(np.uint64)
        return words
    return values.astype(np.int64).view(np.uint64)


def squared_distances(left: NDArray[Any], right: NDArray[Any]) -> NDArray[np.float64]:
    """Return squared Euclidean distances float64 [k, l] between rows [k, d] and rows [l, d].
    Each keeps at least six digits, wherever the origin is and however near two rows are; equal rows are at exactly 0.
    It is the expansion |a|^2 + |b|^2 - 2ab about the mean of `right`, at the speed of a matrix product, and the
    squared difference where the expansion cancels."""
    centre = right.mean(axis=0, dtype=np.float64)
    b = right - centre
    lengths = np.einsum("ld,ld->l", b, b)
    squared = np.empty((len(left), len(right)))
    step = max(1, _BLOCK_VALUES // max(1, len(right)))
    for start in range(0, len(left), step):
        a, part = left[start : start + step] - centre, squared[start : start + step]
        norms = np.einsum("kd,kd->k", a, a)[:, None] + lengths
        np.matmul(a, b.T, out=part)
        part *= -2.0
        part += norms
        _recompute(part, a, b, part < _CANCELLED * norms)
    return squared


def _recompute(squared: NDArray[np.float64], a: NDArray[Any], b: NDArray[Any], where: NDArray[np.bool_]) -> None:
    """Put the squared difference of rows of `a` and `b` into `squared` where `where` says so."""
    rows, columns = np.nonzero(where)
    step = max(1, _BLOCK_VALUES // max(1, a.shape[1]))
    for start in range(0, len(rows), step):
        i, j = rows[start : start + step], columns[start : start + step]
        gap = a[i] - b[j]
        squared[i, j] = np.einsum("md,md->m", gap, gap)


def within_range(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return `values` as they are, or over a power of two where their squares could leave single precision.
    Unchanged where the largest magnitude is between 1e-6 and 1e6, or all are 0; the power of two costs no digit and
    brings it into 0.5..1 otherwise.  For methods that do not depend on the scale, or only inside that range."""
    exponent = _exponent(values)
    return values if abs(exponent) <= _REACH else np.ldexp(values, -exponent)


def min_max(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Scale to [0, 1]; a constant vector becomes 0."""
    low, high = float(values.min()), float(values.max())
    return (values - low) / (high - low) if high > low else np.zeros_like(values, dtype=np.float64)


def misclassified(
    logits: NDArray[np.floating], labels: NDArray[np.int64]
) -> tuple[NDArray[np.bool_], NDArray[np.float64]]:
    """Return which samples are not predicted as labelled, bool [n], and the log-probability of the label [n].
    Sorted by the second, highest first, is by lowest loss.  logits: floating [n, classes].  Raises DataError for
    logits that are not finite: NaN would count as the prediction."""
    from scipy.special import log_softmax

    wrong, log_probability, bad = np.empty(len(labels), dtype=np.bool_), np.empty(len(labels)), 0
    step = max(1, _BLOCK_VALUES // max(1, logits.shape[1]))
    for start in range(0, len(labels), step):  # logits may be larger than the memory
        rows, own = logits[start : start + step], labels[start : start + step]
        bad += int((~np.isfinite(rows).all(axis=1)).sum())
        if not bad:
            wrong[start : start + step] = rows.argmax(axis=1) != own
            log_odds = log_softmax(np.asarray(rows, dtype=np.float64), axis=1)
            log_probability[start : start + step] = log_odds[np.arange(len(own)), own]
    if bad:
        text = f"the logits of {bad} of {len(logits)} samples are not finite"
        raise DataError(text, "look at the backbone and its weights")
    return wrong, log_probability
