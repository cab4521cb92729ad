"""The main job: run, run again, kill it, interrupt it, break it; in real processes where these are the point."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from conftest import Sandbox
from prunebench.plugins import load_plugins
from prunebench.registry import DatasetEntry
from prunebench.results import blame
from prunebench.settings import Settings
from prunebench.stages.bench import make_bench
from prunebench.stages.select import ties_at_cut
from prunebench.tasks import Task
from prunebench.worker import perform
from registries import DIGITS, HEAD, TRAINING

FAULTS = {
    "raises": ("raise ValueError('bad day')", "scorer 'raises': ValueError: bad day"),
    "segfaults": ("import ctypes; ctypes.string_at(0)", "killed by SIGSEGV"),
    "calls sys.exit": ("import sys; sys.exit(3)", "ended with exit code 3"),
    "is killed": ("os.kill(os.getpid(), 9)", "killed by SIGKILL"),
    "returns the wrong length": ("return np.zeros(3)", "expected scores float64 [1438], got float64 [3]"),
    "returns not a number": ("return np.full(ctx.n, np.nan)", "got 1438 of 1438 that are not finite"),
    "trains on more than its budget in silence": (
        "from prunebench import Scores; return Scores(values=np.zeros(ctx.n), extra=np.ones(ctx.n, dtype=bool))",
        "expected a caveat that says how many images are used beyond the budget",
    ),
    "reads what it did not declare": ("ctx.features", "did not declare"),
    "writes to its input": ("ctx.labels[:] = 0", "did not declare"),
    "reports an array": (
        "from prunebench import Scores; return Scores(values=np.zeros(ctx.n), diagnostics={'shares': np.ones(3)})",
        "scorer 'reports-an-array': expected diagnostics that are numbers",
    ),
}


def fault_name(fault: str) -> str:
    return fault.replace(" ", "-").replace(".", "-")


REGISTRY = (
    DIGITS
    + """
[suite.tiny]
dataset = "digits"
methods = ["random", "moderate"]
baseline = "random"
unpruned = "full"
backbones = ["untrained"]
pruning_rates = ["0.9"]
seeds = 2
"""
    + TRAINING
    + """
[suite.faults]
dataset = "digits"
baseline = "random"
pruning_rates = ["0.9"]
seeds = 1
"""
    + f"methods = {['random', *map(fault_name, FAULTS)]}\n"
    + TRAINING
    + """
[suite.third-party]
dataset = "digits"
methods = ["random", "odd"]
baseline = "random"
pruning_rates = ["0.9", "0.8"]
seeds = 2
"""
    + TRAINING
)

ODD = """
from prunebench import ScorerSpec, hookimpl

@hookimpl
def prunebench_scorers():
    return [ScorerSpec(name="odd", summary="A test.", load="odd_one:score", stochastic=True)]

def score(ctx):
    import os, time, numpy as np
    BODY
    return ctx.rng.random(ctx.n)
"""


def odd(body: str) -> str:
    return ODD.replace("BODY", body)


def scoring(scorer: str, version: str) -> Task:
    """Return the task that scores digits."""
    from prunebench.identify import load_registered
    from prunebench.stages.data import fingerprint

    catalogue = load_plugins()
    entry = DatasetEntry(name="digits", spec="digits", params={}, fingerprint="", licence="")
    config = {
        "dataset": {"fingerprint": fingerprint(load_registered(entry, catalogue, ()))},
        "plugin": {"kind": "scorer", "name": scorer, "params": {}, "version": version},
        "seed": 1,
    }
    return Task("scores", config, {}, {"dataset": {"name": "digits", "spec": "digits", "params": {}}})


@pytest.fixture
def bench(sandbox):
    (sandbox.folder / "registry.toml").write_text(REGISTRY, encoding="utf-8")
    return sandbox


def serially(bench: Sandbox, suite: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a suite in this process."""
    return bench.call("run", suite, "--executor", "serial", *arguments)


def records(folder: Path, suite: str) -> list[dict]:
    files = sorted((folder / "results" / suite).rglob("*.jsonl"))
    return [json.loads(line) for file in files for line in file.read_text(encoding="utf-8").splitlines()]


def tree(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def stamps(folder: Path, stage: str) -> dict[str, int]:
    return {path.parent.name: path.stat().st_ino for path in (folder / "cache" / stage).rglob("meta.json")}


@pytest.fixture(scope="module")
def tiny_run(tmp_path_factory):
    """The suite tiny, computed once: the folder, and what the command said."""
    bench = Sandbox(tmp_path_factory.mktemp("tiny"))
    (bench.folder / "registry.toml").write_text(REGISTRY, encoding="utf-8")
    return bench, bench.run("run", "tiny")


def test_a_run_leaves_records_a_manifest_and_a_board_and_the_second_run_changes_nothing(tiny_run):
    bench, first = tiny_run
    assert first.returncode == 0, first.stderr
    assert (
        "6 cells: 0 already done, 6 computed now; 1 comparisons of scores: 0 already done, 1 computed now"
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


def test_a_run_that_is_killed_goes_on_where_it_was_and_does_nothing_twice(bench):
    bench.install("odd-one", odd("time.sleep(0.6)"))
    process = bench.start("run", "third-party", "--jobs", "1")
    deadline = time.monotonic() + 120
    while len(stamps(bench.folder, "cell")) < 3:
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.02)
    process.kill()
    process.communicate()
    time.sleep(1.0)  # an orphaned worker ends by itself: whatever it still wrote is there now
    done_before = {stage: stamps(bench.folder, stage) for stage in ("cell", "subset", "scores", "training", "features")}
    again = serially(bench, "third-party")
    assert again.returncode == 0, again.stderr
    found = [r for r in records(bench.folder, "third-party") if r["kind"] == "cell"]
    assert len(found) == 8
    assert {r["status"] for r in found} == {"ok"}
    for stage, old in done_before.items():
        now = stamps(bench.folder, stage)
        assert {key: now[key] for key in old} == old, f"stage {stage} was computed again"
    assert f"8 cells: {len(done_before['cell'])} already done" in again.stderr


def test_workers_do_not_outlive_a_killed_run(bench):
    bench.install("odd-one", odd("open('worker.pid', 'w').write(str(os.getpid())); time.sleep(120)"))
    process = bench.start("run", "third-party", "--jobs", "1")
    pid_file = bench.folder / "worker.pid"
    deadline = time.monotonic() + 120
    while not pid_file.exists() or not pid_file.read_text():
        assert time.monotonic() < deadline
        time.sleep(0.05)
    process.kill()
    process.communicate()
    pid = int(pid_file.read_text())
    deadline = time.monotonic() + 20
    while Path(f"/proc/{pid}").exists() and "zombie" not in Path(f"/proc/{pid}/status").read_text():
        assert time.monotonic() < deadline, "the worker is still there"
        time.sleep(0.1)


def plugin_of(bodies: dict[str, str]) -> str:
    """Return a distribution with a scorer for each body of a function."""
    lines = ["import os, time", "import numpy as np", "from prunebench import ScorerSpec, hookimpl", "SCORERS = []"]
    for number, (name, body) in enumerate(bodies.items()):
        spec = f"ScorerSpec(name={name!r}, summary='A test.', load='odd_one:score_{number}')"
        lines += [f"SCORERS.append({spec})", f"def score_{number}(ctx):", f"    {body}", "    return np.zeros(ctx.n)"]
    return "\n".join([*lines, "@hookimpl", "def prunebench_scorers():", "    return SCORERS", ""])


@pytest.fixture(scope="module")
def faulty_run(tmp_path_factory):
    """One run of a sound method and of a method a fault: the folder, and what the command said."""
    bench = Sandbox(tmp_path_factory.mktemp("faults"))
    (bench.folder / "registry.toml").write_text(REGISTRY, encoding="utf-8")
    bench.install("odd-one", plugin_of({fault_name(fault): body for fault, (body, _) in FAULTS.items()}), "0.7")
    return bench, bench.run("run", "faults")


@pytest.mark.parametrize("fault", FAULTS)
def test_a_scorer_that(fault, faulty_run):
    bench, done = faulty_run
    words = FAULTS[fault][1]
    (record,) = [r for r in records(bench.folder, "faults") if r["method"] == fault_name(fault)]
    assert (record["kind"], record["status"]) == ("cell", "failed")
    assert words in record["status_reason"]
    assert record["scorer_dist"] == "odd-one 0.7"
    assert words in done.stderr
    assert words in (bench.folder / "results" / "faults" / "board" / "leaderboard.md").read_text(encoding="utf-8")


def test_the_faults_of_others_leave_a_sound_method_alone(faulty_run):
    bench, done = faulty_run
    assert {r["status"] for r in records(bench.folder, "faults") if r["method"] in ("random", "full")} == {"ok"}
    assert done.returncode in (1, 3)
    assert "Traceback" not in done.stderr


def test_a_selector_that_returns_unsorted_indices_fails_alone_and_by_name(bench):
    bench.install(
        "best-first",
        "from prunebench import SelectorSpec, hookimpl\n"
        "@hookimpl\ndef prunebench_selectors():\n"
        "    return [SelectorSpec(name='best-first', summary='A test.', load='best_first:select')]\n"
        "def select(ctx):\n    return ctx.order[: ctx.n_keep]\n",
        "0.7",
    )
    tables = '[method.unsorted]\nscorer = "moderate"\nselector = "best-first"\n' + REGISTRY
    (bench.folder / "registry.toml").write_text(HEAD + tables.removeprefix(HEAD).replace(HEAD, ""), encoding="utf-8")
    done = serially(bench, "tiny", "--with", "unsorted", "--seeds", "1")
    found = {r["method"]: r for r in records(bench.folder, "tiny") if r["kind"] == "cell"}
    assert {name: r["status"] for name, r in found.items()} == {
        "random": "ok", "moderate": "ok", "full": "ok", "unsorted": "failed",
    }  # fmt: skip
    assert "best-first 0.7" in found["unsorted"]["status_reason"]
    assert "144 distinct indices in 0..1437, sorted, got int64 [144]" in found["unsorted"]["status_reason"]
    assert done.returncode in (1, 3)


SCORERS = {
    "declines": "from prunebench import NotApplicable; raise NotApplicable('only for faces')",
    "tied": "return (np.arange(ctx.n) % 14 == 0).astype(float)",
    "numbers": "from prunebench import Scores; return Scores(values=np.zeros(ctx.n), diagnostics="
    "{'mean': np.float32(0.5), 'n': np.int64(3), 'gap': float('nan'), 'done': np.bool_(True)})",
    "sleeps": "time.sleep(0.3)",
}
ODD_ONES = f"""
[suite.odd-ones]
dataset = "digits"
methods = {["random", *SCORERS]}
baseline = "random"
pruning_rates = ["0.9", "0.8"]
seeds = 1
"""


@pytest.fixture(scope="module")
def odd_run(tmp_path_factory):
    """One run of methods that do what is unusual and sound: the folder and the records by method and budget."""
    bench = Sandbox(tmp_path_factory.mktemp("odd"))
    (bench.folder / "registry.toml").write_text(DIGITS + ODD_ONES + TRAINING, encoding="utf-8")
    bench.install("odd-one", "import time; time.sleep(1)\n" + plugin_of(SCORERS))
    done = serially(bench, "odd-ones")
    assert done.returncode == 0, done.stderr
    return bench, {(r["method"], r["keep"]): r for r in records(bench.folder, "odd-ones") if r["kind"] == "cell"}


def test_a_method_that_declines_is_a_skip_with_its_reason_and_not_a_failure(odd_run):
    bench, found = odd_run
    declined = [record for (method, _), record in found.items() if method == "declines"]
    assert [(r["status"], r["status_reason"]) for r in declined] == [("not_applicable", "only for faces")] * 2
    board = (bench.folder / "results" / "odd-ones" / "board" / "accuracy.csv").read_bytes()
    assert serially(bench, "odd-ones").returncode == 0
    assert len(list((bench.folder / "runs").iterdir())) == 1, "the second run tried again"
    assert (bench.folder / "results" / "odd-ones" / "board" / "accuracy.csv").read_bytes() == board


def test_a_subset_that_chance_decided_among_equal_scores_says_so(odd_run):
    _, found = odd_run
    # 103 samples have a score of 1: most of 144 kept, and fewer than half of 288
    assert {keep: r["caveat"] for (method, keep), r in found.items() if method == "tied"} == {
        "0.1": "",
        "0.2": "most of what is kept is drawn from equal scores",
    }
    assert {found["tied", keep]["ties_at_cut"] for keep in ("0.1", "0.2")} == {1438 - 103}
    assert {r["caveat"] for (method, _), r in found.items() if method == "random"} == {""}


def test_numbers_of_any_kind_are_diagnostics_and_not_a_number_is_none(odd_run):
    _, found = odd_run
    assert found["numbers", "0.1"]["diagnostics"] == {"mean": 0.5, "n": 3, "gap": None, "done": True}


def test_the_time_of_a_score_is_that_of_the_scoring_alone(odd_run):
    _, found = odd_run  # importing the plugin takes a second
    times = {method: record["seconds_score"] for (method, _), record in found.items()}
    assert times["random"] < times["sleeps"]
    assert 0.3 <= times["sleeps"] < 1


def test_of_two_inputs_that_failed_the_first_in_the_plan_is_to_blame_whichever_failed_first():
    a, b = (Task("scores", {"name": name}) for name in "ab")
    pair = Task("agreement", {"name": "ab"}, {"a": a, "b": b})
    reasons = {a.key: "a has 96 dimensions", b.key: "b has 64 dimensions"}
    for first in (a, b):
        outcomes = {key: {"status": "not_applicable", "reason": reasons[key]} for key in (first.key, a.key, b.key)}
        outcomes[pair.key] = outcomes[first.key]
        assert blame(pair, outcomes)["status_reason"] == "a has 96 dimensions"


def test_filtered_samples_are_no_ties_at_the_cut():
    scores = np.array([3.0, 2.0, 2.0, 2.0, 0.0, 0.0, 0.0])
    eligible = np.array([True] * 4 + [False] * 3)
    assert ties_at_cut(scores, np.array([0, 1]), eligible) == (3, 1)
    assert ties_at_cut(scores, np.array([0, 1, 2, 3]), eligible) == (0, 0)
    assert ties_at_cut(scores, np.array([0, 1, 2, 3, 4]), eligible) == (0, 0), "one came back to fill the budget"
    assert ties_at_cut(np.zeros(7), np.array([0, 1]), eligible) == (4, 2)
    assert ties_at_cut(np.zeros(7), np.array([4, 5]), eligible) == (0, 0)


def started(bench, *arguments: str) -> subprocess.Popen[str]:
    """Start a run and wait until its plugin is at work."""
    process = bench.start("run", "third-party", *(arguments or ("--jobs", "1")))
    deadline = time.monotonic() + 120
    while not (bench.folder / "running").exists():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.05)
    return process


def test_control_c_waits_for_what_runs_and_keeps_it(bench):
    bench.install("odd-one", odd("open('running', 'w').close(); time.sleep(1.5)"))
    process = started(bench)
    process.send_signal(signal.SIGINT)
    _, stderr = process.communicate(timeout=60)
    assert process.returncode == 130, stderr
    assert "run the same command again" in stderr
    assert len(stamps(bench.folder, "scores")) >= 1
    assert serially(bench, "third-party").returncode == 0


def test_control_c_waits_no_longer_than_its_grace_and_nothing_that_ended_is_lost(bench):
    bench.install("odd-one", odd("pass"))
    assert serially(bench, "third-party", "--seeds", "1", "--keep", "0.1", "--scorer", "odd").returncode == 0
    (done,) = [r for r in records(bench.folder, "third-party") if r["method"] == "odd"]
    module = bench.folder / "site" / "odd_one.py"
    module.write_text(odd("open('running', 'w').close(); time.sleep(600)"))
    process = started(bench, "--jobs", "1", "--grace", "1", "--scorer", "odd")
    ended = records(bench.folder, "third-party")
    before = time.monotonic()
    process.send_signal(signal.SIGTERM)
    _, stderr = process.communicate(timeout=120)
    assert time.monotonic() - before < 60, "the plugin sleeps for ten minutes"
    assert process.returncode == 130, stderr
    kept = records(bench.folder, "third-party")
    assert [r for r in ended if r not in kept] == []
    assert done in kept


def test_a_record_is_on_disk_when_its_cell_ends(bench):
    """Killed without a word, the run has written every record whose cell it was told of."""
    bench.install("odd-one", odd("open('running', 'w').close(); time.sleep(600)"))
    process = started(bench, "--jobs", "2")  # one is stuck, the other goes on
    deadline = time.monotonic() + 120
    while not (found := records(bench.folder, "third-party")):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    process.kill()
    process.communicate()
    assert {r["method"] for r in found} == {"random"}
    assert {r["status"] for r in found} == {"ok"}


def test_runs_side_by_side_lose_no_record_of_each_other(bench):
    bench.install("odd-one", odd("pass"))
    # Both write into the file of each method.
    processes = [bench.start("run", "third-party", "--executor", "serial", "--keep", keep) for keep in ("0.1", "0.2")]
    for process in processes:
        _, stderr = process.communicate(timeout=250)
        assert process.returncode == 0, stderr
    found = [(r["method"], r["keep"], r["seed"]) for r in records(bench.folder, "third-party") if r["kind"] == "cell"]
    assert sorted(found) == sorted((m, k, s) for m in ("odd", "random") for k in ("0.1", "0.2") for s in (0, 1))


def test_a_task_that_takes_too_long_is_stopped_and_recorded(bench, monkeypatch):
    import prunebench.executors.local as local
    import prunebench.executors.worker_process as worker_process

    monkeypatch.setattr(worker_process, "GRACE_SECONDS", 0.0)
    bench.install("odd-one", odd("time.sleep(120)"))
    settings = Settings(str(bench.folder / "cache"), timeout_seconds=5.0, device="cpu")
    executor = local.LocalExecutor(settings, ("cpu",), bench.folder / "logs")
    with bench.entered():
        task = scoring("odd", load_plugins().scorer("odd").version)
        executor.submit(task)
        outcome = None
        while outcome is None:
            for event in executor.wait(0.5):
                outcome = event.outcome
        executor.close(kill=True)
    assert (outcome["status"], outcome["key"]) == ("timeout", task.key)
    assert "5 seconds" in outcome["reason"]


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


def test_an_observer_sees_every_cell_and_the_end_of_the_run(bench):
    bench.install(
        "watcher",
        "import msgspec\nfrom prunebench import hookimpl\n"
        "@hookimpl\ndef prunebench_cell_finished(record):\n"
        "    with open('seen.jsonl', 'a') as file: print(msgspec.json.encode(record).decode(), file=file)\n"
        "@hookimpl\ndef prunebench_run_finished(manifest):\n    raise RuntimeError('cannot upload')\n",
    )
    done = serially(bench, "tiny")
    assert done.returncode == 0, done.stderr
    seen = [json.loads(line) for line in (bench.folder / "seen.jsonl").read_text().splitlines()]
    assert len([record for record in seen if record["kind"] == "cell"]) == 6
    assert "cannot upload" in done.stderr


def test_a_cache_on_a_full_disk_is_answered(bench):
    done = bench.call("run", "tiny", "--cache", "/dev/full/cache")
    assert done.returncode == 5
    assert "--cache" in done.stderr
    assert "Traceback" not in done.stderr
