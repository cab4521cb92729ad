"""Incremental Delaunay triangulation of the plane that remembers the neighbours each point had when it came.

Bowyer and Watson's insertion with a walk to find the first triangle in conflict.  The outside is covered by ghost
triangles, one on each edge of the hull, so that points outside need no case of their own.  The predicates are exact,
so the walk ends and the cavity is a disc, whatever the points; points on one circle are triangulated as they come.
"""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from .predicates import in_circle, turn

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@njit(cache=True, nogil=True)
def _conflicts(x: Floats, corners: Ints, t: int, p: int, ghost: int) -> bool:
    """Tell whether triangle t has to go when p comes; a ghost's first two corners have the outside on their left."""
    a, b, c = corners[t, 0], corners[t, 1], corners[t, 2]
    if c != ghost:
        return bool(in_circle(x, a, b, c, p) > 0)
    side = turn(x, a, b, p)
    return bool(side > 0 or (side == 0 and _between(x, a, b, p)))


@njit(cache=True, nogil=True)
def _between(x: Floats, a: int, b: int, p: int) -> bool:
    """Tell whether p, which is on the line through a and b, is strictly between them."""
    axis = 0 if x[a, 0] != x[b, 0] else 1
    return bool(min(x[a, axis], x[b, axis]) < x[p, axis] < max(x[a, axis], x[b, axis]))


@njit(cache=True, nogil=True)
def _locate(x: Floats, corners: Ints, across: Ints, start: int, p: int, ghost: int) -> int:
    """Walk from triangle `start` towards p and return a triangle in conflict with it."""
    t = start
    while True:
        if corners[t, 2] == ghost:
            if turn(x, corners[t, 0], corners[t, 1], p) > 0:
                return t
            t = across[t, 2]
            continue
        following = -1
        for side in range(3):
            if turn(x, corners[t, (side + 1) % 3], corners[t, (side + 2) % 3], p) < 0:
                following = across[t, side]
                break
        if following < 0:
            return t
        t = following


@njit(cache=True, nogil=True)
def _set_triangle(corners: Ints, t: int, a: int, b: int, c: int, ghost: int) -> None:
    """Write the corners so that a ghost comes last, keeping their cyclic order."""
    if a == ghost:
        a, b, c = b, c, a
    elif b == ghost:
        a, b, c = c, a, b
    corners[t, 0], corners[t, 1], corners[t, 2] = a, b, c


@njit(cache=True, nogil=True)
def _side_of(corners: Ints, t: int, u: int, v: int) -> int:
    """Return the side of t whose edge goes from u to v."""
    for side in range(3):
        if corners[t, (side + 1) % 3] == u and corners[t, (side + 2) % 3] == v:
            return side
    return -1


@njit(cache=True, nogil=True)
def _first_off_the_line(x: Floats) -> int:
    """Return the number of the first point that is not on the line through the first two; n where all are."""
    p = min(2, len(x))
    while p < len(x) and turn(x, 0, 1, p) == 0:
        p += 1
    return p


@njit(cache=True, nogil=True)
def _line_edges(along: Ints) -> Ints:
    """Return (earlier, later) for the neighbours that points on a line had when they came, int64 [m, 2].

    along: int64 [k], the points 0..k-1 as they lie on the line.
    """
    k = len(along)
    before, after = np.full(k, -1, dtype=np.int64), np.full(k, -1, dtype=np.int64)
    before[along[1:]], after[along[:-1]] = along[:-1], along[1:]
    edges, count = np.empty((2 * k, 2), dtype=np.int64), 0
    for p in range(k - 1, 0, -1):  # take the points away again, the last one first
        for q in (before[p], after[p]):
            if q >= 0:
                edges[count, 0], edges[count, 1] = q, p
                count += 1
        if before[p] >= 0:
            after[before[p]] = after[p]
        if after[p] >= 0:
            before[after[p]] = before[p]
    return edges[:count]


@njit(cache=True, nogil=True)
def _fan(x: Floats, along: Ints, corners: Ints, across: Ints, ghost: int) -> int:
    """Write the triangles from a line of points to the first point off it, with ghosts; return how many."""
    k, p = len(along), len(along)
    if turn(x, along[0], along[1], p) < 0:
        along = along[::-1].copy()
    real, left, right = k - 1, 2 * k - 2, 2 * k - 1
    for i in range(real):
        corners[i, 0], corners[i, 1], corners[i, 2] = along[i], along[i + 1], p
        across[i, 0], across[i, 1], across[i, 2] = i + 1, i - 1, real + i
        below = real + i
        corners[below, 0], corners[below, 1], corners[below, 2] = along[i + 1], along[i], ghost
        across[below, 0], across[below, 1], across[below, 2] = below - 1, below + 1, i
    across[0, 1], across[real - 1, 0] = left, right
    across[real, 0], across[2 * real - 1, 1] = left, right
    corners[left, 0], corners[left, 1], corners[left, 2] = along[0], p, ghost
    across[left, 0], across[left, 1], across[left, 2] = right, real, 0
    corners[right, 0], corners[right, 1], corners[right, 2] = p, along[k - 1], ghost
    across[right, 0], across[right, 1], across[right, 2] = 2 * real - 1, left, real - 1
    return 2 * k


@njit(cache=True, nogil=True)
def _carve(
    x: Floats, corners: Ints, across: Ints, mark: Ints, first: int, p: int, ghost: int, cavity: Ints, rim: Ints
) -> tuple[int, int]:
    """Collect the triangles in conflict with p and the edges around them; return how many of each.

    A row of the rim is (from, to, triangle outside).
    """
    stack = [first]
    n_cavity, n_rim = 0, 0
    mark[first] = p
    while stack:
        t = stack.pop()
        cavity[n_cavity] = t
        n_cavity += 1
        for side in range(3):
            other = across[t, side]
            if mark[other] == p:
                continue
            if _conflicts(x, corners, other, p, ghost):
                mark[other] = p
                stack.append(other)
            else:
                rim[n_rim, 0] = corners[t, (side + 1) % 3]
                rim[n_rim, 1] = corners[t, (side + 2) % 3]
                rim[n_rim, 2] = other
                n_rim += 1
    return n_cavity, n_rim


@njit(cache=True, nogil=True)
def _fill(corners: Ints, across: Ints, rim: Ints, slots: Ints, starting: Ints, p: int, ghost: int) -> None:
    """Join p to every edge of the rim and link the new triangles."""
    for k in range(len(rim)):
        u, v, outer, t = rim[k, 0], rim[k, 1], rim[k, 2], slots[k]
        _set_triangle(corners, t, u, v, p, ghost)
        across[outer, _side_of(corners, outer, v, u)] = t
        across[t, _side_of(corners, t, u, v)] = outer
        starting[u] = t
    for k in range(len(rim)):
        t, v = slots[k], rim[k, 1]
        following = starting[v]
        across[t, _side_of(corners, t, v, p)] = following
        across[following, _side_of(corners, following, p, v)] = t


@njit(cache=True, nogil=True)
def insertion_edges(x: Floats) -> tuple[Ints, Ints]:
    """Insert points float64 [n, 2] in their order; no two may coincide, and coordinates are whole, at most 2^50.

    Returns the edges int64 [m, 2], (earlier, later), that appeared with each point, and the final triangles int64
    [t, 3], none where all points are on a line.
    """
    n, ghost = len(x), len(x)
    first_off = _first_off_the_line(x)
    axis = 0 if n > 1 and x[0, 0] != x[1, 0] else 1
    along = np.argsort(x[:first_off, axis])
    line = _line_edges(along)
    if first_off == n:
        return line, np.empty((0, 3), dtype=np.int64)
    room = 2 * n + 8  # a triangulation of the sphere with n + 1 corners has 2 n - 2 triangles
    corners, across = np.full((room, 3), -1, dtype=np.int64), np.full((room, 3), -1, dtype=np.int64)
    mark, cavity = np.full(room, -1, dtype=np.int64), np.empty(room, dtype=np.int64)
    rim, starting = np.empty((room, 3), dtype=np.int64), np.empty(n + 1, dtype=np.int64)
    size, last = _fan(x, along, corners, across, ghost), 0
    earlier, later = list(along), [first_off for _ in range(first_off)]
    for p in range(first_off + 1, n):
        first = _locate(x, corners, across, last, p, ghost)
        n_cavity, n_rim = _carve(x, corners, across, mark, first, p, ghost, cavity, rim)
        slots = np.append(cavity[:n_cavity], np.array([size, size + 1]))
        size += 2
        mark[slots] = -1
        _fill(corners, across, rim[:n_rim], slots, starting, p, ghost)
        last = slots[0]
        for k in range(n_rim):
            if rim[k, 0] != ghost:
                earlier.append(rim[k, 0])
                later.append(p)
    edges = np.stack((np.array(earlier), np.array(later)), axis=1)
    return np.concatenate((line, edges)), corners[:size][corners[:size, 2] != ghost]
