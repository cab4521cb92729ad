"""Promises of executors: what becomes of tasks that end well, fail, die, take too long, or are interrupted."""

import os
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from prunebench.errors import NotApplicable
from prunebench.executors import Executor, Settings, Task
from prunebench.plugins import Entry
from prunebench.store import Store
from prunebench.testing.exercise import PLACES
from prunebench.testing.results import ensure, promise

GONE_SECONDS = 15.0  # in which what was killed is gone
_SECONDS = 90.0  # in which some short tasks end, on machines that start processes slowly, too
_GOOD = ("ok", "not_applicable")


def exercise(number: int, *, seconds: float = 0.0, end: str = "ok") -> Task:
    """Return a task that waits for so many seconds and ends as said; see `prunebench.testing.exercise`."""
    return Task("exercise", {"number": number, "seconds": seconds, "end": end})


@dataclass
class _Session:
    """An executor on slots of the processor, with an empty cache, and the outcomes that came by key."""

    executor: Executor
    store: Store
    outcomes: dict[str, Mapping[str, Any]] = field(default_factory=dict)

    def perform(self, tasks: Sequence[Task], most: int) -> list[Mapping[str, Any]]:
        """Return the outcomes of tasks, submitted as the executor has room for them, which is for `most` at a time."""
        waiting, running, until = list(tasks), set[str](), time.monotonic() + _SECONDS
        while (waiting or running) and time.monotonic() < until:
            while waiting and self.executor.idle() > 0:
                running.add(waiting[0].key)
                ensure(len(running) <= most, f"it takes {len(running)} tasks at a time on {most} slots")
                self.executor.submit(waiting.pop(0))
            for event in self.executor.wait(0.2):
                if event.outcome is not None:
                    ensure(event.key not in self.outcomes, f"task {event.key} has two outcomes")
                    self.outcomes[event.key] = event.outcome
                    running.discard(event.key)
        found = [self.outcomes[task.key] for task in tasks if task.key in self.outcomes]
        ensure(len(found) == len(tasks), f"{len(found)} of {len(tasks)} tasks have an outcome after {_SECONDS:g} s")
        ensure(not self.executor.wait(0.2), "it tells more after the last outcome")
        return found

    def facts(self, tasks: Iterable[Task]) -> list[Mapping[str, Any]]:
        """Return where and when tasks ran that ended well."""
        return [self.store.meta("exercise", task.key) or {} for task in tasks]

    def places(self, task: Task) -> list[int]:
        """Return the processes that have begun a task."""
        return [int(file.name.rpartition("-")[2]) for file in self.store.root.glob(f"{PLACES}/{task.key}-*")]


@contextmanager
def _session(entry: Entry[Any], slots: int, seconds: float | None = None) -> Iterator[_Session]:
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        settings = Settings(cache=folder, device="cpu", timeout_seconds=seconds)
        params = entry.spec.resolve_params({})
        executor: Executor = entry.load()(settings, ["cpu"] * slots, Path(folder, "logs"), **params)
        try:
            yield _Session(executor, Store(Path(folder)))
            executor.close()
        finally:
            executor.close(kill=True)


@promise("executor", stage=6)
def check_every_task_is_answered_once(entry: Entry[Any]) -> None:
    """Each task has one outcome, that of its worker, and "failed" where it died: that loses no other task, and what
    comes after it is computed.  close() may follow close()."""
    with _session(entry, 2) as session:
        first = [exercise(0), exercise(1, end="raise"), Task("projection", {"plugin": _NOBODY})]
        good, failed, refused = session.perform(first, 2)
        ensure(good["status"] == "ok", f"a task that ended well has the outcome {dict(good)}")
        for outcome, words in ((failed, "an exercise that fails"), (refused, "not-installed")):
            is_told = outcome["status"] == "failed" and words in outcome["reason"]
            ensure(is_told, f"the worker refused a task, and its outcome is {dict(outcome)}")
        if _in_this_process(session, first[0]):
            return
        later = [exercise(2, end="die"), exercise(3, seconds=0.5), exercise(4)]
        dead, beside, after = session.perform(later, 2)
        told = all(dead.get(name) for name in ("key", "reason")) and "seconds" in dead
        ensure(dead["status"] not in _GOOD and told, f"the worker died, and the outcome of its task is {dict(dead)}")
        lost = [dict(one) for one in (beside, after) if one["status"] != "ok"]
        ensure(not lost, f"a worker died, and another task was lost with it: {lost[:1]}")


_NOBODY = {"kind": "projector", "name": "not-installed", "version": "1"}


@promise("executor", stage=7)
def check_slots_are_kept(entry: Entry[Any]) -> str:
    """No more tasks run at a time than there are slots; on "cpu" they see no GPU, and their time limit is kept."""
    with _session(entry, 2, seconds=3.0) as session:
        tasks = [exercise(number, seconds=0.3) for number in range(4)]
        *outcomes, late = session.perform([*tasks, exercise(9, seconds=60.0)], 2)
        ensure({one["status"] for one in outcomes} == {"ok"}, f"four short tasks ended with {outcomes}")
        ensure(late["status"] == "timeout", f"a task that took too long has the outcome {dict(late)}")
        found = session.facts(tasks)
        ensure(all(found), "tasks ended well, and the cache folder of their settings does not hold their results")
        most = max(sum(one["began"] <= other["began"] < one["ended"] for one in found) for other in found)
        ensure(most <= 2, f"{most} tasks ran at a time on 2 slots")
        seen = sorted({repr(one["visible"]) for one in found})
        if not _in_this_process(session, tasks[0]):
            ensure(seen == ["''"], f"on slots without a GPU, CUDA_VISIBLE_DEVICES is {', '.join(seen)}, not empty")
    return f"{most} at a time"


@promise("executor", stage=7)
def check_an_interruption_leaves_nothing_behind(entry: Entry[Any]) -> None:
    """After close(kill=True) nothing of the task under way runs any more, and nothing of it is stored."""
    with _session(entry, 1) as session:
        session.perform([exercise(0)], 1)
        if _in_this_process(session, exercise(0)):
            raise NotApplicable("it runs tasks in this process, which the interruption ends")
        task, until = exercise(1, seconds=60.0), time.monotonic() + _SECONDS
        while not session.executor.idle() and time.monotonic() < until:
            session.executor.wait(0.1)
        session.executor.submit(task)
        while not session.places(task) and time.monotonic() < until:
            session.executor.wait(0.1)
        ensure(bool(session.places(task)), f"a task was not begun within {_SECONDS:g} s")
        began = time.monotonic()
        session.executor.close(kill=True)
        ensure(time.monotonic() - began < 30, "close(kill=True) waits for what runs")
        until = time.monotonic() + GONE_SECONDS
        while (alive := [pid for pid in session.places(task) if _is_alive(pid)]) and time.monotonic() < until:
            time.sleep(0.05)
        ensure(not alive, f"after close(kill=True) process {alive} goes on with its task")
        ensure(not session.store.has("exercise", task.key), "the task was stopped, and its result is stored")


def _in_this_process(session: _Session, task: Task) -> bool:
    """Tell whether a task that ended well ran in this process: a death would end it, too."""
    [facts] = session.facts([task])
    ensure(bool(facts), "a task ended well, and the cache folder of its settings does not hold its result")
    return bool(facts["pid"] == os.getpid())


def _is_alive(pid: int) -> bool:
    """Tell whether a process of this machine runs; executors are checked where all of theirs are on it."""
    status = Path(f"/proc/{pid}/stat")
    if Path("/proc/self").exists():
        with_state = status.read_text(encoding="ascii", errors="replace") if status.exists() else ""
        return with_state.rpartition(")")[2].split()[:1] not in ([], ["Z"])
    try:
        os.kill(pid, 0)
    except OSError:
        return False
    return True
