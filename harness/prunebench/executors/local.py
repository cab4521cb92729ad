"""Tasks on this machine: in warm worker processes, or in this process for debugging."""

import contextlib
import json
import os
import queue
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from prunebench.executors import Event, device_of, visible_to
from prunebench.executors.process import ChildProcess, child_environment
from prunebench.settings import Settings
from prunebench.tasks import Task

# A worker checks its own deadline between steps; the grace is for the step that it is in.
GRACE_SECONDS = 30.0
_END_SECONDS = 10.0  # in which a worker without input ends by itself


@dataclass
class _Slot:
    device: str
    log: Path
    child: ChildProcess | None = None
    busy: bool = False


class LocalExecutor:
    """One warm worker per slot, one task at a time, replaced when it dies."""

    def __init__(self, settings: Settings, slots: Sequence[str], log_folder: Path) -> None:
        log_folder.mkdir(parents=True, exist_ok=True)
        self._settings = settings
        self._slots = [_Slot(device, log_folder / f"worker-{index}.log") for index, device in enumerate(slots)]
        self._events: queue.Queue[Event] = queue.Queue()

    def idle(self) -> int:
        return sum(not slot.busy for slot in self._slots)

    def submit(self, task: Task) -> None:
        slot = next(slot for slot in self._slots if not slot.busy)
        if slot.child is None or not slot.child.is_running:
            slot.child = self._start(slot)
        slot.busy = True
        slot.child.send(task.to_json())
        threading.Thread(target=self._listen, args=(slot, slot.child, task), daemon=True).start()

    def wait(self, timeout_seconds: float) -> Sequence[Event]:
        with contextlib.suppress(queue.Empty):
            return [self._events.get(timeout=timeout_seconds)]
        return ()

    def close(self, *, kill: bool = False) -> None:
        children = [slot.child for slot in self._slots if slot.child is not None]
        for child in children:
            child.kill() if kill else child.end_input()
        until = time.monotonic() + _END_SECONDS
        for child in children:
            child.close(max(0.0, until - time.monotonic()))

    def _start(self, slot: _Slot) -> ChildProcess:
        settings = replace(self._settings, device=device_of(slot.device))
        environment = {**child_environment(Path(settings.cache), settings.threads), **visible_to(slot.device)}
        command = [sys.executable, "-m", "prunebench.worker", "--serve", json.dumps(settings.to_json())]
        return ChildProcess(command, environment=environment, log=slot.log)

    def _listen(self, slot: _Slot, child: ChildProcess, task: Task) -> None:
        """Pass on what a worker says until its task has ended; one that is overdue is killed."""
        started, limit, event = time.monotonic(), self._settings.timeout_seconds, None
        try:
            while event is None:
                left = None if limit is None else max(0.0, started + limit + GRACE_SECONDS - time.monotonic())
                if (message := child.receive(left)) is None:
                    seconds = time.monotonic() - started
                    event = Event.lost(task, f"the worker {child.death}", f"see {slot.log}", seconds=seconds)
                elif message.get("event") == "progress":
                    self._events.put(Event(task.key, message["fraction"], message["text"]))
                elif message.get("event") != "ready":
                    event = Event(task.key, outcome=message)
        except TimeoutError:
            child.close()
            reason, hint = f"it ran past {limit:g} seconds", "raise the limit with --timeout SECONDS"
            event = Event.lost(task, reason, hint, status="timeout", seconds=time.monotonic() - started)
        slot.busy = False
        self._events.put(event)


class SerialExecutor:
    """Runs each task in this process, when it is waited for."""

    def __init__(self, settings: Settings, slots: Sequence[str], log_folder: Path) -> None:
        environment = child_environment(Path(settings.cache), settings.threads)
        for name in ("NUMBA_CACHE_DIR", "TORCHINDUCTOR_CACHE_DIR"):  # before a plugin imports numba
            os.environ.setdefault(name, environment[name])
        if (device := device_of(slots[0])) == "cuda":  # not for "cpu": a second one in this process may have a GPU
            os.environ |= visible_to(slots[0])  # before torch looks for devices
        from prunebench.plugins import load_plugins
        from prunebench.stages.bench import make_bench

        self._bench = make_bench(replace(settings, device=device), load_plugins())
        self._task: Task | None = None

    def idle(self) -> int:
        return int(self._task is None)

    def submit(self, task: Task) -> None:
        self._task = task

    def wait(self, timeout_seconds: float) -> Sequence[Event]:
        from prunebench.worker import perform

        task, self._task = self._task, None
        return [Event(task.key, outcome=perform(self._bench, task))] if task else []

    def close(self, *, kill: bool = False) -> None:
        self._task = None
