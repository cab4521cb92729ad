"""Zero-dimensional persistence of one cloud, read sample by sample."""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray


@njit(cache=True)
def merge_heights(distances: NDArray[np.float64], bulk: int) -> NDArray[np.float64]:
    """Return for each sample the height at which its component first holds `bulk` samples, float64 [m].

    distances: float64 [m, m], symmetric.  bulk: 2..m.  The components of the Rips complex at a height are those
    of the minimum spanning tree below it (Kruskal), so a tree and a union-find give all heights in O(m^2).
    A cloud of one sample has height 0.
    """
    m = len(distances)
    heights = np.zeros(m)
    if m < 2:
        return heights
    tails, heads, weights = _spanning_tree(distances)
    parent, size = np.arange(m), np.ones(m, np.int64)
    following, last = np.full(m, -1), np.arange(m)  # linked lists of the members of each component
    for edge in np.argsort(weights, kind="mergesort"):
        a, b = _root(parent, tails[edge]), _root(parent, heads[edge])
        if size[a] + size[b] >= bulk:
            # Each sample is passed once: only components that were smaller are walked.
            for part in (a, b):
                if size[part] < bulk:
                    member = part
                    while member >= 0:
                        heights[member] = weights[edge]
                        member = following[member]
        parent[b] = a
        size[a] += size[b]
        following[last[a]] = b
        last[a] = last[b]
    return heights


@njit(cache=True)
def _spanning_tree(
    distances: NDArray[np.float64],
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]:
    """Return the edges of a minimum spanning tree by Prim's algorithm."""
    m = len(distances)
    best, nearest, inside = np.full(m, np.inf), np.zeros(m, np.int64), np.zeros(m, np.bool_)
    tails, heads, weights = np.empty(m - 1, np.int64), np.empty(m - 1, np.int64), np.empty(m - 1)
    current = 0
    inside[0] = True
    for step in range(m - 1):
        chosen = -1
        for other in range(m):
            if inside[other]:
                continue
            if distances[current, other] < best[other]:
                best[other], nearest[other] = distances[current, other], current
            if chosen < 0 or best[other] < best[chosen]:
                chosen = other
        tails[step], heads[step], weights[step] = nearest[chosen], chosen, best[chosen]
        inside[chosen] = True
        current = chosen
    return tails, heads, weights


@njit(cache=True)
def _root(parent: NDArray[np.int64], member: int) -> int:
    while parent[member] != member:
        parent[member] = parent[parent[member]]
        member = parent[member]
    return member
