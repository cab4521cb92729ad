"""Features to points whose distances mean the same for every backbone."""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def place(features: NDArray[np.floating], labels: NDArray[np.int64], metric: str, shrinkage: float) -> Floats:
    """Return points float64 [n, d]; of unit length for every metric but "euclidean", a zero vector stays zero.

    whitened: x -> L^T (x - mean), with L L^T the inverse of the within-class covariance, shrunk by `shrinkage`
    to the multiple of the identity with the same trace.
    """
    points = features.astype(np.float64)
    if metric == "euclidean":
        return points
    if metric != "cosine":
        points -= points.mean(axis=0)
    if metric == "whitened":
        points = points @ _whitening(points, labels, shrinkage)
    length = np.linalg.norm(points, axis=1, keepdims=True)
    unit: Floats = np.divide(points, length, out=np.zeros_like(points), where=length > 0)
    return unit


def _whitening(points: Floats, labels: NDArray[np.int64], shrinkage: float) -> Floats:
    """Return L [d, d], or the identity where classes have no spread."""
    d = points.shape[1]
    within = np.zeros((d, d))
    for label in np.unique(labels):
        members = points[labels == label]
        members = members - members.mean(axis=0)
        within += members.T @ members
    scale = float(np.trace(within)) / d
    if scale <= 0.0:
        return np.eye(d)
    # A direction without any spread would otherwise be stretched without bound.
    shrunk = (1.0 - shrinkage) * within / scale + max(shrinkage, 1e-6) * np.eye(d)
    values, vectors = np.linalg.eigh(shrunk)
    whitening: Floats = vectors / np.sqrt(values)
    return whitening


def distances(points: Floats, metric: str) -> Floats:
    """Return the distances float64 [m, m] of one cloud, points float64 [m, d]: 1 - cosine, or Euclidean.

    Both from the squared difference, coordinate by coordinate: copies are at 0, and close points far from the origin
    keep their distance, which they lose when a square is expanded.
    """
    squares = _squares(np.ascontiguousarray(points, dtype=np.float64))
    # Of unit vectors, one minus the cosine is half the squared distance; a zero vector is at one half from each.
    result: Floats = np.sqrt(squares) if metric == "euclidean" else squares / 2
    return result


@njit(cache=True, nogil=True, fastmath={"reassoc", "contract", "nsz"})
def _squares(points: Floats) -> Floats:
    m, d = points.shape
    found = np.zeros((m, m))
    for i in range(m):
        for j in range(i):
            total = 0.0
            for k in range(d):
                gap = points[i, k] - points[j, k]
                total += gap * gap
            found[i, j] = found[j, i] = total
    return found
