"""Selectors that walk along a ranking: top, class_top, double_end, random."""

from __future__ import annotations

from typing import cast

import numpy as np
from numpy.typing import NDArray

from prunebench import SelectContext, Selection
from prunebench.toolbox import class_quotas
from prunebench_selectors.picking import checked, first_of_each, pools, split_ends


def top(ctx: SelectContext) -> Selection:
    """Return the first `n_keep` samples of the order, whatever their class."""
    return checked(ctx, ctx.order[: ctx.n_keep])


def class_top(ctx: SelectContext) -> Selection:
    """Return the first samples of the order in every class, with proportional class quotas.

    Excluded samples come last in the order, so a class takes them only where it would fall short.
    """
    return checked(ctx, _balanced(ctx, ctx.order))


def random(ctx: SelectContext) -> Selection:
    """Return a uniform draw from the eligible samples; the scores have no influence on it."""
    shuffled = ctx.rng.permutation(len(ctx.labels)).astype(np.int64)
    ranking = shuffled[np.argsort(~ctx.eligible[shuffled], kind="stable")]
    return checked(ctx, _balanced(ctx, ranking) if ctx.params["balanced"] else ranking[: ctx.n_keep])


def double_end(ctx: SelectContext) -> Selection:
    """Drop a fraction of one end of the scores, then keep the samples next to the cut.

    `filled` counts the dropped and the excluded samples that had to return.  Source: the budget mode of
    ELFS (Zheng et al. 2025), without its dependence on a non-empty far end.
    """
    drop, end = cast(float, ctx.params["drop"]), cast(str, ctx.params["end"])
    chosen, filled = [np.empty(0, dtype=np.int64)], 0
    for members, budget in pools(ctx, ctx.order, balanced=bool(ctx.params["balanced"])):
        kept, reserve = split_ends(ctx, members, drop, end)
        chosen.append(np.concatenate([kept, reserve])[:budget])
        filled += max(0, budget - len(kept))
    return checked(ctx, np.concatenate(chosen), filled)


def _balanced(ctx: SelectContext, ranking: NDArray[np.int64]) -> NDArray[np.int64]:
    quotas = class_quotas(ctx.labels, ctx.n_classes, ctx.n_keep)
    return first_of_each(ranking, ctx.labels[ranking], quotas)
