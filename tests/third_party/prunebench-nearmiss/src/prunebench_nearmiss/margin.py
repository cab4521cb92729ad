"""The margin between near misses and near hits."""

from __future__ import annotations

from typing import Any, cast

import numpy as np
from numpy.typing import NDArray
from prunebench import DataError, ScoreContext
from sklearn.neighbors import NearestNeighbors


def score(ctx: ScoreContext) -> NDArray[np.float64]:
    """Return the margin float64 [n] in [-1, 1], its sign turned where `prefer` is "small".

    ctx.features: float [n, d].  ctx.labels: int64 [n].  A sample without another of its class, or without one of
    any other class, has margin 0.  Raises DataError for values that are not finite.
    """
    features = ctx.features.astype(np.float64)
    if bad := int((~np.isfinite(features).all(axis=1)).sum()):
        raise DataError(f"{bad} of {ctx.n} feature vectors are not finite", "look at the backbone")
    features -= features.mean(axis=0)  # the search expands squares: centring keeps its digits
    margin = np.zeros(ctx.n)
    k = cast(int, ctx.params["k"])
    classes = np.unique(ctx.labels)
    for number, label in enumerate(classes):
        ctx.check_deadline()
        own = ctx.labels == label
        if own.sum() > 1 and not own.all():
            hit = _mean_distance(features[own], features[own], k, itself=True)
            miss = _mean_distance(features[own], features[~own], k, itself=False)
            total = hit + miss
            margin[own] = np.divide(miss - hit, total, out=np.zeros_like(total), where=total > 0)
        ctx.progress((number + 1) / len(classes), f"class {label}")
    return -margin if ctx.params["prefer"] == "small" else margin


def _mean_distance(points: NDArray[Any], others: NDArray[Any], k: int, *, itself: bool) -> NDArray[np.float64]:
    """Return the mean distance float64 [m] of each point to its k nearest others, all where there are fewer."""
    k = min(k, len(others) - itself)
    search = NearestNeighbors(n_neighbors=k, algorithm="brute").fit(others)
    # Without points every row is a query about the others, itself left out.
    found = search.kneighbors(None if itself else points, return_distance=False)
    # Computed again from differences: the search loses digits where two points nearly coincide.
    distances = [np.linalg.norm(points - others[found[:, place]], axis=1) for place in range(k)]
    return cast(NDArray[np.float64], np.mean(distances, axis=0))
