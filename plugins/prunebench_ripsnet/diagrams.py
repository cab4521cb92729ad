"""Persistence diagrams of the Rips filtration of small clouds, in batches."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def mean_distance(features: NDArray[np.float32], rng: np.random.Generator, most: int = 1024) -> float:
    """Return the mean Euclidean distance of distinct pairs among at most `most` random samples (1 if it is 0)."""
    n = len(features)
    chosen = rng.choice(n, most, replace=False) if n > most else np.arange(n)
    pairs = len(chosen) * (len(chosen) - 1)
    total = float(cloud_distances(features[chosen][None]).sum())
    return total / pairs if total > 0 else 1.0


def cloud_distances(points: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return the Euclidean distances float64 [c, m, m] within each cloud of points [c, m, d]."""
    centred = points.astype(np.float64)
    centred -= centred.mean(axis=1, keepdims=True)
    norms = (centred**2).sum(axis=2)
    squares = norms[:, :, None] + norms[:, None, :] - 2 * centred @ centred.transpose(0, 2, 1)
    # below the rounding of this expansion: duplicates are at distance 0
    squares[squares < 1e-13 * norms.max(axis=1)[:, None, None]] = 0.0
    distances: NDArray[np.float64] = np.sqrt(squares)
    return distances


def persistence(
    distances: NDArray[np.float64],
    cloud: NDArray[np.int64],
    removed: NDArray[np.int64] | None,
    homology: int,
) -> NDArray[np.float64]:
    """Return finite (birth, persistence) pairs float64 [p, k, 2], padded with NaN.

    distances: float64 [c, m, m].  cloud: int64 [p], which cloud each diagram is of.  removed: int64 [p], the
    one point that is left out of it, or None for whole clouds.  Filtration value = edge length.
    """
    if homology == 0:
        lengths = spanning_lengths(distances, cloud, removed)
        return np.stack([np.zeros_like(lengths), lengths], axis=2)
    return _loops(distances, cloud, removed)


def spanning_lengths(
    distances: NDArray[np.float64], cloud: NDArray[np.int64], removed: NDArray[np.int64] | None
) -> NDArray[np.float64]:
    """Return the edge lengths float64 [p, m-1] (or m-2) of minimum spanning trees: the deaths of H0.

    Prim's algorithm on all p trees at once; arguments as in `persistence`.
    """
    rows, m = np.arange(len(cloud)), distances.shape[1]
    reached = np.zeros((len(cloud), m))  # infinite where reached
    current = np.zeros(len(cloud), dtype=np.int64)
    if removed is not None:
        reached[rows, removed] = np.inf
        current = (removed == 0).astype(np.int64)
    nearest = np.full((len(cloud), m), np.inf)
    lengths = np.empty((len(cloud), m - 1 - (removed is not None)))
    for step in range(lengths.shape[1]):
        reached[rows, current] = np.inf
        np.minimum(nearest, distances[cloud, current], out=nearest)
        current = (nearest + reached).argmin(axis=1)
        lengths[:, step] = nearest[rows, current]
    return lengths


def _loops(
    distances: NDArray[np.float64], cloud: NDArray[np.int64], removed: NDArray[np.int64] | None
) -> NDArray[np.float64]:
    from ripser import ripser

    found = []
    for index, which in enumerate(cloud):
        matrix = distances[which]
        if removed is not None:
            kept = np.delete(np.arange(len(matrix)), removed[index])
            matrix = matrix[np.ix_(kept, kept)]
        births_deaths = ripser(matrix, maxdim=1, distance_matrix=True)["dgms"][1].astype(np.float64)
        found.append(np.stack([births_deaths[:, 0], births_deaths[:, 1] - births_deaths[:, 0]], axis=1))
    return padded(found)


def padded(diagrams: list[NDArray[np.float64]]) -> NDArray[np.float64]:
    """Stack diagrams float64 [k_i, 2] of different lengths to float64 [p, max k, 2], NaN where they end."""
    stacked = np.full((len(diagrams), max(map(len, diagrams), default=0), 2), np.nan)
    for row, diagram in zip(stacked, diagrams, strict=True):
        row[: len(diagram)] = diagram
    return stacked
