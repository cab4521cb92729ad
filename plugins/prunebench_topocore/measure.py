"""The degree-1 Hilbert signed measure of a bifiltered complex, each mass held by one edge and one vertex.

Grades are (length of an edge times a scale, codensity of a vertex), so the gradient of anything that is computed
from the masses is immediate.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .circuits import basis_masses
from .complexes import along_curve, delaunay, enclosing_edges, weak_delaunay_edges
from .forest import forest_masses

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Measure:
    """Point masses: edges int64 [m, 2] and vertices int64 [m] give the grades, weights int64 [m] sum to 0.

    scale: a grade's first coordinate is this times the length of the edge.
    """

    edges: Ints
    vertices: Ints
    weights: Ints
    scale: float

    def points(self, x: Floats, g: Floats) -> Floats:
        """Return the grades float64 [m, 2] at points x and codensities g."""
        ends = x[self.edges[:, 0]] - x[self.edges[:, 1]]
        return np.stack([self.scale * np.hypot(ends[:, 0], ends[:, 1]), g[self.vertices]], axis=1)


def delaunay_rips(x: Floats, g: Floats, key: Ints | None = None) -> Measure:
    """Return the measure of the Delaunay-Rips complex (Mishra and Motta 2023) in near-linear time.

    A planar triangulation has no 2-cycles, so b1 = b0 - chi for every sublevel complex and the measure of b1 is
    that of b0 minus that of the Euler characteristic: a mass for every edge outside the minimum spanning forest
    of its codensity level, one for every edge that it evicts from there, minus one for every triangle.
    """
    edges, triangles = delaunay(x)
    graph = _swept(x, edges, sweep(g, key))
    sides = _inverse(graph.order)[triangles]
    longest = np.take_along_axis(sides, graph.rank[sides].argmax(axis=1)[:, None], axis=1)[:, 0]
    filled = np.stack([longest, graph.upper[sides].max(axis=1)], axis=1)
    positive = forest_masses(len(x), graph.lower, graph.upper, graph.rank, graph.slot)
    return _measure(graph, g, (positive, 1), (filled, -1))


@dataclass(frozen=True)
class _Graph:
    """A graph in the order of a sweep: vertices by codensity, edges by their upper end, then by length.

    vertices: int64 [n], the number of each in the cloud.  order: int64 [m], the number of each edge.  edges: int64
    [m, 2], ends in the cloud.  lower, upper: int64 [m], ends in the sweep.  lengths: float64 [m].  rank: int64 [m],
    the place of each edge in the order of lengths.  slot: int64 [n], the place of each vertex along a curve that fills
    the plane.
    """

    vertices: Ints
    order: Ints
    edges: Ints
    lower: Ints
    upper: Ints
    lengths: Floats
    rank: Ints
    slot: Ints


def sweep(g: Floats, key: Ints | None = None) -> Ints:
    """Return the vertices by codensity, int64 [n]; those of equal codensity by key, int64 [n], or as they are given."""
    return np.argsort(g, kind="stable") if key is None else np.lexsort((key, g))


def _swept(x: Floats, edges: Ints, vertices: Ints) -> _Graph:
    ends = np.sort(_inverse(vertices)[edges], axis=1)
    lengths = np.hypot(*(x[edges[:, 0]] - x[edges[:, 1]]).T)
    order = np.lexsort((lengths, ends[:, 1]))
    lower, upper = np.ascontiguousarray(ends[order].T)
    rank = _inverse(np.argsort(lengths[order], kind="stable"))
    return _Graph(vertices, order, edges[order], lower, upper, lengths[order], rank, _inverse(along_curve(x))[vertices])


def _inverse(order: Ints) -> Ints:
    places = np.empty_like(order)
    places[order] = np.arange(len(order))
    return places


def _measure(graph: _Graph, g: Floats, *signed: tuple[Ints, int]) -> Measure:
    """Return the sum of masses int64 [k, 2], (edge, vertex) of the sweep, with the sign that goes with each array."""
    held = np.concatenate([masses for masses, _ in signed])
    weights = np.concatenate([np.full(len(masses), sign, np.int64) for masses, sign in signed])
    return _cancelled(graph.edges[held[:, 0]], graph.vertices[held[:, 1]], weights, graph.lengths[held[:, 0]], g, 0.5)


def _cancelled(edges: Ints, vertices: Ints, weights: Ints, lengths: Floats, g: Floats, scale: float) -> Measure:
    """Sum the weights at equal grades and drop what cancels."""
    if len(weights) == 0:
        return Measure(edges, vertices, weights, scale)
    order = np.lexsort((g[vertices], lengths))
    grades = lengths[order], g[vertices][order]
    starts = np.append(True, (grades[0][1:] != grades[0][:-1]) | (grades[1][1:] != grades[1][:-1]))
    total = np.add.reduceat(weights[order], np.flatnonzero(starts))
    kept = order[starts][total != 0]
    return Measure(edges[kept], vertices[kept], total[total != 0], scale)


def weak_delaunay(x: Floats, g: Floats, key: Ints | None = None) -> Measure:
    """Return the measure of the flag complex on the weak Delaunay graph, by a maintained basis of triangles."""
    return by_circuits(x, g, weak_delaunay_edges(x, sweep(g, key)), key)


def by_circuits(x: Floats, g: Floats, edges: Ints, key: Ints | None = None) -> Measure:
    """Return the measure of the flag complex of a graph, edges int64 [m, 2] with u < v, half lengths."""
    graph = _swept(x, edges, sweep(g, key))
    outside = forest_masses(len(x), graph.lower, graph.upper, graph.rank, graph.slot)
    entered, evicted = basis_masses(len(x), graph.lower, graph.upper, graph.rank)
    return _measure(graph, g, (outside, 1), (entered, -1), (evicted, 1))


def rips(x: Floats, g: Floats, key: Ints | None = None) -> Measure:
    """Return the measure of the Rips complex up to the enclosing radius, full lengths, by multipers; no use for key."""
    return by_multipers(x, g, enclosing_edges(x), 1.0)


def by_multipers(x: Floats, g: Floats, edges: Ints, scale: float) -> Measure:
    """Return the measure of the flag complex of a graph by the library, after edge collapse."""
    import multipers

    lengths = scale * np.hypot(*(x[edges[:, 0]] - x[edges[:, 1]]).T)
    top = np.where(g[edges[:, 0]] >= g[edges[:, 1]], edges[:, 0], edges[:, 1])
    tree = multipers.SimplexTreeMulti(num_parameters=2, dtype=np.float64)
    tree.insert_batch(np.arange(len(x), dtype=np.int32)[None, :], np.stack([np.zeros(len(x)), g], axis=1))
    tree.insert_batch(edges.T.astype(np.int32), np.stack([lengths, g[top]], axis=1))
    tree.collapse_edges(-1)
    tree.expansion(2)
    ((points, weights),) = multipers.signed_measure(tree, degree=1)
    if len(points) == 0:
        return Measure(np.zeros((0, 2), np.int64), np.zeros(0, np.int64), np.zeros(0, np.int64), scale)
    # Grades come back as the numbers that went in: find the edge and the vertex that they belong to.
    return Measure(
        edges[_nearest(lengths, points[:, 0])],
        _nearest(g, points[:, 1]),
        np.asarray(weights, dtype=np.int64),
        scale,
    )


def _nearest(values: Floats, wanted: Floats) -> Ints:
    order = np.argsort(values, kind="stable")
    ranked = values[order]
    right = np.clip(np.searchsorted(ranked, wanted), 0, len(values) - 1)
    left = np.maximum(right - 1, 0)
    closer = np.abs(ranked[left] - wanted) < np.abs(ranked[right] - wanted)
    found: Ints = order[np.where(closer, left, right)]
    return found


COMPLEXES: Mapping[str, Callable[[Floats, Floats, Ints | None], Measure]] = {
    "delaunay_rips": delaunay_rips,
    "rips": rips,
    "weak_delaunay": weak_delaunay,
}
