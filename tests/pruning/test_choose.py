"""One order of all samples, of which every budget is a beginning."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from prunebench.errors import UsageError
from prunebench.pruning.choose import budget, check_budgets, nested_order

labelled = st.lists(st.integers(0, 4), min_size=1, max_size=60)


def order_of(labels: list[int], seed: int, protected: list[int] | None = None) -> np.ndarray:
    preference = np.random.default_rng(seed).permutation(len(labels))
    mask = np.zeros(len(labels), dtype=bool)
    mask[protected or []] = True
    return nested_order(preference, np.array(labels), mask)


@given(labels=labelled, seed=st.integers(0, 99))
def test_every_class_has_its_share_of_every_budget_up_to_one_sample_either_way(labels, seed):
    order, classes = order_of(labels, seed), np.array(labels)
    sizes = np.bincount(classes)
    for count in range(len(labels) + 1):
        found = np.bincount(classes[order[:count]], minlength=len(sizes))
        # Webster's method can leave the quota, but never by more than one for fewer than about a hundred classes.
        assert (np.abs(found - count * sizes / len(labels)) <= 1.5).all()
    assert sorted(order.tolist()) == list(range(len(labels)))


@given(labels=labelled, seed=st.integers(0, 99))
def test_within_a_class_the_order_is_that_of_preference(labels, seed):
    preference = np.random.default_rng(seed).permutation(len(labels))
    order, classes = order_of(labels, seed), np.array(labels)
    for label in set(labels):
        expected = preference[classes[preference] == label]
        assert order[classes[order] == label].tolist() == expected.tolist()


@given(labels=labelled, seed=st.integers(0, 99), data=st.data())
def test_protected_samples_come_first_and_count_for_their_class(labels, seed, data):
    protected = data.draw(st.lists(st.integers(0, len(labels) - 1), unique=True))
    order = order_of(labels, seed, protected)
    assert set(order[: len(protected)].tolist()) == set(protected)
    classes = np.array(labels)
    taken = np.bincount(classes[protected], minlength=5)
    # A class whose protected samples are already more than its share waits until the others have theirs.
    rest = order[len(protected) :]
    turns = []
    for row in rest:
        turns.append((taken[classes[row]] + 0.5) / np.bincount(classes)[classes[row]])
        taken[classes[row]] += 1
    assert turns == sorted(turns)


def test_without_classes_the_order_is_the_preference_with_protected_samples_before_it():
    preference = np.array([3, 1, 0, 2])
    assert nested_order(preference, None).tolist() == [3, 1, 0, 2]
    assert nested_order(preference, None, np.array([False, False, True, False])).tolist() == [2, 3, 1, 0]


@pytest.mark.parametrize(
    ("written", "count"),
    [("0.1", 100), ("10%", 100), ("10 %", 100), ("1", 1000), ("1.0", 1000), ("100%", 1000), ("500", 500), (" 2 ", 2),
     ("0.0001", 1), ("1e-1", 100), ("0.0005", 1), ("0.0015", 2)],
)  # fmt: skip
def test_budgets_are_fractions_percentages_or_numbers(written, count):
    assert budget(written, 1000) == count


@pytest.mark.parametrize("written", ["0", "-0.1", "1.5", "110%", "1001", "ten", "", "nan", "inf", "-5"])
def test_what_is_no_budget_is_refused(written):
    with pytest.raises(UsageError, match="keep = "):
        budget(written, 1000)


def test_a_budget_below_what_is_protected_and_one_that_is_there_twice_are_refused():
    assert check_budgets(["0.1", "5"], 100, 5) == {"0.1": 10, "5": 5}
    with pytest.raises(UsageError, match="no budget is given"):
        check_budgets([], 100, 0)
    with pytest.raises(UsageError, match="11 samples are protected"):
        check_budgets(["0.1"], 100, 11)
    with pytest.raises(UsageError, match="twice"):
        check_budgets(["0.1", "0.1 "], 100, 0)
