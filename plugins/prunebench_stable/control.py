"""The control: nearness to the class in the metric of Stable TopoCore, without topology."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import cast

import numpy as np
from numpy.typing import NDArray

from prunebench import ScoreContext, Scores

from .metric import placement
from .scale import Floats, Ints, by_rank, classes_of, content_order, filtered, require_finite, settled, shared

_BLOCK_VALUES = 1 << 22


def density(ctx: ScoreContext) -> Scores:
    """Return one minus the rank, in [0, 1] within its class, of the mean distance to the k nearest of the class.

    Reads features float32 [n, d], logits [n, classes] and labels.  The distance is one minus the cosine after
    whitening by the within-class covariance; samples with equal features score the same, and a sample alone in its
    class scores 1.  Raises DataError for features or logits that are not finite.
    """
    require_finite(ctx.features)
    order, row = content_order(ctx.features)
    classes, values = classes_of(order, ctx.labels), np.zeros(ctx.n)
    place = placement(ctx.features, order, classes, "whitened", cast(float, ctx.params["shrinkage"]))

    def closeness(members: Ints) -> Floats:
        ctx.check_deadline()
        means = shared(mean_distances(place(members), cast(int, ctx.params["k"])), row[members])
        return 1.0 - by_rank(settled(means))

    with ThreadPoolExecutor(max(1, ctx.threads)) as pool:
        for members, found in zip(classes, pool.map(closeness, classes), strict=True):
            values[members] = found
    excluded, refill = filtered(ctx)
    return Scores(values=values, excluded=excluded, refill=refill, diagnostics={"n_filtered": int(excluded.sum())})


def mean_distances(points: NDArray[np.float64], k: int) -> NDArray[np.float64]:
    """Return the mean of one minus the cosine to the k nearest others, float64 [m]; fewer where there are fewer.

    points: float64 [m, d], of unit length or zero.  The search works in blocks, never on all pairs at once.
    """
    k = min(k, len(points) - 1)
    if k < 1:
        return np.zeros(len(points))
    # Of unit vectors, one minus the cosine is half the squared distance; a zero vector is at one half from each.
    halves, means = np.einsum("md,md->m", points, points) / 2, np.empty(len(points))
    step = max(1, _BLOCK_VALUES // len(points))
    for start in range(0, len(points), step):
        rows = np.arange(start, min(start + step, len(points)))
        near = points[start : start + step] @ points.T  # a whole class is a product with itself, at half the cost
        near -= halves
        near[rows - start, rows] = -np.inf
        near.partition(len(points) - k, axis=1)
        means[rows] = np.maximum(halves[rows, None] - near[:, -k:], 0.0).mean(axis=1)
    return means
