"""What happens in a run, as it happens: one JSON object per line of runs/ID/events.jsonl, for people and programs."""

import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, TextIO

import msgspec

from prunebench.executors import Event
from prunebench.locks import free_lock
from prunebench.records import FINAL
from prunebench.schedule import RunState
from prunebench.settings import Settings
from prunebench.tasks import Task

FILE, ALIVE = "events.jsonl", "running.lock"


class EventLog:
    """Writes the events of one run; a file that cannot be written costs the run nothing.

    Each has `time` and `event`: "run_started" and "run_finished"; "task_started"; "task_finished", "task_failed", and
    "worker_died" for one whose worker ended without an answer.  Those of tasks have `key`, `stage`, `title`, and when
    they end `status`, `seconds`, `reason` and `log`, the file of what the task printed, where it printed anything."""

    def __init__(self, folder: Path, settings: Settings) -> None:
        self._file: TextIO | None = None
        self._settings, self._started = settings, set[str]()
        with suppress(OSError):
            self._file = (folder / FILE).open("a", encoding="utf-8", errors="replace")

    def write(self, event: str, **facts: Any) -> None:
        """Append one event."""
        if self._file is not None:
            line = json.dumps(
                {"time": datetime.now(UTC).isoformat(timespec="milliseconds"), "event": event, **facts},
                ensure_ascii=False,
            )
            with suppress(OSError, ValueError):
                self._file.write(line + "\n")
                self._file.flush()

    def observe(self, state: RunState, event: Event | None) -> None:
        """Note which tasks were started since the last call, and how the one of the event ended."""
        ended = {event.key: event.outcome} if event is not None and event.outcome is not None else {}
        for key in dict.fromkeys((*state.running, *ended)):  # one may have ended before anybody looked
            if key not in self._started:
                self._started.add(key)
                self._tell("task_started", state.tasks[key])
        for key, outcome in ended.items():
            self._started.discard(key)
            self._ended(state.tasks[key], outcome)

    def _tell(self, event: str, task: Task, **facts: Any) -> None:
        """Append an event of a task; its title: the plugin, the network and the fraction to keep."""
        self.write(event, key=task.key, stage=task.stage, title=" ".join(filter(None, task.kind[1:])), **facts)

    def _ended(self, task: Task, outcome: Mapping[str, Any]) -> None:
        what = "task_finished" if outcome["status"] in FINAL else "worker_died" if "lost" in outcome else "task_failed"
        facts = {name: outcome[name] for name in ("status", "seconds", "reason", "hint", "device", "peak_bytes")
                 if outcome.get(name) not in (None, "")}  # fmt: skip
        if (log := self._settings.log_of(task.key)) and Path(log).is_file():
            facts["log"] = log
        self._tell(what, task, **facts)

    def close(self) -> None:
        """Write no more."""
        if self._file is not None:
            self._file.close()


class _Line(msgspec.Struct):
    """The fields that readers of events rely on."""

    time: Annotated[datetime, msgspec.Meta(tz=True)]
    event: str
    key: str = ""
    stage: str = ""
    title: str = ""
    status: str = ""
    reason: str = ""
    log: str = ""


def read_events(folder: Path) -> Iterator[dict[str, Any]]:
    """Yield the events of a run that are whole lines; there may be none."""
    file = folder / FILE
    for line in file.read_bytes().splitlines() if file.is_file() else ():
        with suppress(ValueError, RecursionError):
            msgspec.json.decode(line, type=_Line)
            yield msgspec.json.decode(line)


@dataclass
class Progress:
    """How far a run is, by its events.  running: of each task its last event, by key.  counts: of tasks by status.
    failures: events of tasks that failed, the first one first."""

    running: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)
    failures: list[Mapping[str, Any]] = field(default_factory=list)


def progress_of(events: Iterable[Mapping[str, Any]]) -> Progress:
    """Return how far a run is."""
    found = Progress()
    for event in events:
        key, status = str(event.get("key", "")), str(event.get("status", ""))
        if event.get("event") == "task_started":
            found.running[key] = event
        elif key and status:
            found.running.pop(key, None)
            found.counts[status] = found.counts.get(status, 0) + 1
            found.failures += [event] if status not in FINAL else []
        elif event.get("event") == "run_finished":
            found.running.clear()
    return found


def is_alive(folder: Path) -> bool:
    """Tell whether the process of a run holds its lock; a run on another machine may be seen as ended."""
    if not (folder / ALIVE).exists():
        return False
    with free_lock(folder / ALIVE) as is_free:
        return not is_free
