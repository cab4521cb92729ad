"""Incremental Delaunay triangulation of the plane that remembers the neighbours each point had when it came.

Bowyer and Watson's insertion with a walk to find the first triangle in conflict. The outside is covered by ghost
triangles, one on each edge of the hull, so that points outside need no case of their own. Plain double precision:
the caller compares the result with Qhull's and falls back where they differ.
"""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@njit(cache=True, nogil=True)
def _turn(x: Floats, a: int, b: int, c: int) -> float:
    """Return twice the signed area of the triangle a b c: positive when it turns left."""
    return float((x[b, 0] - x[a, 0]) * (x[c, 1] - x[a, 1]) - (x[b, 1] - x[a, 1]) * (x[c, 0] - x[a, 0]))


@njit(cache=True, nogil=True)
def _inside_circle(x: Floats, a: int, b: int, c: int, p: int) -> bool:
    """Tell whether p is inside the circle through a, b, c, which turn left."""
    ax, ay = x[a, 0] - x[p, 0], x[a, 1] - x[p, 1]
    bx, by = x[b, 0] - x[p, 0], x[b, 1] - x[p, 1]
    cx, cy = x[c, 0] - x[p, 0], x[c, 1] - x[p, 1]
    a2, b2, c2 = ax * ax + ay * ay, bx * bx + by * by, cx * cx + cy * cy
    return bool(ax * (by * c2 - b2 * cy) - ay * (bx * c2 - b2 * cx) + a2 * (bx * cy - by * cx) > 0)


@njit(cache=True, nogil=True)
def _conflicts(x: Floats, corners: Ints, t: int, p: int, ghost: int) -> bool:
    """Tell whether triangle t has to go when p comes; a ghost's first two corners have the outside on their left."""
    a, b, c = corners[t, 0], corners[t, 1], corners[t, 2]
    if c != ghost:
        return _inside_circle(x, a, b, c, p)
    return _turn(x, a, b, p) > 0


@njit(cache=True, nogil=True)
def _locate(x: Floats, corners: Ints, across: Ints, start: int, p: int, ghost: int) -> int:
    """Walk from triangle `start` towards p and return a triangle in conflict with it, or -1 when lost."""
    t = start
    for _ in range(4 * len(corners) + 8):
        if corners[t, 2] == ghost:
            if _turn(x, corners[t, 0], corners[t, 1], p) > 0:
                return t
            t = across[t, 2]
            continue
        moved = False
        for side in range(3):
            u, v = corners[t, (side + 1) % 3], corners[t, (side + 2) % 3]
            if _turn(x, u, v, p) < 0:
                t, moved = across[t, side], True
                break
        if not moved:
            return t
    return -1


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
def _first_triangle(x: Floats, corners: Ints, across: Ints, ghost: int) -> None:
    a, b, c = (0, 1, 2) if _turn(x, 0, 1, 2) > 0 else (0, 2, 1)
    _set_triangle(corners, 0, a, b, c, ghost)
    pairs = ((b, a), (c, b), (a, c))
    for t in range(3):
        _set_triangle(corners, t + 1, pairs[t][0], pairs[t][1], ghost, ghost)
    for t in range(4):
        for side in range(3):
            u, v = corners[t, (side + 1) % 3], corners[t, (side + 2) % 3]
            for other in range(4):
                if other != t and _side_of(corners, other, v, u) >= 0:
                    across[t, side] = other


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
def _fill(corners: Ints, across: Ints, rim: Ints, slots: Ints, starting: Ints, p: int, ghost: int) -> bool:
    """Join p to every edge of the rim and link the new triangles; False when the rim is not a cycle."""
    for k in range(len(rim)):
        u, v, outer, t = rim[k, 0], rim[k, 1], rim[k, 2], slots[k]
        _set_triangle(corners, t, u, v, p, ghost)
        back = _side_of(corners, outer, v, u)
        if back < 0:
            return False
        across[outer, back] = t
        across[t, _side_of(corners, t, u, v)] = outer
        starting[u] = t
    for k in range(len(rim)):
        t, v = slots[k], rim[k, 1]
        following = starting[v]
        side, back = _side_of(corners, t, v, p), _side_of(corners, following, p, v)
        if side < 0 or back < 0:
            return False
        across[t, side], across[following, back] = following, t
    return True


@njit(cache=True, nogil=True)
def insertion_edges(x: Floats) -> tuple[Ints, Ints, bool]:
    """Insert the points float64 [n, 2] in their order.

    Returns the edges int64 [m, 2], (earlier, later), that appeared with each point; the final triangles
    int64 [t, 3]; and whether all went well.  The first three points must not be on a line.
    """
    n, ghost = len(x), len(x)
    room = 2 * n + 8  # a triangulation of the sphere with n + 1 corners has 2 n - 2 triangles
    corners, across = np.full((room, 3), -1, dtype=np.int64), np.full((room, 3), -1, dtype=np.int64)
    mark, cavity = np.full(room, -1, dtype=np.int64), np.empty(room, dtype=np.int64)
    rim, starting = np.empty((room, 3), dtype=np.int64), np.empty(n + 1, dtype=np.int64)
    earlier, later = [0, 0, 1], [1, 2, 2]
    size, last = 4, 0
    _first_triangle(x, corners, across, ghost)
    for p in range(3, n):
        first = _locate(x, corners, across, last, p, ghost)
        if first < 0:
            return np.empty((0, 2), np.int64), corners[:0], False
        n_cavity, n_rim = _carve(x, corners, across, mark, first, p, ghost, cavity, rim)
        if n_rim != n_cavity + 2:  # the cavity must be a disc
            return np.empty((0, 2), np.int64), corners[:0], False
        slots = np.append(cavity[:n_cavity], np.array([size, size + 1]))
        size += 2
        mark[slots] = -1
        if not _fill(corners, across, rim[:n_rim], slots, starting, p, ghost):
            return np.empty((0, 2), np.int64), corners[:0], False
        last = slots[0]
        for k in range(n_rim):
            if rim[k, 0] != ghost:
                earlier.append(rim[k, 0])
                later.append(p)
    edges = np.stack((np.array(earlier), np.array(later)), axis=1)
    return edges, corners[:size][corners[:size, 2] != ghost], True
