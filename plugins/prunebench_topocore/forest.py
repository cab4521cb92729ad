"""A minimum spanning forest that is kept up while edges arrive: what enters, and what it pushes out."""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

Ints = NDArray[np.int64]
Nodes = NDArray[np.int32]

# A node of the forest is a row of three numbers, so that a step along a path touches one line of the cache.
PARENT, ABOVE, STAMP = 0, 1, 2  # ABOVE: the edge to the parent, as its place in the order of lengths


@njit(cache=True, nogil=True)
def _reroot(nodes: Nodes, node: int) -> None:
    """Make `node` the root of its tree by turning round the path to the old root."""
    previous, held = -1, -1
    while node != -1:
        following, edge = nodes[node, PARENT], nodes[node, ABOVE]
        nodes[node, PARENT], nodes[node, ABOVE] = previous, held
        previous, held, node = node, edge, following


@njit(cache=True, nogil=True)
def _is_deeper(nodes: Nodes, u: int, v: int) -> bool:
    """Tell whether u is further from its root than v."""
    while u != -1 and v != -1:
        u, v = nodes[u, PARENT], nodes[v, PARENT]
    return bool(u != -1)


@njit(cache=True, nogil=True)
def _meeting(nodes: Nodes, mark: int, u: int, v: int) -> int:
    """Return the lowest common ancestor of u and v, or -1 when they are in different trees."""
    a, b = u, v
    while a != -1 or b != -1:
        if a != -1:
            if nodes[a, STAMP] == mark:
                return a
            nodes[a, STAMP] = mark
            a = nodes[a, PARENT]
        if b != -1:
            if nodes[b, STAMP] == mark:
                return b
            nodes[b, STAMP] = mark
            b = nodes[b, PARENT]
    return -1


@njit(cache=True, nogil=True)
def _longest(nodes: Nodes, u: int, v: int, ancestor: int) -> int:
    """Return the node whose edge to its parent is the longest on the path from u to v."""
    worst, node_of_worst = -1, -1
    for start in (u, v):
        node = start
        while node != ancestor:
            if nodes[node, ABOVE] > worst:
                worst, node_of_worst = nodes[node, ABOVE], node
            node = nodes[node, PARENT]
    return node_of_worst


@njit(cache=True, nogil=True)
def starts(n: int, upper: Ints) -> Ints:
    """Return where the edges of each upper end begin in a list sorted by upper end, int64 [n + 1]."""
    first = np.zeros(n + 1, dtype=np.int64)
    for p in upper:
        first[p + 1] += 1
    return np.cumsum(first)


@njit(cache=True, nogil=True)
def _closes_triangle(n: int, lower: Ints, upper: Ints, rank: Ints) -> NDArray[np.bool_]:
    """Tell of each edge whether it closes a triangle of edges that came before it and are shorter."""
    first, place = starts(n, upper), np.full(n, -1, dtype=np.int64)
    closes = np.zeros(len(lower), dtype=np.bool_)
    for p in range(n):
        for e in range(first[p], first[p + 1]):
            place[lower[e]] = e
        for e in range(first[p], first[p + 1]):
            for f in range(first[lower[e]], first[lower[e] + 1]):
                later = max(e, place[lower[f]])
                if place[lower[f]] >= 0 and rank[f] < rank[later]:
                    closes[later] = True
        for e in range(first[p], first[p + 1]):
            place[lower[e]] = -1
    return closes


@njit(cache=True, nogil=True)
def forest_masses(n: int, lower: Ints, upper: Ints, rank: Ints, slot: Ints) -> Ints:
    """Sweep the edges of a graph and return the masses +1, int64 [k, 2], as (edge, vertex).

    n: number of vertices, numbered in the order of codensity.  lower, upper: int64 [m], the ends of every edge, sorted
    by the upper end, then by length.  rank: int64 [m], the place of each edge in the order of lengths.  slot: int64
    [n], where the node of each vertex is kept: paths are walked faster when neighbours are kept together.  An edge
    that stays outside the forest is a mass at its own grade; an edge that evicts a longer one is a mass at (the evicted
    edge, its own upper end).
    """
    nodes = np.full((n, 3), -1, dtype=np.int32)
    edge_of_rank = np.empty(len(lower), dtype=np.int64)
    edge_of_rank[rank] = np.arange(len(lower))
    masses, count = np.empty((len(lower), 2), dtype=np.int64), 0
    closes = _closes_triangle(n, lower, upper, rank)
    for e in range(len(lower)):
        u, v, node = slot[lower[e]], slot[upper[e]], -1
        if not closes[e]:
            ancestor = _meeting(nodes, e, u, v)
            if ancestor != -1:
                node = _longest(nodes, u, v, ancestor)
        if closes[e] or (node != -1 and nodes[node, ABOVE] < rank[e]):
            masses[count, 0], masses[count, 1] = e, upper[e]
            count += 1
            continue
        if node != -1:
            masses[count, 0], masses[count, 1] = edge_of_rank[nodes[node, ABOVE]], upper[e]
            count += 1
            nodes[node, PARENT], nodes[node, ABOVE] = -1, -1
        # Both ends are in different trees now: turn round the shorter path, mostly that of a vertex on its own.
        if _is_deeper(nodes, u, v):
            u, v = v, u
        _reroot(nodes, u)
        nodes[u, PARENT], nodes[u, ABOVE] = v, rank[e]
    return masses[:count]
