"""A bound on main memory: what tasks are expected to take, by what such tasks took, and which fit beside others."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from prunebench.artefact_files import DATA
from prunebench.devices import WORKER_BYTES
from prunebench.errors import UsageError
from prunebench.plan import Plan
from prunebench.plugins import Catalogue
from prunebench.schedule import RunState
from prunebench.store import Store, map_safetensors
from prunebench.tasks import Task

_IDLE_BYTES = 1 << 29  # of a warm worker between tasks: its libraries
_COPIES = 2  # of its inputs, that a task is expected to make where none like it was measured
_UNITS = {"": 0, "k": 1, "m": 2, "g": 3, "t": 4}


def parse_bytes(text: str, option: str = "--memory", least: int = 1) -> int:
    """Return the bytes that an amount means, at least so many; UsageError for anything else.
    GB is 10^9 bytes; GiB and G are 2^30, as clusters have it."""
    found = re.fullmatch(r"(\d{1,15}(?:\.\d{1,15})?)\s*([kmgt]?)(i?b)?", text.strip(), re.IGNORECASE)
    power = _UNITS[found[2].lower()] if found else 0
    unit = 1000**power if found and (found[3] or "").lower() == "b" else 1024**power
    if not found or (n_bytes := int(float(found[1]) * unit)) < least:
        raise UsageError(f"{option} {text!r} is no amount of memory", "write a number and a unit, such as 8GiB")
    return n_bytes


def gib(n_bytes: float) -> str:
    """Return an amount of memory in words."""
    return f"{n_bytes / 2**30:.1f} GiB"


@dataclass
class MemoryBound:
    """Admits a task where it fits beside those that run, below so many bytes in all; one that is expected to take more
    than that alone runs alone, with a notice, because an expectation may be wrong and a refusal would never learn.

    A task is expected to take what the largest of its kind has taken, in this run or by the artefacts of the cache;
    where none was measured, what a worker takes, copies of its stored inputs, and for scorers whose cost is "n^2" half
    a byte for each pair of samples."""

    limit_bytes: int
    store: Store
    catalogue: Catalogue
    measured: dict[tuple[str, ...], int] = field(default_factory=dict)  # the most by kind of task
    notice: Callable[[str], None] = lambda text: None
    _workers: int = field(default=0, init=False)
    _guessed: dict[str, int] = field(default_factory=dict, init=False)
    _told: set[tuple[str, ...]] = field(default_factory=set, init=False)

    def fits(self, state: RunState, task: Task) -> bool:
        """Tell whether a task may start beside those that run."""
        self._workers = max(self._workers, len(state.running))
        needed = self.expected(task)
        if not state.running:
            if needed > self.limit_bytes and task.kind not in self._told:
                self._told.add(task.kind)
                expected = f"stage {task.stage} is expected to take {gib(needed)}"
                self.notice(f"{expected}, more than --memory {gib(self.limit_bytes)}: it runs alone")
            return True
        idle = max(0, self._workers - len(state.running) - 1)
        taken = sum(self.expected(state.tasks[key]) for key in state.running) + idle * _IDLE_BYTES
        return taken + needed <= self.limit_bytes

    def learn(self, task: Task, outcome: Mapping[str, object]) -> None:
        """Note what a task has taken."""
        if isinstance(peak := outcome.get("peak_bytes"), int):
            self.measured[task.kind] = max(self.measured.get(task.kind, 0), peak)

    def expected(self, task: Task) -> int:
        """Return the bytes of main memory that a task is expected to take at its peak, the worker included."""
        if task.kind in self.measured:
            return self.measured[task.kind]
        if task.key not in self._guessed:
            self._guessed[task.key] = self._guess(task)
        return self._guessed[task.key]

    def _guess(self, task: Task) -> int:
        files = [self.store.folder(one.stage, one.key) / DATA for one in task.upstream.values()]
        sizes = [file.stat().st_size for file in files if file.is_file()]
        guessed = WORKER_BYTES + _COPIES * sum(sizes)
        name = task.config["plugin"]["name"] if task.stage == "scores" and sizes else ""
        if name and self.catalogue.scorer(name).spec.cost == "n^2":
            guessed += max(map(_rows, files)) ** 2 // 2
        return guessed


def _rows(file: Path) -> int:
    """Return the length of the longest array of a file, 0 where there is none."""
    return max((len(one) for one in map_safetensors(file).values() if one.ndim), default=0) if file.is_file() else 0


def measured_peaks(plan: Plan, store: Store) -> dict[tuple[str, ...], int]:
    """Return the most main memory in bytes that tasks of each kind took, by the artefacts of the cache."""
    found: dict[tuple[str, ...], int] = {}
    for task in plan.tasks():
        if peak := (store.meta(task.stage, task.key) or {}).get("peak_bytes"):
            found[task.kind] = max(found.get(task.kind, 0), int(peak))
    return found
