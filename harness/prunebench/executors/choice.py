"""Which executor, as `--executor NAME:option=value,...` chooses it."""

import contextlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from prunebench.devices import MOST_WORKERS
from prunebench.errors import UsageError
from prunebench.executors import Executor
from prunebench.memory import parse_bytes
from prunebench.plugins import Catalogue, Entry
from prunebench.settings import Settings
from prunebench.specs import ExecutorSpec, ParamValue


@dataclass(frozen=True)
class Choice:
    """An executor with its parameters.  jobs: how many tasks run at a time, None where the text does not say."""

    entry: Entry[ExecutorSpec]
    params: Mapping[str, ParamValue]
    jobs: int | None = None

    def start(self, settings: Settings, slots: Sequence[str], logs: Path) -> Executor:
        """Return the executor, ready to take tasks."""
        made: Executor = self.entry.load()(settings, slots, logs, **self.params)
        return made

    def memory_bytes(self, text: str | None) -> int:
        """Return the bound on main memory that a text means, 0 for none; UsageError where it cannot be kept."""
        if text is None:
            return 0
        if self.entry.spec.slots:
            named = self.entry.spec.name
            error = f"--memory bounds the workers of this machine, and those of executor {named!r} are elsewhere"
            raise UsageError(error, f"say what a task takes, such as --executor {named}:memory_gib=8")
        return parse_bytes(text)

    def worker_slots(self, devices: str, jobs: int | None, cpu_slots: int | None) -> tuple[str, ...]:
        """Return the slots of an executor that finds devices by itself: "cuda" for each task at a time on a GPU, and
        "cpu" for those that need none; none for an executor that runs on the devices of this machine."""
        spec, count = self.entry.spec, jobs or self.jobs or self.entry.spec.slots
        if not spec.slots:
            return ()
        if devices not in ("auto", "cpu"):
            text = f"executor {spec.name!r} finds devices by itself, and --devices {devices} names some of this machine"
            raise UsageError(text, f"say what a task takes, such as --executor {spec.name}:gpus=1")
        if not self.params.get("gpus") or devices == "cpu":
            return ("cpu",) * count
        return ("cuda",) * count + ("cpu",) * (count if cpu_slots is None else cpu_slots)


def choose(text: str, catalogue: Catalogue) -> Choice:
    """Return the executor that a text names: "local", "local:slots=4", "ray:address=auto,gpus=0.5".  Each takes
    `slots`, how many tasks run at a time, and what its spec declares.  Raises UsageError for anything else."""
    name, _, options = text.partition(":")
    entry = catalogue.executor(name)
    given: dict[str, Any] = {}
    for part in re.split(r",(?=[a-z_]+=)", options) if options else ():
        option, sign, value = part.partition("=")
        if not sign:
            hint = f"write name=value with commas between, such as {name}:slots=4"
            raise UsageError(f"--executor {text!r}: {part!r} is no option with a value", hint)
        given[option] = value
    jobs = given.pop("slots", None)
    if jobs is not None and not (jobs.isdecimal() and len(jobs) < 10 and 0 < int(jobs) <= MOST_WORKERS):
        expected = f"no number from 1 to {MOST_WORKERS:,}"
        raise UsageError(f"--executor {text!r}: slots = {jobs!r} is {expected}", f"write {name}:slots=4")
    declared = entry.spec.params
    for option, value in given.items():
        if option in declared and not isinstance(declared[option].default, str):
            with contextlib.suppress(ValueError):
                given[option] = json.loads(value)
    return Choice(entry, entry.spec.resolve_params(given), None if jobs is None else int(jobs))
