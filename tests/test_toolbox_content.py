"""Orders that follow from content and seed, distances that keep their digits, and scales that can be squared."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.distance import cdist

from prunebench.toolbox import content_order, squared_distances, within_range


def order_of(seed: int, *evidence: np.ndarray) -> list[int]:
    return [int(i) for i in content_order(np.random.default_rng(seed), *evidence)]


@given(st.integers(0, 1000), st.integers(2, 40), st.integers(1, 5))
def test_the_order_moves_with_the_samples(seed: int, n: int, d: int) -> None:
    generator = np.random.default_rng([seed, n])
    features, codes = generator.normal(size=(n, d)).astype(np.float32), generator.integers(0, 5, n)
    moved = generator.permutation(n)
    again = order_of(seed, features[moved], codes[moved])
    assert moved[again].tolist() == order_of(seed, features, codes)


def test_seeds_give_different_orders_in_which_every_sample_comes_first_alike_often() -> None:
    features = np.eye(8, dtype=np.float32)
    firsts = np.bincount([order_of(seed, features)[0] for seed in range(400)], minlength=8)
    assert firsts.min() > 25


def test_samples_that_are_alike_lie_side_by_side_in_an_order_of_their_own() -> None:
    features = np.repeat(np.arange(5, dtype=np.float32), 4)[:, None]
    orders = [order_of(seed, features) for seed in range(20)]
    assert all(len(set(order[start : start + 4])) == 4 for order in orders for start in range(0, 20, 4))
    assert all(len({i // 4 for i in order[start : start + 4]}) == 1 for order in orders for start in range(0, 20, 4))
    assert len({tuple(i % 4 for i in order[:4]) for order in orders}) > 5


@pytest.mark.parametrize(
    "change",
    [
        lambda x: x.astype(np.float64),
        np.asfortranarray,
        lambda x: np.ldexp(x, 60),
        lambda x: np.ldexp(x, -60),
        lambda x: np.where(x == 0, np.float32(-0.0), x),
    ],
    ids=["double", "by column", "large", "small", "minus zero"],
)
def test_what_is_the_same_number_gives_the_same_order(change: object) -> None:
    features = np.random.default_rng(0).normal(size=(50, 3)).astype(np.float32)
    features[::3] = np.round(features[::3])
    assert callable(change)
    assert order_of(4, change(features)) == order_of(4, features)


@pytest.mark.parametrize("offset", [0.0, 1e3, 1e6])
@pytest.mark.parametrize("width", [1e-5, 1e-2, 1.0])
def test_distances_keep_their_digits_far_from_the_origin_and_in_clusters_far_apart(offset: float, width: float) -> None:
    generator = np.random.default_rng(0)
    centres = 100 * generator.normal(size=(3, 6))[np.arange(60) % 3]
    points = centres + width * generator.uniform(size=(60, 6)) + offset
    exact = cdist(points, points[:40], "sqeuclidean")
    found = squared_distances(points, points[:40])
    # what the offset leaves of the points themselves, and six digits of the rest
    assert np.sqrt(found) == pytest.approx(np.sqrt(exact), rel=1e-6, abs=1e-14 * max(offset, 100))
    assert (np.diag(found[:40]) == 0).all()


def test_distances_of_values_whose_squares_leave_single_precision() -> None:
    points = (np.random.default_rng(0).normal(size=(20, 3)) * 1e19).astype(np.float32)
    assert squared_distances(points, points) == pytest.approx(cdist(points, points, "sqeuclidean"), rel=1e-6)


def test_values_come_within_range_by_a_power_of_two_or_stay_as_they_are() -> None:
    values = np.array([[1.0, -3.0], [0.5, 1000.0]], dtype=np.float32)
    assert within_range(values) is values
    for exponent in (60, -60):
        far = np.ldexp(values, exponent)
        near = within_range(far)
        assert 0.5 <= np.abs(near).max() < 1
        assert np.array_equal(near / values, np.full((2, 2), near[0, 0]))
    zeros = np.zeros((2, 2), dtype=np.float32)
    assert within_range(zeros) is zeros
