"""Facility location, graph cut and log-determinant on similarities within a class (Iyer et al. 2021; DeepCore)."""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

import numpy as np

from prunebench import ScoreContext, Scores
from prunebench_coresets.groups import (
    ROUNDING,
    Floats,
    Ints,
    best_of,
    completed,
    factor_space,
    require_finite,
    scores_of,
    undetermined,
)
from prunebench_coresets.kernels import (
    Factors,
    cosine_rows,
    embedding_factors,
    gradient_factors,
    require_finite_gradients,
)
from prunebench_coresets.lazy import facility_location

UnitFactors = Callable[[Ints], Factors]

_SPANNED = 1e-10  # of a unit diagonal: what is left of a sample that the picks already span


def facility(ctx: ScoreContext) -> Scores:
    """Score float64 [n], positive for the picks of facility location in each class, earliest highest.

    f(A) = sum_i max_{a in A} s_ia, on last-layer gradients.  Diagnostics: `undetermined`, the number of picks that
    gained nothing, with a caveat where there are any.  Raises DataError for evidence that is not finite.
    """
    return _facility(ctx, _of_gradients(ctx))


def facility_of_embeddings(ctx: ScoreContext) -> Scores:
    """Return what `facility` does, on features.  Raises DataError for features that are not finite."""
    return _facility(ctx, _of_embeddings(ctx))


def graph_cut(ctx: ScoreContext) -> Floats:
    """Return float64 [n], positive for the picks of graph cut in each class, earliest highest.

    f(A) = lam * sum_i sum_{a in A} s_ia - sum_{a, b in A} s_ab, on last-layer gradients.  Raises DataError for
    evidence that is not finite.
    """
    return _graph_cut(ctx, _of_gradients(ctx))


def graph_cut_of_embeddings(ctx: ScoreContext) -> Floats:
    """Return what `graph_cut` does, on features.  Raises DataError for features that are not finite."""
    return _graph_cut(ctx, _of_embeddings(ctx))


def log_det(ctx: ScoreContext) -> Scores:
    """Score float64 [n], positive for the picks of the log-determinant in each class, earliest highest.

    f(A) = log det S_A, on last-layer gradients.  Diagnostics: `undetermined`, the number of picks after those that
    span their class, all of which make the determinant 0; a caveat says so where there are any.  Raises DataError for
    evidence that is not finite, NotApplicable where the Cholesky factor of a class would exceed 2 GiB.
    """
    return _log_det(ctx, _of_gradients(ctx))


def log_det_of_embeddings(ctx: ScoreContext) -> Scores:
    """Return what `log_det` does, on features, and fail as it does."""
    return _log_det(ctx, _of_embeddings(ctx))


def _of_gradients(ctx: ScoreContext) -> UnitFactors:
    require_finite_gradients(ctx)
    return lambda members: gradient_factors(ctx, members).unit()


def _of_embeddings(ctx: ScoreContext) -> UnitFactors:
    require_finite(ctx.features, "features")
    return lambda members: embedding_factors(ctx, members).unit()


def _facility(ctx: ScoreContext, unit: UnitFactors) -> Scores:
    def greedy(members: Ints, quota: int) -> tuple[Ints, int]:
        found = facility_location(cosine_rows(unit(members)), len(members), quota)
        return completed(found.picks, found.priority), found.exhausted

    return _counted(ctx, greedy, "those before them serve every sample perfectly")


def _graph_cut(ctx: ScoreContext, unit: UnitFactors) -> Floats:
    lam = cast(float, ctx.params["lam"])
    return scores_of(ctx, lambda members, quota: graph_cut_order(unit(members), quota, lam))


def _log_det(ctx: ScoreContext, unit: UnitFactors) -> Scores:
    def greedy(members: Ints, quota: int) -> tuple[Ints, int]:
        order, spanning = log_det_order(unit(members), quota)
        return order, quota - spanning

    return _counted(ctx, greedy, "those before them span their class, so that the determinant is 0 with any of them")


def _counted(ctx: ScoreContext, greedy: Callable[[Ints, int], tuple[Ints, int]], why: str) -> Scores:
    """Return the scores of a greedy method that also says how many of its picks are no better than others."""
    counts = [0]

    def order_of(members: Ints, quota: int) -> Ints:
        order, count = greedy(members, quota)
        counts.append(count if quota < len(members) else 0)
        return order

    values = scores_of(ctx, order_of)
    caveat = undetermined(sum(counts), ctx.n_keep, why)
    return Scores(values=values, diagnostics={"undetermined": sum(counts)}, caveat=caveat)


def graph_cut_order(unit: Factors, n_picks: int, lam: float) -> Ints:
    """Return an order int64 [m], `n_picks` greedy picks first, then by remaining gain.

    The gain of e is lam * sum_i s_ie - 2 sum_{a in A} s_ae - s_ee; the sums over all i need no table, as
    sum_i <g_i, g_e> = <sum_i g_i, g_e>.  unit: factors [m, .] with s = 1/2 + cos/2.  O(n_picks * m * d).
    """
    size, rows = len(unit.left), cosine_rows(unit)
    gain = (lam * size * (0.5 + 0.5 * unit.against(unit.mean())) - 0.5 - 0.5 * unit.squared_norms()).astype(np.float64)
    tolerance = ROUNDING * size * max(1.0, lam)
    open_ = np.ones(size, dtype=np.bool_)
    picks = np.empty(n_picks, dtype=np.int64)
    for t in range(n_picks):
        pick = best_of(np.where(open_, gain, -np.inf), tolerance)
        picks[t], open_[pick] = pick, False
        gain -= 2.0 * rows(np.array([pick]))[0]
    return completed(picks, gain)


def log_det_order(unit: Factors, n_picks: int) -> tuple[Ints, int]:
    """Return an order int64 [m], greedy picks first, and how many picks there were until they spanned all samples.

    The gain of x is log(S_xx - S_xA S_A^-1 S_Ax), the log of a pivot of the Cholesky factor, which grows by a
    row a pick (Chen et al., NeurIPS 2018).  All single samples tie: the one most similar to all others comes
    first.  Once the picks span all samples the determinant is 0 with every further pick: what is left of the pivots
    is rounding, and the others follow by position.  Without that, `n_picks` picks are followed by the others by pivot.
    """
    rows, size = cosine_rows(unit), len(unit.left)
    factor = factor_space(n_picks, size)
    pivot, central = 0.5 + 0.5 * unit.squared_norms(), unit.against(unit.mean()).astype(np.float64)
    picks: list[int] = []
    for t in range(n_picks):
        pick = best_of(pivot, _SPANNED, central, ROUNDING)
        if pivot[pick] <= _SPANNED:
            break
        picks.append(pick)
        row = rows(np.array([pick]))[0] - factor[:t, pick] @ factor[:t]
        factor[t] = row / np.sqrt(pivot[pick])
        pivot -= np.square(factor[t])
        pivot[pick] = -np.inf
    return completed(np.array(picks, dtype=np.int64), np.where(pivot > _SPANNED, pivot, 0.0)), len(picks)
