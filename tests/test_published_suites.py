"""The suites of published tables hold the rows, budgets and recipes of the tables."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path

import pytest

from prunebench.plan import make_plan
from prunebench.plugins import load_plugins
from prunebench.registry import load_registry
from prunebench.stages.data import load_dataset
from prunebench_learners.recipe import Recipe
from prunebench_learners.recipe import plan_of as updates_of

ROOT = Path(__file__).resolve().parent.parent
FINGERPRINTED = ("cifar10-table1", "echo-table1", "epochs-vs-iterations", "topkd", "cifar10-topkd")


@pytest.fixture(scope="module")
def registry():
    return load_registry(ROOT / "registry.toml")


@pytest.fixture(scope="module")
def plan_of(registry):
    plans = {name: make_plan(registry, load_plugins(), name) for name in FINGERPRINTED}
    return plans.__getitem__


@pytest.mark.parametrize("name", ["cifar10-table1", "cifar100-table1"])
def test_topocore_s_table_has_its_rows_its_rates_and_five_seeds(registry, name):
    suite = registry.suite(name)
    assert {"random", "moderate", "fdmat", "topocore"} <= {*suite.methods}
    assert any(registry.method(method).scorer == "d2" for method in suite.methods)
    assert (suite.pruning_rates, suite.seeds) == (("0.3", "0.5", "0.7", "0.8", "0.9"), 5)
    (training,) = suite.training
    params = load_plugins().learner("deepcore").spec.resolve_params(registry.recipes[training.recipe].params)
    assert (params["epochs"], params["batch_size"], params["learning_rate"]) == (200, 256, 0.1)
    assert (params["momentum"], params["weight_decay"], params["augment"]) == (0.9, 5e-4, "crop_flip")


def test_echo_s_table_has_nineteen_rows_from_a_thousandth_to_a_half(registry):
    suite = registry.suite("echo-table1")
    assert len(suite.methods) == 19
    assert suite.keeps == ("0.001", "0.01", "0.05", "0.1", "0.2", "0.3", "0.5")
    assert "IFS" in [entry.spec.label for entry in load_plugins().entries["metrics"].values()]
    assert {registry.recipes[pair.recipe].learner for pair in suite.training} == {"deepcore", "echo"}


def test_recipes_against_each_other_have_the_updates_that_are_published(plan_of):
    found = defaultdict(dict)
    for cell in plan_of("epochs-vs-iterations").cells:
        params, keep = cell.task.config["recipe"]["params"], cell.axes["keep"]
        fields = {name: value for name, value in params.items() if name in Recipe.__dataclass_fields__}
        found[cell.axes["recipe"]][keep] = updates_of(Recipe(**fields), round(50_000 * float(keep))).n_iterations
    assert set(found["iterations-40000"].values()) == {40_000}
    rates = ("0.7", "0.5", "0.3", "0.2", "0.1")
    assert [found["deepcore-200"][keep] for keep in rates] == [27_400, 19_600, 11_800, 8_000, 4_000]
    assert [found["dual-200"][keep] for keep in rates] == [54_800, 39_200, 23_600, 31_400, 31_400]


@pytest.mark.parametrize("name", ["topkd", "cifar10-topkd"])
def test_topkd_stands_beside_its_two_controls_with_as_many_updates(registry, name):
    ce, kd, top = (registry.recipes[pair.recipe] for pair in registry.suite(name).training)
    assert (ce.learner, kd.learner, top.learner) == ("deepcore", "topkd", "topkd")
    assert kd.params == {**ce.params, "topology_weight": 0.0}
    assert {key: top.params[key] for key in ce.params} == ce.params
    assert top.params.get("topology_weight", 5.0) == 5.0
    assert kd.teacher == top.teacher
    assert registry.networks[kd.teacher].weights.source in ("trained", "file")
    assert len({pair.arch for pair in registry.suite(name).training}) == 1


def test_the_small_topkd_suite_has_a_teacher_for_each_seed(plan_of):
    plan = plan_of("topkd")
    teachers = {cell.task.upstream["weights"].key for cell in plan.cells if "weights" in cell.task.upstream}
    assert len(teachers) == plan.suite.seeds == 5
    assert len(load_dataset(load_plugins().dataset("digits"), {}, ()).train) == 1438
