"""Features to points whose distances mean the same for every backbone."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numba import njit
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Features = NDArray[np.floating]

_BLOCK_ROWS = 1024


def placement(
    features: Features, order: Ints, classes: Sequence[Ints], metric: str, shrinkage: float
) -> Callable[[Ints], Floats]:
    """Return a function from samples int64 [m] to points float64 [m, d].

    Points have unit length for every metric but "euclidean"; a zero vector stays zero.  whitened: x -> L^T (x - mean),
    with L L^T the inverse of the within-class covariance, shrunk by `shrinkage` to the multiple of the identity with
    the same trace.  features: floating [n, d], may be mapped into memory; one class at a time is held in double
    precision.  order: int64 [n], in which the mean is summed.  classes: the samples of each class.
    """
    origin = _mean(features, order) if metric in ("whitened", "centred") else None
    turned = _whitening(features, origin, classes, shrinkage) if origin is not None and metric == "whitened" else None

    def place(members: Ints) -> Floats:
        points = _centred(features, members, origin)
        if metric == "euclidean":
            return points
        if turned is not None:
            points = points @ turned
        length = np.linalg.norm(points, axis=1, keepdims=True)
        unit: Floats = np.divide(points, length, out=np.zeros_like(points), where=length > 0)
        return unit

    return place


def _mean(features: Features, order: Ints) -> Floats:
    """Return the mean float64 [d] of all samples, added one after the other."""
    total = np.zeros(features.shape[1])
    for start in range(0, len(order), _BLOCK_ROWS):
        block = features[order[start : start + _BLOCK_ROWS]].astype(np.float64)
        block[0] += total
        total = block.sum(axis=0)
    mean: Floats = total / len(order)
    return mean


def _centred(features: Features, members: Ints, origin: Floats | None) -> Floats:
    points: Floats = features[members].astype(np.float64)
    if origin is not None:
        points -= origin
    return points


def _whitening(features: Features, origin: Floats, classes: Sequence[Ints], shrinkage: float) -> Floats:
    """Return L [d, d], or the identity where classes have no spread."""
    d = features.shape[1]
    within = np.zeros((d, d))
    for members in classes:
        points = _centred(features, members, origin)
        points -= points.mean(axis=0)
        within += points.T @ points
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
