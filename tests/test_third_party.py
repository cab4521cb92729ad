"""A distribution that is not ours: built, installed elsewhere, checked and run; and two whose dependencies clash."""

from __future__ import annotations

import csv
import itertools
import json
import os
import shlex
import subprocess
import sys
import sysconfig
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from uv import find_uv_bin

from conftest import NUMPY_PLUGINS
from registries import NUMPY_DIGITS, TRAINING

SOURCE = Path(__file__).resolve().parent / "third_party" / "prunebench-nearmiss"
PROJECT = tomllib.loads((SOURCE / "pyproject.toml").read_text(encoding="utf-8"))["project"]
DISTRIBUTION = f"{PROJECT['name']} {PROJECT['version']}"
METHOD = "near-miss-margin"


@dataclass(frozen=True)
class Installed:
    """An environment with the plugin, beside the packages of the environment that runs the tests."""

    python: Path
    folder: Path

    def run(self, *arguments: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("PRUNEBENCH_", "PYTHON"))}
        environment = {**kept, "PRUNEBENCH_CACHE": str(self.folder / "cache"), "NO_COLOR": "1"}
        return subprocess.run(
            [str(self.python), "-m", *arguments],
            cwd=cwd or self.folder,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=280,
        )

    def records(self) -> list[dict]:
        files = sorted((self.folder / "results").glob("*/*/*.jsonl"))
        return [json.loads(line) for file in files for line in file.read_text(encoding="utf-8").splitlines()]


def uv(*arguments: object) -> None:
    """Run uv without a network; what it says is in the failure."""
    done = subprocess.run(
        [find_uv_bin(), *map(str, arguments), "--offline", "--no-config"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def environment(folder: Path, wheels: Sequence[object]) -> Path:
    """Make an environment that holds the wheels and sees the packages of this one; return its interpreter."""
    uv("venv", "--python", sys.executable, folder)
    python = folder / "bin" / "python"
    site = next(folder.glob("lib/python*/site-packages"))
    # addsitedir, unlike a plain path, also reads the .pth files there: prunebench may be installed editable.
    (site / "_tested.pth").write_text(f"import site; site.addsitedir({sysconfig.get_path('purelib')!r})\n")
    uv("pip", "install", "--python", python, "--no-deps", "--no-index", *wheels)
    return python


def build(source: Path, folder: Path) -> None:
    """Build a wheel into `folder`, by the build backend that is installed here."""
    uv("build", "--wheel", "--no-build-isolation", "--python", sys.executable, "--out-dir", folder, source)


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Installed:
    folder = tmp_path_factory.mktemp("third-party")
    build(SOURCE, folder / "dist")
    wheels = sorted((folder / "dist").glob("*.whl"))
    assert [wheel.name for wheel in wheels] == [f"prunebench_nearmiss-{PROJECT['version']}-py3-none-any.whl"]
    return Installed(environment(folder / "environment", wheels), folder)


def test_it_is_listed_with_its_distribution_and_version(installed):
    done = installed.run("prunebench", "list", "scorers", "--json")
    listed = json.loads(done.stdout)
    assert listed["failures"] == []
    [row] = [row for row in listed["scorers"] if row["name"] == METHOD]
    assert f"{row['distribution']} {row['version']}" == DISTRIBUTION
    assert row["paper"].startswith("Gilad-Bachrach")


def test_it_keeps_its_promises_and_its_own_tests_pass(installed):
    done = installed.run("prunebench", "check", METHOD, "--json", "-")
    assert done.returncode == 0, done.stdout + done.stderr
    report = json.loads(done.stdout)
    assert report["counts"]["passed"] >= 13
    assert {f"{result['distribution']} {result['version']}" for result in report["results"]} == {DISTRIBUTION}
    tests = installed.run("pytest", "-q", "-p", "no:cacheprovider", "tests/test_margin.py", cwd=SOURCE)
    assert tests.returncode == 0, tests.stdout


@pytest.mark.thorough
def test_it_runs_on_the_quickstart_and_is_on_the_board_with_its_version_in_every_record(installed):
    # One of the three backbones, and the method that reads none: what is added is not filtered.
    done = installed.run(
        "prunebench", "run", "quickstart", "--with", METHOD, "--scorer", "random", "--backbone", "digits-resnet",
        "--backbone", "-", "--arch", "digits-scratch", "--keep", "0.1", "--seeds", "1", "--devices", "cpu",
        "--jobs", "1", "--quiet",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    by_method = {record["method"]: record for record in installed.records()}
    assert set(by_method) == {METHOD, "random"}
    assert {method: record["status"] for method, record in by_method.items()} == {METHOD: "ok", "random": "ok"}
    assert by_method[METHOD]["scorer_dist"] == DISTRIBUTION
    assert len(by_method[METHOD]["scorer_version"]) == 16
    assert by_method["random"]["scorer_dist"].startswith("prunebench ")
    # Ten classes, a tenth of the data and a chosen tenth: far above chance, and no copy of the baseline's cell.
    assert by_method[METHOD]["accuracy"] > 0.5
    assert by_method[METHOD]["subset_digest"] != by_method["random"]["subset_digest"]
    with (installed.folder / "results" / "quickstart" / "board" / "accuracy.csv").open(encoding="utf-8") as file:
        rows = {row["score_backbone"]: row for row in csv.DictReader(file) if row["method"] == METHOD}
    assert rows["mean"]["hole"] == "1 of 3 backbones"
    row = rows["digits-resnet"]
    assert (row["keep"], row["status"]) == ("0.1", "ok")
    assert float(row["accuracy_mean"]) == pytest.approx(by_method[METHOD]["accuracy"], abs=1e-6)
    assert METHOD in done.stdout


# ---------------------------------------------------------------------------------------- dependencies that clash

CLASHING = """
from prunebench import ScorerSpec, hookimpl

@hookimpl
def prunebench_scorers():
    return [ScorerSpec(name="NAME", summary="Wants one version.", load="MODULE:score", stochastic=True, cost="n")]

def score(ctx):
    import clash_probe
    assert clash_probe.MAJOR == WANTED, f"clash-probe {clash_probe.MAJOR} is here"
    return ctx.rng.random(ctx.n)
"""
REGISTRY = (
    NUMPY_DIGITS
    + """
[plugin.wants-two]
kind = "scorer"
dist = "wants-two"
version = ">=1"
tier = "contrib"
maintainer = "A third party"
added = 2026-01-31
environment = ["wants-two", "clash-probe==2.*"]

[suite.clash]
dataset = "digits"
methods = ["wants-one", "wants-two"]
baseline = "wants-one"
backbones = ["untrained"]
pruning_rates = ["0.9"]
seeds = 1
"""
    + TRAINING
)


def distribution(folder: Path, name: str, version: str, source: str, requirements: Sequence[str] = ()) -> None:
    """Build a wheel of one module, which is a plugin when it declares something."""
    module = name.replace("-", "_")
    project = folder / f"{name}-{version}"
    project.mkdir(parents=True)
    (project / f"{module}.py").write_text(source, encoding="utf-8")
    plugin = f'[project.entry-points.prunebench]\n{module} = "{module}"\n' if "hookimpl" in source else ""
    (project / "pyproject.toml").write_text(
        '[build-system]\nrequires = ["hatchling"]\nbuild-backend = "hatchling.build"\n'
        f'[project]\nname = "{name}"\nversion = "{version}"\ndependencies = {json.dumps(list(requirements))}\n'
        f'{plugin}[tool.hatch.build.targets.wheel]\ninclude = ["{module}.py"]\n',
        encoding="utf-8",
    )
    build(project, folder / "dist")


@pytest.fixture(scope="module")
def clashing(tmp_path_factory: pytest.TempPathFactory) -> Installed:
    """An environment with version 1 of a package and a plugin that wants it; the others are wheels only."""
    folder = tmp_path_factory.mktemp("clashing")
    for number, name in ((1, "one"), (2, "two")):
        distribution(folder, "clash-probe", f"{number}.0", f"MAJOR = {number}\n")
        source = CLASHING.replace("NAME", f"wants-{name}").replace("MODULE", f"wants_{name}")
        wanted = ["prunebench", f"clash-probe>={number},<{number + 1}"]
        distribution(folder, f"wants-{name}", "1.5", source.replace("WANTED", str(number)), wanted)
    distribution(folder, "numpy-plugins", "1.0", NUMPY_PLUGINS.read_text(encoding="utf-8"))
    (folder / "registry.toml").write_text(REGISTRY, encoding="utf-8")
    here = [
        path for name in ("clash_probe-1", "wants_one", "numpy_plugins") for path in folder.glob(f"dist/{name}*.whl")
    ]
    return Installed(environment(folder / "environment", here), folder)


def test_plugins_whose_dependencies_clash_run_by_the_command_that_is_told_and_their_records_merge(clashing):
    arguments = ("--executor", "serial", "--devices", "cpu", "--quiet")
    done = clashing.run("prunebench", "run", "clash", *arguments)
    assert done.returncode == 0, done.stderr
    assert {record["method"] for record in clashing.records()} == {"wants-one"}
    [line] = [line for line in done.stderr.splitlines() if "will not run" in line]
    command = shlex.split(line.partition("wants-two >=1 is not installed here: ")[2])
    assert command[:2] == ["uv", "run"]
    options, verb = command[2 : command.index("prunebench")], command[command.index("prunebench") :]

    # As `uv run` does it, but offline: what the wheels do not hold comes from the environment of the tests.
    required = [Requirement(word) for option, word in itertools.pairwise(options) if option == "--with"]
    wheels = [
        "--find-links",
        clashing.folder / "dist",
        "numpy-plugins",
        *(one for one in required if one.name != "prunebench"),
    ]
    other = Installed(environment(clashing.folder / "other", wheels), clashing.folder)
    ran = other.run(*verb, *arguments)
    assert ran.returncode == 0, ran.stderr
    records = {record["method"]: record for record in clashing.records()}
    assert {name: (record["scorer_dist"], record["status"]) for name, record in records.items()} == {
        "wants-one": ("wants-one 1.5", "ok"), "wants-two": ("wants-two 1.5", "ok"),
    }  # fmt: skip
    with (clashing.folder / "results" / "clash" / "board" / "accuracy.csv").open(encoding="utf-8") as file:
        assert {(row["method"], row["status"]) for row in csv.DictReader(file)} == {(name, "ok") for name in records}

    again = clashing.run("prunebench", "run", "clash", *arguments)
    assert "1 cell: 1 already done, 0 computed now" in again.stderr
    assert {record["method"] for record in clashing.records()} == set(records)
