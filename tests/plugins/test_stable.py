"""Stable TopoCore against brute force, gudhi and closed forms, and what it promises against noise."""

from __future__ import annotations

from typing import Any

import gudhi
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.sparse import csr_matrix
from scipy.sparse.csgraph import connected_components
from scipy.spatial.distance import cdist
from scipy.stats import spearmanr

import prunebench_stable
from prunebench import DataError, ScoreContext, Scores
from prunebench_stable.merge import merge_heights
from prunebench_stable.metric import distances, placement
from prunebench_stable.score import score

SPEC = next(iter(prunebench_stable.prunebench_scorers()))


def run(features: Any, labels: Any, seed: int = 0, logits: Any = None, **params: Any) -> Scores:
    features, labels = np.asarray(features), np.asarray(labels, dtype=np.int64)
    n_classes = int(labels.max()) + 1
    logits = np.eye(n_classes, dtype=np.float32)[labels] if logits is None else logits
    for array in (features, labels, logits):
        array.setflags(write=False)
    return score(
        ScoreContext(
            params=SPEC.resolve_params(params),
            seed=seed,
            n=len(labels),
            n_classes=n_classes,
            scorer=SPEC.name,
            evidence={"features": features, "labels": labels, "logits": logits},
        )
    )


def blobs(n: int = 240, d: int = 8, classes: int = 3) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    generator = np.random.default_rng(3)
    labels = np.arange(n) % classes
    return (generator.normal(size=(n, d)) + 4 * np.eye(d)[labels]).astype(np.float32), labels


def cloud(m: int, seed: int) -> NDArray[np.float64]:
    return np.random.default_rng(seed).normal(size=(m, 3))


def placed(points: NDArray[np.float64], metric: str) -> NDArray[np.float64]:
    members = np.arange(len(points))
    return placement(points, members, [members], metric, 0.2)(members)


def brute_force(matrix: NDArray[np.float64], bulk: int) -> NDArray[np.float64]:
    """Raise the threshold through every distance and count components each time."""
    heights = np.full(len(matrix), -1.0)
    for level in np.unique(matrix[np.triu_indices(len(matrix), 1)]):
        _, component = connected_components(csr_matrix(matrix <= level), directed=False)
        big = np.bincount(component)[component] >= bulk
        heights[big & (heights < 0)] = level
    return heights


@settings(max_examples=25, deadline=None)
@given(st.integers(2, 24), st.integers(2, 24), st.integers(0, 10_000))
def test_heights_are_those_of_a_sweep_over_all_thresholds(m: int, bulk: int, seed: int) -> None:
    matrix = distances(cloud(m, seed), "euclidean")
    bulk = min(bulk, m)
    assert merge_heights(matrix, bulk) == pytest.approx(brute_force(matrix, bulk), abs=1e-7)


@settings(max_examples=20, deadline=None)
@given(st.integers(2, 12), st.integers(0, 10_000))
def test_heights_survive_ties_of_a_lattice(side: int, seed: int) -> None:
    points = np.random.default_rng(seed).integers(0, 3, (side, 2)).astype(np.float64)
    matrix = distances(points, "euclidean")
    bulk = min(3, side)
    assert merge_heights(matrix, bulk) == pytest.approx(brute_force(matrix, bulk), abs=1e-7)


def test_a_bulk_of_two_is_the_distance_to_the_nearest_sample() -> None:
    matrix = distances(cloud(30, 1), "euclidean")
    nearest = np.where(np.eye(30, dtype=bool), np.inf, matrix).min(axis=1)
    assert merge_heights(matrix, 2) == pytest.approx(nearest)


def test_a_bulk_of_all_is_the_last_death_of_the_diagram() -> None:
    points = cloud(30, 2)
    tree = gudhi.RipsComplex(points=points).create_simplex_tree(max_dimension=1)
    tree.compute_persistence(homology_coeff_field=2, persistence_dim_max=True)
    deaths = [death for _, death in tree.persistence_intervals_in_dimension(0) if np.isfinite(death)]
    assert merge_heights(distances(points, "euclidean"), 30) == pytest.approx(np.full(30, max(deaths)), rel=1e-5)


def test_a_single_sample_has_height_zero() -> None:
    assert merge_heights(np.zeros((1, 1)), 2).tolist() == [0.0]


@pytest.mark.parametrize("metric", ["cosine", "euclidean"])
def test_distances_are_those_of_scipy(metric: str) -> None:
    points = placed(cloud(20, 4), metric)
    assert distances(points, metric) == pytest.approx(cdist(points, points, metric), abs=1e-12)


def test_close_samples_far_from_the_origin_keep_their_distance() -> None:
    points = np.array([[1e6, 0.0], [1e6, 0.01], [1e6 + 100.0, 0.0], [1e6, 0.0]])
    found = distances(placed(points, "euclidean"), "euclidean")
    assert found[0] == pytest.approx([0.0, 0.01, 100.0, 0.0])
    narrow = placed(points, "cosine")
    assert distances(narrow, "cosine")[0, 1] == pytest.approx(0.5e-16, rel=1e-6)  # half the square of an angle of 1e-8


@pytest.mark.parametrize("metric", ["whitened", "centred", "cosine", "euclidean"])
def test_the_order_of_the_file_the_scale_and_the_origin_change_nothing(metric: str) -> None:
    features, labels = blobs(150)
    features[30:60] = features[:30]  # copies, and all of them in the class of their originals
    shuffle = np.random.default_rng(0).permutation(150)
    expected = run(features, labels, metric=metric).values
    assert run(features[shuffle], labels[shuffle], metric=metric).values.tobytes() == expected[shuffle].tobytes()
    np.testing.assert_array_equal(expected[30:60], expected[:30])
    for factor in (1e-30, 1e19, 1e30):
        scaled = run(features * np.float32(factor), labels, metric=metric).values
        assert spearmanr(scaled, expected).statistic > 0.999, factor
    if metric != "cosine":
        assert spearmanr(run(features + np.float64(1e5), labels, metric=metric).values, expected).statistic > 0.999


def test_a_class_that_only_rounding_spreads_is_all_alike() -> None:
    features, labels = np.full((60, 5), 0.1, dtype=np.float32), np.zeros(60, dtype=np.int64)
    for metric in ("whitened", "centred", "cosine", "euclidean"):
        assert run(features, labels, metric=metric).values.tolist() == [1.0] * 60, metric


def test_whitening_makes_the_within_class_covariance_a_multiple_of_the_identity() -> None:
    features, labels = blobs(600)
    mixed = features @ np.diag([1, 2, 4, 8, 1, 1, 0.5, 3]).astype(np.float32)
    from prunebench_stable.metric import _whitening

    centred = mixed.astype(np.float64) - mixed.mean(axis=0)
    white = centred @ _whitening(centred, np.zeros(8), [np.flatnonzero(labels == c) for c in range(3)], 0.0)
    within = sum(np.cov(white[labels == c].T, bias=True) * (labels == c).sum() for c in range(3)) / 600
    assert within / within[0, 0] == pytest.approx(np.eye(8), abs=1e-4)


def test_the_whitened_score_does_not_depend_on_the_scale_of_a_feature() -> None:
    features, labels = blobs()
    stretched = features * np.float32([1, 8, 1, 1, 0.2, 1, 1, 1])
    one, other = (run(x, labels, shrinkage=0.0).values for x in (features, stretched))
    assert spearmanr(one, other).statistic > 0.999
    assert spearmanr(*(run(x, labels, metric="cosine").values for x in (features, stretched))).statistic < 0.9


def test_the_score_of_one_cloud_is_minus_the_rank_of_the_height() -> None:
    features, labels = blobs(60, classes=1)
    found = run(features, labels, metric="euclidean", cloud_size=60, repeats=1, bulk=0.1).values
    heights = merge_heights(distances(features, "euclidean"), 6)
    assert spearmanr(found, -heights).statistic == pytest.approx(1.0)
    fringe = run(features, labels, metric="euclidean", cloud_size=60, repeats=1, bulk=0.1, prefer="fringe").values
    assert fringe == pytest.approx(1.0 - found)


def test_a_planted_outlier_of_each_class_comes_last() -> None:
    features, labels = blobs()
    features[:3] = -features[:3] * 3
    for metric in ("whitened", "centred", "euclidean"):
        values = run(features, labels, metric=metric).values
        for label in range(3):
            assert values[labels == label].argmin() == 0, metric


def test_two_seeds_agree_and_more_repeats_agree_better() -> None:
    features, labels = blobs(600)
    agreement = {
        repeats: spearmanr(*(run(features, labels, seed, repeats=repeats).values for seed in (0, 1))).statistic
        for repeats in (1, 20)
    }
    assert agreement[20] > 0.95
    assert agreement[1] < agreement[20]
    assert run(features, labels).values.tobytes() == run(features, labels).values.tobytes()


def test_misclassified_samples_are_excluded_and_return_by_loss() -> None:
    features, labels = blobs(12)
    logits = (4 * np.eye(3)[labels]).astype(np.float32)
    logits[0], logits[1] = [0, 5, 0], [1, 0, 0]
    found = run(features, labels, logits=logits)
    assert found.excluded is not None
    assert found.refill is not None
    assert np.flatnonzero(found.excluded).tolist() == [0, 1]
    assert found.refill[1] > found.refill[0]
    unfiltered = run(features, labels, logits=logits, filter_misclassified=False).excluded
    assert unfiltered is not None
    assert not unfiltered.any()


@pytest.mark.parametrize(
    "features",
    [
        np.zeros((1, 4), np.float32),
        np.ones((7, 4), np.float32),
        np.zeros((5, 1), np.float32),
        np.repeat(np.eye(3, dtype=np.float32), 5, axis=0),
        np.linspace(0, 1, 9, dtype=np.float32)[:, None] * np.ones((1, 3), np.float32),
        np.random.default_rng(0).normal(size=(40, 64)).astype(np.float16),
        np.random.default_rng(0).normal(size=(12, 8)).astype(np.float32)[:, ::2],
    ],
    ids=["one sample", "constant", "zero", "duplicates", "collinear", "float16, more features than samples", "strided"],
)
@pytest.mark.parametrize("metric", ["whitened", "centred", "cosine", "euclidean"])
def test_degenerate_features_give_finite_scores(features: NDArray[np.float32], metric: str) -> None:
    for classes in (1, 3):
        labels = np.arange(len(features)) % classes
        values = run(features, labels, metric=metric).values
        assert np.isfinite(values).all()
        assert ((values >= 0) & (values <= 1)).all()


def test_features_that_are_not_finite_are_named() -> None:
    features, labels = blobs(12)
    features[3, 2] = np.nan
    with pytest.raises(DataError, match="1 samples"):
        run(features, labels)


def test_the_global_random_state_is_left_alone() -> None:
    before = np.random.get_state()[1].copy()  # noqa: NPY002
    run(*blobs(30))
    assert (before == np.random.get_state()[1]).all()  # noqa: NPY002
