"""What is seen of a run: its events, a log per task, the first cause, exit codes, and what observers are told."""

from __future__ import annotations

import json
import threading
import time
from pathlib import Path

import pytest

from conftest import Sandbox
from prunebench.events import FILE, is_alive, progress_of, read_events
from prunebench.plugins import load_plugins
from prunebench.records import read_results
from registries import NUMPY_DIGITS, TRAINING

PLUGIN = """
from prunebench import ScorerSpec, hookimpl

@hookimpl
def prunebench_scorers():
    names = ("speaks", "fails", "dies", "waits")
    return [ScorerSpec(name=name, summary="A test.", load=f"odd_one:{name}") for name in names]

def speaks(ctx):
    import os
    print("said in passing")
    os.write(2, b"said by native code\\n")
    return ctx.rng.random(ctx.n)

def fails(ctx):
    print("said before the end")
    raise ValueError("bad day")

def dies(ctx):
    import os, signal
    os.kill(os.getpid(), signal.SIGSEGV)

def waits(ctx):
    import pathlib, time
    while not pathlib.Path("go").exists():
        time.sleep(0.05)
    return ctx.rng.random(ctx.n)
"""
SUITE = """
[suite.{name}]
dataset = "digits"
methods = {methods}
baseline = "random"
pruning_rates = ["0.9", "0.8"]
seeds = 1
"""


def suite(name: str, *methods: str) -> str:
    return SUITE.format(name=name, methods=json.dumps(["random", *methods])) + TRAINING


@pytest.fixture(scope="module")
def troubled(tmp_path_factory):
    """A run in which one method speaks, one fails and one dies: its place, what the command said, the run's folder."""
    bench = Sandbox(tmp_path_factory.mktemp("troubled"))
    bench.register(NUMPY_DIGITS + suite("odd", "speaks", "fails", "dies"))
    bench.install("odd-one", PLUGIN)
    done = bench.run("run", "odd", "--devices", "cpu", "--jobs", "1", "--json")
    [folder] = (bench.folder / "runs").iterdir()
    return bench, done, folder


def test_every_task_has_its_start_and_its_end_among_the_events(troubled):
    _, _, folder = troubled
    events = [json.loads(line) for line in (folder / FILE).read_text(encoding="utf-8").splitlines()]
    assert (events[0]["event"], events[-1]["event"]) == ("run_started", "run_finished")
    started = [event["key"] for event in events if event["event"] == "task_started"]
    ended = {event["key"]: event for event in events if "status" in event}
    assert len(started) == len({*started}) == len(ended)
    assert {*started} == {*ended}
    kinds = {(event["event"], event["status"]) for event in ended.values()}
    assert kinds == {("task_finished", "ok"), ("task_failed", "failed"), ("worker_died", "failed")}
    assert all(event["peak_bytes"] > 1 << 20 for event in ended.values() if event["status"] == "ok")
    assert events[-1]["exit_reason"] == "finished"


def test_what_a_task_prints_is_in_a_log_of_its_own(troubled):
    _, _, folder = troubled
    logs = {event["title"]: event["log"] for event in read_events(folder) if "log" in event}
    texts = {title: Path(log).read_text(encoding="utf-8") for title, log in logs.items()}
    assert sorted(texts["speaks"].splitlines()) == ["said by native code", "said in passing"]
    assert "said before the end" in texts["fails"]
    assert "ValueError: bad day" in texts["fails"]
    assert "Segmentation fault" in texts["dies"]
    assert "random" not in texts  # it printed nothing


def test_the_summary_names_the_first_cause_and_its_log(troubled):
    _, done, folder = troubled
    report = json.loads(done.stdout)
    assert [cause["count"] for cause in report["causes"]] == [2, 2]
    assert "ValueError: bad day" in report["causes"][0]["reason"]
    assert Path(report["causes"][0]["log"]).parent == folder / "logs"
    assert f"4 failed, for 2 reasons; first: {report['causes'][0]['reason']}; its log: " in done.stderr
    assert done.returncode == 1


def test_status_tells_what_failed_and_where_its_log_is(troubled):
    bench, _, folder = troubled
    facts = json.loads(bench.call("status", "--json").stdout)
    assert (facts["state"], facts["failed"], facts["done"], facts["running"]) == ("finished", 4, 4, [])
    assert len(facts["failures"]) == 2
    page = bench.call("status", "--watch").stdout
    assert "bad day" in page
    assert str(folder / "logs") in page.replace("\n", "")


def test_a_watched_run_shows_what_runs_until_it_ends(sandbox):
    sandbox.register(NUMPY_DIGITS + suite("slow", "waits"))
    sandbox.install("odd-one", PLUGIN)
    process = sandbox.start("run", "slow", "--devices", "cpu", "--jobs", "1", "--quiet")
    runs, until = sandbox.folder / "runs", time.monotonic() + 120
    while not any(event["stage"] == "scores" and event["title"] == "waits" for event in running(runs)):
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < until
        time.sleep(0.1)
    facts = json.loads(sandbox.call("status", "--json").stdout)
    assert facts["state"] == "running"
    assert [(one["stage"], one["title"]) for one in facts["running"]] == [("scores", "waits")]
    threading.Timer(2.0, (sandbox.folder / "go").touch).start()
    page = sandbox.call("status", "--watch").stdout
    assert page.count("run        ") + page.count("run ") >= 2  # what it showed first, and at the end
    assert "finished" in page
    assert process.wait(60) == 0
    process.communicate()


def running(runs: Path) -> list:
    folders = [*runs.glob("*")]
    return [*progress_of(read_events(folders[0])).running.values()] if folders else []


def test_a_run_that_was_killed_is_not_said_to_run(sandbox):
    sandbox.register(NUMPY_DIGITS + suite("slow", "waits"))
    sandbox.install("odd-one", PLUGIN)
    process = sandbox.start("run", "slow", "--devices", "cpu", "--jobs", "1", "--quiet")
    until = time.monotonic() + 120
    while not running(sandbox.folder / "runs"):
        assert time.monotonic() < until
        time.sleep(0.1)
    [folder] = (sandbox.folder / "runs").iterdir()
    assert is_alive(folder)
    process.kill()
    process.communicate()
    assert not is_alive(folder)
    assert json.loads(sandbox.call("status", "--json").stdout)["state"] == "killed"


def test_the_status_of_a_run_that_an_error_ended_has_the_error(sandbox):
    sandbox.install(
        "no-place",
        """
from prunebench import DataError, ExecutorSpec, hookimpl

@hookimpl
def prunebench_executors():
    return [ExecutorSpec(name="nowhere", summary="A place that is gone.", load="no_place:start")]

def start(settings, slots, log_folder):
    raise DataError("the place is gone", "look for it")
""",
    )
    sandbox.register(NUMPY_DIGITS + suite("small"))
    sandbox.call("run", "small", "--executor", "nowhere", "--devices", "cpu")
    state = json.loads(sandbox.call("status", "--json").stdout)["state"]
    assert state.startswith("error: "), state
    assert "the place is gone" in state


def test_lines_of_events_that_are_damaged_are_passed_over(tmp_path):
    begun = '{"time": "2026-01-01T00:00:00.000+00:00", "event": "task_started", "key": "a"}\n'
    timeless = '{"event": "task_started", "key": "b"}\n'
    (tmp_path / FILE).write_text(f'{begun}{timeless}[1]\n{{"event": "tas', encoding="utf-8")
    assert [*progress_of(read_events(tmp_path)).running] == ["a"]


@pytest.fixture(scope="module")
def reported(troubled):
    bench, _, _ = troubled
    return read_results(bench.folder / "results")


def test_reporters_do_nothing_where_nobody_asks(reported, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    for name in ("PRUNEBENCH_MLFLOW", "PRUNEBENCH_TENSORBOARD"):
        monkeypatch.delenv(name, raising=False)
    assert load_plugins().notify("prunebench_cell_finished", record=reported[0]) == []
    assert [*tmp_path.iterdir()] == []


@pytest.mark.filterwarnings("ignore::Warning")
def test_mlflow_has_a_run_for_each_record_with_its_place_and_its_numbers(reported, monkeypatch, tmp_path):
    from mlflow import MlflowClient

    monkeypatch.setenv("PRUNEBENCH_MLFLOW", (tmp_path / "mlflow").as_uri())
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    catalogue = load_plugins()
    for record in reported:
        assert catalogue.notify("prunebench_cell_finished", record=record) == []
    ended = {"tasks_by_status": {"ok": 3}, "wall_seconds": 2.5, "exit_reason": "finished"}
    manifest = {"run_id": "r1", "suite": "odd", "finished": ended}
    assert catalogue.notify("prunebench_run_finished", manifest=manifest) == []
    client = MlflowClient(tracking_uri=(tmp_path / "mlflow").as_uri())
    runs = client.search_runs([client.get_experiment_by_name("odd").experiment_id])
    by_key = {run.data.tags["key"]: run for run in runs if "key" in run.data.tags}
    assert set(by_key) == {record.key for record in reported}
    for record in reported:
        run = by_key[record.key]
        assert run.data.params["method"] == record.method
        assert run.data.metrics.get("accuracy") == record.accuracy
        assert run.info.status == ("FINISHED" if record.status == "ok" else "FAILED")
    [whole] = [run for run in runs if "key" not in run.data.tags]
    assert whole.data.metrics == {"wall_seconds": 2.5, "tasks_ok": 3.0}


@pytest.mark.filterwarnings("ignore::Warning")
def test_tensorboard_has_a_folder_for_each_record_with_its_numbers(reported, monkeypatch, tmp_path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    monkeypatch.setenv("PRUNEBENCH_TENSORBOARD", str(tmp_path))
    record = next(record for record in reported if record.status == "ok")
    assert load_plugins().notify("prunebench_cell_finished", record=record) == []
    [file] = tmp_path.rglob("events.out.tfevents.*")
    assert file.relative_to(tmp_path).parts[:3] == (record.suite, record.dataset, record.method)
    assert f"keep={record.keep}" in file.parent.name
    read = EventAccumulator(str(file.parent))
    read.Reload()
    found = {tag: read.Tensors(tag) for tag in read.Tags()["tensors"]}
    from tensorboard.util.tensor_util import make_ndarray

    assert float(make_ndarray(found["accuracy"][0].tensor_proto)) == pytest.approx(record.accuracy)
