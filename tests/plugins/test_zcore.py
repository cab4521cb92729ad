"""ZCore against its described loop, draw by draw."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.stats import kstest, triang

from prunebench_clusters.zcore import draw_points, triangular
from unlabelled_problems import score


def slow_zcore(features: NDArray[np.float32], n_draws: int, k: int, exponent: int, seed: int) -> NDArray[np.float64]:
    """The description, draw by draw: sort all distances, with the same random numbers."""
    rng = np.random.default_rng(seed)
    start = rng.random(len(features))
    shuffled = rng.permutation(len(features))
    points = features[shuffled].astype(np.float64)
    scores = np.zeros(len(points))
    draws = draw_points(np.ascontiguousarray(features[shuffled].T), n_draws, rng)
    for plane, target in zip(draws.dimensions, draws.points, strict=True):
        flat = points[:, plane]
        hit = int(np.abs(flat - target).sum(axis=1).argmin())
        scores[hit] += 1
        distance = np.abs(flat - flat[hit]).sum(axis=1)
        distance[hit] = np.inf
        limit = np.sort(distance)[min(k, len(points) - 1) - 1]
        if distance.min() == 0:
            weights = (distance == 0).astype(float)
        else:
            weights = np.where(distance <= limit, distance, np.inf) ** -float(exponent)
        scores -= weights / weights.sum()
    total = start
    total[shuffled] += scores
    return (total - total.min()) / (total.max() - total.min())


@pytest.mark.parametrize(
    ("n", "d", "k", "exponent"),
    [(60, 5, 10, 4), (60, 5, 1, 4), (60, 5, 1000, 4), (700, 3, 40, 2), (1500, 30, 300, 4)],
)
def test_zcore_is_the_described_loop(n: int, d: int, k: int, exponent: int) -> None:
    features = np.random.default_rng(d).gamma(1.0, size=(n, d)).astype(np.float32)
    values = score("zcore", features, draws=800, neighbours=k, exponent=exponent, seed=6)
    assert values == pytest.approx(slow_zcore(features, 800, k, exponent, 6), abs=1e-9)


@pytest.mark.parametrize("levels", [2, 4, 20])
def test_zcore_is_the_described_loop_where_distances_tie(levels: int) -> None:
    features = np.random.default_rng(levels).integers(0, levels, (300, 4)).astype(np.float32)
    values = score("zcore", features, draws=400, neighbours=25, seed=6)
    assert values == pytest.approx(slow_zcore(features, 400, 25, 4, 6), abs=1e-9)


def test_zcore_does_not_depend_on_the_number_of_threads() -> None:
    features = np.random.default_rng(0).normal(size=(500, 6)).astype(np.float32)
    one, four = (score("zcore", features, draws=5000, threads=threads) for threads in (1, 4))
    assert one.tobytes() == four.tobytes()


def test_of_two_copies_in_zcore_one_is_covered_and_the_other_redundant() -> None:
    generator = np.random.default_rng(3)
    features = generator.random((200, 4)).astype(np.float32)
    features[17] = features[120] = 5.0
    values = score("zcore", features, draws=20_000, neighbours=20)
    redundant, covered = sorted((17, 120), key=values.__getitem__)
    assert values.argmin() == redundant
    assert (values > values[covered]).sum() <= 4, "its place is as far from all others as that of the outermost"


def test_zcore_prefers_a_sparse_region_to_a_crowd() -> None:
    generator = np.random.default_rng(3)
    crowd, spread = generator.normal(0, 0.05, (300, 4)), generator.uniform(-3, 3, (100, 4))
    values = score("zcore", np.concatenate([crowd, spread]).astype(np.float32), draws=20_000, neighbours=20)
    assert np.median(values[300:]) > np.median(values[:300])


def test_draws_are_triangular_in_uniform_planes() -> None:
    columns = np.random.default_rng(0).gamma(2.0, size=(4, 500)).astype(np.float32)
    draws = draw_points(columns, 12_000, np.random.default_rng(1))
    assert (draws.dimensions[:, 0] < draws.dimensions[:, 1]).all()
    planes, counts = np.unique(draws.dimensions, axis=0, return_counts=True)
    assert len(planes) == 6
    assert counts.min() > 1800
    low, high, middle = (
        columns.min(axis=1),
        columns.max(axis=1),
        np.median(columns.astype(np.float64), axis=1),
    )
    for axis in range(2):
        for dimension in range(4):
            values = draws.points[draws.dimensions[:, axis] == dimension, axis]
            width = high[dimension] - low[dimension]
            law = triang((middle[dimension] - low[dimension]) / width, low[dimension], width)
            assert len(values) == 0 or kstest(values, law.cdf).pvalue > 0.001


def test_the_quantiles_of_a_triangle_are_those_of_scipy_and_a_point_is_itself() -> None:
    uniform = np.linspace(0, 1, 50)
    low, high = np.full(50, -2.0), np.full(50, 5.0)
    for mode in (-2.0, 0.5, 5.0):
        expected = triang((mode + 2) / 7, -2, 7).ppf(uniform)
        assert triangular(uniform, low, np.full(50, mode), high) == pytest.approx(expected, abs=1e-9)
    assert (triangular(uniform, high, high, high) == 5).all()


def test_a_random_start_is_an_option() -> None:
    features = np.random.default_rng(0).normal(size=(50, 3)).astype(np.float32)
    assert len(np.unique(score("zcore", features, draws=1, neighbours=1))) == 50
    assert len(np.unique(score("zcore", features, draws=1, neighbours=1, random_start=False))) == 3
