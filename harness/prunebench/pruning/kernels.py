"""Compiled inner loops of the search for neighbours; imported where they are called, as numba takes its time."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Ints = NDArray[np.int64]

# sums in the order that the processor likes best; the same for (a, b) and (b, a)
_FAST = {"reassoc", "contract", "nsz"}


@njit(cache=True, nogil=True)
def keep_best(tile: NDArray[Any], own: Ints, first: int, best: NDArray[Any], places: Ints) -> None:
    """Merge a tile [q, b] of similarities into the best of each row so far, [q, k], highest first.

    own: int64 [q], the place of the row itself among the columns of all tiles, -1 for none; it is left out.
    first: the place of the first column.  Of equal values the one that came first stays in front.
    """
    k = best.shape[1]
    for i in range(tile.shape[0]):
        worst = best[i, k - 1]
        for j in range(tile.shape[1]):
            value = tile[i, j]
            if value > worst and first + j != own[i]:
                p = k - 1
                while p > 0 and best[i, p - 1] < value:
                    best[i, p], places[i, p] = best[i, p - 1], places[i, p - 1]
                    p -= 1
                best[i, p], places[i, p] = value, first + j
                worst = best[i, k - 1]


@njit(cache=True, nogil=True, fastmath=_FAST)
def cosine(a: Floats, b: Floats) -> np.float32:
    """Return the cosine of two rows, computed in double precision and rounded once; 0 where one of them is 0."""
    ab, aa, bb = 0.0, 0.0, 0.0
    for d in range(len(a)):
        x, y = np.float64(a[d]), np.float64(b[d])
        ab += x * y
        aa += x * x
        bb += y * y
    scale = np.sqrt(aa * bb)
    return np.float32(ab / scale) if scale > 0.0 else np.float32(0.0)


@njit(cache=True, nogil=True, fastmath=_FAST)
def distance(a: Floats, b: Floats) -> float:
    """Return the Euclidean distance of two rows, in double precision."""
    total = 0.0
    for d in range(len(a)):
        gap = np.float64(a[d]) - np.float64(b[d])
        total += gap * gap
    return float(np.sqrt(total))


@njit(cache=True, nogil=True)
def refine(
    left: Floats, queries: Ints, right: Floats, members: Ints, places: Ints, euclidean: bool
) -> NDArray[np.float64]:
    """Compute the similarities of the candidates anew and sort by them, in place; return them, float64 [q, k].

    places: int64 [q, k] into `members`, -1 for none; equal values in the order of their places.
    """
    values = np.full(places.shape, -np.inf)
    for i in range(len(queries)):
        for c in range(places.shape[1]):
            place = places[i, c]
            if place < 0:
                break
            a, b = left[queries[i]], right[members[place]]
            value = -distance(a, b) if euclidean else np.float64(cosine(a, b))
            p = c
            while p > 0 and (values[i, p - 1] < value or (values[i, p - 1] == value and places[i, p - 1] > place)):
                values[i, p], places[i, p] = values[i, p - 1], places[i, p - 1]
                p -= 1
            values[i, p], places[i, p] = value, place
    return values


@njit(cache=True, nogil=True)
def merge(
    values: NDArray[np.float64], found: Ints, rank: Ints, best: NDArray[np.float64], indices: Ints, rows: Ints
) -> None:
    """Merge what one cell found, [q, m], into the best of rows `rows` of `best` and `indices` [n, k].

    Equal values go by `rank`, so that the order in which the cells come does not matter.
    """
    k = best.shape[1]
    for i in range(len(rows)):
        row = rows[i]
        for c in range(found.shape[1]):
            j, value = found[i, c], values[i, c]
            if j < 0:
                break
            p = k
            while p > 0 and (
                best[row, p - 1] < value or (best[row, p - 1] == value and rank[indices[row, p - 1]] > rank[j])
            ):
                p -= 1
            if p == k:
                break
            for q in range(k - 1, p, -1):
                best[row, q], indices[row, q] = best[row, q - 1], indices[row, q - 1]
            best[row, p], indices[row, p] = value, j


@njit(cache=True, nogil=True)
def _root(parent: Ints, node: int) -> int:
    while parent[node] != node:
        parent[node] = parent[parent[node]]
        node = parent[node]
    return node


@njit(cache=True, nogil=True)
def join(tile: Floats, features: Floats, rows: Ints, columns: Ints, nodes: Ints, least: float, parent: Ints) -> None:
    """Join the nodes of all pairs of a tile whose cosine is `least` or more, in the forest `parent`.

    nodes: int64 [n rows + n columns], the node of each.  What single precision cannot decide is computed anew.
    """
    doubt = np.float32(1e-5)
    low, sure, exact = np.float32(least) - doubt, np.float32(least) + doubt, np.float32(least)
    for i in range(tile.shape[0]):
        for j in range(tile.shape[1]):
            value = tile[i, j]
            if value < low or rows[i] == columns[j]:
                continue
            a, b = _root(parent, nodes[i]), _root(parent, nodes[len(rows) + j])
            if a == b:
                continue
            if value >= sure or cosine(features[rows[i]], features[columns[j]]) >= exact:
                parent[max(a, b)] = min(a, b)


@njit(cache=True, nogil=True)
def lead(features: Floats, members: Ints, starts: Ints, least: float, leader: Ints, cosines: Floats) -> None:
    """Within each group, in its order, find for every member the most similar leader at a cosine of `least` or more.

    A member without one becomes a leader.  members: the groups one after the other; starts: where each begins, and
    the end.  Written into leader int64 [n] and cosines float32 [n].
    """
    exact = np.float32(least)
    for g in range(len(starts) - 1):
        leaders = np.empty(starts[g + 1] - starts[g], np.int64)
        count = 0
        for m in range(starts[g], starts[g + 1]):
            i, best, which = members[m], np.float32(-2.0), -1
            for c in range(count):
                value = cosine(features[i], features[leaders[c]])
                if value > best:
                    best, which = value, leaders[c]
            if which >= 0 and best >= exact:
                leader[i], cosines[i] = which, best
            else:
                leaders[count] = i
                count += 1


@njit(cache=True, nogil=True)
def row_hashes(words: NDArray[np.uint32]) -> NDArray[np.uint64]:
    """Return a number uint64 [n] that equal rows of bits share, and others hardly ever."""
    hashes = np.empty(len(words), np.uint64)
    for i in range(len(words)):
        value = np.uint64(0xCBF29CE484222325)
        for d in range(words.shape[1]):
            value = (value ^ np.uint64(words[i, d])) * np.uint64(0x9E3779B97F4A7C15)
            value ^= value >> np.uint64(29)
        hashes[i] = value
    return hashes
