"""Places where tasks run. An executor takes a task and later answers with its outcome; it knows no grid."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from prunebench.tasks import Task


@dataclass(frozen=True)
class Event:
    """What an executor reports about a submitted task: progress, or its outcome when `outcome` is set."""

    key: str
    fraction: float = 0.0
    text: str = ""
    outcome: Mapping[str, Any] | None = None


class Executor(Protocol):
    """What the `load` of an ExecutorSpec makes, called with (settings, slots, log folder)."""

    def idle(self) -> int:
        """Return how many more tasks can be submitted now."""

    def submit(self, task: Task) -> None:
        """Start a task; at most `idle()` at a time."""

    def wait(self, timeout_seconds: float) -> Sequence[Event]:
        """Return what happened, waiting at most so long for something."""

    def close(self, *, kill: bool = False) -> None:
        """Stop all workers; with `kill` in the middle of their work."""
