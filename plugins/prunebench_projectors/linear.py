"""Projections without a random number."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from prunebench import DataError, ProjectContext


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
    centred = np.asarray(features, dtype=np.float64)
    centred = centred - centred.mean(axis=0)
    _, vectors = np.linalg.eigh(centred.T @ centred)
    leading = vectors[:, ::-1][:, :k]
    # An eigenvector has no sign of its own: fix it, so that repeated runs and other libraries agree.
    largest = np.abs(leading).argmax(axis=0)
    leading = leading * np.where(leading[largest, np.arange(leading.shape[1])] < 0, -1.0, 1.0)
    found = np.zeros((len(centred), k), dtype=np.float32)
    found[:, : leading.shape[1]] = centred @ leading
    return found


def finite(features: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the features as contiguous float32; raises DataError when some are not finite."""
    array = np.ascontiguousarray(features, dtype=np.float32)  # sums depend on the order in memory
    if bad := int((~np.isfinite(array).all(axis=1)).sum()):
        raise DataError(f"{bad} of {len(array)} feature vectors are not finite", "look for a diverged backbone")
    return array
