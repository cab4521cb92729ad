"""Edges and triangles of the three complexes on a planar cloud, whatever its place, its scale and its coincidences.

Triangulations work on coordinates that are snapped to whole numbers, 2^-50 of the extent of the cloud, so that
their predicates are exact.  A point at the place of an earlier one hangs on it by an edge of length 0, which changes
no homology.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.distance import cdist

from .insertion import insertion_edges

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

_BITS = 50
_FARTHEST = 2.0**26


def delaunay(x: Floats) -> tuple[Ints, Ints]:
    """Return edges int64 [m, 2] (u < v) and triangles int64 [t, 3] as indices of edges, for points float64 [n, 2].

    Points on a line have no triangles.  Of several triangulations of points on a circle it is one.
    """
    on_grid = snapped(x)
    _, triangles, twins = _inserted(on_grid, along_curve(x))
    if len(triangles) == 0:
        line = np.lexsort(on_grid.T[::-1])
        return _distinct(np.stack([line[:-1], line[1:]], axis=1), len(x))[0], np.empty((0, 3), dtype=np.int64)
    sides = np.concatenate([triangles[:, [0, 1]], triangles[:, [0, 2]], triangles[:, [1, 2]], twins])
    edges, numbers = _distinct(sides, len(x))
    return edges, numbers[: 3 * len(triangles)].reshape(3, -1).T.copy()


def weak_delaunay_edges(x: Floats, order: Ints) -> Ints:
    """Return the union of the Delaunay edges of all codensity sublevel sets, int64 [m, 2] with u < v.

    The edges that appear when a point is inserted all end in it, so it suffices to insert the points in the order
    of codensity, int64 [n], and to note the neighbours of each (function-Delaunay bifiltration).
    """
    edges, _, twins = _inserted(snapped(x), order)
    return _distinct(np.concatenate([edges, twins]), len(x))[0]


def snapped(x: Floats) -> Floats:
    """Return points float64 [n, 2], centred, as whole numbers of at most 2^50 times one power of two.

    A point more than 2^26 times as far from the median as is usual is first drawn in to that distance, where its
    neighbours are the same, so that the others are told apart.
    """
    if len(x) == 0:
        return x
    centred = x - np.median(x, axis=0)
    reach = np.abs(centred).max(axis=1)
    limit = _FARTHEST * float(np.median(reach)) or float(reach.max())
    if limit == 0.0:
        return np.zeros_like(x)
    drawn = centred * np.divide(limit, reach, out=np.ones_like(reach), where=reach > limit)[:, None]
    _, exponent = np.frexp(min(limit, float(reach.max())))
    found: Floats = np.rint(np.ldexp(drawn, _BITS - exponent))
    return found + 0.0  # no negative zero


def _inserted(on_grid: Floats, order: Ints) -> tuple[Ints, Ints, Ints]:
    """Insert points in an order: edges int64 [m, 2] that appeared, triangles int64 [t, 3], and pairs that coincide."""
    ranked = np.ascontiguousarray(on_grid[order])
    _, first, place = np.unique(ranked.view(np.complex128)[:, 0], return_index=True, return_inverse=True)
    kept = np.sort(first)  # the first of those that coincide
    edges, triangles = insertion_edges(ranked[kept])
    later = np.setdiff1d(np.arange(len(ranked)), kept, assume_unique=True)
    return order[kept[edges]], order[kept[triangles]], order[np.stack([first[place[later]], later], axis=1)]


def _distinct(pairs: Ints, n: int) -> tuple[Ints, Ints]:
    """Return the different pairs, int64 [m, 2] with u < v, and which of them each pair is."""
    low, high = np.sort(pairs, axis=1).T
    # A pair as one number: sorting numbers is ten times faster than sorting rows.
    codes, numbers = np.unique(low * n + high, return_inverse=True)
    return np.stack(np.divmod(codes, max(n, 1)), axis=1), numbers


def enclosing_edges(x: Floats) -> Ints:
    """Return all pairs not longer than the enclosing radius min_i max_j d_ij, int64 [m, 2]."""
    distances = cdist(x, x)
    u, v = np.triu_indices(len(x), 1)
    kept = distances[u, v] <= distances.max(axis=1).min()
    return np.stack([u[kept], v[kept]], axis=1).astype(np.int64)


def along_curve(x: Floats) -> Ints:
    """Return an order int64 [n] of points float64 [n, 2] in which neighbours in the plane are mostly close (Morton)."""
    extent = float(np.ptp(x, axis=0).max(initial=0.0)) or 1.0
    codes = ((x - x.min(axis=0)) / extent * 0xFFFF).astype(np.int64)
    for shift, mask in ((8, 0x00FF00FF), (4, 0x0F0F0F0F), (2, 0x33333333), (1, 0x55555555)):
        codes = (codes | (codes << shift)) & mask  # a zero between any two bits
    return np.argsort(codes[:, 0] | (codes[:, 1] << 1), kind="stable")
