"""Plans are pure: what is computed depends on the suite, and on nothing around it."""

from __future__ import annotations

import itertools
from functools import cache
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prunebench.errors import UsageError
from prunebench.plan import Filters, make_plan
from prunebench.planner import Contents
from prunebench.plugins import load_plugins
from prunebench.registry import load_registry

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="module")
def quickstart():
    registry, catalogue = load_registry(ROOT / "registry.toml"), load_plugins()
    return cache(lambda **filters: make_plan(registry, catalogue, "quickstart", Filters(**filters)))


def keys(plan):
    return {cell.key for cell in plan.cells}


def test_every_cell_has_a_key_and_coordinates_of_its_own(quickstart):
    plan = quickstart()
    names = ("method", "score_backbone", "projector", "keep", "train_arch", "recipe", "seed")
    assert len({tuple(cell.axes[name] for name in names) for cell in plan.cells}) == len(plan.cells)
    assert len(keys(plan)) == len(plan.cells)


def test_planning_twice_gives_the_same_keys(quickstart):
    assert [c.key for c in quickstart().cells] == [c.key for c in quickstart.__wrapped__().cells]


FILTERS = {
    "scorer": ["random", "mod*", "topocore"],
    "backbone": ["digits-resnet", "*vit"],
    "arch": ["digits-scratch", "digits-*"],
    "keep": ["0.1", "0.50"],
}


@settings(deadline=None, max_examples=25)
@given(st.fixed_dictionaries({}, optional={axis: st.sampled_from(globs) for axis, globs in FILTERS.items()}))
def test_a_filter_chooses_cells_and_never_changes_their_keys(quickstart, chosen):
    filters = {axis: (glob,) for axis, glob in chosen.items()}
    try:
        plan = quickstart(**filters)
    except UsageError:
        return
    assert keys(plan) <= keys(quickstart())


def test_an_added_method_runs_beside_the_suite_and_leaves_its_cells_as_they_are(quickstart):
    alone, more = quickstart(), quickstart(added=("el2n", "random", "full"))
    assert keys(alone) < keys(more)
    added = [cell for cell in more.cells if cell.key not in keys(alone)]
    assert {(cell.axes["method"], cell.axes["role"]) for cell in added} == {("el2n", "method")}
    beside = quickstart(added=("el2n",), scorer=("random",), keep=("0.1",))
    assert {cell.axes["method"] for cell in beside.cells} == {"el2n", "random"}
    with pytest.raises(UsageError, match="no scorer is named 'el3n'"):
        quickstart(added=("el3n",))


def test_methods_that_read_no_backbone_are_not_repeated_over_backbones(quickstart):
    backbones = {c.axes["score_backbone"] for c in quickstart().cells if c.axes["method"] in ("random", "echo", "full")}
    assert backbones == {"-"}


def test_a_filter_on_backbones_or_projectors_keeps_the_methods_that_read_none_and_so_the_baseline(quickstart):
    cells = quickstart(backbone=("digits-vit",)).cells
    assert {c.axes["method"] for c in cells} == {c.axes["method"] for c in quickstart().cells}
    assert {c.axes["score_backbone"] for c in cells} == {"-", "digits-vit"}
    assert {c.axes["method"] for c in quickstart(backbone=("-",)).cells} == {"random", "echo", "full"}
    cells = quickstart(projector=("umap",)).cells
    assert {"random", "moderate", "topocore"} <= {c.axes["method"] for c in cells}


def test_the_unpruned_set_and_the_baseline_are_on_the_board(quickstart):
    roles = {cell.axes["role"]: cell.axes["method"] for cell in quickstart().cells if cell.axes["role"] != "method"}
    assert roles == {"baseline": "random", "unpruned": "full"}
    assert {c.axes["keep"] for c in quickstart().cells if c.axes["role"] == "unpruned"} == {"1"}


def test_all_methods_train_from_the_same_seed_and_differ_in_their_selection_seed(quickstart):
    cells = [c for c in quickstart().cells if c.axes["train_arch"] == "digits-scratch" and c.axes["seed"] == 1]
    assert len({c.task.config["seed"] for c in cells}) == 1
    assert len({c.task.upstream["subset"].config["seed"] for c in cells}) > 5


def test_selection_seeds_do_not_depend_on_the_budget_so_that_subsets_are_nested(quickstart):
    cells = [c for c in quickstart(scorer=("random",)).cells if c.axes["seed"] == 0]
    assert len({c.task.upstream["subset"].config["seed"] for c in cells}) == 1


def test_a_stage_shared_by_many_cells_is_one_task(quickstart):
    tasks = quickstart().tasks()
    stages = [task.stage for task in tasks]
    assert len({task.key for task in tasks}) == len(tasks)
    assert stages.count("features") == 4  # three backbones and the untrained control
    assert stages.count("pretrain") == 3


def test_score_seeds_differ_between_backbones_so_that_agreement_is_not_built_in(quickstart):
    seeds = {
        (c.axes["score_backbone"], c.task.upstream["subset"].upstream["scores"].config["seed"])
        for c in quickstart(scorer=("ripsnet",)).cells
        if c.axes["seed"] == 0
    }
    assert len({seed for _, seed in seeds}) == len({backbone for backbone, _ in seeds}) == 3


def test_agreements_compare_backbones_at_one_seed_and_seeds_at_one_backbone(quickstart):
    for cell in quickstart().agreements:
        a, b = cell.axes["backbone_a"], cell.axes["backbone_b"]
        assert (a == b) != (cell.axes["seed_a"] == cell.axes["seed_b"])
    pairs = {(c.axes["backbone_a"], c.axes["backbone_b"]) for c in quickstart().agreements}
    assert len([p for p in pairs if p[0] != p[1]]) == len(list(itertools.combinations(range(4), 2)))


def test_two_seeds_mean_the_first_two(quickstart):
    assert {c.axes["seed"] for c in quickstart(seeds=2).cells} == {0, 1}


@pytest.mark.parametrize(
    ("filters", "words"),
    [
        ({"keep": ("0",)}, r"outside \(0, 1\]"),
        ({"keep": ("1.2",)}, r"outside \(0, 1\]"),
        ({"keep": ("-0.1",)}, r"outside \(0, 1\]"),
        ({"keep": ("ten",)}, "not a number"),
        ({"keep": ("0.25",)}, "has no keep = 0.25"),
        ({"scorer": ("none-such",)}, "no cell"),
        ({"backbone": ("digits-resnot",)}, "quickstart' has no backbone 'digits-resnot'"),
        ({"projector": ("umapp",)}, "has no projector 'umapp'"),
        ({"arch": ("digits-scratch", "lenet")}, "has no arch 'lenet'"),
    ],
)
def test_a_filter_that_cannot_match_is_answered(quickstart, filters, words):
    with pytest.raises(UsageError, match=words):
        quickstart(**filters)


REPLICATES = """
[dataset.digits]

[backbone.own]
timm = "test_resnet"
image_size = 16
weights = { train = "short" }

[backbone.given]
timm = "test_resnet"
image_size = 16
weights = { file = "w.safetensors", sha256 = "%s" }

[recipe.short]
learner = "deepcore"

[recipe.probe]
learner = "probe"

[suite.replicates]
dataset = "digits"
methods = ["random", "moderate", "aum"]
baseline = "random"
backbones = ["own", "given"]
pruning_rates = ["0.9"]
seeds = 4
proxy = { arch = "own", recipe = "short" }
training = [{ arch = "own", recipe = "short" }, { arch = "own", recipe = "probe" }]
""" % ("0" * 64)


def replicated(write_registry, more: str = ""):
    contents = Contents({"digits": "1" * 32})
    return make_plan(load_registry(write_registry(REPLICATES + more)), load_plugins(), "replicates", contents=contents)


def keys_by_seed(plan, name, **axes):
    chosen = [c for c in plan.cells if all(c.axes[axis] == value for axis, value in axes.items())]
    return [c.axes[name] for c in sorted(chosen, key=lambda c: c.axes["seed"]) if c.axes["recipe"] == "short"]


def test_seeds_share_one_backbone_and_one_proxy_run_unless_the_suite_says_otherwise(write_registry):
    plan = replicated(write_registry)
    assert len(set(keys_by_seed(plan, "features_key", method="moderate", score_backbone="own"))) == 1
    assert len(set(keys_by_seed(plan, "proxy_key", method="aum"))) == 1


def test_the_seeds_of_a_suite_are_spread_over_its_backbones_and_proxy_runs(write_registry):
    plan = replicated(write_registry, "backbone_seeds = 2\nproxy_seeds = 3\n")
    own = keys_by_seed(plan, "features_key", method="moderate", score_backbone="own")
    assert own[0] == own[2] != own[1] == own[3]
    assert len(set(keys_by_seed(plan, "features_key", method="moderate", score_backbone="given"))) == 1
    proxies = keys_by_seed(plan, "proxy_key", method="aum")
    assert proxies[0] == proxies[3]
    assert len(set(proxies)) == 3
    # The first of each is the one that there was before: what was computed stays.
    alone = replicated(write_registry)
    assert own[0] == keys_by_seed(alone, "features_key", method="moderate", score_backbone="own")[0]
    assert proxies[0] == keys_by_seed(alone, "proxy_key", method="aum")[0]


def test_seeds_of_a_deterministic_method_under_a_deterministic_learner_are_one_observation(write_registry):
    plan = replicated(write_registry)
    probed = [c for c in plan.cells if c.axes["recipe"] == "probe" and c.axes["method"] == "moderate"]
    assert len({c.axes["scores_key"] for c in probed}) == 2  # of two backbones
    assert all("seed" not in c.task.config for c in probed)
    assert all("seed" in c.task.config for c in plan.cells if c.axes["recipe"] == "short")


@pytest.mark.parametrize("part", ["data", "weights"])
def test_another_content_gives_another_key_to_everything_that_reads_it(write_registry, part):
    registry, catalogue = load_registry(write_registry(REPLICATES)), load_plugins()
    before = make_plan(registry, catalogue, "replicates", contents=Contents({"digits": "1" * 32}))
    other = Contents({"digits": "2" * 32}) if part == "data" else Contents(
        {"digits": "1" * 32}, {"w.safetensors": "f" * 64}
    )  # fmt: skip
    after = make_plan(registry, catalogue, "replicates", contents=other)
    changed = [a.axes["score_backbone"] for a, b in zip(after.cells, before.cells, strict=True) if a.key != b.key]
    assert set(changed) == ({"-", "own", "given"} if part == "data" else {"given"})
    if part == "data":
        assert not {t.key for t in after.tasks()} & {t.key for t in before.tasks()}


def test_data_that_nobody_looked_at_are_not_planned_by_their_name(write_registry):
    registry = load_registry(write_registry(REPLICATES))
    with pytest.raises(UsageError, match="no fingerprint in the registry"):
        make_plan(registry, load_plugins(), "replicates")


def test_no_name_and_no_path_of_the_data_is_in_a_key(write_registry):
    contents = Contents({"digits": "1" * 32, "other": "1" * 32})
    renamed = REPLICATES.replace("[dataset.digits]", '[dataset.other]\nspec = "digits"').replace(
        'dataset = "digits"', 'dataset = "other"'
    )
    plans = [
        make_plan(load_registry(write_registry(text)), load_plugins(), "replicates", contents=contents)
        for text in (REPLICATES, renamed)
    ]
    assert [c.key for c in plans[0].goals] == [c.key for c in plans[1].goals]


def test_a_projection_of_the_classified_samples_is_another_task_than_one_of_all(quickstart):
    planner_tasks = [t for t in quickstart().tasks() if t.stage == "projection"]
    assert {t.config["rows"] for t in planner_tasks} <= {"all", "classified"}
    assert all("labels" not in t.config for t in planner_tasks)


@pytest.mark.parametrize(
    ("methods", "filters"),
    [('"random", "full"', {}), ('"random", "moderate"', {"scorer": ("random",)}), ('"random"', {"seeds": 1})],
)
def test_a_suite_that_has_neither_training_nor_scores_to_compare_says_what_is_missing(write_registry, methods, filters):
    text = REPLICATES.replace('"random", "moderate", "aum"', methods)
    text = text[: text.index("training = [")].replace('pruning_rates = ["0.9"]\n', "")
    contents = Contents({"digits": "1" * 32})
    with pytest.raises(UsageError, match=r"no network, and scores are compared only of .* unlike random$") as caught:
        make_plan(load_registry(write_registry(text)), load_plugins(), "replicates", Filters(**filters), contents)
    assert "add training = [" in caught.value.hint
    assert "methods that read a backbone" in caught.value.hint


def test_a_suite_without_training_compares_the_scores_of_methods_that_read_a_backbone(write_registry):
    text = REPLICATES[: REPLICATES.index("training = [")].replace('pruning_rates = ["0.9"]\n', "")
    plan = make_plan(
        load_registry(write_registry(text)), load_plugins(), "replicates", contents=Contents({"digits": "1" * 32})
    )
    assert plan.cells == ()
    assert {goal.axes["method"] for goal in plan.agreements} == {"moderate"}


@pytest.mark.parametrize("keep", ["nan", "inf"])
def test_a_budget_that_is_no_fraction_is_answered(quickstart, keep):
    with pytest.raises(UsageError, match=f"keep = '?{keep}'? is "):
        quickstart(keep=(keep,))


def test_an_unknown_suite_is_answered_with_the_nearest(quickstart):
    with pytest.raises(UsageError) as caught:
        make_plan(load_registry(ROOT / "registry.toml"), load_plugins(), "quikstart")
    assert "quickstart" in caught.value.hint
