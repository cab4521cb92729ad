"""Everything in this process: slow to fail and easy to debug."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path

from prunebench.executors import Event
from prunebench.executors.local import LocalExecutor
from prunebench.executors.process import child_environment
from prunebench.settings import Settings
from prunebench.tasks import Task


class SerialExecutor(LocalExecutor):
    """Runs each task when it is waited for; those of plugins with an environment of their own in one worker there."""

    def __init__(self, settings: Settings, slots: Sequence[str], log_folder: Path) -> None:
        super().__init__(settings, slots[:1], log_folder)
        compiled = child_environment(Path(settings.cache), settings.threads)["NUMBA_CACHE_DIR"]
        os.environ.setdefault("NUMBA_CACHE_DIR", compiled)  # before a plugin imports numba
        from prunebench.plugins import load_plugins
        from prunebench.stages.bench import make_bench

        self._bench = make_bench(settings, load_plugins())
        self._task: Task | None = None

    def idle(self) -> int:
        return super().idle() if self._task is None else 0

    def submit(self, task: Task) -> None:
        if self._settings.interpreter(task) == sys.executable:
            self._task = task
        else:
            super().submit(task)

    def wait(self, timeout_seconds: float) -> Sequence[Event]:
        from prunebench.worker import perform

        if self._task is None:
            return super().wait(timeout_seconds)
        task, self._task = self._task, None
        return [Event(task.key, outcome=perform(self._bench, task))]

    def close(self, *, kill: bool = False) -> None:
        self._task = None
        super().close(kill=kill)
