"""A minimum spanning forest that is kept up while edges arrive: what enters, and what it pushes out."""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

Ints = NDArray[np.int64]


@njit(cache=True, nogil=True)
def _reroot(parent: Ints, above: Ints, node: int) -> None:
    """Make `node` the root of its tree by turning round the path to the old root."""
    previous, held = -1, -1
    while node != -1:
        following, edge = parent[node], above[node]
        parent[node], above[node] = previous, held
        previous, held, node = node, edge, following


@njit(cache=True, nogil=True)
def _meeting(parent: Ints, stamp: Ints, mark: int, u: int, v: int) -> int:
    """Return the lowest common ancestor of u and v, or -1 when they are in different trees."""
    a, b = u, v
    while a != -1 or b != -1:
        if a != -1:
            if stamp[a] == mark:
                return a
            stamp[a] = mark
            a = parent[a]
        if b != -1:
            if stamp[b] == mark:
                return b
            stamp[b] = mark
            b = parent[b]
    return -1


@njit(cache=True, nogil=True)
def _longest(parent: Ints, above: Ints, lengths: NDArray[np.float64], u: int, v: int, ancestor: int) -> int:
    """Return the node whose edge to its parent is the longest on the path from u to v."""
    worst, node_of_worst = -1.0, -1
    for start in (u, v):
        node = start
        while node != ancestor:
            if lengths[above[node]] > worst:
                worst, node_of_worst = lengths[above[node]], node
            node = parent[node]
    return node_of_worst


@njit(cache=True, nogil=True)
def forest_masses(n: int, edges: Ints, lengths: NDArray[np.float64], top: Ints) -> tuple[Ints, Ints]:
    """Sweep edges int64 [m, 2] in the given order (by codensity, then length); return the masses +1.

    An edge that stays outside the forest is a mass at its own grade; an edge that evicts a longer one is a mass
    at (the evicted edge, its own vertex of highest codensity).  Returns (edge, vertex) of every mass.
    """
    parent = np.full(n, -1, dtype=np.int64)
    above = np.full(n, -1, dtype=np.int64)
    stamp = np.full(n, -1, dtype=np.int64)
    held_edge = np.empty(len(edges), dtype=np.int64)
    held_vertex = np.empty(len(edges), dtype=np.int64)
    count = 0
    for e in range(len(edges)):
        u, v = edges[e, 0], edges[e, 1]
        ancestor = _meeting(parent, stamp, e, u, v)
        if ancestor != -1:
            node = _longest(parent, above, lengths, u, v, ancestor)
            held_vertex[count] = top[e]
            if lengths[above[node]] <= lengths[e]:
                held_edge[count] = e
                count += 1
                continue
            held_edge[count] = above[node]
            count += 1
            parent[node], above[node] = -1, -1
        # Both ends are in different trees now: hang the one that holds u below v.
        _reroot(parent, above, u)
        parent[u], above[u] = v, e
    return held_edge[:count], held_vertex[:count]
