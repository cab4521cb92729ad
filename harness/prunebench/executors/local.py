"""Tasks on this machine: in warm worker processes, or in this process for debugging."""

import contextlib
import os
import queue
import threading
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from prunebench.executors import Event, device_of, visible_to
from prunebench.executors.process import child_environment
from prunebench.executors.worker_process import Worker
from prunebench.settings import Settings
from prunebench.tasks import Task

_END_SECONDS = 10.0  # in which a worker without input ends by itself


class LocalExecutor:
    """One warm worker per slot, one task at a time, replaced when it dies."""

    def __init__(self, settings: Settings, slots: Sequence[str], log_folder: Path) -> None:
        log_folder.mkdir(parents=True, exist_ok=True)
        self._workers = [Worker(settings, slot, log_folder / f"worker-{at}.log") for at, slot in enumerate(slots)]
        self._busy = dict[str, Worker]()  # by the key of the task, until its outcome is told
        self._given = {worker: queue.SimpleQueue[Task | None]() for worker in self._workers}
        self._served = set[Worker]()  # those that a thread serves
        self._events: queue.Queue[Event] = queue.Queue()

    def idle(self) -> int:
        return len(self._workers) - len(self._busy)

    def submit(self, task: Task) -> None:
        worker = next(worker for worker in self._workers if worker not in self._busy.values())
        self._busy[task.key] = worker
        self._given[worker].put(task)
        if worker not in self._served:
            self._served.add(worker)
            threading.Thread(target=self._serve, args=(worker,), daemon=True).start()

    def wait(self, timeout_seconds: float) -> Sequence[Event]:
        with contextlib.suppress(queue.Empty):
            event = self._events.get(timeout=timeout_seconds)
            if event.outcome is not None:
                del self._busy[event.key]
            return [event]
        return ()

    def close(self, *, kill: bool = False) -> None:
        for worker in self._workers:
            worker.end(kill=kill)
        until = time.monotonic() + _END_SECONDS
        for worker in self._workers:
            worker.close(max(0.0, until - time.monotonic()))
            self._given[worker].put(None)

    def _serve(self, worker: Worker) -> None:
        while (task := self._given[worker].get()) is not None:
            self._perform(worker, task)

    def _perform(self, worker: Worker, task: Task) -> None:
        try:
            outcome = worker.perform(task, lambda fraction, text: self._events.put(Event(task.key, fraction, text)))
        except OSError as error:  # the process could not be started
            event = Event.lost(task, f"no worker could be started: {error}", "free memory, or use fewer --jobs")
        else:
            event = Event(task.key, outcome=outcome)
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
