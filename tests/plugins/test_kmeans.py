"""k-means, Euclidean and spherical, against scikit-learn."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy.spatial.distance import cdist
from sklearn.cluster import KMeans, MiniBatchKMeans, kmeans_plusplus
from sklearn.metrics.pairwise import cosine_similarity

from prunebench_clusters.kmeans import Settings, kmeans, plus_plus, unit_rows
from unlabelled_problems import SETTINGS, blobs


def test_euclidean_clusters_are_those_of_scikit_learn() -> None:
    points = np.random.default_rng(0).normal(size=(200, 5)).astype(np.float32)
    found = kmeans(points, 7, SETTINGS, np.random.default_rng(3))
    seed = int(np.random.default_rng(3).integers(2**31))
    expected = KMeans(7, init=plus_plus, n_init=1, max_iter=100, random_state=seed).fit(points)
    assert np.array_equal(found.labels, expected.labels_)
    assert found.centroids == pytest.approx(expected.cluster_centers_, abs=1e-5)


@pytest.mark.parametrize(("n", "k"), [(2000, 40), (12_000, 10)])
def test_starts_are_as_good_as_those_of_scikit_learn(n: int, k: int) -> None:
    points = np.random.default_rng(0).normal(size=(n, 8)).astype(np.float32)

    def cost(starts: Any) -> float:
        return float(np.square(cdist(points, starts).min(axis=1)).sum())

    ours = [cost(plus_plus(points, k, np.random.RandomState(seed))) for seed in range(5)]
    theirs = [cost(kmeans_plusplus(points, k, random_state=seed)[0]) for seed in range(5)]
    uniform = [cost(points[np.random.RandomState(seed).permutation(n)[:k]]) for seed in range(5)]
    assert np.mean(ours) == pytest.approx(np.mean(theirs), rel=0.02)
    assert np.mean(ours) < np.mean(uniform)


def test_starts_are_points_far_apart_and_duplicates_serve_where_too_few_differ() -> None:
    corners = np.array([[0, 0], [9, 0], [0, 9], [9, 9]], dtype=np.float32)
    points = np.repeat(corners, 50, axis=0) - corners.mean(axis=0)
    starts = plus_plus(points, 4, np.random.RandomState(0))
    assert len(np.unique(starts, axis=0)) == 4
    assert plus_plus(points, 9, np.random.RandomState(0)).shape == (9, 2)


def test_many_samples_are_clustered_in_mini_batches() -> None:
    points, few = blobs()[0], Settings(n_init=1, max_iter=100, minibatch_above=50)
    found = kmeans(points, 3, few, np.random.default_rng(3))
    seed = int(np.random.default_rng(3).integers(2**31))
    assert np.array_equal(
        found.labels, MiniBatchKMeans(3, init=plus_plus, n_init=1, random_state=seed).fit_predict(points)
    )


def test_spherical_clusters_are_a_fixed_point_of_the_cosine() -> None:
    points = unit_rows(np.random.default_rng(1).normal(size=(300, 4)).astype(np.float32))
    found = kmeans(points, 6, SETTINGS, np.random.default_rng(0), spherical=True)
    assert np.linalg.norm(found.centroids, axis=1) == pytest.approx(np.ones(6), abs=1e-6)
    assert np.array_equal(found.labels, cosine_similarity(points, found.centroids).argmax(axis=1))
    for cluster in range(6):
        mean = points[found.labels == cluster].astype(np.float64).mean(axis=0)
        assert found.centroids[cluster] == pytest.approx(mean / np.linalg.norm(mean), abs=1e-5)


def test_rows_of_any_magnitude_become_unit_vectors_and_zero_stays_zero() -> None:
    rows = np.array([[3, 4], [3e30, 4e30], [3e-30, 4e-30], [0, 0]], dtype=np.float32)
    assert unit_rows(rows) == pytest.approx(np.array([[0.6, 0.8]] * 3 + [[0, 0]]), abs=1e-6)
