"""One-dimensional persistence of small clouds, credited to the samples at the ends of the edges that make it."""

from __future__ import annotations

from typing import cast

import numpy as np
from numpy.typing import NDArray

from prunebench import ScoreContext, Scores

from .control import mean_distances
from .metric import distances, placement
from .scale import Floats, Ints, by_rank, classes_of, content_order, filtered, require_finite, settled, shared

_DENSITY_NEIGHBOURS = 15  # of the strata, as those of whitened-density


def birth(ctx: ScoreContext) -> Scores:
    """Return how much persistence of loops is born at edges that end in a sample, as `_score` scales it."""
    return _score(ctx, 0)


def death(ctx: ScoreContext) -> Scores:
    """Return how much persistence of loops dies at edges that end in a sample, as `_score` scales it."""
    return _score(ctx, 1)


def loop_credit(matrix: Floats) -> Floats:
    """Return the persistence in H1 of a Rips filtration that each sample has part in, float64 [2, m].

    matrix: distances float64 [m, m].  A loop is born with the edge that closes it, and dies with the longest edge of
    the triangle that fills it; its persistence, death - birth, is credited to both ends of the first in row 0 and of
    the second in row 1.  Equal distances are told apart by their order, which moves no persistence.
    """
    from ripser import ripser

    m = len(matrix)
    tails, heads = np.triu_indices(m, 1)
    lengths = matrix[tails, heads]
    credit = np.zeros((2, m))
    if m < 4:  # the shortest loop that a triangle does not fill
        return credit
    # In the place of distances their ranks, which ripser keeps exactly: each names its edge.
    order = np.argsort(lengths, kind="stable")
    ranks = np.zeros((m, m))
    ranks[tails[order], heads[order]] = np.arange(1, len(order) + 1)
    loops = ripser(ranks + ranks.T, maxdim=1, distance_matrix=True)["dgms"][1].astype(np.int64) - 1
    edges = order[loops]
    persistence = lengths[edges[:, 1]] - lengths[edges[:, 0]]
    for row, edge in zip(credit, edges.T, strict=True):
        for ends in (tails, heads):
            np.add.at(row, ends[edge], persistence)
    return credit


def _score(ctx: ScoreContext, row_of_credit: int) -> Scores:
    """Return the credit of each sample, averaged over its clouds, as a rank in [0, 1] within its class; with several
    strata, the stratum of equal density before the rank inside it.

    Reads features float32 [n, d], logits [n, classes] and labels.  Each class is split `repeats` times at random into
    clouds, in the whitened cosine metric of Stable TopoCore.  Samples with equal features share their mean credit, and
    clouds under four samples have no loop.  Raises DataError for features or logits that are not finite.
    """
    require_finite(ctx.features)
    order, row = content_order(ctx.features)
    classes, values = classes_of(order, ctx.labels), np.zeros(ctx.n)
    place = placement(ctx.features, order, classes, "whitened", cast(float, ctx.params["shrinkage"]))
    excluded, refill = filtered(ctx)
    for number, members in enumerate(classes):
        points = place(members)
        credit = settled(shared(_mean_credit(points, ctx)[row_of_credit], row[members]))
        eligible = ~excluded[members]
        values[members[eligible]] = _ranked(ctx, points, credit, row[members], eligible)
        ctx.progress((number + 1) / len(classes), "loops by class")
    return Scores(values=values, excluded=excluded, refill=refill, diagnostics={"n_filtered": int(excluded.sum())})


def _mean_credit(points: Floats, ctx: ScoreContext) -> Floats:
    """Return the mean credit of the samples of one class over their clouds, float64 [2, m]."""
    repeats, n_clouds = (
        cast(int, ctx.params["repeats"]),
        max(1, round(len(points) / cast(int, ctx.params["cloud_size"]))),
    )
    total = np.zeros((2, len(points)))
    for _ in range(repeats):
        for cloud in np.array_split(ctx.rng.permutation(len(points)), n_clouds):
            ctx.check_deadline()
            total[:, cloud] += loop_credit(distances(points[cloud], "whitened"))
    return total / repeats


def _ranked(ctx: ScoreContext, points: Floats, credit: Floats, row: Ints, eligible: NDArray[np.bool_]) -> Floats:
    """Return the scores of eligible samples of a class, in [0, 1]: the stratum, and a fraction for the rank in it.

    The fraction is so small that these scores, cut into as many strata of equal width between their least and their
    greatest, fall into the strata of density again, whatever is tied.
    """
    strata = cast(int, ctx.params["strata"])
    sparsity = shared(mean_distances(points, _DENSITY_NEIGHBOURS), row) if strata > 1 else np.zeros(len(points))
    density = 1.0 - by_rank(settled(sparsity[eligible]))
    stratum = np.minimum((density * strata).astype(np.int64), strata - 1)
    ranks = np.zeros(len(density))
    for number in np.unique(stratum):
        inside = stratum == number
        ranks[inside] = by_rank(credit[eligible][inside])
    scores: Floats = (stratum + ranks / (2 * strata)) / (strata - 1 + 1 / (2 * strata))
    return scores
