"""Selectors: exact budgets, class quotas, coverage-centric strata, and ties that no file order decides."""

from __future__ import annotations

import importlib
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import prunebench_selectors
from prunebench import NotApplicable, PluginContractError, SelectContext, Selection
from prunebench.toolbox import class_quotas, preference_order
from prunebench_selectors.picking import cut_count, first_of_each
from prunebench_selectors.strata import allocate, stratum_of

SPECS = {spec.name: spec for spec in prunebench_selectors.prunebench_selectors()}
VARIANTS: list[tuple[str, dict[str, Any]]] = [
    ("top", {}),
    ("class_top", {}),
    ("random", {}),
    ("random", {"balanced": False}),
    ("double_end", {"drop": 0.3}),
    ("double_end", {"drop": 0.3, "end": "bottom", "balanced": False}),
    ("strata", {}),
    ("strata", {"strata": 3, "cutoff": 0.4, "balanced": False}),
    ("strata", {"strata": 7, "cutoff": 0.4, "cutoff_end": "bottom", "inside": "score"}),
]
BALANCED = [("class_top", {}), ("random", {}), ("double_end", {"drop": 0.5}), ("strata", {"cutoff": 0.5})]


def pick(
    name: str,
    scores: Any,
    budget: int,
    labels: Any = None,
    *,
    n_classes: int = 0,
    eligible: Any = None,
    seed: int = 0,
    **params: Any,
) -> Selection:
    """Run a selector as the harness does: ties of the order are broken by a seeded permutation."""
    scores = np.asarray(scores, dtype=np.float64)
    labels = np.zeros(len(scores), dtype=np.int64) if labels is None else np.asarray(labels, dtype=np.int64)
    eligible = np.ones(len(scores), dtype=bool) if eligible is None else np.asarray(eligible, dtype=bool)
    order = preference_order(scores, np.random.default_rng([seed, 1]), eligible)
    for array in (scores, labels, eligible, order):
        array.setflags(write=False)
    context = SelectContext(
        params=SPECS[name].resolve_params(params),
        seed=seed,
        scores=scores,
        labels=labels,
        n_classes=n_classes or int(labels.max()) + 1,
        n_keep=budget,
        order=order,
        eligible=eligible,
    )
    module, function = SPECS[name].load.split(":")
    selection: Selection = getattr(importlib.import_module(module), function)(context)
    return selection


def problems() -> st.SearchStrategy[tuple[list[float], list[int], list[bool], int]]:
    """Scores with ties and both signs, labels of 4 classes (any may be empty), exclusions, a budget."""
    sample = st.tuples(st.sampled_from([-2.0, -1.5, -0.1, 0.0, 0.3, 5.0]), st.integers(0, 3), st.booleans())
    return st.lists(sample, min_size=1, max_size=40).flatmap(
        lambda rows: st.tuples(
            st.just([row[0] for row in rows]),
            st.just([row[1] for row in rows]),
            st.just([row[2] for row in rows]),
            st.integers(1, len(rows)),
        )
    )


@pytest.mark.parametrize(("name", "params"), VARIANTS)
@given(problem=problems(), seed=st.integers(0, 5))
@settings(max_examples=60, deadline=None)
def test_every_selector_returns_exactly_the_budget_as_sorted_distinct_indices(
    name: str, params: dict[str, Any], problem: tuple[list[float], list[int], list[bool], int], seed: int
) -> None:
    scores, labels, eligible, budget = problem
    selection = pick(name, scores, budget, labels, n_classes=4, eligible=eligible, seed=seed, **params)
    assert selection.indices.dtype == np.int64
    assert len(selection.indices) == budget
    assert (np.diff(selection.indices) > 0).all()
    assert selection.indices[0] >= 0
    assert selection.indices[-1] < len(scores)
    assert 0 <= selection.filled <= budget


@pytest.mark.parametrize(("name", "params"), BALANCED)
@given(problem=problems())
@settings(max_examples=40, deadline=None)
def test_balanced_selectors_meet_the_quota_of_every_class(
    name: str, params: dict[str, Any], problem: tuple[list[float], list[int], list[bool], int]
) -> None:
    scores, labels, eligible, budget = problem
    chosen = pick(name, scores, budget, labels, n_classes=4, eligible=eligible, **params).indices
    counts = np.bincount(np.asarray(labels)[chosen], minlength=4)
    assert (counts == class_quotas(np.asarray(labels), 4, budget)).all()


@pytest.mark.parametrize(("name", "params"), [v for v in VARIANTS if v[0] in ("top", "class_top", "random")])
@given(problem=problems())
@settings(max_examples=40, deadline=None)
def test_excluded_samples_return_only_where_their_pool_falls_short(
    name: str, params: dict[str, Any], problem: tuple[list[float], list[int], list[bool], int]
) -> None:
    scores, labels, eligible, budget = problem
    selection = pick(name, scores, budget, labels, n_classes=4, eligible=eligible, **params)
    allowed, classes = np.asarray(eligible), np.asarray(labels)
    if name == "top" or params.get("balanced") is False:
        shortfall = max(0, budget - int(allowed.sum()))
    else:
        quotas = class_quotas(classes, 4, budget)
        shortfall = int(np.maximum(0, quotas - np.bincount(classes[allowed], minlength=4)).sum())
    assert selection.filled == shortfall
    assert np.count_nonzero(~allowed[selection.indices]) == shortfall


@pytest.mark.parametrize(("name", "params"), VARIANTS)
def test_the_whole_budget_keeps_everything(name: str, params: dict[str, Any]) -> None:
    scores = np.random.default_rng(0).normal(size=23)
    chosen = pick(name, scores, 23, np.arange(23) % 3, n_classes=5, **params).indices
    assert chosen.tolist() == list(range(23))


@pytest.mark.parametrize(("name", "params"), BALANCED)
def test_a_budget_of_one_a_class_takes_one_of_each_class(name: str, params: dict[str, Any]) -> None:
    labels = np.array([0] * 90 + [1] * 3 + [2] * 1 + [3] * 40)
    chosen = pick(name, np.arange(134.0), 4, labels, **params).indices
    assert sorted(labels[chosen]) == [0, 1, 2, 3]


@pytest.mark.parametrize(("name", "params"), VARIANTS)
def test_the_same_seed_gives_the_same_indices(name: str, params: dict[str, Any]) -> None:
    scores = np.random.default_rng(0).integers(0, 4, size=200)
    first, second = (pick(name, scores, 50, np.arange(200) % 7, seed=3, **params).indices for _ in range(2))
    assert first.tobytes() == second.tobytes()


@pytest.mark.parametrize(("name", "params"), [("random", {}), ("strata", {"strata": 5})])
def test_stochastic_selectors_change_with_the_seed(name: str, params: dict[str, Any]) -> None:
    assert SPECS[name].stochastic
    scores = np.random.default_rng(0).normal(size=200)
    drawn = {pick(name, scores, 50, seed=seed, **params).indices.tobytes() for seed in range(3)}
    assert len(drawn) == 3


@pytest.mark.parametrize(("name", "params"), [v for v in VARIANTS if v[0] != "random"])
def test_a_shuffled_file_gives_the_same_samples(name: str, params: dict[str, Any]) -> None:
    generator = np.random.default_rng(4)
    scores, labels = generator.normal(size=120), np.arange(120) % 5
    moved = generator.permutation(120)
    straight = pick(name, scores, 40, labels, **params).indices
    shuffled = pick(name, scores[moved], 40, labels[moved], **params).indices
    assert sorted(moved[shuffled]) == straight.tolist()


@pytest.mark.parametrize(
    ("name", "params"), [("top", {}), ("random", {"balanced": False}), ("strata", {"balanced": False})]
)
def test_equal_scores_on_class_sorted_data_favour_no_class(name: str, params: dict[str, Any]) -> None:
    labels = np.repeat(np.arange(4), 25)
    draws = [pick(name, np.zeros(100), 20, labels, seed=seed, **params).indices for seed in range(100)]
    counts = np.bincount(labels[np.concatenate(draws)], minlength=4)
    assert abs(counts - 500).max() < 5 * np.sqrt(2000 * 0.25 * 0.75)


def test_top_keeps_the_highest_scores() -> None:
    assert pick("top", [0.1, -3, 7, 2, 2.5], 2, [0, 0, 1, 2, 1]).indices.tolist() == [2, 4]


def test_class_top_keeps_the_highest_scores_of_each_class() -> None:
    assert pick("class_top", [1, 9, 3, 8, 7, 2], 4, [0, 0, 0, 1, 1, 1]).indices.tolist() == [1, 2, 3, 4]


@given(st.lists(st.sampled_from([0.0, 0.5, 1.0, 2.0]), min_size=1, max_size=30), st.data())
@settings(max_examples=50, deadline=None)
def test_with_one_class_balanced_and_unbalanced_choices_are_the_same(scores: list[float], data: st.DataObject) -> None:
    budget = data.draw(st.integers(1, len(scores)))
    assert pick("class_top", scores, budget).indices.tolist() == pick("top", scores, budget).indices.tolist()
    for name, params in (("double_end", {"drop": 0.3}), ("strata", {"strata": 3}), ("random", {})):
        balanced, whole = (pick(name, scores, budget, balanced=b, **params).indices for b in (True, False))
        assert balanced.tolist() == whole.tolist()


@pytest.mark.parametrize("end", ["top", "bottom"])
def test_without_a_cut_double_end_keeps_the_scores_at_its_end_and_is_not_empty(end: str) -> None:
    scores, labels = np.random.default_rng(0).normal(size=40), np.arange(40) % 3
    for balanced, plain in ((True, "class_top"), (False, "top")):
        chosen = pick("double_end", scores, 13, labels, drop=0.0, end=end, balanced=balanced).indices
        assert chosen.tolist() == pick(plain, scores if end == "top" else -scores, 13, labels).indices.tolist()


def test_a_budget_above_the_number_of_samples_is_refused() -> None:
    with pytest.raises(PluginContractError, match="for a budget of 4"):
        pick("top", [1.0, 2.0, 3.0], 4)


def test_random_ignores_the_scores() -> None:
    generator = np.random.default_rng(0)
    one, other = (pick("random", generator.normal(size=60), 20, np.arange(60) % 3) for _ in range(2))
    assert one.indices.tolist() == other.indices.tolist()


def test_random_draws_every_sample_equally_often() -> None:
    draws = [pick("random", np.arange(20.0), 5, seed=seed).indices for seed in range(800)]
    counts = np.bincount(np.concatenate(draws), minlength=20)
    assert abs(counts - 200).max() < 5 * np.sqrt(800 * 0.25 * 0.75)


@pytest.mark.parametrize(
    ("end", "budget", "expected", "filled"),
    [
        ("top", 3, [5, 6, 7], 0),
        ("bottom", 3, [2, 3, 4], 0),
        ("top", 9, list(range(9)), 1),
        ("bottom", 9, list(range(1, 10)), 1),
    ],
)
def test_double_end_keeps_what_lies_next_to_the_cut(end: str, budget: int, expected: list[int], filled: int) -> None:
    selection = pick("double_end", np.arange(10), budget, drop=0.2, end=end)
    assert (selection.indices.tolist(), selection.filled) == (expected, filled)


def test_double_end_takes_dropped_samples_before_excluded_ones() -> None:
    selection = pick("double_end", np.arange(6), 5, eligible=[1, 0, 1, 1, 1, 1], drop=0.2)
    assert (selection.indices.tolist(), selection.filled) == ([0, 2, 3, 4, 5], 1)


def test_a_cut_is_rounded_down_in_decimal_arithmetic() -> None:
    assert int(0.29 * 100) == 28
    assert (cut_count(0.29, 100), cut_count(0.3, 50_000), cut_count(0.999, 3)) == (29, 15_000, 2)


def test_first_of_each_group_follows_the_ranking() -> None:
    ranking, groups = np.array([4, 0, 3, 1, 2]), np.array([1, 0, 1, 0, 0])
    assert sorted(first_of_each(ranking, groups, np.array([2, 1, 5]))) == [0, 1, 4]


@pytest.mark.parametrize(
    ("sizes", "budget", "expected"),
    [
        ([2, 2, 2], 6, [2, 2, 2]),
        ([5, 5, 5], 7, [2, 2, 3]),
        ([0, 0, 0, 100], 60, [0, 0, 0, 60]),
        ([100, 1, 0, 10], 30, [19, 1, 0, 10]),
        ([3, 0], 9, [3, 0]),
    ],
)
def test_the_budget_is_shared_evenly_among_strata(sizes: list[int], budget: int, expected: list[int]) -> None:
    assert allocate(np.array(sizes), budget).tolist() == expected


def water_filling(sizes: list[int], budget: int) -> list[int]:
    """Brute force: raise one level for all strata; what is left goes one each to the largest ones."""
    budget, level = min(budget, sum(sizes)), 0
    while level < max(sizes) and sum(min(size, level + 1) for size in sizes) <= budget:
        level += 1
    quotas = [min(size, level) for size in sizes]
    largest_first = sorted(range(len(sizes)), key=lambda j: (sizes[j], j), reverse=True)
    for index in largest_first[: budget - sum(quotas)]:
        quotas[index] += 1
    return quotas


@given(st.lists(st.integers(0, 12), min_size=1, max_size=12), st.integers(0, 80))
@settings(max_examples=300, deadline=None)
def test_the_allocation_is_water_filling(sizes: list[int], budget: int) -> None:
    assert allocate(np.array(sizes), budget).tolist() == water_filling(sizes, budget)


@given(st.lists(st.floats(-1e6, 1e6, width=32), min_size=2, max_size=60, unique=True), st.integers(1, 60))
@settings(max_examples=100, deadline=None)
def test_strata_are_the_bins_of_a_histogram(values: list[float], n_strata: int) -> None:
    scores = np.array(values, dtype=np.float64)
    expected, _ = np.histogram(scores, bins=np.linspace(scores.min(), scores.max(), n_strata + 1))
    assert np.bincount(stratum_of(scores, n_strata), minlength=n_strata).tolist() == expected.tolist()


def test_the_highest_score_is_in_the_last_stratum_when_all_scores_are_negative() -> None:
    assert stratum_of(np.array([-10.0, -6.0, -4.0, -2.0]), 4).tolist() == [0, 2, 3, 3]
    assert pick("strata", [-10.0, -9.9, -9.8, -2.0], 2, strata=2).indices[-1] == 3


def test_equal_scores_form_one_stratum() -> None:
    assert len(set(stratum_of(np.full(5, -3.0), 50).tolist())) == 1


def test_strata_spread_the_budget_over_the_range_of_the_scores() -> None:
    scores = np.concatenate([np.zeros(90), np.full(10, 1.0)])
    chosen = pick("strata", scores, 20, strata=2).indices
    assert np.bincount((chosen >= 90).astype(int)).tolist() == [10, 10]


def test_strata_by_score_take_the_highest_of_each_stratum() -> None:
    for end in ("top", "bottom"):
        chosen = pick("strata", np.arange(12), 6, strata=3, inside="score", cutoff_end=end).indices
        assert chosen.tolist() == [2, 3, 6, 7, 10, 11]


@pytest.mark.parametrize(("end", "kept"), [("top", range(7)), ("bottom", range(3, 10))])
def test_the_cut_off_drops_the_end_that_it_names(end: str, kept: range) -> None:
    selection = pick("strata", np.arange(10), 7, strata=4, cutoff=0.3, cutoff_end=end)
    assert (selection.indices.tolist(), selection.filled) == (list(kept), 0)


def test_cut_samples_return_next_to_the_cut_first_and_are_counted() -> None:
    selection = pick("strata", np.arange(10), 8, strata=4, cutoff=0.3)
    assert (selection.indices.tolist(), selection.filled) == (list(range(8)), 1)


def test_uniform_strata_reach_every_member_of_a_stratum() -> None:
    scores = np.concatenate([np.linspace(0, 0.4, 8), [1.0]])
    draws = np.concatenate([pick("strata", scores, 3, strata=2, seed=seed).indices for seed in range(400)])
    counts = np.bincount(draws, minlength=9)
    assert counts[8] == 400
    assert abs(counts[:8] - 100).max() < 5 * np.sqrt(800 * 0.125 * 0.875)


def test_strata_decline_scores_that_are_not_finite() -> None:
    with pytest.raises(NotApplicable, match="finite"):
        pick("strata", [0.0, -np.inf, 1.0], 1)


@pytest.mark.parametrize(("name", "params"), [*VARIANTS, *BALANCED])
def test_equal_scores_of_a_file_sorted_by_class_give_neither_a_class_nor_a_place_in_it_away(
    name: str, params: dict[str, Any]
) -> None:
    """As CIFAR-100 may lie on a disk: a hundred classes of 500 images, one class after the other."""
    labels, budget = np.repeat(np.arange(100), 500), 5000
    picked = np.concatenate([pick(name, np.zeros(50_000), budget, labels, seed=s, **params).indices for s in range(3)])
    n, drawn = 3 * budget, np.bincount(labels[picked], minlength=100)
    # Of a class come 150 where classes are balanced, and otherwise as many as chance allows: within five deviations.
    assert np.abs(drawn - n / 100).max() < 5 * np.sqrt(n / 100)
    place = picked % 500
    assert abs(place.mean() - 249.5) < 5 * 500 / np.sqrt(12 * n)
    assert np.abs(np.bincount(place // 100) - n / 5).max() < 5 * np.sqrt(n / 5)
