"""Everything in this process: slow to fail and easy to debug."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from prunebench.executors import Event
from prunebench.pipeline.workbench import Settings, make_workbench
from prunebench.plugins import load_plugins
from prunebench.tasks import Task
from prunebench.worker import perform


class SerialExecutor:
    """Runs each task when it is waited for."""

    def __init__(self, settings: Settings, slots: Sequence[str], log_folder: Path) -> None:
        self._bench = make_workbench(settings, load_plugins())
        self._task: Task | None = None

    def idle(self) -> int:
        return int(self._task is None)

    def submit(self, task: Task) -> None:
        self._task = task

    def wait(self, timeout_seconds: float) -> Sequence[Event]:
        if self._task is None:
            return []
        task, self._task = self._task, None
        return [Event(task.key, outcome=perform(self._bench, task))]

    def close(self, *, kill: bool = False) -> None:
        self._task = None
