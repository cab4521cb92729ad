"""Where samples lie on the map: their principal components, moved until neighbours are side by side."""

import numpy as np
from numpy.typing import NDArray
from sklearn.decomposition import PCA
from threadpoolctl import threadpool_limits

from prunebench.pruning.neighbours import nearest

COMPONENTS, NEIGHBOURS, AGAINST, STEPS = 50, 10, 20, 150
_ROUND = 3  # decimals: the last digits of a processor do not show

Floats = NDArray[np.float64]


def layout(features: NDArray[np.floating], seed: int = 0) -> Floats:
    """Return places float64 [n, 2] in the unit square, for some thousand features floating [n, d].

    The 50 first principal components of features of unit length; the first two are the start, and then each sample is
    pulled to its 10 neighbours and pushed away from 20 drawn samples, by the forces of t-SNE's Student kernel.
    Neighbours are told; distances between far groups mean nothing."""
    n = len(features)
    if n < 3:
        return np.stack([np.linspace(0.25, 0.75, n), np.full(n, 0.5)], axis=1)
    rows = np.asarray(features, dtype=np.float32)
    rows = rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), np.finfo(np.float32).tiny)
    size = min(COMPONENTS, n - 1, rows.shape[1])
    # One thread, or their number would decide the last digits; equal features have no variance to divide by.
    with threadpool_limits(limits=1), np.errstate(invalid="ignore"):
        parts = PCA(size, svd_solver="randomized", random_state=seed).fit_transform(rows)
    if size == 1:
        parts = np.concatenate([parts, np.zeros((n, 1))], axis=1)
    start = parts[:, :2].astype(np.float64)
    k = min(NEIGHBOURS, n - 1)
    near = nearest(parts, k=k, metric="euclidean", search="exact").indices
    return _in_unit_square(_relaxed(start / (start.std() or 1.0), near, np.random.default_rng(seed)))


def _relaxed(places: Floats, near: NDArray[np.int64], rng: np.random.Generator) -> Floats:
    """Return places after small steps along the forces; near: int64 [n, k], neighbours of each."""
    n, k = near.shape
    left, right = np.repeat(np.arange(n), k), near.ravel()
    for step in range(STEPS):
        others = rng.integers(0, n, (n, AGAINST))
        pull = places[right] - places[left]
        pull /= (1 + (pull**2).sum(axis=1, keepdims=True)) * k
        push = places[:, None] - places[others]
        square = (push**2).sum(axis=2, keepdims=True)
        force = (push / (0.01 + square) / (1 + square)).sum(axis=1) / AGAINST
        for axis in range(2):
            force[:, axis] += np.bincount(left, pull[:, axis], n) - np.bincount(right, pull[:, axis], n)
        length = np.linalg.norm(force, axis=1, keepdims=True)
        places = places + (1 - step / STEPS) * force / np.maximum(length, 1)
    return places


def _in_unit_square(places: Floats) -> Floats:
    """Return places by their range between the 0.5th and the 99.5th percentile; what is beyond stands at the edge."""
    low, high = np.quantile(places, [0.005, 0.995], axis=0)
    scaled: Floats = np.clip(0.5 + 0.92 * (places - (low + high) / 2) / np.maximum(high - low, 1e-9), 0.0, 1.0)
    return np.round(scaled, _ROUND)
