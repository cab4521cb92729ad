"""Facility location, graph cut and log-determinant on similarities within a class (Iyer et al. 2021; DeepCore)."""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

import numpy as np

from prunebench import ScoreContext
from prunebench_coresets.groups import Floats, Ints, best_of, completed, factor_space, require_finite, scores_of
from prunebench_coresets.kernels import (
    Factors,
    cached,
    cosine_rows,
    embedding_factors,
    gradient_factors,
    require_finite_gradients,
)
from prunebench_coresets.lazy import facility_location

UnitFactors = Callable[[Ints], Factors]

_SPANNED = 1e-10  # of a unit diagonal: what is left of a sample that the picks already span


def facility(ctx: ScoreContext) -> Floats:
    """Return float64 [n], positive for the picks of facility location in each class, earliest highest.

    f(A) = sum_i max_{a in A} s_ia, on last-layer gradients.  Raises DataError for evidence that is not finite.
    """
    return _facility(ctx, _of_gradients(ctx))


def facility_of_embeddings(ctx: ScoreContext) -> Floats:
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


def log_det(ctx: ScoreContext) -> Floats:
    """Return float64 [n], positive for the picks of the log-determinant in each class, earliest highest.

    f(A) = log det S_A, on last-layer gradients.  Raises DataError for evidence that is not finite, NotApplicable
    where the Cholesky factor of a class would exceed 2 GiB.
    """
    return _log_det(ctx, _of_gradients(ctx))


def log_det_of_embeddings(ctx: ScoreContext) -> Floats:
    """Return what `log_det` does, on features, and fail as it does."""
    return _log_det(ctx, _of_embeddings(ctx))


def _of_gradients(ctx: ScoreContext) -> UnitFactors:
    require_finite_gradients(ctx)
    return lambda members: gradient_factors(ctx, members).unit()


def _of_embeddings(ctx: ScoreContext) -> UnitFactors:
    require_finite(ctx.features, "features")
    return lambda members: embedding_factors(ctx, members).unit()


def _facility(ctx: ScoreContext, unit: UnitFactors) -> Floats:
    def greedy(members: Ints, quota: int) -> Ints:
        rows = cosine_rows(unit(members).cast(np.float32))
        found = facility_location(cached(rows, len(members)), len(members), quota)
        return completed(found.picks, found.gains)

    return scores_of(ctx, greedy)


def _graph_cut(ctx: ScoreContext, unit: UnitFactors) -> Floats:
    lam = cast(float, ctx.params["lam"])
    return scores_of(ctx, lambda members, quota: graph_cut_order(unit(members), quota, lam))


def _log_det(ctx: ScoreContext, unit: UnitFactors) -> Floats:
    return scores_of(ctx, lambda members, quota: log_det_order(unit(members), quota))


def graph_cut_order(unit: Factors, n_picks: int, lam: float) -> Ints:
    """Return an order int64 [m], `n_picks` greedy picks first, then by remaining gain.

    The gain of e is lam * sum_i s_ie - 2 sum_{a in A} s_ae - s_ee; the sums over all i need no table, as
    sum_i <g_i, g_e> = <sum_i g_i, g_e>.  unit: factors [m, .] with s = 1/2 + cos/2.  O(n_picks * m * d).
    """
    size, light = len(unit.left), unit.cast(np.float32)
    rows = cosine_rows(light)
    gain = lam * size * (0.5 + 0.5 * unit.against(unit.mean())) - 0.5 - 0.5 * unit.squared_norms()
    open_ = np.ones(size, dtype=np.bool_)
    picks = np.empty(n_picks, dtype=np.int64)
    for t in range(n_picks):
        pick = int(np.argmax(np.where(open_, gain, -np.inf)))
        picks[t], open_[pick] = pick, False
        gain -= 2.0 * rows(np.array([pick]))[0]
    return completed(picks, gain)


def log_det_order(unit: Factors, n_picks: int) -> Ints:
    """Return an order int64 [m], up to `n_picks` greedy picks first, then by remaining gain.

    The gain of x is log(S_xx - S_xA S_A^-1 S_Ax), the log of a pivot of the Cholesky factor, which grows by a
    row a pick (Chen et al., NeurIPS 2018).  All single samples tie: the one most similar to all others comes
    first.  Once the picks span all samples the determinant is 0 for every
    further pick, and the rest follows by remaining pivot, then position.
    """
    rows, size = cosine_rows(unit), len(unit.left)
    factor = factor_space(n_picks, size)
    pivot, central = 0.5 + 0.5 * unit.squared_norms(), unit.against(unit.mean()).astype(np.float64)
    picks: list[int] = []
    for t in range(n_picks):
        pick = best_of(pivot, _SPANNED, central)
        if pivot[pick] <= _SPANNED:
            break
        picks.append(pick)
        row = rows(np.array([pick]))[0] - factor[:t, pick] @ factor[:t]
        factor[t] = row / np.sqrt(pivot[pick])
        pivot -= np.square(factor[t])
        pivot[pick] = -np.inf
    return completed(np.array(picks, dtype=np.int64), pivot)
