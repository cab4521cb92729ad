"""Rank correlation, its interval and its noise ceiling against scipy and planted truth."""

from __future__ import annotations

import math
import statistics

import numpy as np
import pytest
import scipy.stats
from hypothesis import given, settings

from prunebench import stats
from prunebench.stats.moderated import Floats
from prunebench.stats.rank_agreement import ceilings_and_ratio, lengthened
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


def architectures(rng: np.random.Generator, tau: float, methods: int, seeds: int) -> tuple[Floats, Floats, float]:
    """Return accuracies on two architectures and tau between their true means, the nearest to `tau` of 30 draws."""
    rho = math.sin(math.pi / 2 * tau)
    one, noise = rng.normal(size=(30, methods)), rng.normal(size=(30, methods))
    two = rho * one + (math.sqrt(1 - rho**2) * noise if tau < 1 else 0 * noise)
    true = stats.rank_statistic(one, two, "tau")
    best = int(np.argmin(np.abs(true - tau)))
    spread = 0.4 * np.exp(0.5 * rng.normal(size=(methods, 1)))
    a = one[best][:, None] + spread * rng.normal(size=(methods, seeds))
    b = two[best][:, None] + spread * rng.normal(size=(methods, seeds))
    return a, b, float(true[best])


@pytest.mark.parametrize("seeds", [3, 5])
@pytest.mark.parametrize("tau", [1.0, 0.8, 0.4])
def test_the_interval_covers_the_agreement_of_the_true_means_and_the_ratio_is_near_it(tau: float, seeds: int) -> None:
    rng = np.random.default_rng(5)
    inside, errors, tables = 0, [], 60
    for _ in range(tables):
        a, b, true = architectures(rng, tau, 9, seeds)
        found = stats.rank_agreement(a, b, "tau")
        assert found.value is not None
        assert found.low is not None
        assert found.high is not None
        assert found.low <= found.value <= found.high
        inside += found.low - 1e-9 <= true <= found.high + 1e-9
        errors += [found.ratio - true] if found.ratio is not None else []
    assert inside >= 0.85 * tables  # 92.5 % less two and a half standard errors
    assert abs(statistics.mean(errors)) < 0.15


def test_the_ceiling_for_all_seeds_is_what_two_runs_with_that_many_seeds_agree_by() -> None:
    rng = np.random.default_rng(6)
    for seeds in (2, 3, 4, 5):
        ceilings, runs = [], []
        for _ in range(60):
            truth = rng.normal(size=(40, 1))
            a, b = (truth + 0.8 * rng.normal(size=(40, seeds)) for _ in range(2))
            ceilings.append(ceilings_and_ratio(a, b, "tau")[0] or 0.0)
            runs.append(float(stats.rank_statistic(a.mean(axis=1), b.mean(axis=1), "tau")))
        assert statistics.mean(ceilings) == pytest.approx(statistics.mean(runs), abs=0.03)


def test_equal_halves_are_lengthened_by_spearman_brown() -> None:
    assert lengthened(0.6, 4) == pytest.approx(2 * 0.6 / 1.6)
    signal, noise = 1.0, 0.7
    unequal = signal / math.sqrt((signal + noise / 1) * (signal + noise / 2))
    assert lengthened(unequal, 3) == pytest.approx(signal / (signal + noise / 3))


def test_without_noise_value_ceiling_and_ratio_are_exact() -> None:
    truth = np.arange(8.0)
    a = np.repeat(truth[:, None], 14, axis=1)
    b = np.repeat(np.roll(truth, 1)[:, None], 14, axis=1)
    found = stats.rank_agreement(a, b, "tau")
    expected = scipy.stats.kendalltau(truth, np.roll(truth, 1)).statistic
    assert (found.value, found.ratio) == (pytest.approx(expected), pytest.approx(expected))
    assert (found.ceiling_a, found.ceiling_b, found.ceiling) == (pytest.approx(1), pytest.approx(1), pytest.approx(1))
    assert found.low is not None
    assert found.low <= expected


def test_an_agreement_is_repeatable_and_blind_to_the_order_of_methods() -> None:
    a, b, _ = architectures(np.random.default_rng(2), 0.8, 7, 3)
    first = stats.rank_agreement(a, b, "rho")
    assert first == stats.rank_agreement(a, b, "rho")
    turned = stats.rank_agreement(a[::-1], b[::-1], "rho")
    assert (turned.low, turned.high) == (pytest.approx(first.low), pytest.approx(first.high))
    assert turned.ratio == pytest.approx(first.ratio)


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
    rng = np.random.default_rng(0)
    noise = rng.permuted(np.tile([0.0, 1.0, 10.0 + 1e-6], (9, 1)), axis=1) + 1e-6 * rng.normal(size=(9, 3))
    found = stats.rank_agreement(rng.normal(size=(9, 3)), noise, "tau")
    assert found.value is not None
    assert found.ratio is None
    assert "halves" in found.reason
