"""What each budget keeps: nested where the method says so, and told where it is not."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from sklearn.datasets import load_digits

from prunebench.plugins import load_plugins
from prunebench.pruning.evidence import Evidence
from prunebench.pruning.scoring import Method, score
from prunebench.pruning.selecting import Choice, select
from prunebench.settings import Settings
from prunebench.stages.bench import Bench, make_bench

CATALOGUE = load_plugins()
GREEDY = sorted(name for name, entry in CATALOGUE.entries["scorers"].items() if entry.spec.greedy)


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return make_bench(Settings(str(tmp_path), device="cpu"), CATALOGUE)


@pytest.fixture(scope="module")
def evidence() -> Evidence:
    rows = np.random.default_rng(0).permutation(1797)[:240]
    values, labels = load_digits().data[rows].astype(np.float32), load_digits().target[rows].astype(np.int64)
    return Evidence(features=values, labels=labels, class_names=tuple("0123456789"))


def nobody(evidence: Evidence) -> np.ndarray:
    return np.zeros(len(evidence), dtype=np.bool_)


@pytest.mark.parametrize("name", GREEDY)
def test_the_picks_of_a_greedy_method_for_a_smaller_budget_are_the_first_of_a_larger_one(name, bench, evidence):
    small, large = (score(bench, evidence, Method(scorer=name), budget).scores for budget in (30, 90))
    assert len(GREEDY) >= 9
    for label in range(10):
        members = np.flatnonzero(evidence.labels == label)
        first, second = (members[np.argsort(-values[members], kind="stable")] for values in (small, large))
        quota = int((small[members] > 0).sum())
        assert quota >= 1
        assert first[:quota].tolist() == second[:quota].tolist()


@pytest.mark.parametrize("name", [*GREEDY, "moderate", "random"])
def test_budgets_are_inside_each_other_and_the_same_whether_asked_for_together_or_alone(name, bench, evidence):
    method, budgets = Method(scorer=name), [12, 24, 120]
    together, nested = select(bench, evidence, method, Choice(), budgets, nobody(evidence))
    assert nested
    kept = [set(one.rows.tolist()) for one in together]
    assert [len(one) for one in kept] == budgets
    assert kept[0] < kept[1] < kept[2]
    alone, _ = select(bench, evidence, method, Choice(), [24], nobody(evidence))
    assert set(alone[0].rows.tolist()) == kept[1]


def test_strata_do_not_nest_and_say_so_and_protected_samples_are_kept(bench, evidence):
    protected = nobody(evidence)
    protected[[7, 100]] = True
    choice = Choice(selector="strata")
    made, nested = select(bench, evidence, Method(scorer="moderate"), choice, [20, 60], protected)
    assert not nested
    for one, count in zip(made, (20, 60), strict=True):
        assert len(one.rows) == count
        assert {7, 100} <= set(one.rows.tolist())
        assert set(one.reasons(protected)[[7, 100]]) == {"protected"}


def test_balance_none_takes_the_best_of_all_and_balance_class_gives_each_class_its_share(bench, evidence):
    method = Method(scorer="moderate")
    values = score(bench, evidence, method, 24).scores
    best, _ = select(bench, evidence, method, Choice(balance="none"), [24], nobody(evidence))
    assert values[best[0].rows].min() >= np.sort(values)[-24]
    fair, _ = select(bench, evidence, method, Choice(balance="class"), [24], nobody(evidence))
    shares = np.bincount(evidence.labels[fair[0].rows], minlength=10)
    assert (np.abs(shares - 24 * np.bincount(evidence.labels) / 240) <= 1).all()
