"""Where stages run: the store, the plugins and the machine of one process."""

import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from prunebench.contexts import Dataset, silent
from prunebench.errors import CellFailed, OutOfMemory, PluginContractError, PrunebenchError
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

    def context(self, task: Task, **more: Any) -> dict[str, Any]:
        """Return the keyword arguments that all contexts share: `more`, and those of the task and this machine."""
        timeout = self.settings.timeout_seconds
        return {
            "device": self.device, "threads": self.settings.threads, "progress": self.progress,
            "workdir": self.store.root / "tmp" / f"work-{task.key}", "seed": task.config.get("seed", 0),
            "deadline": None if timeout is None else time.time() + timeout,
            "params": task.config.get("plugin", task.config.get("recipe", {})).get("params", {}), **more,
        }  # fmt: skip

    def plugin(self, described: Mapping[str, Any]) -> Entry[Any]:
        """Return the entry of a plugin that a task's configuration describes by kind, name and version.  Raises
        CellFailed when the code on this machine is not the code that the key stands for."""
        entry = self.catalogue.get(f"{described['kind']}s", described["name"])
        if (found := entry.code_version()) != described["version"]:
            text = f"{title(entry)}: the key stands for version {described['version']}, the code here is {found}"
            raise CellFailed(text, "the code was changed or updated since the run started: run the suite again")
        return entry


@contextmanager
def guarded(entry: Entry[Any], context: Any, load: Callable[[], Any] | None = None) -> Iterator[Any]:
    """Yield a plugin's implementation; whatever it raises becomes an error that names the plugin.  Its work folder
    exists inside the block and is removed after it.  load: imports it, by default `entry.load`."""
    context.workdir.mkdir(parents=True, exist_ok=True)
    try:
        yield (load or entry.load)()
    except PrunebenchError:
        raise
    except MemoryError as error:
        raise OutOfMemory(f"{title(entry)}: out of memory", "use fewer slots with --jobs") from error
    except Exception as error:
        if "out of memory" in str(error).lower():
            raise OutOfMemory(f"{title(entry)}: {error}", "use fewer slots, or a smaller batch") from error
        text = f"{title(entry)}: {type(error).__name__}: {error}"
        raise CellFailed(text, "the traceback is in the log of the run") from error
    finally:
        shutil.rmtree(context.workdir, ignore_errors=True)


def broken_promise(entry: Entry[Any], expected: str, came: str) -> PluginContractError:
    """Return the error for a result that is not what the kind of plugin promises."""
    hint = f"report it to the author of {entry.origin.distribution}"
    return PluginContractError(f"{title(entry)}: expected {expected}, got {came}", hint)


def check_array(entry: Entry[Any], title: str, array: NDArray[Any], kind: type, *shape: int | str) -> None:
    """Raise PluginContractError unless an array is finite, of that kind of number and of that shape.  title: what it is
    and its dtype, such as "features float32".  shape: a letter stands for any length."""
    fits = isinstance(array, np.ndarray) and len(shape) == array.ndim and np.issubdtype(array.dtype, kind)
    if not fits or any(n not in (m, str(n)) for n, m in zip(shape, array.shape, strict=True)):
        expected = f"{title} [{', '.join(map(str, shape))}]"
        raise broken_promise(entry, expected, f"{array.dtype} {list(array.shape)}")
    if not (finite := np.isfinite(array)).all():
        raise broken_promise(entry, f"finite {title.split()[0]}", f"{int((~finite).sum())} that are not")


def title(entry: Entry[Any]) -> str:
    """Return how messages name a plugin: distribution, version, kind and name."""
    return f"plugin {entry.origin}: {entry.spec.kind} {entry.spec.name!r}"


def make_bench(settings: Settings, catalogue: Catalogue) -> Bench:
    """Return the bench of this process; its device is "cuda", "mps" or "cpu" for "auto", else what was asked for.
    Raises CellFailed when the device asked for is not there."""
    import torch

    wanted, best = settings.device, "mps" if torch.backends.mps.is_available() else "cpu"
    if torch.cuda.is_available():
        best = "cuda"
    elif wanted.startswith("cuda"):
        raise CellFailed(f"device {wanted!r} was asked for, and torch sees no CUDA device", "use --devices cpu")
    return Bench(settings, Store(Path(settings.cache)), catalogue, best if wanted == "auto" else wanted)
