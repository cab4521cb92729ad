"""Moderated intervals, gains and ranks against closed forms, an independent estimator, and simulation."""

from __future__ import annotations

import itertools
import math
import statistics

import numpy as np
import pytest
import scipy.optimize
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st

from prunebench import stats
from prunebench.errors import DataError
from prunebench.stats.levels import TO_ALL_ALIKE, WANTED, levels
from prunebench.stats.moderated import holm, sample_variance, variance_prior
from prunebench.stats.spreads import half_widths, residual_variances, spread_posterior, tail, variance_draws

Table = dict[str, dict[int, float]]


def table_of(values: np.ndarray) -> Table:
    return {f"m{row:02}": dict(enumerate(numbers)) for row, numbers in enumerate(values.tolist())}


def test_a_table_of_fewer_than_five_methods_has_students_t() -> None:
    values = [0.81, 0.83, 0.80, 0.86, 0.82]
    found = stats.mean_intervals({"a": values})["a"]
    low, high = scipy.stats.t.interval(0.95, 4, statistics.mean(values), scipy.stats.sem(values))
    assert found.mean == pytest.approx(statistics.mean(values), abs=1e-15)
    assert (found.low, found.high) == (pytest.approx(low, abs=1e-12), pytest.approx(high, abs=1e-12))
    assert found.half_width == pytest.approx((high - low) / 2, abs=1e-12)


def test_one_observation_and_equal_observations_have_a_mean_and_no_interval() -> None:
    found = stats.mean_intervals({"one": [0.5], "equal": [0.1 + 0.2, 0.3, 0.3]})
    assert found["one"] == stats.Interval(0.5, None, None, 1)
    assert (found["equal"].low, found["equal"].half_width, found["equal"].n) == (None, None, 3)


def test_a_method_without_observations_is_an_error_that_names_it() -> None:
    with pytest.raises(DataError, match="nobody"):
        stats.mean_intervals({"nobody": []})


def test_the_prior_agrees_with_maximum_likelihood_of_the_scaled_f() -> None:
    rng = np.random.default_rng(0)
    d0, s0, d = 4.0, 0.02, np.repeat([2.0, 4.0], 2000)
    variances = s0**2 * d0 / rng.chisquare(d0, d.size) * rng.chisquare(d) / d

    def loss(x: np.ndarray) -> float:
        return -float(scipy.stats.f.logpdf(variances, d, math.exp(x[0]), scale=math.exp(x[1])).sum())

    best = scipy.optimize.minimize(loss, [1.0, -8.0], method="Nelder-Mead").x
    found = variance_prior(variances, d)
    assert found is not None
    assert found.df == pytest.approx(math.exp(best[0]), rel=0.15)
    assert found.variance == pytest.approx(math.exp(best[1]), rel=0.05)
    assert found.variance == pytest.approx(s0**2, rel=0.1)


def test_shrinkage_is_the_weighted_mean_of_the_prior_and_the_own_variance() -> None:
    rng = np.random.default_rng(1)
    table = {str(i): rng.normal(0.8, 0.01 * 1.3**i, 3 + i % 2).tolist() for i in range(9)} | {"same": [0.5] * 3}
    own = {name: sample_variance(row) for name, row in table.items()}
    df = {name: len(row) - 1.0 for name, row in table.items()}
    prior = variance_prior(np.array(list(own.values())), np.array(list(df.values())))
    assert prior is not None
    for name, found in stats.mean_intervals(table).items():
        total = prior.df + df[name]
        spread = math.sqrt((prior.df * prior.variance + df[name] * own[name]) / total)
        expected = scipy.stats.t.ppf(0.975, total) * spread / math.sqrt(df[name] + 1)
        assert found.half_width == pytest.approx(expected, rel=1e-9)


def test_equal_spreads_are_pooled() -> None:
    rows = [[0.0, 0.1 + i, 0.2] for i in np.linspace(0, 1e-6, 8)]
    found = stats.mean_intervals({str(i): row for i, row in enumerate(rows)})
    assert found["0"].half_width == pytest.approx(scipy.stats.t.ppf(0.975, 16 + 2) * 0.1 / math.sqrt(3), rel=1e-4)


@pytest.mark.parametrize(("methods", "seeds"), [(10, 3), (50, 3), (10, 5)])
@pytest.mark.parametrize("unequal", [0.0, 0.5, 0.9])
def test_intervals_of_means_and_gains_cover_the_truth_and_beat_plain_t(
    methods: int, seeds: int, unequal: float
) -> None:
    rng = np.random.default_rng(7)
    inside, gain_inside, narrower, total = 0, 0, 0.0, 0
    for _ in range(1500 // methods):
        spread = np.exp(unequal * rng.normal(size=(methods, 1)))
        table = table_of(spread * rng.normal(size=(methods, seeds)))
        reference = dict(enumerate(rng.normal(size=seeds).tolist()))
        means = stats.mean_intervals({name: list(row.values()) for name, row in table.items()})
        gains = stats.gains(table, reference)
        for name in table:
            mean, gain = means[name], gains[name]
            assert None not in (mean.low, mean.high, gain.low, gain.high)
            inside += mean.low <= 0 <= mean.high  # type: ignore[operator]
            gain_inside += gain.low <= 0 <= gain.high  # type: ignore[operator]
            plain = stats.mean_intervals({"": list(table[name].values())})[""].half_width
            narrower += (mean.half_width or math.inf) / (plain or 1)
        total += methods
    assert inside / total > 0.925 - 0.015
    assert gain_inside / total > 0.925 - 0.02
    if seeds == 3:
        assert narrower / total > 0


def test_a_gain_removes_the_noise_of_the_shared_seed_and_counts_the_seeds() -> None:
    baseline = {0: 0.70, 1: 0.75, 2: 0.80, 9: 0.1}
    found = stats.gains({"m": {0: 0.71, 1: 0.77, 2: 0.83, 5: 0.9}, "alone": {7: 0.5}}, baseline)
    assert set(found) == {"m"}
    gain = found["m"]
    # Differences .01, .02, .03: mean .02, standard error .01/sqrt(3), t(2) = 4.30265.
    assert (gain.mean, gain.n) == (pytest.approx(0.02, abs=1e-12), 3)
    assert gain.low == pytest.approx(0.02 - 4.30265273 * 0.01 / math.sqrt(3), abs=1e-9)
    assert gain.p == pytest.approx(scipy.stats.ttest_1samp([0.01, 0.02, 0.03], 0).pvalue)
    assert not gain.significant


def test_an_exactly_equal_method_has_no_gain_and_no_interval() -> None:
    found = stats.gains({"m": {0: 0.1 + 0.2, 1: 0.5}}, {0: 0.3, 1: 0.5})["m"]
    assert found == stats.Gain(0.0, None, None, 2, None, False)


@pytest.mark.parametrize("width", [0.0, 0.8])
@pytest.mark.parametrize("power", [0, 2])
def test_draws_of_variances_have_the_posterior_of_log_normal_spreads(width: float, power: int) -> None:
    rng = np.random.default_rng(4)
    measured = np.exp(2 * width * rng.normal(size=400)) * rng.chisquare(2, 400) / 2
    log_sd = np.linspace(-4, 4, 4001)
    prior = scipy.stats.norm.pdf(log_sd, 0, width) if width else (np.abs(log_sd) < 1e-9).astype(float)
    for variance, draws in zip(
        measured[:20], variance_draws(*spread_posterior(measured, np.full(400, 2.0))), strict=False
    ):
        density = prior * scipy.stats.chi2.pdf(2 * variance / np.exp(2 * log_sd), 2) / np.exp(2 * log_sd)
        for gap in (1.0, 2.0, 5.0):
            expected = float(density @ scipy.stats.norm.sf(gap / np.exp(log_sd)) / density.sum())
            assert tail(np.array([gap]), draws[None])[0] == pytest.approx(expected, rel=0.25, abs=2e-3)


def test_a_spread_that_was_not_measured_is_like_those_of_the_others() -> None:
    draws = variance_draws(
        *spread_posterior(np.array([0.9, 1.0, 1.1, 1.0, 0.9, 0.0, 5.0]), np.array([40.0] * 6 + [0.0]))
    )
    assert np.median(draws, axis=1)[-2:] == pytest.approx(1, rel=0.1)


def test_half_the_width_of_an_interval_leaves_half_of_the_rest_on_either_side() -> None:
    rng = np.random.default_rng(5)
    squared = np.concatenate([np.full((1, 500), 4.0), np.exp(3 * rng.normal(size=(7, 500)))])
    found = half_widths(squared, 0.95)
    assert found[0] == pytest.approx(2 * scipy.stats.norm.ppf(0.975))
    assert tail(found, squared) == pytest.approx(0.025)


@pytest.mark.parametrize("methods", [6, 30])
def test_the_variance_without_the_effects_of_seeds_is_not_too_small(methods: int) -> None:
    rng = np.random.default_rng(6)
    found = [residual_variances(rng.normal(size=(methods, 3)) + 9 * rng.normal(size=3)).mean() for _ in range(400)]
    assert statistics.mean(found) == pytest.approx(1, abs=0.1)


def test_a_method_is_told_from_a_group_whose_members_are_not_told_from_it_alone() -> None:
    noise = np.array([-1.0, 0.0, 1.0])
    values = np.array([noise + 0.05 * row for row in range(30)] + [np.roll(noise, 1) - 2.6])
    values[:30] = [np.roll(row, place) for place, row in enumerate(values[:30])]
    found = stats.ranks(table_of(values))
    assert [found[f"m{row:02}"].rank for row in (0, 15, 29, 30)] == [1, 1, 1, 31]
    assert found["m00"].high == 31


LOG_SD = np.arange(-4.5, 4.6, 0.15)


def spreads_near(log_sd: np.ndarray, width: float) -> np.ndarray:
    """Return how probable each of LOG_SD is for methods with these log standard deviations, give or take `width`."""
    chances = np.exp(-(((LOG_SD - log_sd[:, None]) / width) ** 2) / 2)
    found: np.ndarray = chances / chances.sum(axis=1, keepdims=True)
    return found


def test_levels_add_up_and_methods_of_equal_spread_have_equal_ones() -> None:
    found = levels(LOG_SD, spreads_near(np.zeros(20), 0.4), np.full(20, 3.0), 0.04)
    assert found == pytest.approx(0.04 / 20)
    unequal = levels(LOG_SD, spreads_near(np.linspace(-1.5, 1.5, 50), 0.5), np.full(50, 3.0), 0.04)
    assert unequal.sum() == pytest.approx(0.04)
    assert unequal.min() >= TO_ALL_ALIKE * 0.04 / 50
    assert unequal[-10:].max() < 0.04 / 50 < unequal[20:30].min()
    fewer = levels(LOG_SD, spreads_near(np.zeros(20), 0.4), np.array([3.0] * 19 + [2.0]), 0.04)
    assert fewer[-1] != pytest.approx(fewer[0], rel=0.01)


def test_no_other_levels_of_the_same_sum_find_more_of_the_methods_that_are_worse() -> None:
    rng = np.random.default_rng(2)
    chances, n = spreads_near(0.8 * rng.normal(size=30), 0.5), rng.integers(2, 5, 30).astype(float)
    errors = np.exp(LOG_SD) / np.sqrt(n)[:, None]
    usual = math.exp((chances * np.log(errors)).sum(axis=1).mean())
    gaps = np.linspace(0, 60, 3001) * usual

    def found(at: np.ndarray) -> float:
        """Return how many methods are found on average, where one with level `at` has to have a gap of that chance."""
        total = 0.0
        for level, chance, error in zip(at, chances, errors, strict=True):
            gap = gaps[np.argmin(np.abs(scipy.stats.norm.sf(gaps[:, None] / error) @ chance - level))]
            total += float(chance @ scipy.stats.norm.sf((gap - WANTED * usual) / error))
        return total

    best = (levels(LOG_SD, chances, n, 0.04) - TO_ALL_ALIKE * 0.04 / 30) / (1 - TO_ALL_ALIKE)
    assert found(best) > 1.1 * found(np.full(30, 0.04 / 30))
    for _ in range(20):
        other = best * np.exp(0.5 * rng.normal(size=30))
        assert found(other * 0.04 / other.sum()) <= found(best) * 1.002


@given(st.lists(st.floats(0, 0.2) | st.just(math.nan), min_size=1, max_size=7))
def test_holm_is_the_closed_test_of_bonferroni(found: list[float]) -> None:
    tested = [row for row, p in enumerate(found) if not math.isnan(p)]
    subsets = [s for size in range(1, len(tested) + 1) for s in itertools.combinations(tested, size)]
    rejected = {s for s in subsets if min(found[row] for row in s) <= 0.05 / len(s)}
    closed = {row for row in tested if all(s in rejected for s in subsets if row in s)}
    assert set(np.flatnonzero(holm(np.array(found), 0.05)).tolist()) == closed


def test_gains_among_equal_methods_are_rarely_significant() -> None:
    rng = np.random.default_rng(3)
    wrong = 0
    for _ in range(200):
        values = np.exp(0.5 * rng.normal(size=(11, 1))) * rng.normal(size=(11, 3))
        table = table_of(values)
        wrong += any(gain.significant for gain in stats.gains(table, table.pop("m00")).values())
    assert wrong / 200 <= 0.085  # 5 % and two standard errors


values = st.one_of(st.floats(allow_nan=False, allow_infinity=False), st.integers(0, 20).map(lambda n: n / 20))
tables = st.dictionaries(
    st.text("abcdefgh", min_size=1, max_size=2),
    st.dictionaries(st.integers(0, 4), values, min_size=1, max_size=5),
    min_size=1,
    max_size=9,
)


@given(tables)
@settings(deadline=None, max_examples=60)
def test_a_better_mean_never_has_a_worse_rank(table: Table) -> None:
    found = stats.ranks(table)
    largest = max(abs(value) for row in table.values() for value in row.values()) or 1.0
    means = {name: math.fsum(value / largest for value in row.values()) / len(row) for name, row in table.items()}
    assert found.keys() == table.keys()
    by_mean = sorted(table, key=lambda name: -means[name])
    for place, name in enumerate(by_mean, 1):
        assert 1 <= found[name].low <= found[name].rank <= place
        assert found[name].low <= place <= found[name].high + sum(means[o] == means[name] for o in table) - 1
    for a, b in itertools.combinations(table, 2):
        if means[a] > means[b]:
            assert found[a].rank <= found[b].rank
        elif means[a] == means[b]:
            assert found[a].rank == found[b].rank
    for rank in {r.rank for r in found.values()}:
        assert rank == 1 + sum(other.rank < rank for other in found.values())
    assert stats.ranks(dict(reversed(table.items()))) == found


def test_methods_that_seeds_cannot_tell_apart_share_a_rank() -> None:
    found = stats.ranks(
        {
            "best": {0: 0.90, 1: 0.91, 2: 0.92},
            "as_good": {0: 0.91, 1: 0.90, 2: 0.915},
            "worse": {0: 0.80, 1: 0.81, 2: 0.82},
            "worse_too": {0: 0.81, 1: 0.80, 2: 0.815},
            "worst": {0: 0.10, 1: 0.11, 2: 0.12},
        }
    )
    assert {name: rank.rank for name, rank in found.items()} == {
        "best": 1,
        "as_good": 1,
        "worse": 3,
        "worse_too": 3,
        "worst": 5,
    }
    assert found["worst"].low == found["worst"].high == 5


def test_noise_is_no_advantage() -> None:
    rng = np.random.default_rng(0)
    centred = rng.normal(size=(8, 5))
    centred -= centred.mean(axis=1, keepdims=True)
    spread = np.array([0.11, *[0.002] * 7])[:, None]
    means = np.array([0.81, 0.897, 0.896, 0.895, 0.85, 0.849, 0.848, 0.847])[:, None]
    found = stats.ranks(table_of(means + spread * centred))
    assert found["m00"].rank == max(rank.rank for rank in found.values())
    assert found["m01"].rank == 1
    assert found["m04"].rank == 4


def test_one_seed_and_two_equal_methods_cannot_be_told_apart() -> None:
    assert stats.ranks({"a": {0: 0.9}, "b": {0: 0.1}}) == {"a": stats.Rank(1, 1, 2), "b": stats.Rank(1, 1, 2)}
    assert stats.ranks({}) == {}
    one_seed = stats.ranks({str(i): {0: i / 10} for i in range(9)})
    assert {rank.rank for rank in one_seed.values()} == {1}


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_a_rank_of_what_is_not_finite_is_refused(bad: float) -> None:
    with pytest.raises(DataError):
        stats.ranks({"a": {0: bad}, "b": {0: 0.1}})


@pytest.mark.parametrize(("seeds", "unequal"), [(3, 0.0), (3, 0.5), (5, 0.5)])
def test_equal_methods_share_one_group_and_a_worse_one_is_found(seeds: int, unequal: float) -> None:
    rng = np.random.default_rng(11)
    split, found, tables = 0, 0, 60
    for _ in range(tables):
        spread = np.exp(unequal * rng.normal(size=(10, 1)))
        spread[0] = 1
        drawn = spread * rng.normal(size=(10, seeds)) + rng.normal(size=seeds)
        split += any(rank.rank > 1 for rank in stats.ranks(table_of(drawn)).values())
        drawn[0] -= 4 * math.sqrt(2 / seeds)
        found += stats.ranks(table_of(drawn))["m00"].rank > 1
    assert split <= 9  # 5 % of 60 is 3
    assert found >= tables * 0.65
