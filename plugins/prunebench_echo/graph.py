"""The grid over the unit square and the proximally connected (PC) graph of its occupied cells."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components, minimum_spanning_tree
from scipy.spatial.distance import cdist


@dataclass(frozen=True, kw_only=True)
class Cells:
    """The occupied cells of a grid, by position.

    side: cells along an axis.  of: int64 [n], the cell of each sample.  positions: int64 [m, 2].
    centroids: float64 [m, 2], means of the samples.  populations: int64 [m].
    """

    side: int
    of: NDArray[np.int64]
    positions: NDArray[np.int64]
    centroids: NDArray[np.float64]
    populations: NDArray[np.int64]


@dataclass(frozen=True, kw_only=True)
class PCGraph:
    """Edges between cells that share a side, and bridges between the components that these leave.

    adjacent: int64 [a, 2], bridges: int64 [b, 2], pairs of cells, the lower first.
    """

    n_cells: int
    adjacent: NDArray[np.int64]
    bridges: NDArray[np.int64]

    @property
    def degrees(self) -> NDArray[np.int64]:
        """Number of edges of each cell, int64 [m]."""
        ends = np.concatenate([self.adjacent, self.bridges]).ravel()
        return np.bincount(ends, minlength=self.n_cells).astype(np.int64)

    @property
    def components(self) -> int:
        """Number of components before bridging."""
        rows, columns = self.adjacent.T
        edges = coo_array((np.ones(len(rows)), (rows, columns)), shape=(self.n_cells, self.n_cells))
        return len(np.unique(connected_components(edges, directed=False)[1]))


def build_cells(embedded: NDArray[np.float64], side: int = 0) -> Cells:
    """Sort samples float64 [n, 2] of the unit square into a grid of `side` x `side` (0: ceil(2 ln(1 + n))).

    Cells are closed below; 1 belongs to the last one.
    """
    side = side or math.ceil(2 * math.log1p(len(embedded)))
    places = np.minimum((embedded * side).astype(np.int64), side - 1)
    occupied, of = np.unique(places[:, 0] * side + places[:, 1], return_inverse=True)
    of = of.reshape(-1).astype(np.int64)
    populations = np.bincount(of)
    sums = [np.bincount(of, weights=embedded[:, axis]) for axis in (0, 1)]
    return Cells(
        side=side,
        of=of,
        positions=np.stack(np.divmod(occupied, side), axis=1),
        centroids=np.stack(sums, axis=1) / populations[:, None],
        populations=populations.astype(np.int64),
    )


def build_graph(cells: Cells) -> PCGraph:
    """Join cells that share a side, and the components by bridges of least length between centroids.

    A minimum spanning tree over all pairs of cells, in which every pair that shares a side is cheaper than any
    that does not, contains exactly the least bridges; each then has the least length of all pairs of cells
    across the cut that it closes, as the paper demands.
    """
    touching = cdist(cells.positions, cells.positions, "cityblock") == 1
    costs = np.where(touching, 1.0, 2.0 + cdist(cells.centroids, cells.centroids))
    tree = minimum_spanning_tree(np.triu(costs, k=1)).tocoo()
    tree_edges = np.sort(np.stack([tree.row, tree.col], axis=1).astype(np.int64), axis=1)
    return PCGraph(
        n_cells=len(cells.populations),
        adjacent=np.argwhere(np.triu(touching)).astype(np.int64),
        bridges=tree_edges[tree.data >= 2.0],
    )


def visiting_order(cells: Cells, graph: PCGraph, shuffle: np.random.Generator | None) -> NDArray[np.int64]:
    """Return the cells int64 [m] by degree, highest first.

    Equal degrees: the larger population first, then the lower position; or random with `shuffle`.
    """
    index = np.arange(graph.n_cells)
    if shuffle is not None:
        return np.lexsort((shuffle.permutation(index), -graph.degrees)).astype(np.int64)
    return np.lexsort((index, -cells.populations, -graph.degrees)).astype(np.int64)
