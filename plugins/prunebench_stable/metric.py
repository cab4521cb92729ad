"""Features to points whose distances mean the same for every backbone."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def place(
    features: NDArray[np.float32], labels: NDArray[np.int64], metric: str, shrinkage: float
) -> NDArray[np.float32]:
    """Return points float32 [n, d]; of unit length for every metric but "euclidean", a zero vector stays zero.

    whitened: x -> L^T (x - mean), with L L^T the inverse of the within-class covariance, shrunk by `shrinkage`
    to the multiple of the identity with the same trace.
    """
    points = features.astype(np.float64)
    if metric == "euclidean":
        return points.astype(np.float32)
    if metric != "cosine":
        points -= points.mean(axis=0)
    if metric == "whitened":
        points = points @ _whitening(points, labels, shrinkage)
    length = np.linalg.norm(points, axis=1, keepdims=True)
    unit: NDArray[np.float32] = np.divide(points, length, out=np.zeros_like(points), where=length > 0).astype(
        np.float32
    )
    return unit


def _whitening(points: NDArray[np.float64], labels: NDArray[np.int64], shrinkage: float) -> NDArray[np.float64]:
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
    shrunk = (1.0 - shrinkage) * within + max(shrinkage, 1e-6) * scale * np.eye(d)
    values, vectors = np.linalg.eigh(shrunk)
    whitening: NDArray[np.float64] = vectors * np.sqrt(scale / values)
    return whitening


def distances(points: NDArray[np.float32], metric: str) -> NDArray[np.float32]:
    """Return the distances float32 [m, m] of one cloud: 1 - cosine, or Euclidean; 0 on the diagonal."""
    products = points @ points.T
    if metric == "euclidean":
        squares = np.diagonal(products)
        found = np.sqrt(np.maximum(squares[:, None] + squares[None, :] - 2.0 * products, 0.0))
    else:
        found = np.maximum(np.float32(1.0) - products, np.float32(0.0))
    np.fill_diagonal(found, 0.0)
    result: NDArray[np.float32] = found.astype(np.float32, copy=False)
    return result
