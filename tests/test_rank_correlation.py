"""Rank correlation, its bootstrap and its noise ceiling against scipy and enumeration."""

from __future__ import annotations

import itertools
import math
import statistics

import numpy as np
import pytest
import scipy.stats
from hypothesis import given, settings

from prunebench import stats
from rankings import varied, vectors


@given(vectors())
@settings(deadline=None)
def test_tau_b_equals_scipy(pair: tuple[list[float], list[float]]) -> None:
    a, b = pair
    found = float(stats.rank_statistic(np.array(a), np.array(b), "tau"))
    if varied(a, b):
        assert found == pytest.approx(scipy.stats.kendalltau(a, b).statistic, abs=1e-12)
    else:
        assert math.isnan(found)


@given(vectors())
@settings(deadline=None)
def test_spearman_equals_scipy(pair: tuple[list[float], list[float]]) -> None:
    a, b = pair
    found = float(stats.rank_statistic(np.array(a), np.array(b), "rho"))
    if varied(a, b):
        assert found == pytest.approx(scipy.stats.spearmanr(a, b).statistic, abs=1e-12)
    else:
        assert math.isnan(found)


def test_rank_statistics_work_on_whole_batches() -> None:
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(7, 9)), rng.normal(size=(7, 9))
    found = stats.rank_statistic(a, b, "tau")
    assert found == pytest.approx([scipy.stats.kendalltau(x, y).statistic for x, y in zip(a, b, strict=True)])


def test_the_bootstrap_over_few_seeds_is_the_enumeration_of_all_resamples() -> None:
    rng = np.random.default_rng(1)
    truth = np.linspace(0.6, 0.7, 8)[:, None]
    a, b = truth + rng.normal(0, 0.02, (8, 3)), truth + rng.normal(0, 0.02, (8, 3))
    taus = sorted(
        scipy.stats.kendalltau(a[:, draw].mean(axis=1), b[:, draw].mean(axis=1)).statistic
        for draw in (list(seeds) for seeds in itertools.product(range(3), repeat=3))
    )
    low = taus[math.ceil(0.025 * 27 - 1e-9) - 1]
    high = taus[math.ceil(0.975 * 27 - 1e-9) - 1]
    assert stats.bootstrap_interval(a, b, "tau") == (pytest.approx(low), pytest.approx(high))


def test_the_sampled_bootstrap_of_many_seeds_is_repeatable() -> None:
    rng = np.random.default_rng(2)
    a, b = rng.normal(size=(6, 9)), rng.normal(size=(6, 9))
    first = stats.bootstrap_interval(a, b, "rho")
    assert first is not None
    assert first == stats.bootstrap_interval(a, b, "rho")
    assert -1 <= first[0] < first[1] <= 1


def test_the_ceiling_is_the_mean_over_all_splits_into_halves() -> None:
    rng = np.random.default_rng(3)
    values = np.linspace(0.6, 0.7, 6)[:, None] + rng.normal(0, 0.03, (6, 4))
    taus = []
    for half in itertools.combinations(range(4), 2):
        rest = [seed for seed in range(4) if seed not in half]
        first, second = values[:, half].mean(axis=1), values[:, rest].mean(axis=1)
        taus.append(scipy.stats.kendalltau(first, second).statistic)
    assert stats.noise_ceiling(values) == pytest.approx(statistics.mean(taus), abs=1e-12)


def test_an_odd_number_of_seeds_splits_into_unequal_halves() -> None:
    rng = np.random.default_rng(4)
    values = rng.normal(size=(7, 3))
    taus = [
        scipy.stats.kendalltau(values[:, one], np.delete(values, one, axis=1).mean(axis=1)).statistic
        for one in range(3)
    ]
    assert stats.noise_ceiling(values) == pytest.approx(statistics.mean(taus), abs=1e-12)


def test_without_noise_the_ceiling_is_one_and_many_seeds_are_sampled() -> None:
    values = np.repeat(np.arange(6.0)[:, None], 14, axis=1)
    assert stats.noise_ceiling(values) == pytest.approx(1.0)
    assert stats.noise_ceiling(values[:, :1]) is None
    assert stats.noise_ceiling(np.ones((6, 4))) is None


def test_noise_puts_the_ceiling_of_identical_rankings_below_one_and_the_ratio_near_one() -> None:
    rng = np.random.default_rng(5)
    ceilings, taus, ratios = [], [], []
    for _ in range(40):
        truth = rng.normal(0.8, 0.006, 12)[:, None]
        a, b = (truth + rng.normal(0, 0.004, (12, 4)) for _ in range(2))
        found = stats.rank_agreement(a, b, "tau")
        assert found.value is not None
        assert found.ceiling_a is not None
        assert found.ratio is not None
        ceilings.append(found.ceiling_a)
        taus.append(found.value)
        ratios.append(found.ratio)
    assert 0.5 < statistics.mean(ceilings) < 0.9
    assert statistics.mean(taus) < 0.95  # a naive reader would call this disagreement
    assert 0.95 < statistics.mean(ratios) < 1.35


def test_different_rankings_stay_below_their_ceiling() -> None:
    rng = np.random.default_rng(6)
    a = rng.normal(0.8, 0.02, 12)[:, None] + rng.normal(0, 0.002, (12, 5))
    b = rng.normal(0.8, 0.02, 12)[:, None] + rng.normal(0, 0.002, (12, 5))
    found = stats.rank_agreement(a, b, "rho")
    assert found.ratio is not None
    assert found.ratio < 0.7
    assert (found.n_methods, found.n_seeds, found.reason) == (12, 5, "")


@pytest.mark.parametrize(("methods", "seeds"), [(4, 5), (5, 1), (0, 0), (1, 1)])
def test_too_few_methods_or_seeds_are_refused(methods: int, seeds: int) -> None:
    values = np.random.default_rng(0).normal(size=(methods, seeds))
    found = stats.rank_agreement(values, values, "tau")
    assert found.value is None
    assert found.ratio is None
    assert found.reason.startswith("insufficient: ")


def test_five_methods_and_two_seeds_are_enough() -> None:
    values = np.random.default_rng(0).normal(size=(5, 2))
    assert stats.rank_agreement(values, values, "tau").value == pytest.approx(1.0)


def test_equal_accuracies_everywhere_have_no_correlation() -> None:
    found = stats.rank_agreement(np.full((6, 3), 0.5), np.full((6, 3), 0.5), "tau")
    assert found.value is None
    assert found.reason == "all methods have the same accuracy"


def test_a_ratio_to_a_ceiling_of_noise_is_not_given() -> None:
    assert stats.ratio_to_ceiling(0.05, 0.09, 0.9) is None
    assert stats.ratio_to_ceiling(0.5, None, 0.9) is None
    assert stats.ratio_to_ceiling(0.3, 0.25, 1.0) == pytest.approx(0.6)
