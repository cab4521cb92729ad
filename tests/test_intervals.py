"""Intervals, paired differences and shared ranks against closed forms and simulation."""

from __future__ import annotations

import math
import statistics

import numpy as np
import pytest
import scipy.stats

from prunebench import stats
from prunebench.errors import DataError


def test_the_mean_interval_is_students_t() -> None:
    values = [0.81, 0.83, 0.80, 0.86, 0.82]
    found = stats.mean_interval(values)
    low, high = scipy.stats.t.interval(0.95, 4, statistics.mean(values), scipy.stats.sem(values))
    assert found.mean == pytest.approx(statistics.mean(values), abs=1e-15)
    assert (found.low, found.high) == (pytest.approx(low, abs=1e-12), pytest.approx(high, abs=1e-12))
    assert found.half_width == pytest.approx((high - low) / 2, abs=1e-12)


def test_two_seeds_give_an_interval_of_12_7_standard_errors() -> None:
    found = stats.mean_interval([0.50, 0.52])
    assert found.half_width == pytest.approx(12.7062047 * 0.01, rel=1e-7)


def test_one_seed_has_a_mean_and_no_interval() -> None:
    found = stats.mean_interval([0.5])
    assert found == stats.Interval(0.5, None, None, 1)
    assert found.half_width is None
    assert not found.excludes_zero


def test_no_seed_at_all_is_an_error() -> None:
    with pytest.raises(DataError):
        stats.mean_interval([])


@pytest.mark.parametrize("n", [2, 3, 5])
def test_the_interval_covers_the_truth_as_often_as_it_says(n: int) -> None:
    rng = np.random.default_rng(7)
    drawn = rng.normal(0.7, 0.01, size=(3000, n))
    inside = 0
    for values in drawn.tolist():
        found = stats.mean_interval(values)
        assert found.low is not None
        assert found.high is not None
        inside += found.low <= 0.7 <= found.high
    assert 0.935 < inside / len(drawn) < 0.965


def test_the_paired_difference_removes_the_noise_of_the_shared_seed() -> None:
    baseline = {0: 0.70, 1: 0.75, 2: 0.80}
    method = {0: 0.71, 1: 0.77, 2: 0.83}
    found = stats.paired_difference(method, baseline)
    assert found is not None
    # Differences .01, .02, .03: mean .02, standard error .01/sqrt(3), t(2) = 4.30265.
    assert found.mean == pytest.approx(0.02, abs=1e-12)
    assert found.low == pytest.approx(0.02 - 4.30265273 * 0.01 / math.sqrt(3), abs=1e-9)
    assert stats.mean_interval(list(method.values())).half_width > 10 * 0.01 / math.sqrt(3)  # type: ignore[operator]


def test_the_paired_difference_uses_only_shared_seeds() -> None:
    found = stats.paired_difference({0: 0.7, 1: 0.8, 5: 0.1}, {0: 0.6, 1: 0.7, 9: 0.9})
    assert found is not None
    assert (found.n, found.mean) == (2, pytest.approx(0.1))
    assert stats.paired_difference({0: 0.7}, {1: 0.7}) is None


def test_an_exactly_equal_method_has_no_gain() -> None:
    found = stats.paired_difference({0: 0.1 + 0.2, 1: 0.5}, {0: 0.3, 1: 0.5})
    assert found == stats.Interval(0.0, 0.0, 0.0, 2)
    assert not found.excludes_zero


def test_methods_that_seeds_cannot_tell_apart_share_a_rank() -> None:
    ranks = stats.tie_groups(
        {
            "best": {0: 0.90, 1: 0.91, 2: 0.92},
            "as_good": {0: 0.91, 1: 0.90, 2: 0.915},
            "worse": {0: 0.80, 1: 0.81, 2: 0.82},
            "worse_too": {0: 0.81, 1: 0.80, 2: 0.815},
            "worst": {0: 0.10, 1: 0.11, 2: 0.12},
        }
    )
    assert ranks == {"best": 1, "as_good": 1, "worse": 3, "worse_too": 3, "worst": 5}


def test_identical_methods_share_a_rank_whatever_their_name() -> None:
    same = {0: 0.7, 1: 0.8}
    assert stats.tie_groups({"b": same, "a": dict(same), "c": {0: 0.6, 1: 0.7}}) == {"a": 1, "b": 1, "c": 3}


def test_one_seed_gives_no_ranks() -> None:
    assert stats.tie_groups({"a": {0: 0.9}, "b": {0: 0.1}}) == {}
