"""Where stages run: the store, the plugins and the machine of one process."""

import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from prunebench.contexts import Dataset, silent
from prunebench.errors import CellFailed, OutOfMemory, PluginContractError, PrunebenchError, UsageError
from prunebench.plugins import Catalogue, Entry
from prunebench.settings import Settings
from prunebench.store import Store
from prunebench.tasks import Task

StageResult = tuple[Mapping[str, Any], Mapping[str, Any]]  # arrays and facts


@dataclass(frozen=True)
class Bench:
    """All that a stage needs beside its task and its inputs; one per process."""

    settings: Settings
    store: Store
    catalogue: Catalogue
    device: str
    progress: Callable[[float, str], None] = silent
    datasets: dict[str, Dataset] = field(default_factory=dict, repr=False)
    opened: dict[str, Any] = field(default_factory=dict, repr=False)  # a network for pictures, by what describes it

    def context(self, task: Task, **more: Any) -> dict[str, Any]:
        """Return the keyword arguments that all contexts share: `more`, and those of the task and this machine."""
        timeout = self.settings.timeout_seconds
        return {
            "device": self.device, "threads": self.settings.threads, "progress": self.progress,
            "workdir": self.store.scratch(f"work-{task.key}"), "seed": task.config.get("seed", 0),
            "deadline": None if timeout is None else time.time() + timeout,
            "params": task.config.get("plugin", task.config.get("recipe", {})).get("params", {}), **more,
        }  # fmt: skip

    def plugin(self, described: Mapping[str, Any]) -> Entry[Any]:
        """Return the entry of a plugin that a task's configuration describes by kind, name and version.  Raises
        CellFailed when the code on this machine is not the code that the key stands for."""
        entry = self.catalogue.get(f"{described['kind']}s", described["name"])
        if (found := entry.code_version()) != described["version"]:
            text = f"{entry}: the key stands for version {described['version']}, the code here is {found}"
            raise CellFailed(text, "the code was changed or updated since the run started: run the suite again")
        return entry

    def check_code(self, config: Mapping[str, Any]) -> None:
        """Raise CellFailed where the code of a plugin that a task's configuration describes was changed: some of it may
        have been imported before, and some after that."""
        if {"kind", "name", "version"} <= config.keys():
            self.plugin(config)
        for part in config.values():
            if isinstance(part, Mapping):
                self.check_code(part)


@contextmanager
def guarded(entry: Entry[Any], context: Any, field: str = "load") -> Iterator[Any]:
    """Yield what a field of a plugin's spec names; whatever it raises becomes an error that names the plugin.  Its work
    folder exists inside the block and is removed after it."""
    context.workdir.mkdir(parents=True, exist_ok=True)
    try:
        yield entry.load(field)
    except PrunebenchError:
        raise
    except Exception as error:
        if isinstance(error, MemoryError) or "out of memory" in str(error).lower():
            text = f"{entry}: {str(error) or 'out of memory'}"
            raise OutOfMemory(text, "use fewer slots with --jobs, or a smaller batch") from error
        text = f"{entry}: {type(error).__name__}: {error}"
        raise CellFailed(text, "the traceback is in the log of the run") from error
    finally:
        try:
            context.workdir.rmdir()  # nearly always empty
        except OSError:
            shutil.rmtree(context.workdir, ignore_errors=True)


def broken_promise(entry: Entry[Any], expected: str, came: str) -> PluginContractError:
    """Return the error for a result that is not what the kind of plugin promises."""
    hint = f"report it to the author of {entry.origin.distribution}"
    return PluginContractError(f"{entry}: expected {expected}, got {came}", hint)


def array_problem(found: Any, dtype: Any, *shape: int | str) -> str:
    """Return what came instead of a finite array of that type and shape, in which a word stands for any length; an
    empty string where it is one."""
    if not isinstance(found, np.ndarray):
        return type(found).__name__
    lengths = zip(shape, found.shape, strict=False)
    if found.dtype != dtype or found.ndim != len(shape) or any(n not in (m, str(n)) for n, m in lengths):
        return f"{found.dtype} {list(found.shape)}"
    bad = int((~np.isfinite(found)).sum())
    return f"{bad} of {found.size} that are not finite" if bad else ""


def check_array(entry: Entry[Any], title: str, found: Any, dtype: Any, *shape: int | str) -> None:
    """Raise PluginContractError unless it is a finite array of that type and shape, which are called `title`."""
    if came := array_problem(found, dtype, *shape):
        raise broken_promise(entry, f"{title} {np.dtype(dtype)} [{', '.join(map(str, shape))}]", came)


def make_bench(settings: Settings, catalogue: Catalogue) -> Bench:
    """Return the bench of this process; its device is "cuda", "mps" or "cpu" for "auto", else what was asked for.
    Raises UsageError when the device asked for is not there."""
    device = settings.device
    if device != "cpu":  # which asks for nothing: torch takes seconds to import
        import torch

        there = {"cuda": torch.cuda.device_count(), "mps": int(torch.backends.mps.is_available()), "cpu": 1}
        if device == "auto":
            device = next(kind for kind, n in there.items() if n)
        kind, _, index = device.partition(":")
        if not (index or "0").isdecimal() or int(index or "0") >= there.get(kind, 0):
            seen = ", ".join(f"{n} {kind}" for kind, n in there.items())
            hint = "use --device cpu, or --devices cpu for a suite"
            raise UsageError(f"device {device!r} was asked for, and torch sees {seen}", hint)
    store = Store(Path(settings.cache))
    store.enter()
    return Bench(settings, store, catalogue, device)
