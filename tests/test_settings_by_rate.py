"""Settings as published: a method may have parameters by pruning rate, and a cell is made of those of its own rate."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from msgspec.structs import replace

from boards import rows
from prunebench.board import make_board
from prunebench.cli.list import command as list_command
from prunebench.errors import UsageError
from prunebench.plan import Filters, make_plan
from prunebench.planner import Contents
from prunebench.plugins import load_plugins
from prunebench.registry import load_registry
from prunebench.validation.rules import disagreements
from registries import DIGITS

ROOT = Path(__file__).resolve().parent.parent
SUITE = """
[recipe.short]
learner = "deepcore"

[method.tuned]
scorer = "moderate"
params = { PARAMS }
caveat = "tuned per rate by its authors on the test set"
AT
[suite.s]
dataset = "digits"
methods = ["random", "moderate", "tuned"]
backbones = ["untrained"]
pruning_rates = ["0.50", "0.9"]
seeds = 2
training = [{ arch = "untrained", recipe = "short" }]
"""
MEAN = 'center = "mean"'
AT = '[method.tuned.at."0.90"]\nparams = { window = "value" }\n[method.tuned.at."0.7"]\nselector_params = {}\n'
CONTENTS = Contents({"digits": "1" * 32})


@pytest.fixture
def planned(tmp_path):
    """Return the registry with some settings by rate, and the plan of its suite."""

    def made(at: str = AT, params: str = MEAN, **filters):
        path = tmp_path / "registry.toml"
        path.write_text(DIGITS + SUITE.replace("AT", at).replace("PARAMS", params), encoding="utf-8")
        registry = load_registry(path)
        return registry, make_plan(registry, load_plugins(), "s", Filters(**filters), CONTENTS)

    return made


def keys(plan, method: str, keep: str) -> set[str]:
    return {cell.key for cell in plan.cells if (cell.axes["method"], cell.axes["keep"]) == (method, keep)}


def test_a_cell_is_made_of_the_parameters_of_its_own_rate_and_keeps_its_key_whatever_other_rates_have(planned):
    _, alone = planned("")
    registry, plan = planned()
    assert keys(plan, "tuned", "0.5") == keys(alone, "tuned", "0.5")
    assert not keys(plan, "tuned", "0.1") & keys(alone, "tuned", "0.1")
    for method in ("random", "moderate"):
        assert {cell.key for cell in plan.cells if cell.axes["method"] == method} == {
            cell.key for cell in alone.cells if cell.axes["method"] == method
        }
    _, same = planned("", f'{MEAN}, window = "value"')
    assert keys(plan, "tuned", "0.1") == keys(same, "tuned", "0.1"), "settings at a rate are settings like any other"
    assert {cell.axes["keep"]: cell.axes["scorer_params"] for cell in plan.cells if cell.axes["method"] == "tuned"} == {
        "0.5": {"center": "mean", "window": "rank", "scope": "class"},
        "0.1": {"center": "mean", "window": "value", "scope": "class"},
    }
    assert registry.method("tuned").at_keep("0.10").params == {"center": "mean", "window": "value"}
    assert registry.method("tuned").at_keep("0.11").params == {"center": "mean"}


def test_the_selector_has_settings_by_rate_and_scores_that_do_not_are_still_compared(planned):
    at = 'selector = "strata"\n[method.tuned.at]\n"0.9" = { selector_params = { cutoff = 0.3 } }\n'
    _, plan = planned(at)
    tuned = [cell for cell in plan.cells if cell.axes["method"] == "tuned"]
    assert {cell.axes["keep"]: cell.axes["selector_params"]["cutoff"] for cell in tuned} == {"0.5": 0.0, "0.1": 0.3}
    assert len({cell.axes["scores_key"] for cell in tuned}) == 1, "one scoring serves both rates"
    assert {goal.axes["method"] for goal in plan.agreements} == {"moderate", "tuned"}
    _, plan = planned()
    assert {goal.axes["method"] for goal in plan.agreements} == {"moderate"}, "scores of which rate?"


@pytest.mark.parametrize("where", ["params", "selector_params"])
def test_a_parameter_that_a_plugin_does_not_take_is_told_at_a_rate_that_is_not_run(planned, where):
    with pytest.raises(UsageError, match="has no parameter 'windowed'"):
        planned(f'[method.tuned.at."0.3"]\n{where} = {{ windowed = 1 }}\n', keep=("0.5",))


def test_records_follow_the_settings_of_their_rate_and_the_board_ranks_them_with_their_caveat(planned):
    registry, plan = planned()
    records = [goal.record(status="ok", accuracy=0.5 + 0.01 * seed) for seed, goal in enumerate(plan.cells)]
    assert [list(disagreements(record, registry, load_plugins())) for record in records] == [[]] * len(records)
    wrong = replace(
        next(r for r in records if (r.method, r.keep) == ("tuned", "0.1")), scorer_params={"center": "mean"}
    )
    assert any("scorer_params.window" in text for text in disagreements(wrong, registry, load_plugins()))
    found = [row for row in rows(make_board(records, registry).accuracy) if row["method"] == "tuned"]
    whole = [row for row in found if row["score_backbone"] == "mean"]
    assert [(row["versions"], row["rank"] is None) for row in whole] == [("", False)] * 2
    assert {row["caveat"] for row in found} == {"tuned per rate by its authors on the test set"}
    mixed = [replace(r, scorer_params={}) if (r.method, r.keep, r.seed) == ("tuned", "0.1", 1) else r for r in records]
    found = [row for row in rows(make_board(mixed, registry).accuracy) if row["method"] == "tuned"]
    assert all(row["versions"].startswith("2 versions in one row, scorer params") for row in found)


def test_the_settings_of_each_rate_are_on_the_page_of_the_method(capsys):
    list_command.main(
        ["d2-published", "--json", "--registry", str(ROOT / "registry.toml")], obj=load_plugins(), standalone_mode=False
    )
    [row] = json.loads(capsys.readouterr().out)
    assert row["facts"]["at pruning rate 0.9"] == "mis_ratio = 0.4"
    assert "tuned per rate by its authors on the test set" in row["facts"]["caveat"]


def test_the_published_settings_are_those_of_the_papers_and_stand_beside_one_setting_for_all_rates():
    registry = load_registry(ROOT / "registry.toml")
    plan = make_plan(registry, load_plugins(), "cifar10-table1", contents=CONTENTS)
    of = {(cell.axes["method"], cell.axes["keep"]): cell.axes for cell in plan.cells}
    keeps = ("0.7", "0.5", "0.3", "0.2", "0.1")
    assert [of["d2-published", keep]["scorer_params"]["mis_ratio"] for keep in keeps] == [0, 0, 0, 0, 0.4]
    assert [of["d2", keep]["scorer_params"]["mis_ratio"] for keep in keeps] == [0] * 5
    assert [of["ccs-published", keep]["selector_params"]["cutoff"] for keep in keeps] == [0, 0, 0.1, 0.1, 0.3]
    assert [of["ccs-aum", keep]["selector_params"]["cutoff"] for keep in keeps] == [0.3] * 5
    ccs, tdds = (registry.method(f"{name}-published-cifar100") for name in ("ccs", "tdds"))
    assert [ccs.at_keep(keep).selector_params["cutoff"] for keep in keeps] == [0.1, 0.2, 0.2, 0.4, 0.5]
    windows = [(90, 10), (70, 10), (60, 20), (20, 10), (10, 5)]
    assert [(p["epochs"], p["window"]) for p in (tdds.at_keep(keep).params for keep in keeps)] == windows
