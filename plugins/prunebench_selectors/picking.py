"""Steps that all selectors share: quotas over a ranking, cutting an end, and the final check."""

from __future__ import annotations

from decimal import Decimal

import numpy as np
from numpy.typing import NDArray

from prunebench import PluginContractError, SelectContext, Selection
from prunebench.toolbox import class_quotas


def first_of_each(
    ranking: NDArray[np.int64], groups: NDArray[np.int64], quotas: NDArray[np.int64]
) -> NDArray[np.int64]:
    """Return the first `quotas[g]` entries of every group g in `ranking`.

    ranking: int64 [m] indices, best first.  groups: int64 [m], the group of each entry of `ranking`.
    quotas: int64 [g].  Groups smaller than their quota give all they have.
    """
    grouped = np.argsort(groups, kind="stable")
    sizes = np.bincount(groups, minlength=len(quotas))
    starts = np.cumsum(sizes) - sizes
    place = np.arange(len(ranking)) - starts[groups[grouped]]
    chosen: NDArray[np.int64] = ranking[grouped[place < quotas[groups[grouped]]]]
    return chosen


def cut_count(fraction: float, n: int) -> int:
    """Return floor(fraction * n) in decimal arithmetic, so that 0.29 of 100 is 29."""
    return int(Decimal(str(fraction)) * n)


def split_ends(
    ctx: SelectContext, ranking: NDArray[np.int64], fraction: float, end: str
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Drop `fraction` of the eligible samples at one end of `ranking` (int64 [m], best first).

    Returns the kept samples, those next to the cut first, and the reserve for a shortfall: the dropped
    samples, those next to the cut first, then the excluded ones in their order.
    """
    allowed = ctx.eligible[ranking]
    eligible, excluded = ranking[allowed], ranking[~allowed]
    if end == "bottom":
        eligible = eligible[::-1]
    n_cut = cut_count(fraction, len(eligible))
    return eligible[n_cut:], np.concatenate([eligible[:n_cut][::-1], excluded])


def pools(ctx: SelectContext, ranking: NDArray[np.int64], *, balanced: bool) -> list[tuple[NDArray[np.int64], int]]:
    """Return (members of `ranking` in its order, budget) for every class, or for the whole set."""
    if not balanced:
        return [(ranking, ctx.n_keep)]
    quotas = class_quotas(ctx.labels, ctx.n_classes, ctx.n_keep)
    labels = ctx.labels[ranking]
    return [(ranking[labels == label], int(quota)) for label, quota in enumerate(quotas) if quota]


def checked(ctx: SelectContext, chosen: NDArray[np.int64], filled: int | None = None) -> Selection:
    """Return `chosen` sorted; `filled` defaults to the number of excluded samples in it.

    Raises PluginContractError where the budget exceeds the number of samples.
    """
    if len(chosen) != ctx.n_keep:
        raise PluginContractError(
            f"{len(chosen)} samples were picked for a budget of {ctx.n_keep}",
            f"a budget lies between 1 and the {len(ctx.labels)} samples",
        )
    if filled is None:
        filled = int(np.count_nonzero(~ctx.eligible[chosen]))
    return Selection(indices=np.sort(chosen).astype(np.int64), filled=filled)
