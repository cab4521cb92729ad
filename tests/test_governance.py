"""What is official: tables of plugins, their schema, and the verbs that keep them."""

from __future__ import annotations

import dataclasses
import json
import tomllib
from datetime import date
from functools import partial
from importlib.metadata import PathDistribution
from pathlib import Path

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from prunebench.cli.options import run_alone
from prunebench.cli.registry import add, check, schema
from prunebench.errors import RegistryError, UsageError
from prunebench.plugins import Entry, Origin, load_plugins
from prunebench.registry import Listing, elsewhere, expected_failures, load_registry, standing
from prunebench.registry.governance import compatible_range, new_table, unknown_plugins
from prunebench.registry.reader import schema_text
from registries import NETWORK, TRAINING

ROOT = Path(__file__).resolve().parent.parent
LISTED = """
[plugin.odd]
kind = "scorer"
dist = "odd-one"
version = ">=1,<2"
tier = "contrib"
maintainer = "Someone Else"
added = 2026-01-31
"""
ODD = """
import numpy
from prunebench import ScorerSpec, hookimpl

@hookimpl
def prunebench_scorers():
    return [ScorerSpec(name="odd", summary="Works.", load="odd_one:score", stochastic=True, cost="n")]

def score(ctx):
    numpy.random.seed(0)
    return ctx.rng.random(ctx.n)
"""


def listing(**changes) -> Listing:
    given = {"name": "odd", "kind": "scorer", "dist": "odd-one", "version": ">=1,<2", "tier": "contrib",
             "maintainer": "Someone", "added": date(2026, 1, 31)}  # fmt: skip
    return Listing(**{**given, **changes})


def refused_by_schema(text: str) -> bool:
    # Tools that check TOML by JSON Schema see dates as strings.
    values = json.loads(json.dumps(tomllib.loads(text), default=lambda value: value.isoformat()))
    validator = jsonschema.Draft202012Validator(json.loads(schema_text()), format_checker=jsonschema.FormatChecker())
    return not validator.is_valid(values)


def test_the_committed_schema_is_made_of_the_keys_that_the_reader_uses():
    assert (ROOT / "docs" / "registry.schema.json").read_text(encoding="utf-8") == schema_text(), (
        "write it again: prunebench registry schema > docs/registry.schema.json"
    )
    jsonschema.Draft202012Validator.check_schema(json.loads(schema_text()))


def test_the_official_registry_satisfies_the_schema():
    assert not refused_by_schema((ROOT / "registry.toml").read_text(encoding="utf-8"))


def test_a_listing_is_read(write_registry):
    path = write_registry(LISTED + '[plugin.odd.expected_failures]\ncheck_evidence_is_left_unchanged = "it seeds"\n')
    assert load_registry(path).plugins == {
        "odd": listing(maintainer="Someone Else", expected_failures={"check_evidence_is_left_unchanged": "it seeds"})
    }
    assert not refused_by_schema(path.read_text(encoding="utf-8"))


BROKEN = {
    "an unknown key": (LISTED + 'url = "x"\n', "plugin.odd.url"),
    "an unknown table": ('[plugins.odd]\nkind = "scorer"\n', "plugins"),
    "a missing maintainer": (LISTED.replace('maintainer = "Someone Else"\n', ""), "plugin.odd"),
    "an unknown kind": (LISTED.replace('"scorer"', '"scoerer"'), "plugin.odd.kind"),
    "an unknown tier": (LISTED.replace("contrib", "trusted"), "plugin.odd.tier"),
    "a version that is no range": (LISTED.replace(">=1,<2", "1.0"), "plugin.odd.version"),
    "a quarantine without a reason": (LISTED.replace("contrib", "quarantine"), "plugin.odd.tier"),
    "an empty reason": (LISTED.replace("contrib", "quarantine") + 'reason = ""\n', "plugin.odd.reason"),
    "a date that is a number": (LISTED.replace("2026-01-31", "2026"), "plugin.odd.added"),
    "a date with a time": (LISTED.replace("2026-01-31", "2026-01-31T10:00:00"), "plugin.odd.added"),
    "an expected failure without a reason": (
        LISTED + '[plugin.odd.expected_failures]\ncheck_x = ""\n',
        "plugin.odd.expected_failures.check_x",
    ),
    "a backbone without a model": ('[backbone.net]\nprovider = "timm"\n', "backbone.net"),
    "an unknown source of weights": ('[backbone.net]\ntimm = "a"\nweights = "hubb"\n', "backbone.net.weights"),
    "weights with two sources": (
        '[recipe.a]\nlearner = "probe"\n[backbone.net]\ntimm = "a"\nweights = { train = "a", file = "b" }\n',
        "backbone.net.weights.file",
    ),
    "two names of one model": ('[backbone.net]\ntimm = "a"\nprovider = "timm"\nmodel = "b"\n', "backbone.net.model"),
    "a digest that is none": (
        '[backbone.net]\ntimm = "a"\nweights = { file = "b", sha256 = "xyz" }\n',
        "backbone.net.weights.sha256",
    ),
    "an image size of nothing": ('[arch.net]\ntimm = "a"\nimage_size = 0\n', "arch.net.image_size"),
    "true where a number belongs": ('[recipe.r]\nlearner = "probe"\ntolerance = true\n', "recipe.r.tolerance"),
}


@pytest.mark.parametrize("fault", BROKEN)
def test_reader_and_schema_both_refuse(fault, write_registry):
    tables, key = BROKEN[fault]
    path = write_registry(tables)
    assert refused_by_schema(path.read_text(encoding="utf-8"))
    with pytest.raises(RegistryError) as caught:
        load_registry(path)
    assert caught.value.key == key
    assert caught.value.line > 2
    assert caught.value.hint or "expected" in caught.value.message


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (LISTED.replace(">=1,<2", "~=1"), r"line 7: plugin\.odd\.version: '~=1' is no version range"),
        (LISTED + 'environment = ["old<2", "old=2"]', r"line 11: plugin\.odd\.environment: 'old=2' is no requirement"),
    ],
)
def test_what_only_looks_like_a_range_or_a_requirement_is_refused_by_the_reader(text, message, write_registry):
    with pytest.raises(RegistryError, match=message):
        load_registry(write_registry(text))


def test_a_plugin_is_trusted_by_name_kind_distribution_and_version():
    listings = {"odd": listing(), "bad": listing(name="bad", tier="quarantine", reason="wrong sign; see #12")}
    assert standing(listings, "scorer", "odd", "odd-one", "1.5").tier == "contrib"
    assert standing(listings, "scorer", "random", "prunebench", "0.1.0").tier == "core"
    listings["random"] = listing(name="random", dist="prunebench", version=">=0.2", tier="core")
    assert standing(listings, "scorer", "random", "prunebench", "0.2.0.dev1").tier == "core"
    for kind, name, dist, version in (
        ("scorer", "odd", "odd-one", "2.0"),
        ("scorer", "odd", "odd-two", "1.5"),
        ("selector", "odd", "odd-one", "1.5"),
        ("scorer", "new", "odd-one", "1.5"),
    ):
        found = standing(listings, kind, name, dist, version)
        assert found.tier == "unregistered"
        assert f"{dist} {version}" in found.remark
    assert standing(listings, "scorer", "bad", "odd-one", "1.5").remark == "in quarantine: wrong sign, see #12"


def test_expected_failures_are_those_of_the_listed_distribution():
    listings = {"odd": listing(expected_failures={"check_evidence_is_left_unchanged": "it seeds"})}
    spec = load_plugins().scorer("random").spec
    for name, dist, found in (("odd", "odd-one", 1), ("odd", "odd-two", 0), ("other", "odd-one", 0)):
        renamed = Entry(type(spec)(**{**vars(spec), "name": name}), Origin("odd", dist, "1.0"))
        assert len(expected_failures(listings, renamed)) == found


@given(st.integers(0, 30), st.integers(0, 30), st.integers(0, 30))
def test_a_range_holds_its_version_and_ends_before_the_next_breaking_one(major, minor, patch):
    given = listing(version=compatible_range(f"{major}.{minor}.{patch}"))
    assert given.covers(f"{major}.{minor}.{patch}")
    assert given.covers(f"{major}.{minor}.{patch + 1}.post1")
    assert given.covers(f"{major}.{minor + 1}.0") == (major > 0)
    assert not given.covers(f"{major + 1}.0")
    assert not given.covers("no version")


def test_a_new_table_survives_quotes_and_reads_as_it_was_meant(write_registry):
    entry = Entry(load_plugins().scorer("random").spec, Origin("odd", "odd-one", "3.1rc1"))
    nasty = 'He said "no" \\ and\tleft \x7f'
    table = new_table(entry, tier="quarantine", maintainer=nasty, reason=nasty, version="", added=date(2026, 1, 31))
    found = load_registry(write_registry(table)).plugins["random"]
    assert (found.maintainer, found.reason, found.version) == (nasty, nasty, ">=3.1rc1,<4")
    assert found.covers("3.1rc1")


def test_a_new_table_names_the_maintainer_and_the_reason_of_a_quarantine():
    spec, given = load_plugins().scorer("random").spec, {"reason": "", "version": "", "added": date(2026, 1, 31)}
    known, unknown = Entry(spec, Origin("odd", "networkx", "3.4")), Entry(spec, Origin("odd", "not-there", "1.0"))
    assert 'maintainer = "NetworkX Developers"' in new_table(known, tier="contrib", maintainer="", **given)
    for entry, tier, hint in ((unknown, "contrib", "--maintainer"), (known, "quarantine", "--reason")):
        with pytest.raises(UsageError) as caught:
            new_table(entry, tier=tier, maintainer="", **given)
        assert hint in caught.value.hint
    with pytest.raises(UsageError, match="not a PEP 440 version"):
        compatible_range("unknown")


# ------------------------------------------------------------------------------------------------ the command line


def written(sandbox, tables: str) -> Path:
    path = sandbox.folder / "registry.toml"
    path.write_text('schema = 1\nprotocol = "test" # kept\n' + tables, encoding="utf-8")
    return path


def test_the_official_registry_passes_its_check(capsys):
    check.main(["--registry", str(ROOT / "registry.toml"), "--json"], obj=load_plugins(), standalone_mode=False)
    report = json.loads(capsys.readouterr().out)
    assert report["errors"] == []
    assert {row["status"] for row in report["plugins"]} == {"ok"}
    assert sum(len(found.expected_failures) for found in load_registry(ROOT / "registry.toml").plugins.values()) >= 2


def test_a_plugin_that_is_not_installed_is_no_error_and_may_be_in_a_suite(sandbox):
    suite = '[dataset.digits]\n[suite.s]\ndataset = "digits"\nmethods = ["odd"]\nseeds = 1\n'
    written(sandbox, LISTED + suite + TRAINING + NETWORK)
    done = sandbox.run("registry", "check")
    assert done.returncode == 0, done.stderr
    assert done.stdout.split()[-2:] == ["not", "installed"]


@pytest.mark.parametrize(("installed", "versions"), [("", [">=1,<2"]), ("1.5", ["1.5"]), ("2.0", ["2.0", ">=1,<2"])])
def test_a_plugin_with_an_environment_of_its_own_is_listed_from_the_registry_unless_it_is_here(
    installed, versions, sandbox
):
    if installed:
        sandbox.install("odd-one", ODD, installed)
    written(sandbox, LISTED + 'environment = ["odd-one[all]", "old<2"]\n')
    done = sandbox.run("list", "scorers", "--json")
    assert done.returncode == 0, done.stderr
    rows = [row for row in json.loads(done.stdout)["scorers"] if row["name"] == "odd"]
    assert sorted(row["version"] for row in rows) == versions
    assert [(row["distribution"], row["tier"], row["params"]) for row in rows if row["environment"]] == [
        ("odd-one", "contrib", None) for version in versions if version != installed
    ]
    for row in rows:
        assert row["environment"] == ([] if row["version"] == installed else ["odd-one[all]", "old<2"])
    assert "odd" not in {
        row["name"] for row in json.loads(sandbox.run("list", "projectors", "--json").stdout)["projectors"]
    }


def test_the_list_marks_a_plugin_with_an_environment_of_its_own(sandbox):
    written(sandbox, LISTED + 'environment = ["odd-one"]\n')
    text = " ".join(sandbox.run("list", "scorers").stdout.split())
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
def test_a_plugin_of_any_kind_may_be_elsewhere(kind):
    found = elsewhere(load_plugins(), {"odd": listing(kind=kind, environment=("old<2",))}, partial(run_alone, "s"))
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
    found = elsewhere(load_plugins(), {"odd": listing(environment=("odd-one",))}, lambda one: ["check", one.name])
    required = "--with 'odd-one>=1,<2' --with odd-one"
    assert found["scorer", "odd"].hint == f"uv run {options} {required} prunebench check odd"


def test_the_check_finds_what_does_not_fit_what_is_installed(sandbox):
    sandbox.install("odd-one", ODD, "2.1")
    tables = LISTED + '[plugin.odd.expected_failures]\ncheck_few_samples_are_taken = "it seeds"\n'
    tables += LISTED.replace("plugin.odd", "plugin.even").replace(">=1,<2", ">=2")
    tables += '[method.m]\nscorer = "moderat"\n[method.n]\nscorer = "moderate"\nparams = { centre = "mean" }\n'
    written(sandbox, tables)
    done = sandbox.run("registry", "check")
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
    done = sandbox.run("registry", "check", "--json")
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
    done = sandbox.run("registry", "check")
    assert "error: registry.toml, line 6: plugin.random.dist: scorer 'random' is declared by baselines" in done.stderr


def test_a_plugin_is_added_at_the_end_and_nothing_else_changes(sandbox):
    sandbox.install("odd-one", ODD, "1.4.2")
    path = written(sandbox, "# a comment\n\n[dataset.digits] # another\n\n\n")
    before = path.read_text(encoding="utf-8")
    done = sandbox.run("registry", "add", "odd", "--maintainer", "Someone Else", "--added", "2026-01-31")
    assert done.returncode == 0, done.stderr
    assert "\n" + done.stdout == LISTED.replace(">=1,<2", ">=1.4.2,<2")
    assert path.read_text(encoding="utf-8") == before.rstrip("\n") + "\n\n" + done.stdout
    assert sandbox.run("registry", "check").returncode == 0
    listed = json.loads(sandbox.run("list", "scorers", "--json").stdout)["scorers"]
    assert {row["tier"] for row in listed if row["name"] == "odd"} == {"contrib"}
    again = sandbox.run("registry", "add", "scorer:odd", "--maintainer", "Someone Else")
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
    done = sandbox.run(*arguments)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["counts"]["expected_fail"] == 1
    written(sandbox, LISTED + expected + 'check_stochastic_is_declared_truthfully = "a guess"\n')
    done = sandbox.run(*arguments)
    assert done.returncode == 3
    counts = json.loads(done.stdout)["counts"]
    assert (counts["expected_fail"], counts["unexpected_pass"], counts["failed"]) == (1, 1, 0)
