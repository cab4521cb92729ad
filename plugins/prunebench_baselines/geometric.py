"""Scores from distances within a class: to its mean, and to its nearest samples."""

from __future__ import annotations

from typing import Any, cast

import numpy as np
from numpy.typing import NDArray
from sklearn.neighbors import NearestNeighbors

from prunebench import DataError, ScoreContext

_ROWS = 4096


def prototype(ctx: ScoreContext) -> NDArray[np.float64]:
    """Return the Euclidean distance float64 [n] of each projected sample to the mean of its class.

    The sign follows `prefer`; the magnitude is the distance itself, so that correlations between backbones
    are those of distances.  Raises DataError for values that are not finite.
    """
    points = ctx.projection
    distance = np.zeros(ctx.n)
    for members in _classes(ctx):
        group = _finite(points[members], "projection")
        distance[members] = np.linalg.norm(group - group.mean(axis=0), axis=1)
    return distance if ctx.params["prefer"] == "far" else -distance


def knn_density(ctx: ScoreContext) -> NDArray[np.float64]:
    """Return the mean distance float64 [n] to the k nearest samples of the same class, sign by `prefer`.

    A sample itself does not count; a class with fewer than k others uses all of them.  Raises DataError for
    values that are not finite.
    """
    features, k = ctx.features, cast(int, ctx.params["k"])
    sparsity = np.full(ctx.n, -1.0)
    for members in _classes(ctx):
        ctx.check_deadline()
        group = _finite(features[members], "features")
        if len(members) > 1:
            sparsity[members] = _mean_distance(group, k, cosine=ctx.params["metric"] == "cosine")
    sparsity[sparsity < 0] = max(0.0, float(sparsity.max(initial=0.0)))
    return sparsity if ctx.params["prefer"] == "sparse" else -sparsity


def _classes(ctx: ScoreContext) -> list[NDArray[np.int64]]:
    """Return the indices int64 of every class that has samples."""
    groups = (np.flatnonzero(ctx.labels == label) for label in range(ctx.n_classes))
    return [members for members in groups if len(members)]


def _finite(values: NDArray[Any], what: str) -> NDArray[np.float64]:
    exact: NDArray[np.float64] = values.astype(np.float64)
    if not np.isfinite(exact).all():
        raise DataError(f"the {what} contain values that are not finite", "check the backbone and its weights")
    return exact


def _mean_distance(group: NDArray[np.float64], k: int, *, cosine: bool) -> NDArray[np.float64]:
    """Return the mean distance float64 [m] of each row to its k nearest others; chunked, never m x m."""
    if cosine:
        norms = np.linalg.norm(group, axis=1, keepdims=True)
        group = np.divide(group, norms, out=np.zeros_like(group), where=norms > 0)
    k = min(k, len(group) - 1)
    # the search expands squares: centring keeps its digits, and the distances it finds are computed again
    search = NearestNeighbors(n_neighbors=k, algorithm="brute").fit(group - group.mean(axis=0))
    neighbours = search.kneighbors(return_distance=False)
    mean = np.empty(len(group))
    step = max(1, _ROWS // k)
    for start in range(0, len(group), step):
        rows = slice(start, start + step)
        squared = np.square(group[neighbours[rows]] - group[rows, None]).sum(axis=2)
        mean[rows] = (squared / 2 if cosine else np.sqrt(squared)).mean(axis=1)
    return mean
