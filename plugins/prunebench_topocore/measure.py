"""The degree-1 Hilbert signed measure of a bifiltered complex, each mass held by one edge and one vertex.

Grades are (length of an edge times a scale, codensity of a vertex), so the gradient of anything that is computed
from the masses is immediate.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .circuits import basis_masses, flag_triangles
from .complexes import delaunay, enclosing_edges, weak_delaunay_edges
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


def delaunay_rips(x: Floats, g: Floats) -> Measure:
    """Return the measure of the Delaunay-Rips complex (Mishra and Motta 2023) in near-linear time.

    A planar triangulation has no 2-cycles, so b1 = b0 - chi for every sublevel complex and the measure of b1 is
    that of b0 minus that of the Euler characteristic: a mass for every edge outside the minimum spanning forest
    of its codensity level, one for every edge that it evicts from there, minus one for every triangle.
    """
    edges, triangles = delaunay(x)
    lengths = np.hypot(*(x[edges[:, 0]] - x[edges[:, 1]]).T)
    top = np.where(g[edges[:, 0]] >= g[edges[:, 1]], edges[:, 0], edges[:, 1])
    order = np.lexsort((lengths, g[top]))
    held_edge, held_vertex = forest_masses(len(x), edges[order], lengths[order], top[order])
    positive_edges = order[held_edge]
    longest = triangles[np.arange(len(triangles)), lengths[triangles].argmax(axis=1)]
    tops = top[triangles]
    highest = tops[np.arange(len(triangles)), g[tops].argmax(axis=1)]
    return _cancelled(
        edges[np.concatenate([positive_edges, longest])],
        np.concatenate([held_vertex, highest]),
        np.concatenate([np.ones(len(positive_edges), np.int64), -np.ones(len(longest), np.int64)]),
        np.concatenate([lengths[positive_edges], lengths[longest]]),
        g,
        0.5,
    )


def _cancelled(edges: Ints, vertices: Ints, weights: Ints, lengths: Floats, g: Floats, scale: float) -> Measure:
    """Sum the weights at equal grades and drop what cancels."""
    grades = np.stack([lengths, g[vertices]], axis=1)
    _, first, group = np.unique(grades, axis=0, return_index=True, return_inverse=True)
    total = np.zeros(len(first), dtype=np.int64)
    np.add.at(total, group.ravel(), weights)
    kept = first[total != 0]
    return Measure(edges[kept], vertices[kept], total[total != 0], scale)


def weak_delaunay(x: Floats, g: Floats) -> Measure:
    """Return the measure of the flag complex on the weak Delaunay graph, by a maintained basis of triangles."""
    return by_circuits(x, g, weak_delaunay_edges(x, g))


def by_circuits(x: Floats, g: Floats, edges: Ints) -> Measure:
    """Return the measure of the flag complex of a graph, edges int64 [m, 2] with u < v, half lengths."""
    lengths = np.hypot(*(x[edges[:, 0]] - x[edges[:, 1]]).T)
    top = np.where(g[edges[:, 0]] >= g[edges[:, 1]], edges[:, 0], edges[:, 1])
    order = np.lexsort((lengths, g[top]))
    outside, outside_vertex = forest_masses(len(x), edges[order], lengths[order], top[order])
    triangles = flag_triangles(len(x), edges)
    longest = triangles[np.arange(len(triangles)), lengths[triangles].argmax(axis=1)]
    highest = top[triangles][np.arange(len(triangles)), g[top[triangles]].argmax(axis=1)]
    sweep = np.lexsort((lengths[longest], g[highest]))
    rank_of_length = np.empty(len(edges), dtype=np.int64)
    rank_of_length[np.argsort(lengths, kind="stable")] = np.arange(len(edges))
    entered, evicted_edge, evicting = basis_masses(len(edges), triangles[sweep], rank_of_length)
    holders = np.concatenate([order[outside], longest[sweep[entered]], evicted_edge])
    return _cancelled(
        edges[holders],
        np.concatenate([outside_vertex, highest[sweep[entered]], highest[sweep[evicting]]]),
        np.concatenate(
            [np.ones(len(outside), np.int64), -np.ones(len(entered), np.int64), np.ones(len(evicting), np.int64)]
        ),
        lengths[holders],
        g,
        0.5,
    )


def rips(x: Floats, g: Floats) -> Measure:
    """Return the measure of the Rips complex up to the enclosing radius, full lengths, by multipers."""
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


COMPLEXES: Mapping[str, Callable[[Floats, Floats], Measure]] = {
    "delaunay_rips": delaunay_rips,
    "rips": rips,
    "weak_delaunay": weak_delaunay,
}
