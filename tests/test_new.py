"""`prunebench new` and `prunebench check`: from nothing to a plugin that is found, conformant and runs."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from xml.etree import ElementTree

import pytest

from prunebench.templates import STARTERS, render

KINDS = tuple(STARTERS)
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


def generate(sandbox, kind: str, name: str) -> Path:
    """Make a distribution and put it where an installer would have put it."""
    done = sandbox.run("new", kind, name, "--into", "work")
    assert done.returncode == 0, done.stderr
    folder = sandbox.folder / "work" / f"prunebench-{name}"
    assert sorted(map(Path, done.stdout.split())) == sorted(
        path.relative_to(sandbox.folder) for path in folder.rglob("*") if path.is_file()
    )
    project = tomllib.loads((folder / "pyproject.toml").read_text(encoding="utf-8"))
    points = project["project"]["entry-points"]["prunebench"]
    site = sandbox.folder / "site"
    # Underscores, as installers write it: "prunebench-..." would be read as another copy of prunebench.
    metadata = site / f"{project['project']['name'].replace('-', '_')}-{project['project']['version']}.dist-info"
    metadata.mkdir(parents=True)
    shutil.copytree(folder / "src", site, dirs_exist_ok=True)
    (metadata / "METADATA").write_text(
        f"Metadata-Version: 2.1\nName: {project['project']['name']}\nVersion: {project['project']['version']}\n",
        encoding="utf-8",
    )
    lines = [f"{point} = {module}" for point, module in points.items()]
    (metadata / "entry_points.txt").write_text("\n".join(["[prunebench]", *lines, ""]), encoding="utf-8")
    return folder


@pytest.mark.parametrize("kind", KINDS)
def test_a_new_plugin_is_found_and_keeps_its_promises(kind, sandbox):
    generate(sandbox, kind, "my-own")
    listed = json.loads(sandbox.run("list", f"{kind}s", "--json").stdout)
    assert listed["failures"] == []
    assert [row["distribution"] for row in listed[f"{kind}s"] if row["name"] == "my-own"] == ["prunebench-my-own"]
    done = sandbox.run("check", "prunebench-my-own", "--json", "-")
    assert done.returncode == 0, done.stderr
    counts = json.loads(done.stdout)["counts"]
    assert counts["passed"] >= 18
    assert counts["failed"] == counts["not_run"] == 0


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", ["x", "a-name_of-thirty-two-characters-"[:31]])
def test_a_new_plugin_is_clean(kind, name, tmp_path):
    for path, text in render(kind, name, "0.1.0").items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(text, encoding="utf-8")
        assert "$" not in text.replace("${{ matrix", "")
    ruff = shutil.which("ruff", path=os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]))
    for command in (["check"], ["format", "--check"]):
        done = subprocess.run(
            [ruff, *command, "--no-cache", "."], cwd=tmp_path, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("kind", KINDS)
def test_the_tests_of_a_new_plugin_pass(kind, sandbox):
    folder = generate(sandbox, kind, "my-own")
    # The conformance tests were made by `prunebench check`, above: here that they are collected.
    own = f"tests/test_{STARTERS[kind].stem}.py"
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", own, "tests/test_conformance.py", "-k",
         "not check_ or check_nothing_is_printed"],
        cwd=folder,
        env=sandbox.environment,
        capture_output=True,
        text=True,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout
    assert "3 passed" in done.stdout


def test_a_new_scorer_runs_in_the_suite_that_comes_with_it(sandbox):
    folder = generate(sandbox, "scorer", "my-own")
    done = sandbox.run("run", "try", "--registry", str(folder / "registry.toml"), "--devices", "cpu", "--quiet")
    assert done.returncode == 0, done.stderr
    records = [
        json.loads(line)
        for file in (sandbox.folder / "results" / "try").rglob("*.jsonl")
        for line in file.read_text(encoding="utf-8").splitlines()
    ]
    mine = [record for record in records if record["kind"] == "cell" and record["scorer"] == "my-own"]
    assert [record["status"] for record in mine] == ["ok", "ok"]
    assert {record["scorer_dist"] for record in mine} == {"prunebench-my-own 0.1.0"}


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "scorer"])
def test_the_suite_of_another_new_plugin_can_be_planned(kind, sandbox):
    folder = generate(sandbox, kind, "my-own")
    done = sandbox.run("run", "try", "--registry", str(folder / "registry.toml"), "--dry-run")
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("Not-A-Slug", "cannot be the name of a plugin"),
        ("random", "scorer 'random' is declared by baselines (prunebench"),
        ("baselines", "a plugin's module is called prunebench_baselines already"),
    ],
)
def test_a_name_that_cannot_be_is_refused_with_a_reason(name, message, sandbox):
    done = sandbox.run("new", "scorer", name)
    assert done.returncode == 2
    assert message in done.stderr
    assert not list(sandbox.folder.glob("prunebench-*"))


def test_nothing_is_overwritten(sandbox):
    assert sandbox.run("new", "scorer", "my-own").returncode == 0
    done = sandbox.run("new", "scorer", "my-own")
    assert done.returncode == 2
    assert "prunebench-my-own is there already" in done.stderr


def test_a_broken_promise_ends_with_3_and_names_the_distribution_and_its_version(sandbox, third_party):
    third_party("print('hello')")
    done = sandbox.run("check", "fine", "--checks", "check_n*", "--junit", "report.xml", "--json", "report.json")
    assert done.returncode == 3
    assert (
        "plugin third_party (third-party 0.7): scorer 'fine': check_nothing_is_printed: failed: it printed 'hello'"
    ) in done.stdout
    assert "error: 1 promise(s) broken by third-party 0.7" in done.stderr
    assert "hint: prunebench check fine --checks check_nothing_is_printed" in done.stderr
    suite = ElementTree.parse(sandbox.folder / "report.xml").getroot()[0]
    assert suite.attrib["failures"] == "1"
    report = json.loads((sandbox.folder / "report.json").read_text(encoding="utf-8"))
    assert {result["version"] for result in report["results"]} == {"0.7"}
    expected = sandbox.run("check", "fine", "--checks", "check_n*", "--expect", "check_nothing_is_printed=it greets")
    assert expected.returncode == 0
    assert "1 expected fail" in expected.stderr


def test_each_way_to_name_a_plugin_means_it(sandbox, third_party):
    third_party()
    for name in ("fine", "scorer:fine", "third_party", "third-party"):
        done = sandbox.run("check", name, "--checks", "check_run_ends_normally")
        assert done.returncode == 0, done.stderr
        assert "1 checks: 1 passed" in done.stderr


def test_one_distribution_is_a_row_a_plugin(sandbox):
    done = sandbox.run("check", "selectors", "--checks", "check_declaration_is_complete")
    assert done.returncode == 0, done.stderr
    assert {"selector top", "selector strata"} <= {line.strip()[:15].strip() for line in done.stdout.splitlines()}


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
    done = sandbox.run("check", "third-party")
    assert done.returncode == 3
    assert "plugin third_party (third-party 0.7): check_plugin_loads: failed" in done.stdout
    assert reason in done.stdout
    assert sandbox.run("check", "random", "--checks", "check_run_ends_normally").returncode == 0


def test_names_that_do_not_exist_are_answered_with_the_nearest_ones(sandbox):
    for arguments, hint in (
        (("randm",), "did you mean 'random'?"),
        (("random", "--checks", "check_scores_are_finit"), "did you mean 'check_scores_are_finite'?"),
        (("random", "--expect", "check_scores_are_finit=x"), "did you mean 'check_scores_are_finite'?"),
        (("random", "--expect", "check_scores_are_finite"), "an equals sign"),
        (("moderate", "--set", "centre=mean"), "did you mean 'center'?"),
    ):
        done = sandbox.run("check", *arguments)
        assert done.returncode == 2, done.stderr
        assert hint in done.stderr


def test_the_checks_are_listed_with_their_promises(sandbox):
    done = sandbox.run("check", "--list", "selectors")
    assert done.returncode == 0
    assert "check_budget_is_met_exactly\n    Every budget, from one sample to all" in done.stdout
    assert "check_scores_are_finite" not in done.stdout
    assert "check_scores_are_finite\n" in sandbox.run("check", "--list").stdout


def test_other_defaults_are_checked(sandbox):
    done = sandbox.run("check", "prototype", "--set", "prefer=far", "--checks", "check_direction_is_as_declared")
    assert done.returncode == 3
    assert "favours = 'easy', but the mean ranks" in done.stdout
