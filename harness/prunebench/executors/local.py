"""Warm worker processes on this machine: one a slot, one task at a time, replaced when they die."""

from __future__ import annotations

import contextlib
import json
import os
import queue
import signal
import subprocess
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from prunebench.errors import CellError, CellTimeout, WorkerDied
from prunebench.executors import Event
from prunebench.settings import Settings
from prunebench.tasks import Task

# A worker checks its own deadline between steps; the grace is for the step that it is in.
GRACE_SECONDS = 30.0


@dataclass
class _Worker:
    process: subprocess.Popen[str]
    slot: int
    interpreter: str
    task: Task | None = None
    started: float = 0.0
    timed_out: bool = field(default=False)


class LocalExecutor:
    """Starts workers when the first tasks come; a slot is "cpu", or the index of a CUDA device."""

    def __init__(self, settings: Settings, slots: Sequence[str], log_folder: Path) -> None:
        self._settings = settings
        self._slots = list(slots)
        self._log_folder = log_folder
        self._messages: queue.Queue[tuple[int, int, Mapping[str, Any] | None]] = queue.Queue()
        self._workers: dict[int, _Worker] = {}
        self._retired: dict[int, subprocess.Popen[str]] = {}
        log_folder.mkdir(parents=True, exist_ok=True)

    def idle(self) -> int:
        busy = sum(worker.task is not None for worker in self._workers.values())
        return len(self._slots) - busy

    def submit(self, task: Task) -> None:
        worker = self._idle_worker(self._settings.interpreter(task))
        worker.task, worker.started = task, time.monotonic()
        assert worker.process.stdin is not None
        with contextlib.suppress(BrokenPipeError):  # its death is reported by the reader thread
            worker.process.stdin.write(json.dumps(task.to_json()) + "\n")
            worker.process.stdin.flush()

    def _idle_worker(self, interpreter: str) -> _Worker:
        """Return a worker of that interpreter: a warm one, or a new one in an empty slot, or in place of another."""
        free = [i for i in range(len(self._slots)) if i not in self._workers or self._workers[i].task is None]
        warm = [i for i in free if i in self._workers and self._workers[i].interpreter == interpreter]
        if warm:
            return self._workers[warm[0]]
        slot = min(free, key=lambda i: (i in self._workers, i))
        if slot in self._workers:
            process = self._workers.pop(slot).process
            self._retired[process.pid] = process
            assert process.stdin is not None
            with contextlib.suppress(OSError):
                process.stdin.close()  # it ends when its input does
        self._workers[slot] = self._start(slot, interpreter)
        return self._workers[slot]

    def wait(self, timeout_seconds: float) -> Sequence[Event]:
        self._kill_overdue()
        events: list[Event] = []
        with contextlib.suppress(queue.Empty):
            events += self._event(*self._messages.get(timeout=timeout_seconds))
            while True:
                events += self._event(*self._messages.get_nowait())
        return events

    def close(self, *, kill: bool = False) -> None:
        processes = [*(worker.process for worker in self._workers.values()), *self._retired.values()]
        for process in processes:
            if kill:
                _kill(process)
            elif process.stdin is not None:
                with contextlib.suppress(OSError):
                    process.stdin.close()
        for process in processes:
            try:
                process.wait(timeout=10)
            except subprocess.TimeoutExpired:
                _kill(process)
                process.wait()
            _close_streams(process)
        self._workers.clear()
        self._retired.clear()

    def _start(self, slot: int, interpreter: str) -> _Worker:
        device = self._slots[slot]
        settings = self._settings
        environment = {**os.environ, **_thread_limits(settings.threads)}
        if device.isdigit():
            settings = replace(settings, device="cuda")
            environment["CUDA_VISIBLE_DEVICES"] = device
        else:
            settings = replace(settings, device=device)
        log = (self._log_folder / f"worker-{slot}.log").open("ab")
        # A session of its own: Ctrl-C reaches the parent alone, which decides what to drain and what to kill.
        process = subprocess.Popen(
            [interpreter, "-m", "prunebench.worker", "--serve", json.dumps(settings.to_json())],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
            encoding="utf-8",
            env=environment,
            start_new_session=True,
        )
        log.close()
        threading.Thread(target=self._listen, args=(slot, process), daemon=True).start()
        return _Worker(process, slot, interpreter)

    def _listen(self, slot: int, process: subprocess.Popen[str]) -> None:
        assert process.stdout is not None
        with contextlib.suppress(OSError, ValueError):
            for line in process.stdout:
                self._messages.put((slot, process.pid, json.loads(line)))
        process.wait()
        self._messages.put((slot, process.pid, None))

    def _event(self, slot: int, pid: int, message: Mapping[str, Any] | None) -> list[Event]:
        worker = self._workers.get(slot)
        if worker is None or worker.process.pid != pid:
            if message is None and pid in self._retired:
                _close_streams(self._retired.pop(pid))
            return []
        task = worker.task
        if message is None:
            _close_streams(self._workers.pop(slot).process)
            return [] if task is None else [Event(task.key, outcome=self._obituary(worker, task))]
        if task is None or message["event"] == "ready":
            return []
        if message["event"] == "progress":
            return [Event(task.key, message["fraction"], message["text"])]
        worker.task = None
        return [Event(task.key, outcome=message)]

    def _obituary(self, worker: _Worker, task: Task) -> dict[str, Any]:
        code = worker.process.returncode
        log = self._log_folder / f"worker-{worker.slot}.log"
        error: CellError
        if worker.timed_out:
            error = CellTimeout(
                f"stage {task.stage} ran past {self._settings.timeout_seconds:g} seconds",
                "raise the limit with --timeout SECONDS",
            )
        else:
            died = f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"
            hint = "; SIGKILL often means that memory ran out" if code == -signal.SIGKILL else ""
            error = WorkerDied(f"the worker {died} in stage {task.stage}", f"see {log}{hint}")
        seconds = round(time.monotonic() - worker.started, 3)
        return {
            "key": task.key,
            "status": error.status,
            "reason": error.message,
            "hint": error.hint,
            "exit_code": error.exit_code,
            "seconds": seconds,
        }

    def _kill_overdue(self) -> None:
        limit = self._settings.timeout_seconds
        if limit is None:
            return
        for worker in self._workers.values():
            if worker.task is not None and time.monotonic() - worker.started > limit + GRACE_SECONDS:
                worker.timed_out = True
                _kill(worker.process)


def _kill(process: subprocess.Popen[str]) -> None:
    # The whole session: a plugin may have started processes of its own.
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)


def _close_streams(process: subprocess.Popen[str]) -> None:
    for stream in (process.stdin, process.stdout):
        if stream is not None:
            with contextlib.suppress(OSError):
                stream.close()


def _thread_limits(threads: int) -> dict[str, str]:
    names = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS", "LOKY_MAX_CPU_COUNT")
    return {name: str(threads) for name in names}
