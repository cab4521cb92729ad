"""k-means, Euclidean and by cosine, the same for a seed whatever the number of threads."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix
from sklearn.cluster import KMeans, MiniBatchKMeans
from sklearn.exceptions import ConvergenceWarning
from threadpoolctl import threadpool_limits

from prunebench import DataError, ScoreContext

_ROWS = 4096
_FEWEST_SOUGHT, _SOUGHT_PER_START = 10_000, 16


@dataclass(frozen=True, kw_only=True)
class Settings:
    """The parameters of every k-means; see their declaration."""

    n_init: int
    max_iter: int
    minibatch_above: int

    @classmethod
    def of(cls, ctx: ScoreContext) -> Settings:
        """Read the settings from the parameters of a method."""
        return cls(**{name: cast(int, ctx.params[name]) for name in ("n_init", "max_iter", "minibatch_above")})


@dataclass(frozen=True, kw_only=True)
class Clustering:
    """Cluster int64 [n] of every sample, in 0..k-1, and centroids [k, d]; a cluster may be empty."""

    labels: NDArray[np.int64]
    centroids: NDArray[np.floating]


def finite_features(ctx: ScoreContext) -> NDArray[np.float32]:
    """Return the features float32 [n, d].  Raises DataError, with the count, for rows that are not finite."""
    features = np.ascontiguousarray(ctx.features, dtype=np.float32)  # sums in the same order for every layout
    bad = int((~np.isfinite(features).all(axis=1)).sum())
    if bad:
        raise DataError(f"features of {bad} samples are not finite", "check the backbone and its weights")
    return features


def unit_rows(points: NDArray[np.floating]) -> NDArray[np.floating]:
    """Return rows of length 1, in the type of `points` [n, d]; a zero row stays zero."""
    # over the largest value first, so that no square overflows or vanishes
    largest = np.abs(points).max(axis=1, keepdims=True)
    scaled: NDArray[np.floating] = np.divide(points, largest, out=np.zeros_like(points), where=largest > 0)
    norms = np.linalg.norm(scaled, axis=1, keepdims=True)
    np.divide(scaled, norms, out=scaled, where=norms > 0)
    return scaled


def kmeans(
    points: NDArray[np.floating],
    k: int,
    settings: Settings,
    rng: np.random.Generator,
    *,
    spherical: bool = False,
) -> Clustering:
    """Return min(k, n) clusters of `points` [n, d]; fewer occupied ones where few points differ.

    They are found in double precision about the mean, so that neither an offset nor the scale of the points costs
    digits, and groups far narrower than their distance stay apart.  spherical: `points` are unit vectors, centroids
    are unit vectors, and similarity is the cosine; Euclidean k-means of the unit vectors is the start.
    Sources: Lloyd 1982; Dhillon and Modha 2001.
    """
    k = min(k, len(points))
    make: Any = MiniBatchKMeans if len(points) > settings.minibatch_above else KMeans
    seed = int(rng.integers(2**31))
    model = make(k, init=plus_plus, n_init=settings.n_init, max_iter=settings.max_iter, random_state=seed)
    mean = points.mean(axis=0, dtype=np.float64)
    # threads would add up the members of a cluster in the order in which they finish
    with threadpool_limits(limits=1), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Number of distinct clusters", ConvergenceWarning)
        labels = model.fit_predict(points - mean).astype(np.int64)
    found = Clustering(labels=labels, centroids=model.cluster_centers_ + mean)
    return _spherical(points.astype(np.float64, copy=False), found, settings.max_iter) if spherical else found


def plus_plus(points: NDArray[Any], k: int, random_state: np.random.RandomState) -> NDArray[Any]:
    """Return k of `points` [n, d], about centred, as starts [k, d]: greedy k-means++, 2 + ln k trials each.

    They are sought among a random sample of 16 points a start and at least 10,000: the library's own search among
    all of them takes longer than the clustering.  Where fewer points differ,
    some starts coincide.  Sources: Arthur and Vassilvitskii 2007; scikit-learn.
    """
    if len(points) > (sample := max(_FEWEST_SOUGHT, _SOUGHT_PER_START * k)):
        points = points[np.sort(random_state.permutation(len(points))[:sample])]
    trials = 2 + int(np.log(k))
    squared = np.einsum("nd,nd->n", points, points)
    closest, chosen = np.ones_like(squared), np.empty(k, dtype=np.int64)
    for place in range(k):
        candidates = _by_weight(closest, random_state.random_sample(trials if place else 1))
        distance = points[candidates] @ points.T
        distance *= -2.0
        distance += squared
        distance += squared[candidates][:, None]
        np.maximum(distance, 0.0, out=distance)
        distance[np.arange(len(candidates)), candidates] = 0.0
        if place:
            np.minimum(distance, closest, out=distance)
        best = int(distance.sum(axis=1, dtype=np.float64).argmin())
        chosen[place], closest = candidates[best], distance[best]
    return points[chosen]


def _by_weight(weights: NDArray[Any], uniform: NDArray[np.float64]) -> NDArray[np.int64]:
    """Return indices int64 [m] drawn in proportion to `weights` [n] at `uniform` [m] in 0..1."""
    cumulative = np.cumsum(weights, dtype=np.float64)
    drawn: NDArray[np.int64] = np.searchsorted(cumulative, uniform * cumulative[-1], side="right")
    return np.minimum(drawn, len(weights) - 1)


def nearest(points: NDArray[np.floating], centroids: NDArray[np.floating]) -> NDArray[np.int64]:
    """Return the index int64 [n] of the nearest centroid [k, d] in Euclidean distance, a block at a time."""
    mean = centroids.mean(axis=0, dtype=np.float64)
    centroids = centroids - mean
    half = np.square(centroids).sum(axis=1) / 2
    labels = np.empty(len(points), dtype=np.int64)
    for start in range(0, len(points), _ROWS):
        rows = slice(start, start + _ROWS)
        labels[rows] = ((points[rows] - mean) @ centroids.T - half).argmax(axis=1)
    return labels


def _spherical(points: NDArray[np.float64], start: Clustering, max_iter: int) -> Clustering:
    centroids = unit_rows(start.centroids)
    labels = nearest(points, centroids)
    for _ in range(max_iter):
        members = csr_matrix((np.ones(len(points)), (labels, np.arange(len(points)))))
        sums = unit_rows(np.asarray(members @ points))
        occupied = np.flatnonzero(np.abs(sums).max(axis=1) > 0)
        centroids[occupied] = sums[occupied]
        before, labels = labels, nearest(points, centroids)
        if np.array_equal(before, labels):
            break
    return Clustering(labels=labels, centroids=centroids)
