"""What the machine decides of a run, none of it in a key."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from prunebench.tasks import Task

# Stages that one plugin computes alone, so that it can run in an environment of its own.
ISOLATED = ("scores", "pseudo_labels", "projection")


@dataclass(frozen=True)
class Settings:
    """Folders, device, threads, and the time limit of a task.
    provenance: facts about the run that go into every record that it computes.
    interpreters: of plugins that run in environments of their own, by "kind:name"."""

    cache: str
    data_roots: tuple[str, ...] = ()
    device: str = "auto"
    threads: int = 1
    timeout_seconds: float | None = None
    provenance: Mapping[str, Any] = field(default_factory=dict)
    interpreters: Mapping[str, str] = field(default_factory=dict)

    def interpreter(self, task: Task) -> str:
        """Return the interpreter that computes a task: that of its scorer or projector, else this one."""
        if task.stage not in ISOLATED:
            return sys.executable
        plugin = task.config["plugin"]
        return self.interpreters.get(f"{plugin['kind']}:{plugin['name']}", sys.executable)

    def to_json(self) -> dict[str, Any]:
        """Return JSON-able values."""
        return asdict(self)

    @staticmethod
    def from_json(value: Mapping[str, Any]) -> Settings:
        """Return the settings that `to_json` described."""
        return Settings(**{**value, "data_roots": tuple(value["data_roots"])})
