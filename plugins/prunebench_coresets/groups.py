"""What all greedy methods share: classes with their quotas, checked evidence, and scores from picks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from prunebench import DataError, NotApplicable, ScoreContext
from prunebench.toolbox import class_quotas

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
Greedy = Callable[[Ints, int], Ints]

FACTOR_BYTES = 2**31


def scores_of(ctx: ScoreContext, greedy: Greedy, scope: str = "class") -> Floats:
    """Return float64 [n]: (quota - rank) / size in every group, so that exactly the greedy picks are positive.

    greedy: members int64 [m] and quota to an order int64 [m] of positions in `members`, picks first.
    scope: "class" or "global".  Both `class_top` (for classes) and `top` then keep the greedy set, and no two
    samples tie at the cut.  Members come in seeded order: the file does not decide ties of a greedy method.
    """
    values = np.zeros(ctx.n)
    for members, quota in _groups(ctx, scope):
        ctx.check_deadline()
        order = greedy(members, quota)
        values[members[order]] = (quota - np.arange(len(members))) / len(members)
    return values


def _groups(ctx: ScoreContext, scope: str) -> list[tuple[Ints, int]]:
    shuffled = ctx.rng.permutation(ctx.n).astype(np.int64)
    if scope == "global":
        return [(shuffled, min(ctx.n_keep, ctx.n))]
    quotas = class_quotas(ctx.labels, ctx.n_classes, ctx.n_keep)
    labels = ctx.labels[shuffled]
    pairs = ((shuffled[labels == label], int(quota)) for label, quota in enumerate(quotas))
    return [(members, quota) for members, quota in pairs if len(members)]


def completed(picks: Ints, priority: NDArray[np.floating]) -> Ints:
    """Return `picks` int64 [k] and then all other positions by `priority` [m], highest first, ties by position."""
    rest = np.ones(len(priority), dtype=np.bool_)
    rest[picks] = False
    others = np.flatnonzero(rest)
    return np.concatenate([picks, others[np.argsort(-priority[others], kind="stable")]]).astype(np.int64)


def best_of(gains: Floats, tolerance: float, second: Floats) -> int:
    """Return the position of the highest gain; within `tolerance` of it, of the highest `second` [m].

    Some functions tie by construction: of two samples that serve each other alone, both gain the same.
    Rounding, and with it the order of the file, must not decide these.
    """
    return int(np.argmax(np.where(gains >= gains.max() - tolerance, second, -np.inf)))


def require_finite(values: NDArray[Any], what: str) -> None:
    """Raise DataError where rows of `values` [n, k] are not finite, with their number."""
    bad = sum(
        int((~np.isfinite(values[start : start + 4096])).any(axis=1).sum()) for start in range(0, len(values), 4096)
    )
    if bad:
        raise DataError(
            f"the {what} of {bad} of {len(values)} samples are not finite", "check the backbone and its weights"
        )


def factor_space(steps: int, size: int) -> Floats:
    """Return uninitialised float64 [steps, size]; raises NotApplicable above 2 GiB."""
    if steps * size * 8 > FACTOR_BYTES:
        raise NotApplicable(
            f"{steps} picks from a class of {size} need {steps * size * 8 / 2**30:.1f} GiB",
            "choose a smaller budget or another method",
        )
    return np.empty((steps, size))
