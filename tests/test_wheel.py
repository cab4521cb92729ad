"""A run from an installed wheel names the commit that the wheel was built from."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from registries import DIGITS, TRAINING
from test_third_party import build, environment

ROOT = Path(__file__).resolve().parent.parent
SUITE = '[suite.s]\ndataset = "digits"\nmethods = ["random"]\nbackbones = ["untrained"]\nkeep = ["0.1"]\nseeds = 1\n'


def git(folder: Path, *arguments: str) -> str:
    identity = ("-c", "user.name=A", "-c", "user.email=a@b.example")
    done = subprocess.run(["git", "-C", folder, *identity, *arguments], capture_output=True, text=True, check=True)
    return done.stdout.strip()


@pytest.fixture(scope="module")
def source(tmp_path_factory) -> Path:
    """A copy of the project in a repository of its own, with one commit and a change after it."""
    copy = tmp_path_factory.mktemp("source") / "project"
    for folder in ("harness", "plugins"):
        shutil.copytree(ROOT / folder, copy / folder, ignore=shutil.ignore_patterns("__pycache__"))
    included = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["hatch"]["build"]["targets"]
    for file in (
        ".gitignore",
        "pyproject.toml",
        "hatch_build.py",
        "README.md",
        "LICENSE",
        *included["wheel"]["force-include"],
    ):
        (copy / file).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / file, copy / file)
    git(copy, "init", "-q")
    git(copy, "add", "-A")
    git(copy, "commit", "-qm", "one")
    return copy


def records_of_a_run(python: Path, folder: Path) -> list[dict]:
    (folder / "registry.toml").write_text(DIGITS + SUITE + TRAINING, encoding="utf-8")
    command = [python, "-P", "-m", "prunebench", "run", "s", "--executor", "serial", "--quiet", "--cache", "cache"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    lines = (line for file in (folder / "results").rglob("*.jsonl") for line in file.read_text().splitlines())
    return [json.loads(line) for line in lines]


@pytest.mark.thorough
def test_records_of_a_wheel_name_its_commit_in_the_repository_of_somebody_else(source, tmp_path):
    build(source, tmp_path / "dist")
    assert git(source, "status", "--porcelain") == "", "building changed the tree"
    python = environment(tmp_path / "venv", list((tmp_path / "dist").glob("*.whl")))
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    git(folder, "init", "-q")
    git(folder, "commit", "-q", "--allow-empty", "-m", "not ours")
    found = records_of_a_run(python, folder)
    assert {record["git_commit"] for record in found} == {git(source, "rev-parse", "HEAD")}
    assert {record["git_dirty"] for record in found} == {False}


def test_a_wheel_from_an_sdist_has_the_commit_of_the_sdist_and_a_changed_tree_says_so(source, tmp_path):
    from hatchling.builders.sdist import SdistBuilder
    from hatchling.builders.wheel import WheelBuilder

    with (source / "registry.toml").open("a", encoding="utf-8") as file:
        file.write("# changed\n")
    try:
        [sdist] = SdistBuilder(str(source)).build(directory=str(tmp_path))
        shutil.unpack_archive(sdist, tmp_path / "unpacked", filter="data")
        [unpacked] = (tmp_path / "unpacked").iterdir()
        [wheel] = WheelBuilder(str(unpacked)).build(directory=str(tmp_path), versions=["standard"])
        shutil.unpack_archive(wheel, tmp_path / "wheel", format="zip")
        told = json.loads((tmp_path / "wheel" / "prunebench" / "built_from.json").read_text(encoding="utf-8"))
        assert (told["commit"], told["dirty"]) == (git(source, "rev-parse", "HEAD"), True)
        script = "import pathlib, prunebench.provenance as p; print(p.source_state(pathlib.Path('.'))['commit'])"
        where = {**os.environ, "PYTHONPATH": str(tmp_path / "wheel")}
        done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, env=where, capture_output=True, text=True)
        assert done.stdout.strip() == told["commit"], done.stderr
        [editable] = WheelBuilder(str(source)).build(directory=str(tmp_path / "e"), versions=["editable"])
        shutil.unpack_archive(editable, tmp_path / "editable", format="zip")
        assert not list((tmp_path / "editable").rglob("built_from.json")), "an editable tree goes on changing"
    finally:
        git(source, "checkout", "-q", "registry.toml")
