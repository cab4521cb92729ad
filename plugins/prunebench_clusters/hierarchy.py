"""Hierarchical k-means and balanced sampling from it (Vo et al., TMLR 2024)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

import numpy as np
from numpy.typing import NDArray

from prunebench import ScoreContext
from prunebench_clusters.kmeans import Clustering, Settings, finite_features, kmeans, nearest
from prunebench_clusters.quotas import draw, share

Ints = NDArray[np.int64]


@dataclass(frozen=True, kw_only=True)
class Hierarchy:
    """Clusters of clusters: `parents[0]` int64 [n] are the lowest clusters of the samples, `parents[l]` the
    clusters of the clusters of `parents[l - 1]`; none is empty.  distance: float64 [n], to the lowest centroid.
    """

    parents: tuple[Ints, ...]
    distance: NDArray[np.float64]


def hierarchical_kmeans(ctx: ScoreContext) -> Ints:
    """Return an order int64 [n] that starts with exactly the budget, shared evenly down the hierarchy.

    The rest follows in random order.  Source: Vo et al. 2024, sections 3.2 to 3.4; nothing is left out but
    the splitting of the lowest level in two steps, which the paper needs for millions of clusters.
    Raises DataError for features that are not finite.
    """
    params = ctx.params
    sizes = level_sizes(ctx.n, cast(int, params["top_clusters"]) or max(1, ctx.n_classes), cast(int, params["levels"]))
    hierarchy = build(ctx, finite_features(ctx), sizes)
    quotas = share(hierarchy.parents, ctx.n_keep, ctx.rng)
    chosen = draw(
        hierarchy.parents[0], quotas, ctx.rng, hierarchy.distance if params["sampling"] == "closest" else None
    )
    rest = np.setdiff1d(np.arange(ctx.n), chosen)
    return np.concatenate([chosen, ctx.rng.permutation(rest)]).astype(np.int64)


def level_sizes(n: int, top: int, levels: int) -> list[int]:
    """Return the number of clusters at each level, lowest first: a geometric series from n down to `top`."""
    top = min(top, n)
    return [max(1, round(n ** (1 - level / levels) * top ** (level / levels))) for level in range(1, levels + 1)]


def build(ctx: ScoreContext, points: NDArray[np.floating], sizes: list[int]) -> Hierarchy:
    """Cluster `points` [n, d], then the centroids, and so on, into `sizes` clusters, lowest first."""
    settings = Settings.of(ctx)
    items: NDArray[np.floating] = points
    parents, distance = [], np.zeros(0)
    for level, k in enumerate(sizes, start=1):
        found = kmeans(items, k, settings, ctx.rng)
        repeats = cast(int, ctx.params["resamples"]) if level >= cast(int, ctx.params["resample_from"]) else 0
        for _ in range(repeats):
            ctx.check_deadline()
            found = _resampled(items, found, k, settings, ctx.rng)
        used, labels = np.unique(found.labels, return_inverse=True)
        if level == 1:
            distance = _distances(items, found)
        parents.append(labels.astype(np.int64))
        items = found.centroids[used]
        ctx.progress(level / len(sizes), f"level {level} of {len(sizes)}")
    return Hierarchy(parents=tuple(parents), distance=distance)


def _resampled(
    items: NDArray[np.floating], found: Clustering, k: int, settings: Settings, rng: np.random.Generator
) -> Clustering:
    """Cluster the items nearest to their centroids alone, then assign all items to the new centroids."""
    per_cluster = -(-len(items) // (2 * k))
    by_distance = np.argsort(_distances(items, found), kind="stable")
    grouped = by_distance[np.argsort(found.labels[by_distance], kind="stable")]
    counts = np.bincount(found.labels)
    place = np.arange(len(items)) - np.repeat(np.cumsum(counts) - counts, counts)
    centroids = kmeans(items[grouped[place < per_cluster]], k, settings, rng).centroids
    return Clustering(labels=nearest(items, centroids), centroids=centroids)


def _distances(items: NDArray[np.floating], found: Clustering) -> NDArray[np.float64]:
    """Return the Euclidean distance float64 [n] of each item to its centroid, a column block at a time."""
    squared = np.zeros(len(items))
    for column in range(0, items.shape[1], 64):
        block = slice(column, column + 64)
        gap = items[:, block].astype(np.float64) - found.centroids[:, block][found.labels]
        squared += np.einsum("nd,nd->n", gap, gap)
    return np.sqrt(squared)
