"""A warm worker process: what executors of every kind put where a task is to run."""

from __future__ import annotations

import json
import sys
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from prunebench.contexts import silent
from prunebench.executors import Event, device_of, visible_to
from prunebench.executors.process import ChildProcess, child_environment
from prunebench.settings import Settings
from prunebench.tasks import Task

# A worker checks its own deadline between steps; the grace is for the step that it is in.
GRACE_SECONDS = 30.0


class Worker:
    """One worker process on this machine.  It is started by its first task, warm for the next one, and replaced when it
    has died; it ends with the process that made it.

    slot: where it computes, as executors are given it: "cpu", "mps", or a value of CUDA_VISIBLE_DEVICES.  log: file for
    what it prints outside tasks; what it prints in a task is in a file of `settings.logs`, where that is a folder."""

    def __init__(self, settings: Settings, slot: str, log: Path) -> None:
        self.slot, self._settings, self._log = slot, replace(settings, device=device_of(slot)), log
        self._child: ChildProcess | None = None
        self._starting, self._is_ended = threading.Lock(), False

    def perform(self, task: Task, progress: Callable[[float, str], None] = silent) -> Mapping[str, Any]:
        """Compute a task and return its outcome, "failed" where the process dies and "timeout" where it is overdue by
        `settings.timeout_seconds` and had to be killed.  progress: is told the fraction done, and a text.  Raises
        OSError where no process can be started."""
        child, started, limit = self._ready(), time.monotonic(), self._settings.timeout_seconds
        child.send(task.to_json())

        def lost(reason: str, hint: str, status: str = "failed") -> Mapping[str, Any]:
            seconds = time.monotonic() - started
            return Event.lost(task, reason, hint, status=status, seconds=seconds).outcome or {}

        try:
            while True:
                left = None if limit is None else max(0.0, started + limit + GRACE_SECONDS - time.monotonic())
                if (message := child.receive(left)) is None:
                    return lost(f"the worker {child.death}", f"see {self._settings.log_of(task.key) or self._log}")
                if message.get("event") == "progress":
                    progress(message["fraction"], message["text"])
                elif message.get("event") != "ready":
                    return message
        except TimeoutError:
            child.close()
            return lost(f"it ran past {limit:g} seconds", "raise the limit with --timeout SECONDS", "timeout")

    def end(self, *, kill: bool = False) -> None:
        """Tell the process to end, or kill it with all that it has started; `close` waits for it.  From any thread."""
        with self._starting:
            self._is_ended = True
            if self._child is not None:
                self._child.kill() if kill else self._child.end_input()

    def close(self, seconds: float = 0.0) -> None:
        """Let the process end within so many seconds, then kill it; returns when nothing of it is left."""
        self.end()
        if self._child is not None:
            self._child.close(seconds)

    def _ready(self) -> ChildProcess:
        """Return the process, a new one where there is none that runs."""
        with self._starting:
            if self._is_ended:
                raise OSError("the executor is closed")
            if self._child is None or not self._child.is_running:
                self._child = self._start()
            return self._child

    def _start(self) -> ChildProcess:
        settings = self._settings
        self._log.parent.mkdir(parents=True, exist_ok=True)
        environment = {**child_environment(Path(settings.cache), settings.threads), **visible_to(self.slot)}
        command = [sys.executable, "-m", "prunebench.worker", "--serve", json.dumps(settings.to_json())]
        return ChildProcess(command, environment=environment, log=self._log)
