"""Warm worker processes on this machine: one per slot, one task at a time, replaced when they die."""

from __future__ import annotations

import contextlib
import json
import queue
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from prunebench.executors import Event
from prunebench.executors.process import ChildProcess, Message, child_environment
from prunebench.settings import Settings
from prunebench.tasks import Task

# A worker checks its own deadline between steps; the grace is for the step that it is in.
GRACE_SECONDS = 30.0
_END_SECONDS = 10.0  # in which a worker without input ends by itself


@dataclass
class _Worker:
    child: ChildProcess
    interpreter: str
    log: Path
    task: Task | None = None
    started: float = 0.0
    timed_out: bool = False


class LocalExecutor:
    """Starts workers when the first tasks come; a slot is "cpu", or the index of a CUDA device."""

    def __init__(self, settings: Settings, slots: Sequence[str], log_folder: Path) -> None:
        self._settings = settings
        self._slots = list(slots)
        self._log_folder = log_folder
        self._inbox: queue.Queue[tuple[ChildProcess, Message | None]] = queue.Queue()
        self._workers: dict[int, _Worker] = {}  # by slot
        self._retired: list[ChildProcess] = []
        log_folder.mkdir(parents=True, exist_ok=True)

    def idle(self) -> int:
        return len(self._slots) - sum(worker.task is not None for worker in self._workers.values())

    def submit(self, task: Task) -> None:
        worker = self._idle_worker(self._settings.interpreter(task))
        worker.task, worker.started = task, time.monotonic()
        worker.child.send(task.to_json())

    def wait(self, timeout_seconds: float) -> Sequence[Event]:
        self._kill_overdue()
        events: list[Event] = []
        with contextlib.suppress(queue.Empty):
            events += self._events(*self._inbox.get(timeout=timeout_seconds))
            while True:
                events += self._events(*self._inbox.get_nowait())
        return events

    def close(self, *, kill: bool = False) -> None:
        children = [*(worker.child for worker in self._workers.values()), *self._retired]
        for child in children:
            child.kill() if kill else child.end_input()
        until = time.monotonic() + _END_SECONDS
        for child in children:
            child.close(max(0.0, until - time.monotonic()))
        self._workers.clear()
        self._retired.clear()

    def _idle_worker(self, interpreter: str) -> _Worker:
        """Return a worker of that interpreter: a warm one, or a new one in an empty slot, or in place of another."""
        free = [i for i in range(len(self._slots)) if i not in self._workers or self._workers[i].task is None]
        warm = [i for i in free if i in self._workers and self._workers[i].interpreter == interpreter]
        if warm:
            return self._workers[warm[0]]
        slot = min(free, key=lambda i: (i in self._workers, i))
        if slot in self._workers:
            retired = self._workers.pop(slot).child
            retired.end_input()
            self._retired.append(retired)
        self._workers[slot] = self._start(slot, interpreter)
        return self._workers[slot]

    def _start(self, slot: int, interpreter: str) -> _Worker:
        device = self._slots[slot]
        settings = replace(self._settings, device="cuda" if device.isdigit() else device)
        environment = child_environment(Path(settings.cache), settings.threads)
        if device.isdigit():
            environment["CUDA_VISIBLE_DEVICES"] = device
        command = [interpreter, "-m", "prunebench.worker", "--serve", json.dumps(settings.to_json())]
        log = self._log_folder / f"worker-{slot}.log"
        return _Worker(ChildProcess(command, environment=environment, log=log, inbox=self._inbox), interpreter, log)

    def _events(self, child: ChildProcess, message: Message | None) -> list[Event]:
        """Return what a message of a worker means for its task; None is the worker's end."""
        slot = next((slot for slot, worker in self._workers.items() if worker.child is child), None)
        if slot is None:  # it was closed or retired
            if message is None and child in self._retired:
                self._retired.remove(child)
            return []
        worker = self._workers[slot]
        task = worker.task
        if message is None:
            del self._workers[slot]
            child.close()
            return [] if task is None else [self._lost(worker, task)]
        if task is None or message.get("event") == "ready":
            return []
        if message.get("event") == "progress":
            return [Event(task.key, message["fraction"], message["text"])]
        worker.task = None
        return [Event(task.key, outcome=message)]

    def _lost(self, worker: _Worker, task: Task) -> Event:
        seconds = time.monotonic() - worker.started
        if worker.timed_out:
            reason = f"it ran past {self._settings.timeout_seconds:g} seconds"
            return Event.lost(task, reason, "raise the limit with --timeout SECONDS", status="timeout", seconds=seconds)
        return Event.lost(task, f"the worker {worker.child.death}", f"see {worker.log}", seconds=seconds)

    def _kill_overdue(self) -> None:
        limit = self._settings.timeout_seconds
        if limit is None:
            return
        for worker in self._workers.values():
            if worker.task is not None and time.monotonic() - worker.started > limit + GRACE_SECONDS:
                worker.timed_out = True
                worker.child.kill()
