"""Promises of an executor: every task is answered once, and what is closed is gone.

The tasks are computed by a stand-in for the worker: a script that takes the place of the interpreter.
"""

from __future__ import annotations

import contextlib
import os
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from prunebench.executors import Executor, Settings, Task
from prunebench.plugins import Entry
from prunebench.testing.promises import promise
from prunebench.testing.results import CheckFailed

_SECONDS = 30.0  # in which a worker that answers at once has answered
_SLOTS = 2
# Speaks as `python -m prunebench.worker` does, and does what the name of the task says.
_WORKER = """#!{python}
import json, os, signal, sys, time
sys.path[:0] = {path!r}
from prunebench.tasks import Task

def outcome(described):
    task = Task.from_json(described)
    what = task.config["what"]
    if what == "dies":
        os.kill(os.getpid(), signal.SIGKILL)
    if what == "hangs":
        open(task.config["note"], "w").write(str(os.getpid()))
        time.sleep(600)
    status = "failed" if what == "fails" else "ok"
    return dict(key=task.key, status=status, reason=what, hint="", exit_code=0, seconds=0.01, device="cpu")

assert sys.argv[1:3] == ["-m", "prunebench.worker"], sys.argv
if sys.argv[3] == "--serve":
    print(json.dumps(dict(event="ready", device="cpu")), flush=True)
    for line in sys.stdin:
        print(json.dumps(dict(event="done", **outcome(json.loads(line)))), flush=True)
else:
    print(json.dumps(outcome(json.load(open(sys.argv[3]))["task"])), flush=True)
"""


@contextlib.contextmanager
def _started(entry: Entry[Any]) -> Iterator[tuple[Executor, Path]]:
    """Yield an executor with two slots, whose worker is the stand-in, and a folder."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as name:
        folder = Path(name)
        stand_in = folder / "python"
        stand_in.write_text(_WORKER.format(python=sys.executable, path=sys.path), encoding="utf-8")
        stand_in.chmod(0o755)
        settings = Settings(cache=str(folder / "cache"), interpreters={"scorer:stand-in": str(stand_in)})
        executor = entry.load()(settings, ["cpu"] * _SLOTS, folder / "logs")
        try:
            yield executor, folder
        finally:
            executor.close(kill=True)


def _task(what: str, number: int, note: Path | None = None) -> Task:
    plugin = {"kind": "scorer", "name": "stand-in", "version": "1"}
    return Task("scores", {"plugin": plugin, "what": what, "number": number, "note": str(note)})


def _outcomes(executor: Executor, tasks: Sequence[Task]) -> dict[str, Mapping[str, Any]]:
    """Return the outcomes of tasks by key, submitted as the executor has room; two for one task are a fault."""
    found: dict[str, Mapping[str, Any]] = {}
    waiting, until = list(tasks), time.monotonic() + _SECONDS
    while len(found) < len(tasks) and time.monotonic() < until:
        while waiting and executor.idle() > 0:
            executor.submit(waiting.pop(0))
        for event in executor.wait(0.2):
            if event.outcome is not None and event.key in found:
                raise CheckFailed(f"task {event.key} has two outcomes")
            if event.outcome is not None:
                found[event.key] = event.outcome
    if missing := len(tasks) - len(found):
        raise CheckFailed(f"{missing} of {len(tasks)} tasks have no outcome after {_SECONDS:g} seconds")
    if set(found) != {task.key for task in tasks}:
        raise CheckFailed("an outcome has a key that is none of the tasks'")
    return found


def _statuses(entry: Entry[Any], whats: Sequence[str]) -> list[str]:
    tasks = [_task(what, number) for number, what in enumerate(whats)]
    with _started(entry) as (executor, _):
        if (room := executor.idle()) < 1:
            raise CheckFailed(f"idle() is {room} before the first task")
        found = _outcomes(executor, tasks)
    return [str(found[task.key]["status"]) for task in tasks]


@promise("executor", stage=6)
def check_every_task_is_answered_once(entry: Entry[Any]) -> None:
    """More tasks than slots are computed one after the other, and each has one outcome: that of the worker."""
    found = _statuses(entry, ["works", "fails", "works", "works", "works"])
    if found != ["ok", "failed", "ok", "ok", "ok"]:
        raise CheckFailed(f"the second of five tasks fails, and the outcomes are {found}")


@promise("executor")
def check_the_death_of_a_worker_loses_one_task(entry: Entry[Any]) -> None:
    """A worker that is killed gives its task an outcome that is not "ok", and the other tasks are computed."""
    found = _statuses(entry, ["works", "dies", "works", "works"])
    if found[1] in ("ok", "not_applicable") or found[:1] + found[2:] != ["ok"] * 3:
        raise CheckFailed(f"the worker of the second of four tasks is killed, and the outcomes are {found}")


@promise("executor")
def check_close_with_kill_stops_what_runs(entry: Entry[Any]) -> None:
    """close(kill=True) ends workers in the middle of their work, soon."""
    with _started(entry) as (executor, folder):
        note, until = folder / "note", time.monotonic() + _SECONDS
        executor.submit(_task("hangs", 0, note))
        while not (note.exists() and note.read_text()) and time.monotonic() < until:
            executor.wait(0.05)
        started = time.monotonic()
        executor.close(kill=True)
        if (seconds := time.monotonic() - started) > _SECONDS:
            raise CheckFailed(f"close(kill=True) took {seconds:.0f} seconds")
        if note.exists() and _runs(int(note.read_text())):
            raise CheckFailed("a worker is still running after close(kill=True)")


@promise("executor")
def check_close_may_be_called_again(entry: Entry[Any]) -> None:
    """close() after the last task ends the workers by itself, and a second call does nothing."""
    with _started(entry) as (executor, _):
        _outcomes(executor, [_task("works", 0)])
        executor.close()
        executor.close()


def _runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    state = Path(f"/proc/{pid}/stat")
    return not state.exists() or state.read_text(encoding="utf-8").rpartition(")")[2].split()[0] != "Z"
