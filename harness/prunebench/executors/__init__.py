"""Places where tasks run. An executor takes a task and later answers with its outcome; it knows no grid.

Another executor is a plugin: `prunebench_executors` declares an ExecutorSpec, whose `load` makes an object that follows
`Executor`. It brings tasks to where they are to run, and there `prunebench.Worker(settings, slot, log).perform(task)`
gives the outcome: see docs/clusters.md. Without Python between, it starts `python -m prunebench.worker` by
`sys.executable`, which computes one task, named by a file with
{"settings": settings.to_json(), "task": task.to_json()}, and prints the outcome as one JSON line; with `--serve` and
the settings as JSON it reads one task per line instead, and answers with JSON lines {"event": "ready"}, then for each
task some {"event": "progress", "fraction": ..., "text": ...} and one {"event": "done", ...}, the outcome.
`prunebench check executor` tells whether an executor keeps its promises."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from prunebench.settings import Settings
from prunebench.tasks import Task

__all__ = ["Event", "Executor", "Settings", "Task"]


@dataclass(frozen=True)
class Event:
    """What an executor reports about a submitted task: progress, or its outcome when `outcome` is set.

    key: `task.key`.  fraction: of the work done.  outcome: what the worker answered, or `Event.lost(...)`."""

    key: str
    fraction: float = 0.0
    text: str = ""
    outcome: Mapping[str, Any] | None = None

    @staticmethod
    def lost(task: Task, reason: str, hint: str = "", *, status: str = "failed", seconds: float = 0.0) -> Event:
        """Return the event of a task whose worker ended without an answer.

        reason: what happened.  hint: the next thing to do.  status: "failed", "oom" or "timeout"."""
        outcome = {"key": task.key, "status": status, "reason": f"stage {task.stage}: {reason}", "hint": hint}
        return Event(task.key, outcome={**outcome, "exit_code": 1, "seconds": round(seconds, 3), "lost": True})


def device_of(slot: str) -> str:
    """Return the `Settings.device` of a worker in a slot: "cpu", "mps" or "cuda"."""
    return slot if slot in ("cpu", "mps", "auto") else "cuda"


def visible_to(slot: str) -> dict[str, str]:
    """Return the environment variables by which a worker in a slot sees its device alone; on "cpu" it sees no GPU."""
    return {} if slot in ("mps", "auto") else {"CUDA_VISIBLE_DEVICES": "" if slot == "cpu" else slot}


class Executor(Protocol):
    """What the `load` of an ExecutorSpec makes, called with (settings, slots, log folder).

    slots: one entry per task that may run at a time: "cpu", "mps", or what CUDA_VISIBLE_DEVICES is to be for the
    worker: the index or the UUID of a GPU, or the UUID of a MIG instance; its `Settings.device` is then "cuda".
    Beside GPUs, a second one is made whose slots are all "cpu", for the tasks that need no GPU."""

    def idle(self) -> int:
        """Return how many more tasks can be submitted now."""

    def submit(self, task: Task) -> None:
        """Start a task; at most `idle()` at a time."""

    def wait(self, timeout_seconds: float) -> Sequence[Event]:
        """Return what happened, waiting at most so long for something; every task gets one event with an outcome."""

    def close(self, *, kill: bool = False) -> None:
        """Stop all workers; with `kill` in the middle of their work. May be called again."""
