"""Semantic deduplication (Abbas et al., SemDeDup, 2023) as a score."""

from __future__ import annotations

from typing import cast

import numpy as np
from numpy.typing import NDArray

from prunebench import ScoreContext, Scores
from prunebench_clusters.kmeans import Settings, finite_features, kmeans, unit_rows

_TILE = 1024
_SAMPLES_PER_CLUSTER = 1000


def semdedup(ctx: ScoreContext) -> Scores:
    """Return the epsilon float64 [n] in [0, 2] from which on each sample is removed; the highest is kept first.

    epsilon = 1 - the largest cosine to a sample before it in its cluster, in the order that `keep` names
    (hard: least similar to the centroid first); 2 for the first of a cluster, which is never removed.  As in
    the paper's algorithm all samples before it count, removed or not, so that subsets of two budgets are
    nested.  Ties in the order are broken by the seed.  A zero vector has cosine 0 to all others.
    Raises DataError for features that are not finite.
    """
    features = finite_features(ctx)
    units = unit_rows(features.astype(np.float64))
    k = cast(int, ctx.params["clusters"]) or -(-ctx.n // _SAMPLES_PER_CLUSTER)
    found = kmeans(units, k, Settings.of(ctx), ctx.rng, spherical=bool(ctx.params["spherical"]))
    shuffled = ctx.rng.permutation(ctx.n).astype(np.int64)
    grouped = shuffled[np.argsort(found.labels[shuffled], kind="stable")]
    sizes = np.bincount(found.labels)
    epsilon = np.empty(ctx.n)
    for cluster, members in enumerate(np.split(grouped, np.cumsum(sizes)[:-1])):
        ctx.check_deadline()
        if len(members):
            group = units[members]
            order = keep_order(group, found.centroids[cluster], cast(str, ctx.params["keep"]))
            epsilon[members[order]] = 1.0 - similarity_before(group[order])
    return Scores(
        values=epsilon,
        diagnostics={"clusters": int((sizes > 0).sum()), "largest_cluster": int(sizes.max())},
    )


def keep_order(units: NDArray[np.floating], centroid: NDArray[np.floating], keep: str) -> NDArray[np.int64]:
    """Return the order int64 [m] in which unit vectors [m, d] are kept: by similarity to `centroid` [d]."""
    if keep == "random":
        return np.arange(len(units))
    similarity = units @ centroid.astype(np.float64)
    return np.argsort(similarity if keep == "hard" else -similarity, kind="stable").astype(np.int64)


def similarity_before(units: NDArray[np.floating]) -> NDArray[np.float64]:
    """Return the largest cosine float64 [m] of each unit vector [m, d] to those before it; -1 for the first.

    Tile by tile: memory grows with m * d, never m * m.
    """
    highest = np.full(len(units), -1.0)
    for start in range(0, len(units), _TILE):
        rows = units[start : start + _TILE]
        best = highest[start : start + _TILE]
        for other in range(0, start, _TILE):
            np.maximum(best, (rows @ units[other : other + _TILE].T).max(axis=1), out=best)
        own = rows @ rows.T
        own[np.triu_indices(len(rows))] = -1.0
        np.maximum(best, own.max(axis=1), out=best)
    return np.clip(highest, -1.0, 1.0, out=highest)
