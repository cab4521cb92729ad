"""A suite as somebody asks for it: which part of it, by which plugins, and where its files are."""

import os
import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import platformdirs

from prunebench.devices import MOST_WORKERS, slots_for
from prunebench.errors import UsageError
from prunebench.executors import device_of
from prunebench.executors.choice import Choice
from prunebench.plan import Filters
from prunebench.plugins import Catalogue
from prunebench.records import CellRecord, read_results
from prunebench.registry import Listing, Registry, load_registry, not_installed
from prunebench.remote import working_copy
from prunebench.schedule import with_processor
from prunebench.settings import Settings
from prunebench.store import Store, default_cache


@dataclass(frozen=True)
class Request:
    """A suite as it is asked for: what of it, by which plugins, and where."""

    registry: Registry
    plugins: Catalogue
    suite: str
    filters: Filters
    settings: Settings
    results: Path

    @cached_property
    def store(self) -> Store:
        """The cache."""
        return Store(Path(self.settings.cache))


def make_request(
    suite: str, filters: Filters, plugins: Catalogue, *, registry_file: Path | None, results: Path,
    cache: Path | None, data_roots: Sequence[Path], **settings: Any,
) -> Request:  # fmt: skip
    """Return a request; plugins that are not installed here say by which command they run with the same options."""
    registry = load_registry(registry_file)
    kept = [("--registry", registry_file), ("--results", results), ("--cache", cache)]
    kept += [("--data", folder) for folder in data_roots]
    given = [str(word) for option in kept if option[1] not in (None, Path("results")) for word in option]

    def arguments(one: Listing) -> list[str]:
        named = [name for name in filters.added if (one.kind, one.name) == ("scorer", registry.method(name).scorer)]
        return [*run_alone(suite, one), *(word for name in named for word in ("--with", name)), *given]

    plugins = replace(plugins, not_installed=not_installed(plugins, registry.plugins, arguments))
    made = Settings(str(cache_folder(cache)), data_folders(data_roots), **settings)
    return Request(registry, plugins, suite, filters, made, results)


def run_alone(suite: str, one: Listing) -> list[str]:
    """Return the arguments of prunebench that run one plugin of a suite and leave the others of its kind out."""
    return ["run", suite, *((f"--{one.kind}", one.name) if one.kind in ("scorer", "projector", "executor") else ())]


def will_not_run(faults: Mapping[str, UsageError]) -> list[str]:
    """Return why methods of a suite will not run, and what to do: a sentence for each reason."""
    return list(dict.fromkeys(f"will not run: {fault.message}: {fault.hint}" for fault in faults.values()))


def cache_folder(given: Path | None) -> Path:
    """Return the cache folder as an absolute path."""
    return (given or default_cache()).expanduser().absolute()


def data_folders(given: Sequence[Path]) -> tuple[str, ...]:
    """Return the folders to look for data in: given, from PRUNEBENCH_DATA, ./data, and the user's data folder."""
    # A colon before two slashes is that of a URL.
    parts = re.split(f"{os.pathsep}(?!//)", os.environ.get("PRUNEBENCH_DATA", ""))
    named = [working_copy(part) for part in parts if part]
    defaults = [Path("data")]
    with suppress(RuntimeError):  # no user is known
        defaults.append(Path(platformdirs.user_data_dir("prunebench")))
    return tuple(str(path.expanduser().absolute()) for path in (*given, *named, *defaults))


def with_slots(
    request: Request, devices: str, jobs: int | None, per_device: int | None, cpu_slots: int | None = None,
    executor: Choice | None = None,
) -> tuple[Request, tuple[str, ...]]:  # fmt: skip
    """Return a request for the devices asked for, and an entry for each worker as `slots_for` has it, with those on the
    processor beside GPUs.  per_device: None for as many workers as fit into memory.  Raises UsageError for devices that
    are not there and numbers that no machine has."""
    threads = request.settings.threads
    for option, given in {"jobs": jobs, "slots_per_device": per_device, "threads": threads}.items():
        if given is not None and not 1 <= given <= MOST_WORKERS:
            raise UsageError(
                f"{option} = {given} is no number from 1 to {MOST_WORKERS:,}", f"write {option} = 1, or more"
            )
    slots = executor.worker_slots(devices, jobs, cpu_slots) if executor else ()
    if not slots:
        peak = 0 if per_device else measured_peak(request)
        jobs = jobs or (executor.jobs if executor else None)
        slots = slots_for(devices, jobs, per_device, threads=threads, peak_bytes=peak)
        slots = with_processor(slots, cpu_slots, threads)
    return replace(request, settings=replace(request.settings, device=device_of(slots[0]))), slots


def measured_peak(request: Request) -> int:
    """Return the most GPU memory in bytes that a training as in the suite has taken, by the records of the results
    folder; 0 where none was measured."""
    trained = {(pair.arch, pair.recipe) for pair in request.registry.suite(request.suite).training}
    records = read_results(request.results) if request.results.is_dir() else []
    cells = [one for one in records if isinstance(one, CellRecord) and (one.train_arch, one.recipe) in trained]
    return max((one.peak_gpu_bytes for one in cells), default=0)
