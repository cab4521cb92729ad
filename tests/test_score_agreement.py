"""Agreement of scores within class and pooled against scipy."""

from __future__ import annotations

import statistics

import numpy as np
import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st

from prunebench import stats
from prunebench.errors import DataError
from prunebench.stats.score_agreement import average_ranks
from rankings import small_floats, varied


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
    assert np.array_equal(average_ranks(values), scipy.stats.rankdata(values))


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


def test_the_mean_agreement_and_its_interval_are_of_the_same_complete_seeds() -> None:
    found = stats.mean_agreement({("a", "b"): {0: 0.5, 1: 0.6, 2: 0.7}, ("a", "c"): {0: 0.3, 1: 0.5, 9: -1.0}})
    low, high = scipy.stats.t.interval(0.95, 1, 0.475, scipy.stats.sem([0.4, 0.55]))
    assert (found.value, found.n_pairs, found.n_seeds) == (pytest.approx(0.475), 4, 2)
    assert (found.low, found.high) == (pytest.approx(max(low, -1)), pytest.approx(min(high, 1)))


def test_what_does_not_vary_and_a_single_seed_have_a_value_and_no_interval() -> None:
    for runs, n in (({0: 0.5}, 1), ({0: 0.5, 1: 0.5, 2: 0.5}, 3)):
        found = stats.mean_agreement({("a", "b"): runs})
        assert (found.value, found.low, found.high, found.n_seeds) == (0.5, None, None, n)
        assert found.reason
    assert stats.mean_agreement({}).value is None
    assert stats.mean_agreement({("a", "b"): {0: 0.1}, ("a", "c"): {1: 0.1}}).reason.startswith("insufficient")


def test_pairs_of_seeds_are_worth_as_many_observations_as_there_are_seeds() -> None:
    rng = np.random.default_rng(0)
    inside = 0
    for _ in range(300):
        effect = rng.normal(0, 0.02, 5)
        runs = {(i, j): 0.6 + float(effect[i] + effect[j]) for i in range(5) for j in range(i + 1, 5)}
        found = stats.mean_agreement({("a", "a"): runs})
        assert (found.n_pairs, found.n_seeds) == (10, 5)
        assert found.low is not None
        assert found.high is not None
        inside += found.low <= 0.6 <= found.high
    assert 0.92 < inside / 300 < 0.98
    assert stats.mean_agreement({("a", "a"): {(0, 1): 0.5}}).low is None


@given(
    st.dictionaries(
        st.sampled_from([("a", "b"), ("a", "c"), ("b", "c")]),
        st.dictionaries(st.integers(0, 4), st.floats(-1, 1), min_size=1),
        min_size=1,
    )
)
def test_a_value_lies_inside_its_own_interval(runs: dict[tuple[str, str], dict[int, float]]) -> None:
    found = stats.mean_agreement(runs)
    if found.low is not None:
        assert found.value is not None
        assert found.high is not None
        assert -1 <= found.low <= found.value <= found.high <= 1
        assert found.low < found.high


def test_a_score_that_others_explain_leaves_nothing_and_one_that_they_do_not_know_leaves_all() -> None:
    rng = np.random.default_rng(0)
    a, b, labels = rng.random(6000), rng.random(6000), np.arange(6000) % 3
    explained = stats.agreement_given(np.exp(a), b, [a, b], [a], labels)
    assert explained["left_a"] == pytest.approx(0, abs=1e-12)
    assert explained["left_b"] == pytest.approx(1, abs=0.01)
    assert explained["given"] is None
    shared = rng.random(6000)
    found = stats.agreement_given(a + shared, b + shared, [shared], [shared], labels)
    assert found["given"] == pytest.approx(0, abs=0.05)  # all that they share is given
    assert (found["left_a"], found["left_b"]) == (pytest.approx(0.5, abs=0.05),) * 2
    same = stats.agreement_given(a + shared, a + 9 * shared, [shared], [shared], labels)
    assert same["given"] == pytest.approx(1, abs=0.1)


def test_ranks_alone_matter_to_what_others_leave() -> None:
    rng = np.random.default_rng(1)
    a, b, c, d = rng.normal(size=(4, 90))
    labels = np.arange(90) % 2
    plain = stats.agreement_given(a, b, [c, d], [d], labels)
    bent = stats.agreement_given(np.exp(a), b**3 + labels, [-c, 2 * d], [np.exp(-d)], labels)
    assert bent == pytest.approx(plain)


def test_a_constant_score_has_no_distance_and_leaves_nothing_to_compare() -> None:
    a, labels = np.arange(8.0), np.zeros(8, dtype=np.int64)
    assert set(stats.distribution_distances(a, np.ones(8)).values()) == {None}
    found = stats.agreement_given(a, np.ones(8), [a % 3], [a % 3], labels)
    assert (found["given"], found["left_b"]) == (None, None)
    assert found["left_a"] is not None


def test_the_unit_of_a_score_moves_the_raw_distance_alone() -> None:
    a = np.random.default_rng(2).gamma(2, size=500)
    found = stats.distribution_distances(a, 3 * a + 5)
    assert (found["wasserstein"], found["kolmogorov_smirnov"]) == (
        pytest.approx(0, abs=1e-12),
        pytest.approx(0, abs=0.01),
    )
    assert found["wasserstein_raw"] == pytest.approx((2 * a + 5).mean() / np.concatenate([a, 3 * a + 5]).std())
    assert found["kolmogorov_smirnov_raw"] == pytest.approx(scipy.stats.ks_2samp(a, 3 * a + 5).statistic)
    assert stats.distribution_distances(a, a[::-1]) == dict.fromkeys(found, pytest.approx(0, abs=1e-12))
