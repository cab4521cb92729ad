"""registry.toml: a typo is answered with its dotted key, its line, and the nearest name."""

from __future__ import annotations

from pathlib import Path

import pytest

from prunebench.errors import RegistryError, SchemaTooNew, UsageError
from prunebench.plan import make_plan
from prunebench.plugins import load_plugins
from prunebench.registry import load_registry
from prunebench.registry.toml_table import line_of

ROOT = Path(__file__).resolve().parent.parent

SUITE = """
[dataset.digits]

[backbone.net]
timm = "test_resnet"
weights = { train = "short" }

[recipe.short]
learner = "deepcore"

[suite.tiny]
dataset = "digits"
methods = ["random"]
backbones = ["net"]
pruning_rates = ["0.5"]
seeds = 2
training = [{ arch = "net", recipe = "short" }]
"""


def test_the_official_registry_is_valid_and_every_suite_can_be_planned():
    registry, catalogue = load_registry(ROOT / "registry.toml"), load_plugins()
    assert {"quickstart", "fashion", "cifar10-table1", "cifar100-table1"} <= set(registry.suites)
    for name in registry.suites:
        plan = make_plan(registry, catalogue, name)
        assert plan.cells or plan.agreements


def test_the_quickstart_has_what_it_promises():
    suite = load_registry(ROOT / "registry.toml").suite("quickstart")
    assert suite.dataset == "digits"
    assert len(suite.backbones) >= 3
    assert suite.pruning_rates == ("0.3", "0.5", "0.7", "0.8", "0.9")
    assert suite.seeds == 3
    assert (suite.baseline, suite.unpruned) == ("random", "full")
    assert {"random", "moderate", "d2", "echo", "topocore", "ripsnet"} <= set(suite.methods)


TYPOS = {
    "an unknown key": (SUITE.replace("seeds = 2", "seeds = 2\nseed = 3"), "suite.tiny.seed", "seeds"),
    "an unknown table": ("[siute.x]\n", "siute", "suite"),
    "a number where a string belongs": (SUITE.replace('"0.5"', "0.5"), "suite.tiny.pruning_rates", ""),
    "a rate outside its range": (SUITE.replace('"0.5"', '"1.5"'), "suite.tiny.pruning_rates", "fractions"),
    "an unknown data set": (SUITE.replace('dataset = "digits"', 'dataset = "digit"'), "suite.tiny.dataset", "digits"),
    "an unknown backbone": (
        SUITE.replace('backbones = ["net"]', 'backbones = ["nett"]'),
        "suite.tiny.backbones",
        "net",
    ),
    "an unknown recipe": (SUITE.replace('recipe = "short"', 'recipe = "shot"'), "suite.tiny.training", "short"),
    "an unknown recipe of a backbone": (
        SUITE.replace('train = "short"', 'train = "shot"'),
        "backbone.net.weights",
        "short",
    ),
    "a missing key": (SUITE.replace("seeds = 2\n", ""), "suite.tiny", "seeds"),
    "no seeds": (SUITE.replace("seeds = 2", "seeds = 0"), "suite.tiny.seeds", ""),
    "an unknown source of weights": (SUITE.replace('{ train = "short" }', '"hubb"'), "backbone.net.weights", "hub"),
}


@pytest.mark.parametrize("typo", TYPOS)
def test_a_registry_with(typo, write_registry):
    tables, key, hint = TYPOS[typo]
    path = write_registry(tables)
    with pytest.raises(RegistryError) as caught:
        load_registry(path)
    error = caught.value
    assert error.key == key
    line = path.read_text().splitlines()[error.line - 1]
    assert key.split(".")[-1] in line or f"[{key}]" in line
    assert f"registry.toml, line {error.line}" in error.message
    assert hint in error.hint + error.message


def test_a_registry_that_is_not_toml_is_answered_with_the_line(write_registry):
    with pytest.raises(RegistryError) as caught:
        load_registry(write_registry("[suite.x]\nseeds = = 3\n"))
    assert caught.value.line == 4


def test_a_registry_of_a_newer_prunebench_is_refused(tmp_path):
    (tmp_path / "r.toml").write_text('schema = 2\nprotocol = "x"\n')
    with pytest.raises(SchemaTooNew, match="schema 2"):
        load_registry(tmp_path / "r.toml")


def test_a_registry_that_is_not_there_is_answered_with_what_to_do(tmp_path):
    with pytest.raises(UsageError) as caught:
        load_registry(tmp_path / "none.toml")
    assert "--registry" in caught.value.hint


def test_lines_are_found_for_nested_tables_inline_tables_and_arrays():
    text = "a = 1\n[x.y]\nb = 2\nc = { d = 3 }\n\n[x.y.z]\ne = [\n  { f = 1 },\n  { g = 2 },\n]\n"
    assert line_of(text, "a") == 1
    assert line_of(text, "x.y") == 2
    assert line_of(text, "x.y.b") == 3
    assert line_of(text, "x.y.c.d") == 4
    assert line_of(text, "x.y.z.e[1].g") in (7, 9)
