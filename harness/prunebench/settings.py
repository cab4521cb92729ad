"""What the machine decides of a run, none of it in a key."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Settings:
    """Folders, device, threads, and the time limit of a task.
    provenance: facts about the run that go into every record that it computes.  logs: folder for what each task prints,
    in a file of its own; empty: all of it goes to standard error."""

    cache: str
    data_roots: tuple[str, ...] = ()
    device: str = "auto"
    threads: int = 1
    timeout_seconds: float | None = None
    provenance: Mapping[str, Any] = field(default_factory=dict)
    logs: str = ""

    def log_of(self, key: str) -> str:
        """Return the file for what the task of this key prints, an empty text where it has none."""
        return str(Path(self.logs, f"{key}.log")) if self.logs else ""

    def to_json(self) -> dict[str, Any]:
        """Return JSON-able values."""
        return asdict(self)
