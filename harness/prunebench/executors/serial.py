"""Everything in this process: slow to fail and easy to debug."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from prunebench.errors import WorkerDied
from prunebench.executors import Event
from prunebench.plugins import load_plugins
from prunebench.settings import Settings
from prunebench.stages.bench import make_bench
from prunebench.tasks import Task
from prunebench.worker import perform


class SerialExecutor:
    """Runs each task when it is waited for."""

    def __init__(self, settings: Settings, slots: Sequence[str], log_folder: Path) -> None:
        self._bench = make_bench(settings, load_plugins())
        self._log_folder = log_folder
        self._task: Task | None = None

    def idle(self) -> int:
        return int(self._task is None)

    def submit(self, task: Task) -> None:
        self._task = task

    def wait(self, timeout_seconds: float) -> Sequence[Event]:
        if self._task is None:
            return []
        task, self._task = self._task, None
        interpreter = self._bench.settings.interpreter(task)
        outcome = perform(self._bench, task) if interpreter == sys.executable else self._elsewhere(interpreter, task)
        return [Event(task.key, outcome=outcome)]

    def _elsewhere(self, interpreter: str, task: Task) -> Mapping[str, Any]:
        """Compute one cell file by the interpreter of another environment."""
        self._log_folder.mkdir(parents=True, exist_ok=True)
        cell = self._log_folder / f"{task.key}.json"
        cell.write_text(json.dumps({"settings": self._bench.settings.to_json(), "task": task.to_json()}))
        done = subprocess.run([interpreter, "-m", "prunebench.worker", str(cell)], stdout=subprocess.PIPE, check=False)
        try:
            return dict(json.loads(done.stdout))
        except ValueError:
            died = WorkerDied(f"the worker ended with exit code {done.returncode} in stage {task.stage}")
            return {"key": task.key, "status": died.status, "reason": died.message, "hint": died.hint,
                    "exit_code": died.exit_code, "seconds": 0.0}  # fmt: skip

    def close(self, *, kill: bool = False) -> None:
        self._task = None
