"""Coverage-centric selection (Zheng et al., ICLR 2023): the budget is spread over strata of the score."""

from __future__ import annotations

from typing import cast

import numpy as np
from numpy.typing import NDArray

from prunebench import NotApplicable, SelectContext, Selection
from prunebench_selectors.picking import checked, first_of_each, pools, split_ends


def strata(ctx: SelectContext) -> Selection:
    """Cut one end, split the rest into strata of equal width, and share the budget among them.

    Source: CCS, algorithm 1.  `filled` counts the cut and the excluded samples that had to return.
    Raises NotApplicable for scores that are not finite: they have no equal-width strata.
    """
    if not np.isfinite(ctx.scores).all():
        raise NotApplicable("strata of equal width need finite scores", "use the selector class_top or top")
    chosen, filled = [np.empty(0, dtype=np.int64)], 0
    for members, budget in pools(ctx, ctx.order, balanced=bool(ctx.params["balanced"])):
        kept, reserve = split_ends(ctx, members, cast(float, ctx.params["cutoff"]), cast(str, ctx.params["cutoff_end"]))
        picked = _spread(ctx, kept, min(budget, len(kept)))
        refill = reserve[: budget - len(picked)]
        chosen += [picked, refill]
        filled += len(refill)
    return checked(ctx, np.concatenate(chosen), filled)


def stratum_of(scores: NDArray[np.float64], n_strata: int) -> NDArray[np.int64]:
    """Return the stratum int64 [n] in 0..n_strata-1 of each score, equal widths on [min, max].

    The last stratum is closed.  (The released code ends at 1.0001 * max instead, which leaves the maximum
    out of every stratum where it is not positive.)
    """
    if len(scores) == 0:
        return np.empty(0, dtype=np.int64)
    edges = np.linspace(scores.min(), scores.max(), n_strata + 1)
    return np.searchsorted(edges[1:-1], scores, side="right").astype(np.int64)


def allocate(sizes: NDArray[np.int64], budget: int) -> NDArray[np.int64]:
    """Share `budget` evenly among strata, none above its size; what small ones leave goes to larger ones.

    sizes: int64 [k]; returns int64 [k] with sum min(budget, sum(sizes)).  Strata are served by size
    ascending (equal sizes by index), each with min(size, remaining budget // remaining strata).
    """
    quotas = np.zeros_like(sizes)
    remaining = budget
    for served, index in enumerate(np.argsort(sizes, kind="stable")):
        quotas[index] = min(int(sizes[index]), remaining // (len(sizes) - served))
        remaining -= int(quotas[index])
    return quotas


def _spread(ctx: SelectContext, members: NDArray[np.int64], budget: int) -> NDArray[np.int64]:
    """Pick `budget` of `members` (int64 [m], as `split_ends` returns them) evenly over the strata."""
    n_strata = cast(int, ctx.params["strata"])
    if ctx.params["inside"] == "random":
        # drawn over the ranking, not over the file: distinct scores make the draw independent of the file
        ranking = ctx.rng.permutation(members)
    else:
        ranking = members[::-1] if ctx.params["cutoff_end"] == "bottom" else members
    groups = stratum_of(ctx.scores[ranking], n_strata)
    quotas = allocate(np.bincount(groups, minlength=n_strata).astype(np.int64), budget)
    return first_of_each(ranking, groups, quotas)
