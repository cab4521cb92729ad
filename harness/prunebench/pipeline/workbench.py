"""Where stages run: the store, the plugins and the machine; `ensure` computes what is missing, once."""

from __future__ import annotations

import shutil
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any

from prunebench.contexts import Dataset, silent
from prunebench.errors import CellFailed, OutOfMemory, PluginContractError, PrunebenchError
from prunebench.plugins import Catalogue, Entry
from prunebench.store import Artefact, Store
from prunebench.tasks import Task

StageResult = tuple[Mapping[str, Any], Mapping[str, Any]]

# Stage name to the module and function that computes it; imported when first needed.
_STAGES: Mapping[str, str] = {
    "pretrain": "prunebench.pipeline.train:pretrain",
    "features": "prunebench.pipeline.embed:features",
    "projection": "prunebench.pipeline.project:projection",
    "pseudo_labels": "prunebench.pipeline.label:pseudo_labels",
    "scores": "prunebench.pipeline.score:scores",
    "cell": "prunebench.pipeline.train:cell",
    "agreement": "prunebench.pipeline.score:agreement",
}

# Stages that one plugin computes alone, so that it can run in an environment of its own.
_ISOLATED: Mapping[str, str] = {"scores": "scorer", "pseudo_labels": "scorer", "projection": "projector"}


@dataclass(frozen=True)
class Settings:
    """What the machine decides, none of it in a key: folders, device, threads, and the time limit of a task.

    provenance: facts about the run that go into every record that it computes.
    interpreters: of plugins that run in environments of their own, by "kind:name".
    """

    cache: str
    data_roots: tuple[str, ...] = ()
    device: str = "auto"
    threads: int = 1
    timeout_seconds: float | None = None
    provenance: Mapping[str, Any] = field(default_factory=dict)
    interpreters: Mapping[str, str] = field(default_factory=dict)

    def interpreter(self, task: Task) -> str:
        """Return the interpreter that computes a task: that of its scorer or projector, else this one."""
        kind = _ISOLATED.get(task.stage, "")
        return self.interpreters.get(f"{kind}:{task.config.get(kind)}", sys.executable)

    def to_json(self) -> dict[str, Any]:
        """Return JSON-able values."""
        return asdict(self)

    @staticmethod
    def from_json(value: Mapping[str, Any]) -> Settings:
        """Return the settings that `to_json` described."""
        return Settings(**{**value, "data_roots": tuple(value["data_roots"])})


@dataclass(frozen=True)
class Workbench:
    """All that a stage needs beside its task; one a process."""

    settings: Settings
    store: Store
    catalogue: Catalogue
    device: str
    progress: Callable[[float, str], None] = silent
    datasets: dict[str, Dataset] = field(default_factory=dict, repr=False)

    def ensure(self, task: Task) -> Artefact:
        """Return the artefact of a task, computing it and its inputs where they are not in the store."""
        if (artefact := self.store.read(task.stage, task.key)) is not None:
            return artefact
        inputs = {role: self.ensure(upstream) for role, upstream in task.upstream.items()}
        with self.store.lock(task.key):
            if (artefact := self.store.read(task.stage, task.key)) is not None:
                return artefact
            started = time.perf_counter()
            arrays, meta = _stage(task.stage)(self, task, inputs)
            facts = {**meta, "seconds": round(time.perf_counter() - started, 3)}
            self.store.publish(task.stage, task.key, arrays, facts)
        artefact = self.store.read(task.stage, task.key)
        if artefact is None:
            raise CellFailed(
                f"the artefact of stage {task.stage} vanished after it was written",
                "is something else cleaning the cache folder?",
            )
        return artefact

    def context(self, task: Task, **more: Any) -> dict[str, Any]:
        """Return the keyword arguments that all contexts share."""
        timeout = self.settings.timeout_seconds
        shared = {
            "device": self.device,
            "threads": self.settings.threads,
            "workdir": self.store.root / "tmp" / f"work-{task.key}",
            "deadline": None if timeout is None else time.time() + timeout,
            "progress": self.progress,
        }
        return {**shared, **more}


@contextmanager
def guarded(entry: Entry[Any], context: Any, load: Callable[[], Any] | None = None) -> Iterator[Any]:
    """Yield a plugin's implementation; whatever it raises becomes an error that names the plugin.

    Its work folder exists inside the block and is removed after it.  load: imports it, by default `entry.load`.
    """
    context.workdir.mkdir(parents=True, exist_ok=True)
    try:
        yield (load or entry.load)()
    except PrunebenchError:
        raise
    except MemoryError as error:
        raise OutOfMemory(f"{_title(entry)}: out of memory", "use fewer slots with --jobs") from error
    except Exception as error:
        if "out of memory" in str(error).lower():
            raise OutOfMemory(f"{_title(entry)}: {error}", "use fewer slots, or a smaller batch") from error
        raise CellFailed(
            f"{_title(entry)}: {type(error).__name__}: {error}", "the traceback is in the log of the run"
        ) from error
    finally:
        shutil.rmtree(context.workdir, ignore_errors=True)


def broken_promise(entry: Entry[Any], expected: str, came: str) -> PluginContractError:
    """Return the error for a result that is not what the kind of plugin promises."""
    return PluginContractError(
        f"{_title(entry)}: expected {expected}, got {came}",
        f"report it to the author of {entry.origin.distribution}",
    )


def read_only(array: Any) -> Any:
    """Return a view that cannot be written, so that a plugin cannot change what others read."""
    view = array.view()
    view.flags.writeable = False
    return view


def resolve_device(wanted: str) -> str:
    """Return "cuda", "mps" or "cpu" for "auto", else what was asked for.

    Raises CellFailed when the device asked for is not there.
    """
    import torch

    if wanted == "auto":
        if torch.cuda.is_available():
            return "cuda"
        return "mps" if torch.backends.mps.is_available() else "cpu"
    if wanted.startswith("cuda") and not torch.cuda.is_available():
        raise CellFailed(f"device {wanted!r} was asked for, and torch sees no CUDA device", "use --devices cpu")
    return wanted


def _title(entry: Entry[Any]) -> str:
    return f"plugin {entry.origin}: {entry.spec.kind} {entry.spec.name!r}"


def _stage(name: str) -> Callable[[Workbench, Task, Mapping[str, Artefact]], StageResult]:
    module, _, attribute = _STAGES[name].partition(":")
    function: Callable[[Workbench, Task, Mapping[str, Artefact]], StageResult] = getattr(
        import_module(module), attribute
    )
    return function


def make_workbench(settings: Settings, catalogue: Catalogue) -> Workbench:
    """Return the workbench of this process, with the device resolved."""
    return Workbench(settings, Store(Path(settings.cache)), catalogue, resolve_device(settings.device))
