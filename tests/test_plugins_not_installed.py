"""Plugins of the registry that are not installed here, and the command that runs them in their own environment."""

from __future__ import annotations

import json
from functools import partial
from importlib.metadata import PathDistribution

import pytest

from listed_plugin import LISTED, ODD, listing, written
from prunebench.plugins import load_plugins
from prunebench.registry import not_installed
from prunebench.request import run_alone
from registries import NETWORK, TRAINING


def test_a_plugin_that_is_not_installed_is_no_error_and_may_be_in_a_suite(sandbox):
    suite = '[dataset.digits]\n[suite.s]\ndataset = "digits"\nmethods = ["odd"]\nseeds = 1\n'
    written(sandbox, LISTED + suite + TRAINING + NETWORK)
    done = sandbox.call("registry", "check")
    assert done.returncode == 0, done.stderr
    assert done.stdout.split()[-2:] == ["not", "installed"]


@pytest.mark.parametrize(("installed", "versions"), [("", [">=1,<2"]), ("1.5", ["1.5"]), ("2.0", ["2.0", ">=1,<2"])])
def test_a_plugin_with_an_environment_of_its_own_is_listed_from_the_registry_unless_it_is_here(
    installed, versions, sandbox
):
    if installed:
        sandbox.install("odd-one", ODD, installed)
    written(sandbox, LISTED + 'environment = ["odd-one[all]", "old<2"]\n')
    done = sandbox.call("list", "scorers", "--json")
    assert done.returncode == 0, done.stderr
    rows = [row for row in json.loads(done.stdout)["scorers"] if row["name"] == "odd"]
    assert sorted(row["version"] for row in rows) == versions
    assert [(row["distribution"], row["tier"], row["params"]) for row in rows if row["environment"]] == [
        ("odd-one", "contrib", None) for version in versions if version != installed
    ]
    for row in rows:
        assert row["environment"] == ([] if row["version"] == installed else ["odd-one[all]", "old<2"])
    assert "odd" not in {
        row["name"] for row in json.loads(sandbox.call("list", "projectors", "--json").stdout)["projectors"]
    }


def test_the_list_marks_a_plugin_with_an_environment_of_its_own(sandbox):
    written(sandbox, LISTED + 'environment = ["odd-one"]\n')
    text = " ".join(sandbox.call("list", "scorers").stdout.split())
    assert " odd Runs in an environment of its own: odd-one. [odd-one >=1,<2, contrib] " in text


ELSEWHERE = LISTED + 'environment = ["odd-one[all]", "old<2"]\n'
WITH = "--with 'odd-one>=1,<2' --with 'odd-one[all]' --with 'old<2' prunebench"
NOT_HERE = "scorer 'odd' of odd-one >=1,<2 is not installed here"
METHODS = """
[dataset.digits]
[method.variant]
scorer = "odd"
[suite.s]
dataset = "digits"
keep = ["0.1"]
seeds = 1
"""


@pytest.mark.parametrize("installed", ["", "2.0"])
@pytest.mark.parametrize(
    ("arguments", "command"),
    [
        ("run s --scorer odd", "run s --scorer odd"),
        ("run s --scorer variant --data d", "run s --scorer odd --data d"),
        ("run s --with variant --results r", "run s --scorer odd --with variant --results r"),
        ("plan s --scorer odd --registry registry.toml", "run s --scorer odd --registry registry.toml"),
        ("check random scorer:odd", "check odd"),
    ],
)
def test_a_plugin_that_is_not_here_is_answered_with_the_command_that_runs_it(arguments, command, installed, sandbox):
    if installed:
        sandbox.install("odd-one", ODD, installed)
    written(sandbox, ELSEWHERE + METHODS + 'methods = ["random", "odd", "variant"]\n' + TRAINING + NETWORK)
    done = sandbox.call(*arguments.split())
    assert done.returncode == 2
    error, hint = done.stderr.splitlines()
    assert error == f"error: {NOT_HERE}"
    assert hint.startswith("hint: uv run --with")
    assert hint.endswith(f" {WITH} {command}")
    assert sandbox.call("list", "odd", columns=60).stdout.endswith(f"{WITH} run SUITE --scorer odd\n")


def test_what_is_not_here_is_told_once_and_the_other_methods_are_planned(sandbox):
    written(sandbox, ELSEWHERE + METHODS + 'methods = ["random", "odd", "variant"]\n' + TRAINING + NETWORK)
    lines = sandbox.call("plan", "s", columns=60).stdout.splitlines()
    assert "random      1     0" in lines
    assert not any(line.startswith(("odd", "variant")) for line in lines)
    told = [line for line in lines if NOT_HERE in line]
    assert [line.partition(" uv run ")[0] for line in told] == [f"will not run: {NOT_HERE}:"]
    assert told[0].endswith(f"{WITH} run s --scorer odd")


def test_a_method_that_nobody_lists_stops_a_run_before_anything_is_computed(sandbox):
    written(sandbox, ELSEWHERE + METHODS + 'methods = ["random", "odd", "nobody"]\n' + TRAINING + NETWORK)
    done = sandbox.call("run", "s", "--executor", "serial", "--devices", "cpu", "--quiet")
    assert (done.returncode, "no scorer is named 'nobody'" in done.stderr) == (2, True)
    assert not (sandbox.folder / "results").exists()


KINDS = {"projector": " --projector odd", "executor": " --executor odd", "dataset": "", "backbone": "", "metric": ""}


@pytest.mark.parametrize("kind", KINDS)
def test_a_plugin_of_any_kind_may_be_not_installed(kind):
    found = not_installed(load_plugins(), {"odd": listing(kind=kind, environment=("old<2",))}, partial(run_alone, "s"))
    assert found[kind, "odd"].message == f"{kind} 'odd' of odd-one >=1,<2 is not installed here"
    assert found[kind, "odd"].hint.endswith(f"--with 'old<2' prunebench run s{KINDS[kind]}")


PLACES = {
    "from an index": ("", "--with prunebench==1.2"),
    "from a checkout": ('{"url": "file:///a b", "dir_info": {"editable": true}}', "--with-editable 'file:///a b'"),
    "from a folder": ('{"url": "file:///p", "dir_info": {}}', "--with 'prunebench @ file:///p'"),
    "from a wheel": ('{"url": "https://p/p.whl", "archive_info": {}}', "--with 'prunebench @ https://p/p.whl'"),
    "from git": (
        '{"url": "https://p/p.git", "vcs_info": {"vcs": "git", "commit_id": "c0"}}',
        "--with 'prunebench @ git+https://p/p.git@c0'",
    ),
}


@pytest.mark.parametrize("place", PLACES)
def test_the_command_takes_prunebench_from_where_it_was_installed(place, tmp_path, monkeypatch):
    (tmp_path / "METADATA").write_text("Metadata-Version: 2.1\nName: prunebench\nVersion: 1.2\n", encoding="utf-8")
    text, options = PLACES[place]
    if text:
        (tmp_path / "direct_url.json").write_text(text, encoding="utf-8")
    monkeypatch.setattr("importlib.metadata.distribution", lambda name: PathDistribution(tmp_path))
    found = not_installed(load_plugins(), {"odd": listing(environment=("odd-one",))}, lambda one: ["check", one.name])
    required = "--with 'odd-one>=1,<2' --with odd-one"
    assert found["scorer", "odd"].hint == f"uv run {options} {required} prunebench check odd"
