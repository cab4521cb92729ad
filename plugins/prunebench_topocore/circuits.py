"""A basis of least weight among the triangles of a flag complex, kept up while triangles arrive.

dim H1 = edges - vertices + b0 - rank(boundary of the triangles), and each term is the rank function of a matroid, so
a sweep over the codensity that keeps a basis of least length tells where it changes: a triangle enters the basis, or it
closes a circuit (a 2-cycle over F2) and evicts the largest member.  Columns and combinations are rows of bits.
"""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

Ints = NDArray[np.int64]
Words = NDArray[np.uint64]

_ONE = np.uint64(1)


@njit(cache=True)
def flag_triangles(n: int, edges: Ints) -> Ints:
    """Return the triangles of a graph as indices of edges, int64 [t, 3]; edges int64 [m, 2] with u < v."""
    number = np.full((n, n), -1, dtype=np.int64)
    degree = np.zeros(n, dtype=np.int64)
    for e in range(len(edges)):
        number[edges[e, 0], edges[e, 1]] = e
        degree[edges[e, 0]] += 1
    above = np.empty((n, max(degree.max(), 1)), dtype=np.int64)
    degree[:] = 0
    for e in range(len(edges)):
        u = edges[e, 0]
        above[u, degree[u]] = edges[e, 1]
        degree[u] += 1
    count = 0
    for turn in range(2):
        if turn == 1:
            found = np.empty((count, 3), dtype=np.int64)
            count = 0
        for e in range(len(edges)):
            u, v = edges[e, 0], edges[e, 1]
            for position in range(degree[v]):
                w = above[v, position]
                if number[u, w] >= 0:
                    if turn == 1:
                        found[count, 0], found[count, 1], found[count, 2] = e, number[v, w], number[u, w]
                    count += 1
    return found


@njit(cache=True)
def _highest(row: Words) -> int:
    for word in range(len(row) - 1, -1, -1):
        if row[word] != 0:
            value, bit = row[word], 0
            while value > _ONE:
                value >>= _ONE
                bit += 1
            return 64 * word + bit
    return -1


@njit(cache=True)
def basis_masses(m: int, triangles: Ints, rank_of_length: Ints) -> tuple[Ints, Ints, Ints]:
    """Sweep triangles in the given order (by codensity, then length) and return the masses of minus the rank.

    m: number of edges.  triangles: int64 [t, 3], indices of edges.  rank_of_length: int64 [m], the place of each
    edge in the order of lengths; the longest edge of a triangle is its weight.  Returns the index of every triangle
    that enters (a mass -1 at its grade), and for every eviction the longest edge of the evicted triangle and the index
    of the evicting one (a mass +1 at that length and the evicting triangle's codensity).
    """
    words = (m + 63) // 64
    columns = np.zeros((m, words), dtype=np.uint64)
    members = np.zeros((m, words), dtype=np.uint64)
    pivot = np.full(m, -1, dtype=np.int64)
    weight = np.empty(m, dtype=np.int64)
    longest = np.empty(m, dtype=np.int64)
    size = 0
    entered = np.empty(len(triangles), dtype=np.int64)
    n_entered = 0
    evicted_edge = np.empty(len(triangles), dtype=np.int64)
    evicting = np.empty(len(triangles), dtype=np.int64)
    n_evicted = 0
    column, member = np.empty(words, dtype=np.uint64), np.empty(words, dtype=np.uint64)
    for t in range(len(triangles)):
        column[:] = 0
        member[:] = 0
        top = triangles[t, 0]
        for side in range(3):
            e = triangles[t, side]
            place = rank_of_length[e]
            column[place // 64] ^= _ONE << np.uint64(place % 64)
            if place > rank_of_length[top]:
                top = e
        high = _highest(column)
        while high >= 0 and pivot[high] >= 0:
            slot = pivot[high]
            column ^= columns[slot]
            member ^= members[slot]
            high = _highest(column)
        if high >= 0:
            pivot[high] = size
            columns[size] = column
            member[size // 64] ^= _ONE << np.uint64(size % 64)
            members[size] = member
            weight[size], longest[size] = rank_of_length[top], top
            size += 1
            entered[n_entered] = t
            n_entered += 1
            continue
        worst = -1
        for slot in range(size):
            if (member[slot // 64] >> np.uint64(slot % 64)) & _ONE and (worst < 0 or weight[slot] > weight[worst]):
                worst = slot
        if weight[worst] <= rank_of_length[top]:
            continue
        entered[n_entered] = t
        n_entered += 1
        evicted_edge[n_evicted], evicting[n_evicted] = longest[worst], t
        n_evicted += 1
        # The evicted triangle is the sum of the new one and the rest of the circuit; the new one takes its place.
        word, bit = worst // 64, _ONE << np.uint64(worst % 64)
        member[word] ^= bit
        for slot in range(size):
            if members[slot, word] & bit:
                members[slot] ^= member
        weight[worst], longest[worst] = rank_of_length[top], top
    return entered[:n_entered], evicted_edge[:n_evicted], evicting[:n_evicted]
