"""CRAIG (Mirzasoleiman et al., ICML 2020): medoids of the gradients of a class, weighted by what they stand for."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from prunebench import ScoreContext, Scores
from prunebench_coresets.groups import Ints, completed, scores_of, undetermined
from prunebench_coresets.kernels import Factors, Rows, gradient_factors, require_finite_gradients
from prunebench_coresets.lazy import Facilities, facility_location

_SAME = 1e-13  # of the squared norms: what the expansion of a square loses


def craig(ctx: ScoreContext) -> Scores:
    """Score float64 [n], positive for the picks in each class, earliest highest.

    Diagnostics: `weights`, the number of samples of its class nearest to each pick, picks in the order of
    their indices, and `undetermined`, the number of picks that gained nothing, with a caveat where there are any.
    Raises DataError for evidence that is not finite.
    """
    require_finite_gradients(ctx)
    weights, exhausted = np.zeros(ctx.n, dtype=np.int64), [0]

    def greedy(members: Ints, quota: int) -> Ints:
        found = medoids(gradient_factors(ctx, members), quota)
        exhausted.append(found.exhausted if quota < len(members) else 0)
        if quota:
            weights[members] = np.bincount(found.serving, minlength=len(members))
        return completed(found.picks, found.priority)

    values = scores_of(ctx, greedy)
    return Scores(
        values=values,
        diagnostics={"weights": weights[values > 0].tolist(), "undetermined": sum(exhausted)},
        caveat=undetermined(sum(exhausted), ctx.n_keep, "those before them have the gradient of every sample"),
    )


def medoids(gradients: Factors, n_picks: int) -> Facilities:
    """Maximise sum_i (D - min_{a in A} ||g_i - g_a||) greedily, D an upper bound of all distances.

    D changes no choice; twice the largest norm bounds every distance without a look at the pairs.
    """
    size, squared = len(gradients.left), gradients.squared_norms()
    furthest = 2.0 * float(np.sqrt(squared.max()))
    span = 2.0 * float(np.sqrt(squared.mean()))
    return facility_location(_nearness(gradients), size, n_picks, empty=-furthest, span=span)


def _nearness(gradients: Factors) -> Rows:
    """Return rows of -||g_i - g_j|| float64; two gradients that differ by less than rounding are at distance 0."""
    squared = gradients.squared_norms()

    def rows(chosen: Ints) -> NDArray[np.floating]:
        norms = squared[chosen][:, None] + squared
        between = norms - 2.0 * gradients.inner(chosen)
        between[between < _SAME * norms] = 0.0
        return -np.sqrt(between)

    return rows
