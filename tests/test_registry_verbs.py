"""The verbs that keep the registry: check, add, schema; and what the kit makes of its expected failures."""

from __future__ import annotations

import dataclasses
import json

import pytest

from listed_plugin import LISTED, ODD, ROOT, written
from prunebench.cli.registry import add, check, schema
from prunebench.errors import RegistryError, UsageError
from prunebench.plugins import Entry, Origin, load_plugins
from prunebench.registry import load_registry
from prunebench.registry.governance import unknown_plugins
from prunebench.registry.reader import schema_text
from registries import NETWORK, NUMPY_DIGITS, TINY, TRAINING


def test_the_official_registry_passes_its_check(capsys):
    check.main(["--registry", str(ROOT / "registry.toml"), "--json"], obj=load_plugins(), standalone_mode=False)
    report = json.loads(capsys.readouterr().out)
    assert report["errors"] == []
    assert {row["status"] for row in report["plugins"]} == {"ok"}
    assert sum(len(found.expected_failures) for found in load_registry(ROOT / "registry.toml").plugins.values()) >= 2


def test_the_check_finds_what_does_not_fit_what_is_installed(sandbox):
    sandbox.install("odd-one", ODD, "2.1")
    tables = LISTED + '[plugin.odd.expected_failures]\ncheck_few_samples_are_taken = "it seeds"\n'
    tables += LISTED.replace("plugin.odd", "plugin.even").replace(">=1,<2", ">=2")
    tables += '[method.m]\nscorer = "moderat"\n[method.n]\nscorer = "moderate"\nparams = { centre = "mean" }\n'
    written(sandbox, tables)
    done = sandbox.call("registry", "check")
    assert done.returncode == 3
    for message in (
        "plugin.odd.expected_failures.check_few_samples_are_taken: no check of a scorer",
        "did you mean 'check_odd_inputs_are_accepted'?",
        "registry.toml, line 14: plugin.even: odd-one 2.1 declares no scorer of this name",
        "method.m.scorer: no scorer is named 'moderat'",
        "method.n.params.centre: scorer 'moderate' has no parameter 'centre'",
    ):
        assert message in done.stderr
    written(sandbox, LISTED)
    done = sandbox.call("registry", "check", "--json")
    assert done.returncode == 3
    [problem] = json.loads(done.stdout)["errors"]
    assert (problem["key"], problem["line"]) == ("plugin.odd.version", 7)
    assert "odd-one 2.1 is installed, the range is '>=1,<2'" in problem["error"]


def test_the_check_names_the_line_of_each_plugin_that_a_suite_names_and_nothing_declares(write_registry):
    suite = '[suite.s]\ndataset = "digits"\nmethods = [\n  "random",\n  "randm",\n]\nbackbones = ["untrained"]\n'
    more = TRAINING + '[suite.s.agreement]\nprojectors = ["identity", "umpa"]\nmethods = ["moderat"]\n'
    path = write_registry("[dataset.digits]\n" + NETWORK + suite + more)
    lines = path.read_text(encoding="utf-8").splitlines()
    faults = list(unknown_plugins(load_registry(path), load_plugins()))
    assert [(fault.key, lines[fault.line - 1].strip(), fault.hint) for fault in faults] == [
        ("suite.s.methods", '"randm",', "did you mean 'random'?"),
        ("suite.s.agreement.methods", 'methods = ["moderat"]', "did you mean 'moderate'?"),
        ("suite.s.agreement.projectors", 'projectors = ["identity", "umpa"]', "did you mean 'umap'?"),
    ]


def test_the_check_names_every_parameter_that_a_plugin_does_not_take_with_its_line(write_registry):
    path = write_registry(
        '[method.m]\nscorer = "d2"\nparams = { kk = 1, mis_ratio = 2.0 }\n'
        '[method.m.at."0.9"]\nparams = { gamma = 1.0, mis_ratio = 0.4 }\nselector_params = { cut = 0.1 }\n'
        '[method.n]\nscorer = "dd2"\n[method.n.at."0.9"]\nparams = { k = 1 }\n'
    )
    lines = path.read_text(encoding="utf-8").splitlines()
    faults = {fault.key: fault for fault in unknown_plugins(load_registry(path), load_plugins())}
    assert set(faults) == {
        "method.m.params.kk", "method.m.params.mis_ratio", 'method.m.at."0.9".params.gamma',
        'method.m.at."0.9".selector_params.cut', "method.n.scorer",
    }  # fmt: skip
    for key, fault in faults.items():
        assert f"{key.rpartition('.')[2]} = " in lines[fault.line - 1]
    assert "selector 'class_top' has no parameter 'cut'" in faults['method.m.at."0.9".selector_params.cut'].reason


def test_the_check_of_a_file_with_faults_is_also_json(capsys, write_registry):
    path = write_registry(LISTED.replace("contrib", "trusted") + "[suite.x]\nseed = 3\n")
    with pytest.raises(RegistryError):
        check.main(["--registry", str(path), "--json"], obj=load_plugins(), standalone_mode=False)
    errors = json.loads(capsys.readouterr().out)["errors"]
    assert [(error["key"], error["line"]) for error in errors] == [
        ("plugin.odd.tier", 8), ("suite.x", 11), ("suite.x", 11), ("suite.x", 11), ("suite.x.seed", 12),
    ]  # fmt: skip


def test_the_check_finds_a_name_that_another_distribution_declares(sandbox):
    sandbox.install("odd-one", ODD.replace('"odd"', '"even"'), "1.0")
    written(sandbox, LISTED.replace("plugin.odd", "plugin.random"))
    done = sandbox.call("registry", "check")
    assert "error: registry.toml, line 6: plugin.random.dist: scorer 'random' is declared by baselines" in done.stderr


def test_a_plugin_is_added_at_the_end_and_nothing_else_changes(sandbox):
    sandbox.install("odd-one", ODD, "1.4.2")
    path = written(sandbox, "# a comment\n\n[dataset.digits] # another\n\n\n")
    before = path.read_text(encoding="utf-8")
    done = sandbox.call("registry", "add", "odd", "--maintainer", "Someone Else", "--added", "2026-01-31")
    assert done.returncode == 0, done.stderr
    assert "\n" + done.stdout == LISTED.replace(">=1,<2", ">=1.4.2,<2")
    assert path.read_text(encoding="utf-8") == before.rstrip("\n") + "\n\n" + done.stdout
    assert sandbox.call("registry", "check").returncode == 0
    listed = json.loads(sandbox.call("list", "scorers", "--json").stdout)["scorers"]
    assert {row["tier"] for row in listed if row["name"] == "odd"} == {"contrib"}
    again = sandbox.call("registry", "add", "scorer:odd", "--maintainer", "Someone Else")
    assert again.returncode == 2
    assert "'odd' is in registry.toml already, line 7" in again.stderr


@pytest.fixture
def with_odd():
    """The installed plugins, and one scorer of another distribution."""
    found = load_plugins()
    spec = dataclasses.replace(found.scorer("random").spec, name="odd")
    scorers = {**found.entries["scorers"], "odd": Entry(spec, Origin("odd", "odd-one", "1.0"))}
    return dataclasses.replace(found, entries={**found.entries, "scorers": scorers})


REFUSED = {
    "nobody has installed": (("od", "--maintainer", "x"), "did you mean 'odd'?"),
    "nobody maintains": (("odd",), "--maintainer"),
    "two plugins have for a name": (("random", "--maintainer", "x"), "say which: scorer:random, selector:random"),
    "is registered already": (("scorer:random", "--maintainer", "x"), "write a table by hand"),
    "has no reason": (("odd", "--maintainer", "x", "--tier", "quarantine"), "--reason"),
    "has no range": (("odd", "--maintainer", "x", "--range", "1.0"), '">=1,<2"'),
}


@pytest.mark.parametrize("what", REFUSED)
def test_a_table_is_refused_that(what, with_odd, write_registry):
    arguments, hint = REFUSED[what]
    path = write_registry("")
    before = path.read_text(encoding="utf-8")
    with pytest.raises((UsageError, RegistryError)) as caught:
        add.main(["--registry", str(path), *arguments], obj=with_odd, standalone_mode=False)
    assert hint in caught.value.hint
    assert path.read_text(encoding="utf-8") == before


def test_a_plugin_that_ships_with_prunebench_can_be_put_in_quarantine(with_odd, write_registry):
    path = write_registry("")
    arguments = ["scorer:random", "--tier", "quarantine", "--reason", "a test", "--maintainer", "x"]
    add.main(["--registry", str(path), *arguments], obj=with_odd, standalone_mode=False)
    assert load_registry(path).plugins["random"].reason == "a test"


def test_a_table_needs_a_registry_to_stand_in(with_odd, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError) as caught:
        add.main(["odd", "--maintainer", "x"], obj=with_odd, standalone_mode=False)
    assert "--registry" in caught.value.hint


def test_the_schema_is_printed(capsys):
    schema.main([], standalone_mode=False)
    assert capsys.readouterr().out == schema_text()


def test_expected_failures_of_the_registry_are_strict(sandbox):
    sandbox.install("odd-one", ODD, "1.0")
    expected = '[plugin.odd.expected_failures]\ncheck_same_seed_gives_the_same_result = "it seeds"\n'
    arguments = ("check", "odd", "--checks", "check_s[at]*", "--json", "-")
    written(sandbox, LISTED + expected)
    done = sandbox.call(*arguments)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["counts"]["expected_fail"] == 1
    written(sandbox, LISTED + expected + 'check_stochastic_is_declared_truthfully = "a guess"\n')
    done = sandbox.call(*arguments)
    assert done.returncode == 3
    counts = json.loads(done.stdout)["counts"]
    assert (counts["expected_fail"], counts["unexpected_pass"], counts["failed"]) == (1, 1, 0)


@pytest.mark.parametrize("verb", ["plan", "run"])
def test_a_run_tells_all_plugins_of_its_suite_that_are_not_there_at_once(sandbox, verb):
    sound = NUMPY_DIGITS + TINY + TRAINING + '[method.odd]\nscorer = "rand"\n'  # the suite does not use it
    wrong = sound.replace('"nearest-mean"', '"nearest-meen"').replace('["random"]', '["random", "randm"]')
    sandbox.register(wrong)
    refused = sandbox.call(verb, "tiny")
    assert refused.returncode == 2
    assert "did you mean 'nearest-mean'?" in refused.stderr
    assert "did you mean 'random'?" in refused.stderr
    assert "'rand'" not in refused.stderr
    sandbox.register(sound)
    assert sandbox.call("plan", "tiny").returncode == 0
