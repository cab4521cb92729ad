"""Self-supervised prototypes (Sorscher et al., NeurIPS 2022)."""

from __future__ import annotations

from typing import cast

import numpy as np
from numpy.typing import NDArray

from prunebench import ScoreContext
from prunebench_clusters.kmeans import Settings, finite_features, kmeans, unit_rows

_ROWS = 4096


def ssl_prototypes(ctx: ScoreContext) -> NDArray[np.float64]:
    """Return the cosine distance float64 [n] in [0, 2] to the nearest k-means centroid, sign by `prefer`.

    The clusters are those of all samples together, whatever their labels; a zero vector is at distance 1.
    Source: Sorscher et al. 2022, section 5.  Raises DataError for features that are not finite.
    """
    features, spherical = finite_features(ctx), bool(ctx.params["spherical"])
    k = cast(int, ctx.params["clusters"]) or max(1, ctx.n_classes)
    points = unit_rows(features.astype(np.float64)) if spherical else features
    found = kmeans(points, k, Settings.of(ctx), ctx.rng, spherical=spherical)
    # a cluster without samples has no centroid
    centroids = found.centroids[np.unique(found.labels)]
    distance = nearest_cosine(features, centroids)
    return distance if ctx.params["prefer"] == "far" else -distance


def nearest_cosine(points: NDArray[np.floating], centroids: NDArray[np.floating]) -> NDArray[np.float64]:
    """Return the cosine distance float64 [n] of points [n, d] to the nearest of the centroids [k, d]."""
    distance, prototypes = np.empty(len(points)), unit_rows(centroids.astype(np.float64))
    for start in range(0, len(points), _ROWS):
        rows = slice(start, start + _ROWS)
        distance[rows] = 1.0 - (unit_rows(points[rows].astype(np.float64)) @ prototypes.T).max(axis=1)
    return np.clip(distance, 0.0, 2.0)
