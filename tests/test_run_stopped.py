"""Runs that are killed, interrupted or take too long, in real processes: nothing that ended is lost."""

from __future__ import annotations

import signal
import subprocess
import time
from pathlib import Path

import pytest

from prunebench.plugins import load_plugins
from prunebench.settings import Settings
from suite_runs import REGISTRY, odd, records, scoring, serially, stamps


@pytest.fixture
def bench(sandbox):
    sandbox.register(REGISTRY)
    return sandbox


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
