"""One broken plugin is reported with its distribution and version, and the rest works."""

from __future__ import annotations

import json
import types

import pytest

from conftest import Sandbox
from prunebench import ScorerSpec, hookimpl
from prunebench.errors import PluginCollision, PluginLoadError, UsageError
from prunebench.plugins import load_plugins

GOOD = """
from prunebench import ScorerSpec, hookimpl

@hookimpl
def prunebench_scorers():
    return [ScorerSpec(name="fine", summary="Works.", load="good:score")]
"""


def scorer(name: str = "mine", **fields) -> ScorerSpec:
    return ScorerSpec(**{"name": name, "summary": "A test.", "load": "nowhere:score", **fields})


def plugin(specs) -> types.SimpleNamespace:
    return types.SimpleNamespace(prunebench_scorers=hookimpl(specs))


def test_the_bundled_plugins_all_load():
    found = load_plugins()
    assert found.failures == ()
    assert {"random", "full", "moderate", "d2", "echo", "topocore", "ripsnet"} <= set(found.entries["scorers"])
    assert {"umap", "pacmap", "pca", "tsne", "identity"} <= set(found.entries["projectors"])
    assert {"top", "class_top", "strata"} <= set(found.entries["selectors"])
    assert {"digits", "fashion-mnist", "cifar10", "cifar100"} <= set(found.entries["datasets"])


BROKEN = {
    "raises at import": ("raise RuntimeError('no such library')", "RuntimeError: no such library"),
    "calls sys.exit at import": ("import sys; sys.exit(3)", "SystemExit: 3"),
    "has a syntax error": ("def (", "SyntaxError"),
    "misspells a hook": (
        "from prunebench import hookimpl\n@hookimpl\ndef prunebench_scorer():\n    return []",
        "unknown hook 'prunebench_scorer'",
    ),
    "asks for an argument that no hook has": (
        "from prunebench import hookimpl\n@hookimpl\ndef prunebench_scorers(wrong):\n    return []",
        "wrong",
    ),
    "raises in a hook": (
        "from prunebench import hookimpl\n@hookimpl\ndef prunebench_scorers():\n    return 1 / 0",
        "prunebench_scorers raised ZeroDivisionError",
    ),
    "returns something else": (
        "from prunebench import hookimpl\n@hookimpl\ndef prunebench_scorers():\n    return ['x']",
        "returned str, expected ScorerSpec",
    ),
    "has a name that is not a slug": (
        GOOD.replace('"fine"', '"Not Fine"'),
        "'Not Fine' is not a slug",
    ),
    "is written for a newer API": (GOOD.replace('load="good', 'api=2, load="good'), "plugin API 2"),
}


@pytest.fixture(scope="module")
def listed(tmp_path_factory) -> tuple[dict, str]:
    """What `prunebench list` prints, and says, of a plugin of each fault beside one that works."""
    sandbox = Sandbox(tmp_path_factory.mktemp("faults"))
    sandbox.install("good", GOOD)
    for number, (source, _) in enumerate(BROKEN.values()):
        sandbox.install(f"broken-{number}", source, "0.3")
    done = sandbox.call("list", "--json", "scorers")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout), done.stderr


@pytest.mark.parametrize("fault", BROKEN)
def test_a_plugin_is_named_that(fault, listed):
    number, expected = list(BROKEN).index(fault), BROKEN[fault][1]
    [failure] = [failure for failure in listed[0]["failures"] if failure["distribution"] == f"broken-{number}"]
    assert failure["version"] == "0.3"
    assert expected in failure["error"]
    assert f"warning: plugin broken_{number} (broken-{number} 0.3) was left out" in listed[1]


def test_the_plugins_beside_broken_ones_work(listed):
    assert {"fine", "random"} <= {row["name"] for row in listed[0]["scorers"]}
    assert len(listed[0]["failures"]) == len(BROKEN)


def test_a_misspelt_hook_is_answered_with_the_nearest_name():
    misspelt = types.SimpleNamespace(prunebench_scorer=hookimpl(lambda: [scorer()]))
    found = load_plugins({"x": misspelt})
    assert found.failures[0].hint == "did you mean 'prunebench_scorers'?"


def test_two_plugins_with_one_name_are_both_named_and_the_first_stays():
    found = load_plugins({"a": plugin(lambda: [scorer()]), "b": plugin(lambda: [scorer()])})
    assert found.scorer("mine").origin.entry_point == "a"
    assert "a (a local)" in found.failures[0].error
    assert "b (b local)" in found.failures[0].error
    assert found.failures[0].kind is PluginCollision


def test_a_bundled_method_cannot_be_replaced_by_a_plugin_of_the_same_name():
    found = load_plugins({"a": plugin(lambda: [scorer("random")])})
    assert found.scorer("random").origin.distribution == "prunebench"


def test_strict_plugins_stop_a_run_before_it_starts(sandbox):
    sandbox.install("broken-one", "raise RuntimeError('x')")
    done = sandbox.run("run", "quickstart", "--strict-plugins", "--registry", "missing.toml")
    assert done.returncode in (2, 3)


def test_only_chosen_plugins_are_loaded_when_the_environment_says_so(monkeypatch):
    monkeypatch.setenv("PRUNEBENCH_LOAD_PLUGINS", "baselines")
    found = load_plugins()
    assert set(found.entries["projectors"]) == set()
    assert "random" in found.entries["scorers"]


def test_an_unknown_name_is_answered_with_the_nearest_one():
    with pytest.raises(UsageError) as caught:
        load_plugins().scorer("moderat")
    assert caught.value.hint == "did you mean 'moderate'?"


def test_an_implementation_that_cannot_be_imported_names_its_plugin():
    found = load_plugins({"a": plugin(lambda: [scorer(load="no_such_module:score")])})
    with pytest.raises(PluginLoadError, match=r"plugin a \(a local\): scorer 'mine'.*no_such_module"):
        found.scorer("mine").load()


def test_the_version_of_a_method_is_a_digest_of_its_code_unless_the_author_pins_it():
    found = load_plugins({"a": plugin(lambda: [scorer(version="7")])})
    assert found.scorer("mine").version == "7"
    assert len(found.scorer("random").version) == 16


def test_an_observer_that_raises_is_reported_and_not_fatal():
    def fail(record):
        raise ValueError("bad day")

    observer = types.SimpleNamespace(prunebench_cell_finished=hookimpl(fail))
    found = load_plugins({"a": observer})
    assert found.notify("prunebench_cell_finished", record={}) == [
        "plugin a: prunebench_cell_finished: ValueError: bad day"
    ]


def test_a_plugin_can_add_a_command(sandbox):
    sandbox.install(
        "greeter",
        "import click\nfrom prunebench import hookimpl\n@hookimpl\ndef prunebench_commands(cli):\n"
        "    @cli.command()\n    def greet():\n        'Say hello.'\n        click.echo('hello')\n",
    )
    assert sandbox.call("greet").stdout == "hello\n"
    assert "Say hello." in sandbox.call("--help").stdout
