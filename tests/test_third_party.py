"""A distribution that is not ours: built to a wheel, installed in an environment of its own, checked and run."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
import sysconfig
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest
from uv import find_uv_bin

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


def environment(folder: Path, wheels: Sequence[Path]) -> Path:
    """Make an environment that holds the wheels and sees the packages of this one; return its interpreter."""
    uv("venv", "--python", sys.executable, folder)
    python = folder / "bin" / "python"
    site = next(folder.glob("lib/python*/site-packages"))
    # addsitedir, unlike a plain path, also reads the .pth files there: prunebench may be installed editable.
    (site / "_tested.pth").write_text(f"import site; site.addsitedir({sysconfig.get_path('purelib')!r})\n")
    uv("pip", "install", "--python", python, "--no-deps", "--no-index", *wheels)
    return python


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Installed:
    folder = tmp_path_factory.mktemp("third-party")
    uv("build", "--wheel", "--no-build-isolation", "--python", sys.executable,
       "--out-dir", folder / "dist", SOURCE)  # fmt: skip
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
    assert report["counts"]["passed"] >= 30
    assert {f"{result['distribution']} {result['version']}" for result in report["results"]} == {DISTRIBUTION}
    tests = installed.run("pytest", "-q", "-p", "no:cacheprovider", "tests/test_margin.py", cwd=SOURCE)
    assert tests.returncode == 0, tests.stdout


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
    with (installed.folder / "results" / "board" / "accuracy.csv").open(encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if row["method"] == METHOD and row["score_backbone"] == "mean"]
    assert [(row["keep"], row["status"], float(row["accuracy_mean"])) for row in rows] == [
        ("0.1", "ok", pytest.approx(by_method[METHOD]["accuracy"], abs=1e-6))
    ]
    assert METHOD in done.stdout
