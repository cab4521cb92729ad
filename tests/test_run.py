"""The main job: run a suite, run it again, in workers or in one process."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from conftest import Sandbox
from prunebench.plugins import load_plugins
from prunebench.settings import Settings
from prunebench.stages.bench import make_bench
from prunebench.stages.select import ties_at_cut
from prunebench.worker import perform
from suite_runs import REGISTRY, records, scoring, serially, stamps


@pytest.fixture
def bench(sandbox):
    sandbox.register(REGISTRY)
    return sandbox


def tree(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


@pytest.fixture(scope="module")
def tiny_run(tmp_path_factory):
    """The suite tiny, computed once: the folder, and what the command said."""
    bench = Sandbox(tmp_path_factory.mktemp("tiny"))
    bench.register(REGISTRY)
    return bench, bench.run("run", "tiny")


def test_a_run_leaves_records_a_manifest_and_a_board_and_the_second_run_changes_nothing(tiny_run):
    bench, first = tiny_run
    assert first.returncode == 0, first.stderr
    assert (
        "6 cells: 0 already done, 6 computed now; 1 comparison of scores: 0 already done, 1 computed now"
        in first.stderr
    )
    found = [r for r in records(bench.folder, "tiny") if r["kind"] == "cell"]
    assert len(found) == 6  # random and moderate at 90 %, and the whole set, two seeds each
    assert {r["status"] for r in found} == {"ok"}
    assert all(0 < r["accuracy"] <= 1 and r["protocol"] == "test" for r in found)
    assert {r["n_keep"] for r in found if r["keep"] == "0.1"} == {round(0.1 * found[0]["n_train"])}
    manifests = list((bench.folder / "runs").glob("*/manifest.json"))
    assert len(manifests) == 1
    manifest = json.loads(manifests[0].read_text())
    assert manifest["finished"]["exit_reason"] == "finished"
    assert {"python", "torch", "timm", "numpy"} <= set(manifest["versions"])
    board = bench.folder / "results" / "tiny" / "board"
    assert {"accuracy.csv", "rank_correlation.csv", "leaderboard.md", "index.html"} <= {
        path.name for path in board.iterdir()
    }

    before = tree(bench.folder / "results")
    second = bench.call("run", "tiny")
    assert second.returncode == 0, second.stderr
    assert "6 cells: 6 already done, 0 computed now" in second.stderr
    assert tree(bench.folder / "results") == before
    (named,) = re.findall("Reproduce: `prunebench (.*?)`", (board / "leaderboard.md").read_text())
    assert "6 cells: 6 already done, 0 computed now" in bench.call(*named.split()).stderr
    status = json.loads(bench.call("status", "--json").stdout)
    assert (status["done"], status["to_do"], status["state"]) == (6, 0, "finished")
    assert bench.call("leaderboard").returncode == bench.call("leaderboard", "--check").returncode == 0


def test_plain_progress_tells_the_time_left(tiny_run):
    _, done = tiny_run
    assert re.search(r"\d+/\d+ tasks, (about \d+ s left|time left not known yet), running: ", done.stderr)


def test_the_same_seed_gives_the_same_scores_and_subsets_byte_for_byte_in_workers_and_in_one_process(tiny_run, bench):
    def computed(folder: Path) -> dict[str, bytes]:
        files = [path for stage in ("scores", "subset") for path in (folder / "cache" / stage).rglob("*.safetensors")]
        return {str(path.relative_to(folder)): path.read_bytes() for path in files}

    def measured(folder: Path) -> list[tuple[str, str, float]]:
        return [(r["key"], r["subset_digest"], r["accuracy"]) for r in records(folder, "tiny") if r["kind"] == "cell"]

    first, _ = tiny_run
    done = serially(bench, "tiny")
    assert done.returncode == 0, done.stderr
    assert len(computed(bench.folder)) > 6
    assert computed(bench.folder) == computed(first.folder)
    assert len(measured(bench.folder)) == 6
    assert measured(bench.folder) == measured(first.folder)


def test_filtered_samples_are_no_ties_at_the_cut():
    scores = np.array([3.0, 2.0, 2.0, 2.0, 0.0, 0.0, 0.0])
    eligible = np.array([True] * 4 + [False] * 3)
    assert ties_at_cut(scores, np.array([0, 1]), eligible) == (3, 1)
    assert ties_at_cut(scores, np.array([0, 1, 2, 3]), eligible) == (0, 0)
    assert ties_at_cut(scores, np.array([0, 1, 2, 3, 4]), eligible) == (0, 0), "one came back to fill the budget"
    assert ties_at_cut(np.zeros(7), np.array([0, 1]), eligible) == (4, 2)
    assert ties_at_cut(np.zeros(7), np.array([4, 5]), eligible) == (0, 0)


def test_a_worker_refuses_a_task_of_other_code(tmp_path):
    settings = Settings(str(tmp_path / "cache"), device="cpu")
    outcome = perform(make_bench(settings, load_plugins()), scoring("random", "another"))
    assert (outcome["status"], outcome["exit_code"]) == ("failed", 1)
    assert "the key stands for version another" in outcome["reason"]
    assert stamps(tmp_path, "scores") == {}


def test_one_cell_file_is_computed_by_one_command(bench):
    task = scoring("random", load_plugins().scorer("random").version)
    request = {"settings": Settings(str(bench.folder / "cache"), device="cpu").to_json(), "task": task.to_json()}
    (bench.folder / "CELL.json").write_text(json.dumps(request))
    done = subprocess.run(
        [sys.executable, "-m", "prunebench.worker", "CELL.json"],
        cwd=bench.folder, env=bench.environment, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert json.loads(done.stdout)["status"] == "ok"
    assert len(stamps(bench.folder, "scores")) == 1
