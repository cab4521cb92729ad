"""Edges and triangles of the three complexes on a planar cloud."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import Delaunay, QhullError
from scipy.spatial.distance import cdist

from .insertion import insertion_edges

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


def delaunay(x: Floats) -> tuple[Ints, Ints]:
    """Return edges int64 [m, 2] (u < v) and triangles int64 [t, 3] as indices of edges.

    Raises QhullError for fewer than three points or collinear ones.
    """
    simplices = np.sort(Delaunay(x).simplices.astype(np.int64), axis=1)
    sides = np.concatenate([simplices[:, [0, 1]], simplices[:, [0, 2]], simplices[:, [1, 2]]])
    # A pair as one number: sorting numbers is ten times faster than sorting rows.
    codes, numbers = np.unique(sides[:, 0] * len(x) + sides[:, 1], return_inverse=True)
    return np.stack(np.divmod(codes, len(x)), axis=1), numbers.reshape(3, -1).T.copy()


def weak_delaunay_edges(x: Floats, g: Floats) -> Ints:
    """Return the union of the Delaunay edges of all codensity sublevel sets, int64 [m, 2] with u < v.

    The edges that appear when a point is inserted all end in it, so it suffices to insert the points in the order
    of codensity and to note the neighbours of each (function-Delaunay bifiltration).
    """
    order = np.argsort(g, kind="stable")
    ranked = x[order]
    extent = float(np.ptp(x, axis=0).max())
    # Qhull cannot start from four points on a circle or three on a line, nor tell apart points that almost
    # coincide: such ties are decided by the smallest shift that helps.
    for shift in (0.0, 1e-9, 1e-7, 1e-5):
        noise = np.random.default_rng(0).normal(0.0, shift * extent, x.shape)
        try:
            pairs = np.sort(order[_insertions(ranked + noise)], axis=1)
            return np.stack(np.divmod(np.unique(pairs[:, 0] * len(x) + pairs[:, 1]), len(x)), axis=1)
        except QhullError:
            continue
    raise QhullError("the cloud cannot be triangulated even after a shift of 1e-5 of its extent")


def _insertions(ranked: Floats) -> Ints:
    """Return (earlier, later) for every edge that appears when the points are inserted in their order.

    Our own insertion is fast and works in plain double precision, so its triangulation of the whole cloud is
    compared with Qhull's; where they differ, Qhull does every insertion.
    """
    u, v = ranked[1] - ranked[0], ranked[2] - ranked[0]
    if abs(u[0] * v[1] - u[1] * v[0]) <= 1e-12 * float(np.hypot(*u) * np.hypot(*v)):
        raise QhullError("the first three points are on a line")
    edges, triangles, arrived = insertion_edges(ranked)
    if arrived and _same_triangles(triangles, Delaunay(ranked).simplices):
        return edges
    return qhull_insertions(ranked)


def _same_triangles(a: NDArray[Any], b: NDArray[Any]) -> bool:
    ours, theirs = (np.sort(t.astype(np.int64), axis=1) for t in (a, b))
    ours, theirs = (t[np.lexsort(t.T[::-1])] for t in (ours, theirs))
    return ours.shape == theirs.shape and bool((ours == theirs).all())


def qhull_insertions(ranked: Floats) -> Ints:
    """Return the same edges by Qhull's incremental mode, which costs a copy of everything for each point."""
    found = [np.array([[0, 1], [0, 2], [1, 2]], dtype=np.int64)]
    triangulation = Delaunay(ranked[:4], incremental=True)
    try:
        for new in range(3, len(ranked)):
            if new > 3:
                triangulation.add_points(ranked[new : new + 1])
            simplices = triangulation.simplices
            around = np.unique(simplices[(simplices == new).any(axis=1)])
            others = around[around != new].astype(np.int64)
            found.append(np.stack([others, np.full(len(others), new)], axis=1))
    finally:
        triangulation.close()
    return np.concatenate(found)


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


def general_position(x: Floats, rng: np.random.Generator) -> Floats | None:
    """Return the cloud with coinciding and collinear points moved apart, or None when it has no extent.

    The noise is 1e-9 of the extent: enough for a triangulation to exist, too little to change a score.
    """
    scale = float(np.ptp(x, axis=0).max(initial=0.0))
    if len(x) < 4 or scale == 0.0:
        return None
    spread = x
    if len(np.unique(x, axis=0)) < len(x) or is_flat(x):
        spread = x + rng.normal(0.0, 1e-9 * scale, x.shape)
    return spread


def is_flat(x: Floats) -> bool:
    """Tell whether a cloud float64 [n, 2] lies on a line, up to 1e-8 of its extent."""
    scale = float(np.ptp(x, axis=0).max(initial=0.0)) or 1.0
    spread = np.linalg.svd((x - x.mean(axis=0)) / scale, compute_uv=False)
    return bool(spread[-1] < 1e-8 * np.sqrt(len(x)))


__all__ = [
    "QhullError",
    "along_curve",
    "delaunay",
    "enclosing_edges",
    "general_position",
    "is_flat",
    "qhull_insertions",
    "weak_delaunay_edges",
]
