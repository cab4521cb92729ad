"""Projections without a random number."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from prunebench import DataError, ProjectContext

_BLOCK_VALUES = 1 << 25  # 256 MB in double precision


def identity(ctx: ProjectContext) -> NDArray[np.float32]:
    """Return a copy of the features float32 [n, d]."""
    return np.array(finite(ctx.features), dtype=np.float32)


def pca(ctx: ProjectContext) -> NDArray[np.float32]:
    """Return the first principal components float32 [n, k] (Pearson 1901).

    Components beyond the rank are 0.  Raises DataError for features that are not finite.
    """
    return principal_components(finite(ctx.features), int(str(ctx.params["n_components"])))


def principal_components(features: NDArray[np.float32], k: int) -> NDArray[np.float32]:
    """Return the scores of the first k principal components; the largest loading of each is positive."""
    n, d = features.shape
    origin = _mean(features)
    covariance = np.zeros((d, d))
    for rows in _blocks(features):
        centred = features[rows] - origin
        covariance += centred.T @ centred
    _, vectors = np.linalg.eigh(covariance)
    leading = vectors[:, ::-1][:, :k]
    # An eigenvector has no sign of its own: fix it, so that repeated runs and other libraries agree.
    largest = np.abs(leading).argmax(axis=0)
    leading = leading * np.where(leading[largest, np.arange(leading.shape[1])] < 0, -1.0, 1.0)
    found = np.zeros((n, k), dtype=np.float32)
    for rows in _blocks(features):
        found[rows, : leading.shape[1]] = (features[rows] - origin) @ leading
    return found


def _mean(features: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return the mean float64 [d] of the rows, added one after the other."""
    total = np.zeros(features.shape[1])
    for rows in _blocks(features):
        block = features[rows].astype(np.float64)
        block[0] += total
        total = block.sum(axis=0)
    mean: NDArray[np.float64] = total / len(features)
    return mean


def _blocks(features: NDArray[np.float32]) -> Iterator[slice]:
    """Yield slices of the rows, each of at most 256 MB in double precision: memory does not grow with them."""
    step = max(1, _BLOCK_VALUES // max(1, features.shape[1]))
    return (slice(start, start + step) for start in range(0, len(features), step))


def finite(features: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the features as contiguous float32; raises DataError when some are not finite."""
    array = np.ascontiguousarray(features, dtype=np.float32)  # sums depend on the order in memory
    if bad := sum(int((~np.isfinite(array[rows]).all(axis=1)).sum()) for rows in _blocks(array)):
        raise DataError(f"{bad} of {len(array)} feature vectors are not finite", "look for a diverged backbone")
    return array
