"""Symmetric graphs of nearest neighbours in compressed rows."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sklearn.neighbors import NearestNeighbors

_ROWS = 4096


@dataclass(frozen=True, kw_only=True)
class Graph:
    """An undirected graph: the neighbours of i are `neighbours[starts[i]:starts[i + 1]]`, ascending.

    starts: int64 [n + 1].  neighbours: int64 [edges], each edge in both directions, no loops.
    distance: float64 [edges], Euclidean.
    """

    starts: NDArray[np.int64]
    neighbours: NDArray[np.int64]
    distance: NDArray[np.float64]

    def neighbour_sum(self, weights: NDArray[np.float64], values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return sum over neighbours j of weights[ij] * values[j], float64 [n]; weights: float64 [edges]."""
        sources = np.repeat(np.arange(len(values)), np.diff(self.starts))
        total = np.bincount(sources, weights * values[self.neighbours], minlength=len(values))
        return total.astype(np.float64)


def neighbour_graph(points: NDArray[np.float64], k: int) -> Graph:
    """Join each of `points` (float64 [n, d]) to its k nearest others, and make the graph symmetric.

    k is at most n - 1.  Memory grows with n * k, never n * n.
    """
    n = len(points)
    k = min(k, n - 1)
    if k == 0:
        return Graph(starts=np.zeros(n + 1, np.int64), neighbours=np.empty(0, np.int64), distance=np.empty(0))
    # the search expands squares: centring keeps its digits, and the distances of the edges are exact below
    search = NearestNeighbors(n_neighbors=k, algorithm="brute").fit(points - points.mean(axis=0))
    target = search.kneighbors(return_distance=False).astype(np.int64).ravel()
    source = np.repeat(np.arange(n), k)
    edges = np.unique(np.concatenate([source * n + target, target * n + source]))
    sources, neighbours = np.divmod(edges, n)
    starts = np.concatenate([[0], np.cumsum(np.bincount(sources, minlength=n))]).astype(np.int64)
    return Graph(starts=starts, neighbours=neighbours, distance=_lengths(points, sources, neighbours))


def _lengths(
    points: NDArray[np.float64], sources: NDArray[np.int64], targets: NDArray[np.int64]
) -> NDArray[np.float64]:
    lengths = np.empty(len(sources))
    for start in range(0, len(sources), _ROWS):
        rows = slice(start, start + _ROWS)
        lengths[rows] = np.linalg.norm(points[sources[rows]] - points[targets[rows]], axis=1)
    return lengths
