"""Distance to the nearest prototype against scikit-learn."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics.pairwise import cosine_distances

from prunebench_clusters.kmeans import kmeans, unit_rows
from unlabelled_problems import SETTINGS, blobs, score


@pytest.mark.parametrize("spherical", [False, True])
def test_the_prototype_score_is_the_cosine_distance_to_the_nearest_centroid(spherical: bool) -> None:
    features = np.random.default_rng(0).normal(size=(150, 5)).astype(np.float32)
    values = score("ssl-prototypes", features, clusters=8, spherical=spherical, seed=3)
    points = unit_rows(features) if spherical else features
    found = kmeans(points, 8, SETTINGS, np.random.default_rng(3), spherical=spherical)
    assert values == pytest.approx(cosine_distances(features, found.centroids).min(axis=1), abs=1e-6)
    near = score("ssl-prototypes", features, clusters=8, spherical=spherical, seed=3, prefer="near")
    assert (near == -values).all()


def test_there_are_as_many_prototypes_as_classes_unless_said_otherwise() -> None:
    features = np.random.default_rng(0).normal(size=(150, 5)).astype(np.float32)
    assert np.array_equal(
        score("ssl-prototypes", features, n_classes=8),
        score("ssl-prototypes", features, n_classes=2, clusters=8),
    )


def test_prototypes_of_separate_groups_are_their_means_in_any_order_of_the_file() -> None:
    features, group = blobs()
    moved = np.random.default_rng(1).permutation(len(features))
    straight = score("ssl-prototypes", features, n_init=5)
    means = np.stack([features[group == g].mean(axis=0) for g in range(3)])
    assert straight == pytest.approx(cosine_distances(features, means).min(axis=1), abs=1e-6)
    assert score("ssl-prototypes", features[moved], n_init=5) == pytest.approx(straight[moved], abs=1e-6)


def test_a_planted_outlier_is_the_farthest_from_the_prototypes() -> None:
    features, _ = blobs()
    features[40] *= -1
    assert score("ssl-prototypes", features, n_init=5).argmax() == 40
