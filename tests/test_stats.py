"""The statistics of the board against closed forms, scipy, brute force and published tables."""

from __future__ import annotations

import itertools
import math
import statistics

import numpy as np
import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st

from prunebench import stats
from prunebench.errors import DataError, UsageError

ECHO_BUDGETS = ("0.001", "0.01", "0.05", "0.1", "0.2", "0.3", "0.5")
# ECHO, Table I: CIFAR-10, ResNet-18, 95.6 % on the full set; accuracies by budget, the printed score, and the
# score to four digits.
ECHO_TABLE = {
    "Random": ((21.5, 36.8, 64.7, 74.4, 82.5, 87.4, 91.4), 0.65, 0.6517),
    "Herding": ((20.0, 34.8, 50.8, 62.6, 74.2, 80.4, 88.3), 0.58, 0.5799),
    "k-Center": ((18.2, 30.6, 49.8, 74.9, 85.6, 90.2, 93.4), 0.62, 0.6215),
    "FacLoc": ((22.4, 39.3, 60.6, 74.1, 85.2, 91.3, 93.9), 0.66, 0.6618),
    "GraphCut": ((24.2, 42.8, 65.5, 76.6, 84.1, 87.7, 93.3), 0.68, 0.6762),
    "CD": ((14.9, 23.1, 37.6, 58.9, 80.8, 90.4, 94.0), 0.55, 0.5515),
    "Craig": ((22.5, 31.0, 44.5, 61.1, 79.4, 88.5, 93.2), 0.59, 0.5880),
    "GradMatch": ((17.1, 30.9, 47.1, 61.7, 80.0, 87.4, 93.0), 0.58, 0.5829),
    "LC": ((14.2, 19.9, 36.0, 57.2, 81.8, 90.1, 94.5), 0.54, 0.5411),
    "Entropy": ((14.5, 21.0, 35.1, 57.2, 81.4, 89.6, 94.3), 0.54, 0.5406),
    "Margin": ((17.3, 26.9, 43.6, 59.4, 81.7, 90.0, 93.9), 0.57, 0.5736),
    "DeepFool": ((17.3, 27.1, 43.0, 60.6, 83.2, 90.0, 94.0), 0.58, 0.5771),
    "CAL": ((22.3, 37.5, 60.1, 71.2, 80.7, 86.4, 89.3), 0.64, 0.6356),
    "Forgetting": ((21.2, 35.2, 52.0, 66.9, 86.1, 91.5, 94.0), 0.63, 0.6287),
    "GraNd": ((17.5, 26.2, 40.1, 52.9, 78.3, 91.1, 94.6), 0.55, 0.5541),
    "TDDS": ((10.3, 24.3, 48.4, 68.1, 82.4, 87.6, 91.8), 0.57, 0.5743),
    "Glister": ((19.8, 32.6, 50.9, 66.0, 84.7, 90.8, 93.9), 0.62, 0.6156),
    "ELFS": ((17.3, 32.2, 57.2, 78.4, 86.2, 87.1, 88.8), 0.63, 0.6325),
    "ECHO": ((65.6, 75.2, 86.4, 89.4, 92.5, 93.8, 95.2), 0.88, 0.8806),
}

small_floats = st.floats(-5, 5, allow_nan=False).map(lambda x: round(x, 1))


def vectors(minimum: int = 2, maximum: int = 12) -> st.SearchStrategy[tuple[list[float], list[float]]]:
    return st.integers(minimum, maximum).flatmap(
        lambda n: st.tuples(
            st.lists(small_floats, min_size=n, max_size=n), st.lists(small_floats, min_size=n, max_size=n)
        )
    )


def varied(*sides: list[float]) -> bool:
    return all(len(set(side)) > 1 for side in sides)


# ---------------------------------------------------------------- intervals


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


# ---------------------------------------------------------------- tie groups


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


# ---------------------------------------------------------------- rank correlation


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


# ---------------------------------------------------------------- agreement of scores


@given(
    st.integers(1, 40).flatmap(
        lambda n: st.tuples(
            st.lists(small_floats, min_size=n, max_size=n),
            st.lists(small_floats, min_size=n, max_size=n),
            st.lists(st.integers(0, 3), min_size=n, max_size=n),
        )
    )
)
@settings(max_examples=60, deadline=None)
def test_score_agreement_equals_scipy_on_each_class(case: tuple[list[float], list[float], list[int]]) -> None:
    a, b, labels = (np.array(part) for part in case)
    found = stats.score_agreement(a, b, labels)
    within = []
    for label in np.unique(labels):
        x, y = a[labels == label], b[labels == label]
        if varied(x.tolist(), y.tolist()):
            within.append(scipy.stats.spearmanr(x, y).statistic)
    if within:
        assert found.within_class_spearman == pytest.approx(statistics.mean(within), abs=1e-9)
    else:
        assert found.within_class_spearman is None
    if varied(a.tolist(), b.tolist()):
        assert found.pooled_spearman == pytest.approx(scipy.stats.spearmanr(a, b).statistic, abs=1e-9)
        assert found.pearson == pytest.approx(scipy.stats.pearsonr(a, b).statistic, abs=1e-9)
    else:
        assert (found.pooled_spearman, found.pearson) == (None, None)
    assert bool(found.reason) == (len(within) < len(np.unique(labels)) or not varied(a.tolist(), b.tolist()))


def test_average_ranks_equal_scipy() -> None:
    values = np.random.default_rng(0).integers(0, 9, 200).astype(np.float64)
    assert np.array_equal(stats.average_ranks(values), scipy.stats.rankdata(values))


def test_scaling_a_class_leaves_the_within_class_agreement_at_one() -> None:
    rng = np.random.default_rng(0)
    scores, labels = rng.random(300), rng.integers(0, 3, 300)
    found = stats.score_agreement(scores, scores * (1 + 9 * labels) + 100 * labels, labels)
    assert found.within_class_spearman == pytest.approx(1.0)
    assert found.pooled_spearman is not None
    assert found.pooled_spearman < 0.95


def test_constant_scores_are_undefined_and_say_so() -> None:
    labels = np.array([0, 0, 1, 1])
    found = stats.score_agreement(np.ones(4), np.arange(4.0), labels)
    assert (found.within_class_spearman, found.pooled_spearman, found.pearson, found.n) == (None, None, None, 4)
    assert "2 of 2 classes" in found.reason
    assert "pooled" in found.reason


def test_a_constant_class_is_left_out_of_the_mean_and_counted() -> None:
    labels = np.array([0, 0, 0, 1, 1, 1])
    found = stats.score_agreement(np.array([1, 1, 1, 1, 2, 3]), np.array([3, 1, 2, 3, 2, 1]), labels)
    assert found.within_class_spearman == pytest.approx(-1.0)
    assert found.reason == "undefined in 1 of 2 classes (constant scores or one sample)"


def test_infinite_scores_have_ranks_and_no_pearson() -> None:
    found = stats.score_agreement(np.array([np.inf, 1, 0]), np.array([3.0, 2, 1]), np.zeros(3, dtype=np.int64))
    assert found.pooled_spearman == pytest.approx(1.0)
    assert found.pearson is None
    assert "Pearson" in found.reason


def test_tiny_and_huge_scores_neither_vanish_nor_overflow() -> None:
    a = np.array([1e-300, 2e-300, 4e-300])
    found = stats.score_agreement(a, np.array([1e300, 2e300, 4e300]), np.zeros(3, dtype=np.int64))
    assert found.pearson == pytest.approx(1.0)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.int64])
def test_scores_of_any_real_type_are_accepted_and_left_alone(dtype: type) -> None:
    scores = np.arange(8).astype(dtype)
    scores.flags.writeable = False
    assert stats.score_agreement(scores, scores, np.zeros(8, dtype=np.int64)).pearson == pytest.approx(1.0)


def test_nan_scores_and_unequal_lengths_are_errors() -> None:
    labels = np.zeros(2, dtype=np.int64)
    with pytest.raises(DataError, match="NaN"):
        stats.score_agreement(np.array([np.nan, 1]), np.ones(2), labels)
    with pytest.raises(DataError, match="labels"):
        stats.score_agreement(np.ones(3), np.ones(2), labels)


def test_no_samples_agree_on_nothing() -> None:
    found = stats.score_agreement(np.ones(0), np.ones(0), np.zeros(0, dtype=np.int64))
    assert (found.within_class_spearman, found.pooled_spearman, found.pearson, found.n) == (None, None, None, 0)


def test_sixty_thousand_samples_equal_scipy() -> None:
    rng = np.random.default_rng(0)
    a, labels = rng.integers(0, 500, 60_000).astype(np.float64), rng.integers(0, 10, 60_000)
    b = a + rng.normal(0, 300, 60_000)
    found = stats.score_agreement(a, b, labels)
    within = [scipy.stats.spearmanr(a[labels == k], b[labels == k]).statistic for k in range(10)]
    assert found.within_class_spearman == pytest.approx(statistics.mean(within), abs=1e-12)
    assert found.pooled_spearman == pytest.approx(scipy.stats.spearmanr(a, b).statistic, abs=1e-12)


# ---------------------------------------------------------------- integrated fidelity


@pytest.mark.parametrize("method", ECHO_TABLE)
def test_integrated_fidelity_reproduces_the_published_table(method: str) -> None:
    accuracies, printed, exact = ECHO_TABLE[method]
    found = stats.integrated_fidelity(dict(zip(ECHO_BUDGETS, accuracies, strict=True)), 95.6)
    assert round(found, 2) == printed
    assert found == pytest.approx(exact, abs=5.1e-5)


def test_integrated_fidelity_of_a_method_as_good_as_all_data_is_one() -> None:
    assert stats.integrated_fidelity({"0.1": 0.9, "0.5": 0.9}, 0.9) == pytest.approx(1.0)


def test_integrated_fidelity_needs_budgets_and_a_full_accuracy() -> None:
    with pytest.raises(UsageError):
        stats.integrated_fidelity({}, 0.9)
    with pytest.raises(UsageError):
        stats.integrated_fidelity({"0.1": 0.5}, 0.0)
