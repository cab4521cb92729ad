"""What all greedy methods share: classes with their quotas, checked evidence, and scores from picks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from prunebench import DataError, NotApplicable, ScoreContext
from prunebench.toolbox import class_quotas, content_order

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
Greedy = Callable[[Ints, int], Ints]

FACTOR_BYTES = 2**31
ROUNDING = 1e-12  # of its terms: more than a sum of some thousand products in double precision loses


def scores_of(ctx: ScoreContext, greedy: Greedy, scope: str = "class") -> Floats:
    """Return float64 [n]: (quota - rank) / size in every group, so that exactly the greedy picks are positive.

    greedy: members int64 [m] and quota to an order int64 [m] of positions in `members`, picks first.
    scope: "class" or "global".  Both `class_top` (for classes) and `top` then keep the greedy set, and no two
    samples tie at the cut.  Members come in an order that the seed and their content decide: a greedy method that
    gives ties to the first of them breaks ties by the seed, and the order of the file decides nothing.
    """
    values = np.zeros(ctx.n)
    for members, quota in _groups(ctx, scope):
        ctx.check_deadline()
        order = greedy(members, quota)
        values[members[order]] = (quota - np.arange(len(members))) / len(members)
    return values


def _groups(ctx: ScoreContext, scope: str) -> list[tuple[Ints, int]]:
    ordered = content_order(ctx.rng, *_content(ctx))
    if scope == "global":
        return [(ordered, min(ctx.n_keep, ctx.n))]
    quotas = class_quotas(ctx.labels, ctx.n_classes, ctx.n_keep)
    labels = ctx.labels[ordered]
    pairs = ((ordered[labels == label], int(quota)) for label, quota in enumerate(quotas))
    return [(members, quota) for members, quota in pairs if len(members)]


def _content(ctx: ScoreContext) -> list[NDArray[Any]]:
    """Return the evidence but the labels, whose numbers mean nothing."""
    parts = [ctx.evidence[name] for name in sorted(ctx.evidence) if name != "labels"]
    return [array for part in parts for array in (part if isinstance(part, tuple) else (part,))]


def completed(picks: Ints, priority: NDArray[np.floating], tolerance: float = 0.0) -> Ints:
    """Return `picks` int64 [k] and then all other positions by `priority` [m], highest first, ties by position.

    Priorities that are the same multiple of `tolerance` tie.
    """
    rest = np.ones(len(priority), dtype=np.bool_)
    rest[picks] = False
    others = np.flatnonzero(rest)
    ranked = np.rint(priority[others] / tolerance) if tolerance else priority[others]
    return np.concatenate([picks, others[np.argsort(-ranked, kind="stable")]]).astype(np.int64)


def best_of(gains: Floats, tolerance: float, second: Floats | None = None, second_tolerance: float = 0.0) -> int:
    """Return the first position whose gain is within `tolerance` of the highest.

    second: float64 [m], decides among those, within `second_tolerance`.  Some functions tie by construction: of two
    samples that serve each other alone, both gain the same.  Rounding, and with it the processor, must not decide.
    """
    tied = gains >= gains.max() - tolerance
    if second is not None:
        ranked = np.where(tied, second, -np.inf)
        tied = ranked >= ranked.max() - second_tolerance
    return int(np.argmax(tied))


def undetermined(count: int, total: int, why: str) -> str:
    """Return a caveat that `count` of `total` picks are no better than others, and why; empty where none is."""
    return f"{count} of {total} picks are undetermined: {why}" if count else ""


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
