"""Budgets are exact, quotas are fair, and ties are decided by the seed alone."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from prunebench import DataError
from prunebench.toolbox import apportion, class_quotas, min_max, misclassified, n_keep, preference_order


@given(st.integers(1, 10_000), st.integers(1, 1000))
def test_the_budget_is_the_exact_half_up_rounding_and_at_least_one(n, permille):
    exact = Fraction(permille, 1000) * n + Fraction(1, 2)
    assert n_keep(f"{permille / 1000:.3f}", n) == max(1, exact.numerator // exact.denominator)


def test_the_budget_does_not_inherit_binary_rounding():
    assert n_keep("0.7", 15) == 11  # 0.7 * 15 is 10.5, and 10.499999 in binary
    assert n_keep("0.001", 500) == 1
    assert n_keep("1", 7) == 7


@given(st.lists(st.integers(0, 50), min_size=1, max_size=12), st.integers(1, 600))
def test_quotas_add_up_and_never_exceed_a_group(sizes, total):
    quotas = apportion(total, np.array(sizes))
    assert quotas.sum() == min(total, sum(sizes))
    assert (quotas <= sizes).all()
    assert (quotas >= 0).all()
    if total >= sum(size > 0 for size in sizes):
        assert (quotas[np.array(sizes) > 0] >= 1).all()


@given(st.lists(st.integers(1, 50), min_size=1, max_size=12), st.integers(1, 600))
def test_quotas_are_within_one_of_proportional_when_every_group_is_large_enough(sizes, total):
    total = min(total, sum(sizes))
    exact = np.array(sizes) * total / sum(sizes)
    quotas = apportion(total, np.array(sizes))
    if (exact >= 1).all():
        assert (np.abs(quotas - exact) < 1).all()


def test_class_quotas_of_a_balanced_set_are_equal():
    labels = np.repeat(np.arange(10), 20)
    assert class_quotas(labels, 10, 50).tolist() == [5] * 10


def test_an_empty_class_gets_nothing():
    assert class_quotas(np.array([0, 0, 2, 2]), 3, 2).tolist() == [1, 0, 1]


def test_ties_are_spread_over_the_whole_file_and_not_taken_from_its_beginning():
    scores = np.zeros(1000)
    picked = np.concatenate([preference_order(scores, np.random.default_rng(s))[:100] for s in range(50)])
    halves = [(picked < 500).sum(), (picked >= 500).sum()]
    assert abs(halves[0] - halves[1]) < 4 * np.sqrt(len(picked))


@given(st.lists(st.integers(0, 5), min_size=1, max_size=60), st.integers(0, 2**32 - 1))
def test_the_order_is_a_permutation_with_scores_that_never_rise(values, seed):
    scores = np.array(values, dtype=np.float64)
    order = preference_order(scores, np.random.default_rng(seed))
    assert sorted(order.tolist()) == list(range(len(scores)))
    assert (np.diff(scores[order]) <= 0).all()


@given(st.lists(st.tuples(st.integers(0, 5), st.booleans(), st.integers(0, 5)), min_size=1, max_size=60))
def test_excluded_samples_come_last_in_the_order_of_their_refill_score(rows):
    scores, excluded, refill = (np.array(column) for column in zip(*rows, strict=True))
    order = preference_order(scores.astype(float), np.random.default_rng(0), ~excluded, refill.astype(float))
    assert sorted(order.tolist()) == list(range(len(rows)))
    n_eligible = int((~excluded).sum())
    assert not excluded[order[:n_eligible]].any()
    assert (np.diff(refill[order[n_eligible:]]) <= 0).all()


def test_a_constant_score_normalises_to_zero():
    assert min_max(np.full(3, 7.0)).tolist() == [0.0, 0.0, 0.0]
    assert min_max(np.array([1.0, 3.0, 2.0])).tolist() == pytest.approx([0.0, 1.0, 0.5])


def test_a_sample_is_misclassified_where_another_logit_is_highest_and_its_loss_is_the_cross_entropy():
    logits, labels = np.random.default_rng(0).normal(size=(40, 5)).astype(np.float32), np.arange(40) % 5
    wrong, log_probability = misclassified(logits, labels)
    assert wrong.tolist() == [logits[i].tolist().index(max(logits[i])) != label for i, label in enumerate(labels)]
    odds = np.exp(logits.astype(np.float64))
    assert -log_probability == pytest.approx(-np.log(odds[np.arange(40), labels] / odds.sum(axis=1)), rel=1e-12)
    logits[[3, 8], 1] = np.nan, np.inf
    with pytest.raises(DataError, match="logits of 2 of 40 samples"):
        misclassified(logits, labels)


def test_files_below_a_data_root_come_before_absolute_places(tmp_path):
    from prunebench import DataContext

    first, second, system = (tmp_path / name for name in ("first", "second", "system"))
    for folder in (first, second, system):
        folder.mkdir()
    (second / "images").touch()
    (system / "images").touch()
    context = DataContext(roots=(first, second))
    assert context.find("images", str(system / "images")) == second / "images"
    assert context.find("labels", str(system / "images")) == system / "images"
