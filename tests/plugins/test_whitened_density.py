"""The control of Stable TopoCore against all pairs, whitened by another factorisation."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.spatial.distance import cdist
from scipy.stats import rankdata

import prunebench_stable
from prunebench import DataError, ScoreContext, Scores
from prunebench_stable.control import density, mean_distances

SPEC = next(spec for spec in prunebench_stable.prunebench_scorers() if spec.name == "whitened-density")


def run(features: Any, labels: Any, logits: Any = None, **params: Any) -> Scores:
    labels = np.asarray(labels, dtype=np.int64)
    n_classes = int(labels.max()) + 1
    logits = np.eye(n_classes, dtype=np.float32)[labels] if logits is None else logits
    evidence = {"features": features, "labels": labels, "logits": logits}
    for array in evidence.values():
        array.setflags(write=False)
    return density(
        ScoreContext(
            params=SPEC.resolve_params(params), seed=0, n=len(labels), n_classes=n_classes, scorer=SPEC.name,
            evidence=evidence,
        )
    )  # fmt: skip


def blobs(n: int = 240, d: int = 8, classes: int = 3) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    generator = np.random.default_rng(3)
    labels = np.arange(n) % classes
    spread = generator.normal(size=(n, d)) @ generator.normal(size=(d, d))
    return (spread + 4 * np.eye(d)[labels]).astype(np.float32), labels


def brute_force(features: NDArray[np.float32], labels: NDArray[np.int64], k: int, shrinkage: float) -> list[float]:
    """Whiten by a Cholesky factor, and rank the mean over the k least of all cosine distances of the class."""
    centred = features.astype(np.float64) - features.astype(np.float64).mean(axis=0)
    d = centred.shape[1]
    within = sum(len(group) * np.cov(group.T, bias=True) for group in (centred[labels == c] for c in np.unique(labels)))
    shrunk = (1 - shrinkage) * within + shrinkage * np.trace(within) / d * np.eye(d)
    white = centred @ np.linalg.cholesky(np.linalg.inv(shrunk))
    scores = np.zeros(len(labels))
    for label in np.unique(labels):
        members = np.flatnonzero(labels == label)
        distance = cdist(white[members], white[members], "cosine")
        np.fill_diagonal(distance, np.inf)
        mean = np.sort(distance, axis=1)[:, :k].mean(axis=1)
        scores[members] = 1 - (rankdata(mean) - 1) / (len(members) - 1)
    return scores.tolist()


@pytest.mark.parametrize(("k", "shrinkage"), [(15, 0.2), (1, 0.2), (40, 0.0), (5, 1.0)])
def test_whitened_density_is_the_rank_of_the_mean_distance_over_all_pairs(k: int, shrinkage: float) -> None:
    features, labels = blobs()
    found = run(features, labels, k=k, shrinkage=shrinkage).values
    assert found == pytest.approx(brute_force(features, labels, k, shrinkage), abs=1e-12)


def test_the_order_of_the_file_the_scale_and_the_origin_change_nothing() -> None:
    features, labels = blobs(150)
    features[30:60] = features[:30]  # copies in the class of their originals
    shuffle = np.random.default_rng(0).permutation(150)
    expected = run(features, labels).values
    assert run(features[shuffle], labels[shuffle]).values.tobytes() == expected[shuffle].tobytes()
    np.testing.assert_array_equal(expected[30:60], expected[:30])
    for other in (features * np.float32(1e-30), features * np.float32(1e30), features + np.float64(1e5)):
        np.testing.assert_allclose(run(other, labels).values, expected, atol=0.03)


def test_copies_are_the_nearest_of_their_class() -> None:
    features, labels = blobs()
    features[[3, 6, 9]] = features[0]  # class 0
    found = run(features, labels, k=3).values
    assert np.flatnonzero(found == found[labels == 0].max()).tolist() == [0, 3, 6, 9]


def test_a_class_with_fewer_samples_than_neighbours_uses_those_it_has() -> None:
    points = np.eye(3)
    assert mean_distances(points, 15) == pytest.approx([1.0, 1.0, 1.0])
    assert mean_distances(points[:1], 15).tolist() == [0.0]
    features, labels = blobs(61)
    labels[-1] = 3
    assert run(features, labels).values[-1] == 1.0


def test_what_is_misclassified_is_left_out_and_returns_by_loss() -> None:
    features, labels = blobs(12)
    logits = (4 * np.eye(3)[labels]).astype(np.float32)
    logits[0], logits[1] = [0, 5, 0], [1, 0, 0]
    found = run(features, labels, logits)
    assert found.excluded is not None
    assert found.refill is not None
    assert np.flatnonzero(found.excluded).tolist() == [0, 1]
    assert found.refill[1] > found.refill[0]
    unfiltered = run(features, labels, logits, filter_misclassified=False).excluded
    assert unfiltered is not None
    assert not unfiltered.any()


def test_features_that_are_not_finite_are_counted() -> None:
    features, labels = blobs(12)
    features[3, 2] = np.nan
    with pytest.raises(DataError, match="1 samples"):
        run(features, labels)
