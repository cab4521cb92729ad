"""The command line where its surroundings are unusual: the locale, the names of folders, no network."""

from __future__ import annotations

import ast
import csv
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from conftest import Sandbox
from prunebench.pruning.reading import read
from prunebench.records import write_records
from records_of import cell
from registries import DIGITS, NUMPY_DIGITS, TRAINING

ASCII = {"LC_ALL": "C", "LANG": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "PYTHONIOENCODING": "ascii",
         "PYTHONWARNDEFAULTENCODING": "1", "PYTHONWARNINGS": "error::EncodingWarning:prunebench"}  # fmt: skip
SUITE = f"""
[suite.tiny]
dataset = "digits"
methods = ["random"]
{TRAINING}
keep = ["0.1"]
seeds = 1
"""


def run(sandbox: Sandbox, *arguments: str, environment: dict[str, str]) -> subprocess.CompletedProcess[bytes]:
    """Run the command line in a process with an environment."""
    command = [sys.executable, "-m", "prunebench", *arguments]
    return subprocess.run(
        command, cwd=sandbox.folder, env={**sandbox.environment, **environment}, capture_output=True, timeout=280
    )


def pictures(folder: Path) -> None:
    """Put pictures into a folder, with a name of several alphabets, and a file of their labels."""
    folder.mkdir()
    pixels = np.random.default_rng(0).integers(0, 256, (12, 8, 8, 3), dtype=np.uint8)
    names = [f"é日{number}.png" for number in range(12)]
    for name, one in zip(names, pixels, strict=True):
        Image.fromarray(one).save(folder / name)
    lines = [f"{name},{'chât' if number % 2 else 'dog'}\n" for number, name in enumerate(names)]
    (folder / "labels.csv").write_text("".join(lines), encoding="utf-8")


def test_what_is_written_is_utf_8_and_what_is_printed_stops_at_no_letter(sandbox):
    records = [
        cell(method="random", role="baseline", seed=seed, caveat="naïve † \N{MINUS SIGN}1 日本") for seed in range(2)
    ]
    write_records(sandbox.folder / "results" / "s" / "d" / "random.jsonl", records)
    board = run(sandbox, "leaderboard", environment=ASCII)
    assert board.returncode == 0, board.stderr
    for name in ("accuracy.csv", "index.html", "leaderboard.md"):
        text = (sandbox.folder / "results" / "board" / name).read_text(encoding="utf-8")
        assert "naïve † \N{MINUS SIGN}1 日本" in text, name
    checked = run(sandbox, "leaderboard", "--check", environment=ASCII)
    assert checked.returncode == 0, checked.stderr
    unknown = run(sandbox, "explain", "naïve", "日", environment=ASCII)
    assert unknown.returncode == 4
    assert b"Traceback" not in unknown.stderr


def test_a_pruning_needs_no_locale_of_utf_8(sandbox):
    pictures(sandbox.folder / "dåta")
    features = np.random.default_rng(1).random((12, 4), dtype=np.float32)
    np.savez(sandbox.folder / "x.npz", features=features, ids=np.array([f"é日{n}.png" for n in range(12)]))
    labels = ("--labels", "dåta/labels.csv")
    pruned = run(
        sandbox,
        "prune",
        "x.npz",
        *labels,
        "--scorer",
        "random",
        "--keep",
        "0.5",
        "--out",
        "oût",
        environment=ASCII,
    )
    assert pruned.returncode == 0, pruned.stderr
    with (sandbox.folder / "oût" / "ledger.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [row["id"] for row in rows] == [f"é日{n}.png" for n in range(12)]
    assert {row["class"] for row in rows} == {"chât", "dog"}
    manifest = json.loads((sandbox.folder / "oût" / "manifest.json").read_text(encoding="utf-8"))
    assert manifest["data"]["classes"] == ["chât", "dog"]
    assert "chât" in (sandbox.folder / "oût" / "report.html").read_text(encoding="utf-8")
    listed = (
        "import sys, prunebench.pruning.reading as r; s = r.read(sys.argv[1]); print(ascii((s.ids, s.class_names)))"
    )
    found = subprocess.run(
        [sys.executable, "-c", listed, "dåta"], cwd=sandbox.folder, env={**sandbox.environment, **ASCII},
        capture_output=True, check=True,
    )  # fmt: skip
    ids, classes = ast.literal_eval(found.stdout.decode())
    assert sorted(ids) == sorted(f"é日{n}.png" for n in range(12))
    assert classes == ("chât", "dog")


def test_folders_whose_names_are_no_utf_8_serve_a_run_by_workers(tmp_path):
    folder = tmp_path / os.fsdecode(b"\xe9t\xe9")
    folder.mkdir()
    sandbox = Sandbox(folder)
    sandbox.register(NUMPY_DIGITS + SUITE)
    ran = sandbox.run("run", "tiny", "--quiet", "--jobs", "1")
    assert ran.returncode == 0, ran.stderr
    assert (folder / "results" / "tiny" / "digits" / "random.jsonl").is_file()
    assert sandbox.run("status").returncode == 0


@pytest.mark.parametrize("name", ['it\'s a "quoted" $(touch x)`touch y`;&', "a\nb", "-r", "ü*?[a]%s{}"])
def test_folders_of_any_name_serve_a_run_and_a_pruning(name, tmp_path):
    (tmp_path / name).mkdir()
    sandbox = Sandbox(tmp_path / name)
    folder = str(sandbox.folder)
    (sandbox.folder / "my registry.toml").write_text(DIGITS + SUITE, encoding="utf-8")
    given = ("--registry", f"{folder}/my registry.toml", "--results", f"{folder}/re sults",
             "--cache", f"{folder}/ca'che", "--data", f"{folder}/da ta")  # fmt: skip
    ran = sandbox.call("run", "tiny", *given, "--executor", "serial", "--quiet")
    assert ran.returncode == 0, ran.stderr
    again = sandbox.call("run", "tiny", *given, "--executor", "serial", "--quiet")
    assert again.returncode == 0, again.stderr
    assert (sandbox.folder / "re sults" / "tiny" / "digits" / "random.jsonl").is_file()
    shown = sandbox.call("leaderboard", "--results", f"{folder}/re sults", "--registry", f"{folder}/my registry.toml")
    assert shown.returncode == 0, shown.stderr
    data = sandbox.folder / "my da'ta"
    for label in ("a b", 'c"d'):
        (data / label).mkdir(parents=True)
        for number in range(6):
            Image.fromarray(np.full((8, 8, 3), 30 * number + len(label), dtype=np.uint8)).save(
                data / label / f"{number} x.png"
            )
    np.save(sandbox.folder / "x y.npy", np.random.default_rng(0).random((30, 4)))
    pruned = sandbox.call(
        "prune", f"{folder}/x y.npy", "--scorer", "random", "--keep", "0.5", "--out", f"{folder}/o ut"
    )
    assert pruned.returncode == 0, pruned.stderr
    assert sandbox.call("explain", f"{folder}/o ut", "3").returncode == 0
    assert len(read(data)) == 12
    assert {path.name for path in tmp_path.iterdir()} == {name}
    assert not {"x", "y"} & {path.name for path in sandbox.folder.iterdir()}


def test_without_a_network_what_is_here_runs_and_weights_that_are_not_are_named(sandbox):
    hub = '\n[backbone.far]\ntimm = "resnet10t.c3_in1k"\nweights = "hub"\n'
    suite = SUITE.replace('methods = ["random"]', 'methods = ["random", "moderate"]\nbackbones = ["far"]')
    sandbox.register(NUMPY_DIGITS + hub + suite)
    environment = {"HF_HUB_OFFLINE": "1", "HF_HOME": str(sandbox.folder / "hub")}
    ran = run(sandbox, "run", "tiny", "--jobs", "1", "--quiet", environment=environment)
    told = ran.stderr.decode()
    assert ran.returncode == 4, told
    assert "Traceback" not in told
    assert "resnet10t.c3_in1k" in told
    lines = (sandbox.folder / "results" / "tiny" / "digits" / "random.jsonl").read_text(encoding="utf-8").splitlines()
    assert [json.loads(line)["status"] for line in lines] == ["ok"]
