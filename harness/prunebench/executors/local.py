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
        self._settings, self._slots, self._log_folder = settings, list(slots), log_folder
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
        self._workers, self._retired = {}, []
        for child in children:
            child.kill() if kill else child.end_input()
        until = time.monotonic() + _END_SECONDS
        for child in children:
            child.close(max(0.0, until - time.monotonic()))

    def _idle_worker(self, interpreter: str) -> _Worker:
        """Return a worker of that interpreter: a warm one, or a new one in an empty slot, or in place of another."""
        present = {slot: self._workers.get(slot) for slot in range(len(self._slots))}
        free = {slot: worker for slot, worker in present.items() if worker is None or worker.task is None}
        warm = [worker for worker in free.values() if worker and worker.interpreter == interpreter]
        if warm:
            return warm[0]
        slot = min(free, key=lambda slot: (slot in self._workers, slot))
        if other := free[slot]:
            other.child.end_input()
            self._retired.append(other.child)
        self._workers[slot] = self._start(slot, interpreter)
        return self._workers[slot]

    def _start(self, slot: int, interpreter: str) -> _Worker:
        device, log = self._slots[slot], self._log_folder / f"worker-{slot}.log"
        settings = replace(self._settings, device="cuda" if device.isdigit() else device)
        environment = child_environment(Path(settings.cache), settings.threads)
        if device.isdigit():
            environment["CUDA_VISIBLE_DEVICES"] = device
        command = [interpreter, "-m", "prunebench.worker", "--serve", json.dumps(settings.to_json())]
        return _Worker(ChildProcess(command, environment=environment, log=log, inbox=self._inbox), interpreter, log)

    def _events(self, child: ChildProcess, message: Message | None) -> list[Event]:
        """Return what a message of a worker means for its task; None is the worker's end."""
        slot = next((slot for slot, worker in self._workers.items() if worker.child is child), None)
        if slot is None:  # it was closed or retired
            self._retired = [other for other in self._retired if message is not None or other is not child]
            return []
        worker = self._workers[slot]
        task, event = worker.task, (message or {}).get("event")
        if message is None:
            del self._workers[slot]
            child.close()
        if task is None or event == "ready":
            return []
        if message is None:
            return [self._lost(worker, task)]
        if event == "progress":
            return [Event(task.key, message["fraction"], message["text"])]
        worker.task = None
        return [Event(task.key, outcome=message)]

    def _lost(self, worker: _Worker, task: Task) -> Event:
        seconds, limit = time.monotonic() - worker.started, self._settings.timeout_seconds
        if not worker.timed_out:
            return Event.lost(task, f"the worker {worker.child.death}", f"see {worker.log}", seconds=seconds)
        hint = "raise the limit with --timeout SECONDS"
        return Event.lost(task, f"it ran past {limit:g} seconds", hint, status="timeout", seconds=seconds)

    def _kill_overdue(self) -> None:
        limit = self._settings.timeout_seconds
        for worker in self._workers.values():
            ran = time.monotonic() - worker.started
            if limit is not None and worker.task is not None and ran > limit + GRACE_SECONDS:
                worker.timed_out = True
                worker.child.kill()
