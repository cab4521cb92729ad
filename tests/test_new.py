"""`prunebench new` and `prunebench check`: from nothing to a plugin that is found, conformant and runs."""

from __future__ import annotations

import itertools
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from conftest import Sandbox
from prunebench.records import CellRecord, read_results
from prunebench.specs import PluginSpec
from prunebench.templates import render
from prunebench.wire import CHECKED as KINDS

FINE = """
from prunebench import ScorerSpec, hookimpl

@hookimpl
def prunebench_scorers():
    return [ScorerSpec(name="fine", summary="Works.", load="third_party:score", stochastic=True, cost="n")]

def score(ctx):
    BODY
    return ctx.rng.random(ctx.n)
"""


@pytest.fixture
def third_party(sandbox):
    def install(body: str = "pass", **changes: str) -> None:
        source = FINE.replace("BODY", body)
        for old, new in changes.items():
            source = source.replace(old, new)
        sandbox.install("third-party", source, "0.7")

    return install


def install(folder: Path, site: Path) -> None:
    """Put a distribution where an installer would have put it."""
    project = tomllib.loads((folder / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    # Underscores, as installers write it: "prunebench-..." would be read as another copy of prunebench.
    metadata = site / f"{project['name'].replace('-', '_')}-{project['version']}.dist-info"
    metadata.mkdir(parents=True)
    shutil.copytree(folder / "src", site, dirs_exist_ok=True)
    (metadata / "METADATA").write_text(
        f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project['version']}\n", encoding="utf-8"
    )
    lines = [f"{point} = {module}" for point, module in project["entry-points"]["prunebench"].items()]
    (metadata / "entry_points.txt").write_text("\n".join(["[prunebench]", *lines, ""]), encoding="utf-8")


@pytest.fixture(scope="module")
def started(tmp_path_factory) -> Sandbox:
    """A new plugin of every kind, my-scorer and so on, each installed beside the others."""
    sandbox = Sandbox(tmp_path_factory.mktemp("started"))
    for kind in KINDS:
        done = sandbox.call("new", kind, f"my-{kind}", "--into", "work")
        assert done.returncode == 0, done.stderr
        folder = sandbox.folder / "work" / f"prunebench-my-{kind}"
        assert sorted(map(Path, done.stdout.split())) == sorted(
            path.relative_to(sandbox.folder) for path in folder.rglob("*") if path.is_file()
        )
    for kind in KINDS:
        install(sandbox.folder / "work" / f"prunebench-my-{kind}", sandbox.folder / "site")
    return sandbox


def test_every_kind_of_plugin_can_be_started():
    assert set(KINDS) == {spec.kind for spec in PluginSpec.__subclasses__()}


def test_new_plugins_are_found(started):
    listed = json.loads(started.call("list", "--json").stdout)
    assert listed["failures"] == []
    for kind in KINDS:
        rows = [row["distribution"] for row in listed[f"{kind}s"] if row["name"] == f"my-{kind}"]
        assert rows == [f"prunebench-my-{kind}"]


@pytest.mark.parametrize(
    "kinds", [("scorer", "selector", "metric"), pytest.param(KINDS, marks=pytest.mark.thorough)], ids=["three", "all"]
)
def test_new_plugins_keep_their_promises(kinds, started):
    done = started.call("check", *(f"prunebench-my-{kind}" for kind in kinds), "--json", "-")
    assert done.returncode == 0, done.stderr
    results = json.loads(done.stdout)["results"]
    assert {result["kind"] for result in results} == set(kinds)
    assert {result["status"] for result in results} <= {"passed", "not_applicable"}
    for kind in kinds:
        passed = sum(r["kind"] == kind and r["status"] == "passed" for r in results)
        assert passed >= {"executor": 2, "dataset": 1}.get(kind, 3), kind


def test_new_plugins_are_clean(tmp_path):
    for kind, name in itertools.product(KINDS, ("x", "a-name_of-thirty-two-characters-"[:31])):
        for path, text in render(kind, name, "0.1.0").items():
            target = tmp_path / f"{kind}-{name}" / path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(text, encoding="utf-8")
            assert "$" not in text.replace("${{ matrix", "")
    ruff = shutil.which("ruff", path=os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]))
    for command in (["check"], ["format", "--check"]):
        done = subprocess.run(
            [ruff, *command, "--no-cache", "."], cwd=tmp_path, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout


@pytest.mark.thorough
def test_new_plugins_are_typed(started):
    packages = [str(started.folder / "site" / f"prunebench_my_{kind}") for kind in KINDS]
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "--cache-dir", os.devnull, *packages],
        cwd=started.folder,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.thorough
def test_the_tests_of_new_plugins_pass(started):
    # The conformance tests were made by `prunebench check`, above: here that they are collected.
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--import-mode=importlib", "-c", os.devnull,
         "--rootdir=work", "work", "-k", "not check_"],
        cwd=started.folder,
        env=started.environment,
        capture_output=True,
        text=True,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout
    passed, deselected = re.search(r"(\d+) passed, (\d+) deselected", done.stdout).groups()
    assert int(passed) >= 2 * len(KINDS)
    assert int(deselected) >= 3 * len(KINDS)


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "executor"])
def test_a_new_plugin_runs_in_the_suite_that_comes_with_it(kind, started):
    registry = started.folder / "work" / f"prunebench-my-{kind}" / "registry.toml"
    results = started.folder / kind / "results"
    done = started.call(
        "run", "try", "--registry", str(registry), "--results", str(results), "--executor", "serial",
        "--devices", "cpu", "--quiet",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    records = [record for record in read_results(results) if isinstance(record, CellRecord)]
    assert {record.status for record in records} == {"ok"}
    if kind == "scorer":
        mine = {record.scorer_dist for record in records if record.scorer == "my-scorer"}
        assert mine == {"prunebench-my-scorer 0.1.0"}
    if kind == "metric":
        assert "lost points" in next(results.rglob("leaderboard.md")).read_text(encoding="utf-8")


def test_the_commands_that_are_printed_work_from_the_folder_where_they_are_printed(sandbox, monkeypatch):
    monkeypatch.delenv("UV_RUN_RECURSION_DEPTH", raising=False)
    done = sandbox.call("new", "scorer", "my-own", "--into", "plugins")
    install_line, *others = [line.strip() for line in done.stderr.splitlines() if line.startswith("  ")]
    assert re.fullmatch(r'(python -m|uv) pip install -e "\./plugins/prunebench-my-own\[test\]"', install_line)
    assert (
        "test"
        in tomllib.loads((sandbox.folder / "plugins/prunebench-my-own/pyproject.toml").read_text())["project"][
            "optional-dependencies"
        ]
    )
    install(sandbox.folder / "plugins" / "prunebench-my-own", sandbox.folder / "site")
    check, test, run = (shlex.split(line) for line in others)
    assert check == ["prunebench", "check", "my-own"]
    assert (sandbox.folder / test[-1] / "tests").is_dir()
    assert sandbox.call(*run[1:], "--dry-run").returncode == 0


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("Not-A-Slug", "cannot be the name of a plugin"),
        ("random", "scorer 'random' is declared by baselines (prunebench"),
        ("baselines", "a plugin's module is called prunebench_baselines already"),
    ],
)
def test_a_name_that_cannot_be_is_refused_with_a_reason(name, message, sandbox):
    done = sandbox.call("new", "scorer", name)
    assert done.returncode == 2
    assert message in done.stderr
    assert not list(sandbox.folder.glob("prunebench-*"))


def test_nothing_is_overwritten(sandbox):
    assert sandbox.call("new", "scorer", "my-own").returncode == 0
    done = sandbox.call("new", "scorer", "my-own")
    assert done.returncode == 2
    assert "prunebench-my-own is there already" in done.stderr


def test_a_broken_promise_ends_with_3_and_names_the_distribution_and_its_version(sandbox, third_party):
    third_party("ctx.features")
    promise = "check_only_declared_evidence_is_read"
    chosen = ("check", "fine", "--checks", "check_only*", "--checks", "check_run*")
    done = sandbox.call(*chosen, "--json", "report.json")
    assert done.returncode == 3
    assert f"plugin third_party (third-party 0.7): scorer 'fine': {promise}: failed: " in done.stdout
    assert "broken by third-party 0.7" in done.stderr
    assert f"hint: prunebench check fine --checks {promise}" in done.stderr
    report = json.loads((sandbox.folder / "report.json").read_text(encoding="utf-8"))
    assert {result["version"] for result in report["results"]} == {"0.7"}
    expected = sandbox.call(*chosen, "--expect", f"{promise}=it is curious")
    assert expected.returncode == 0
    assert "1 expected fail" in expected.stderr


def test_each_way_to_name_a_plugin_means_it(sandbox, third_party):
    third_party()
    for name in ("fine", "scorer:fine", "third_party", "third-party"):
        done = sandbox.call("check", name, "--checks", "check_run_ends_normally")
        assert done.returncode == 0, done.stderr
        assert "1 check: 1 passed" in done.stderr


def test_one_distribution_is_a_row_a_plugin(sandbox):
    done = sandbox.call("check", "selectors", "--checks", "check_declaration_is_complete")
    assert done.returncode == 0, done.stderr
    assert {"selector top", "selector strata"} <= {line.partition(" of ")[0] for line in done.stdout.splitlines()}


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("raise RuntimeError('no such library')", "RuntimeError: no such library"),
        ("import sys; sys.exit(3)", "SystemExit: 3"),
        (FINE.replace("prunebench_scorers()", "prunebench_scorer()"), "did you mean 'prunebench_scorers'?"),
    ],
    ids=["raises at import", "exits at import", "misspells a hook"],
)
def test_a_distribution_that_does_not_load_is_a_failed_check(source, reason, sandbox):
    sandbox.install("third-party", source, "0.7")
    done = sandbox.call("check", "third-party", "scorer:random", "--checks", "check_run_ends_normally")
    assert done.returncode == 3
    assert "plugin third_party (third-party 0.7): check_plugin_loads: failed" in done.stdout
    assert reason in done.stdout
    assert "2 checks: 1 passed, 1 failed" in done.stderr  # the other plugin works


def test_names_that_do_not_exist_are_answered_with_the_nearest_ones(sandbox):
    for arguments, hint in (
        (("randm",), "did you mean 'random'?"),
        (("random", "--checks", "check_nan_is_refusd"), "did you mean 'check_nan_is_refused'?"),
        (("random", "--expect", "check_nan_is_refusd=x"), "did you mean 'check_nan_is_refused'?"),
        (("random", "--expect", "check_nan_is_refused"), "an equals sign"),
        (("moderate", "--set", "centre=mean"), "did you mean 'center'?"),
    ):
        done = sandbox.call("check", *arguments)
        assert done.returncode == 2, done.stderr
        assert hint in done.stderr


def test_the_checks_are_listed_with_their_promises(sandbox):
    done = sandbox.call("check", "--list", "selectors")
    assert done.returncode == 0
    assert "check_budget_is_met_exactly\n    Every budget, from one sample to all" in done.stdout
    assert "check_nan_is_refused" not in done.stdout
    assert "check_nan_is_refused\n" in sandbox.call("check", "--list").stdout


def test_other_defaults_are_checked(sandbox):
    done = sandbox.call("check", "prototype", "--set", "prefer=far", "--checks", "check_direction_is_as_declared")
    assert done.returncode == 3
    assert "favours = 'easy', but the mean ranks" in done.stdout
