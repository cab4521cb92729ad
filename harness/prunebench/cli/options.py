"""Options that several verbs share, and what they mean."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol, TypeVar

import click

from prunebench.cli.text import say
from prunebench.errors import UsageError
from prunebench.plan import Filters
from prunebench.plugins import Catalogue, load_plugins
from prunebench.store import default_cache

F = TypeVar("F", bound=Callable[..., Any])
PATH = click.Path(path_type=Path)


class Decorator(Protocol):
    """Adds an option to a verb's function."""

    def __call__(self, function: F, /) -> F: ...


registry_option: Decorator = click.option(
    "--registry", "registry_file", type=PATH, metavar="FILE",
    help="registry.toml to read.  [default: the one here, else the one that ships with prunebench]",
)  # fmt: skip
results_option: Decorator = click.option(
    "--results", type=PATH, default=Path("results"), show_default=True, metavar="DIR",
    help="Folder of records and boards.",
)  # fmt: skip
cache_option: Decorator = click.option(
    "--cache", type=PATH, metavar="DIR",
    help="Folder of computed features, scores and trainings.  [default: PRUNEBENCH_CACHE, else the user's cache]",
)  # fmt: skip
data_option: Decorator = click.option(
    "--data", "data_roots", type=PATH, multiple=True, metavar="DIR",
    help="Folder to look for data and weights in, before those of PRUNEBENCH_DATA and ./data. Repeatable.",
)  # fmt: skip
json_option: Decorator = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
AXES = {
    "scorer": "Method or scorer.",
    "projector": "Projector.",
    "backbone": "Scoring backbone.",
    "arch": "Training architecture.",
    "keep": "Fraction to keep, such as 0.1.",
}


def filter_options(function: F) -> F:
    """Add one option for each axis; values are globs and can be repeated."""
    for name, text in reversed(AXES.items()):
        function = click.option(f"--{name}", multiple=True, metavar="GLOB", help=f"{text} Repeatable.")(function)
    added = "Add a method to the suite. Repeatable."
    function = click.option("--with", "added", multiple=True, metavar="METHOD", help=added)(function)
    return click.option("--seeds", type=click.IntRange(min=1), help="Only the first N seeds.")(function)


def make_filters(options: dict[str, Any]) -> Filters:
    """Take the filter options out of a verb's keyword arguments."""
    return Filters(**{name: tuple(options.pop(name)) for name in (*AXES, "added")}, seeds=options.pop("seeds"))


def cache_folder(given: Path | None) -> Path:
    """Return the cache folder as an absolute path."""
    return (given or default_cache()).expanduser().absolute()


def data_folders(given: tuple[Path, ...]) -> tuple[str, ...]:
    """Return the folders to look for data in: given, from PRUNEBENCH_DATA, ./data, and the user's data folder."""
    import platformdirs

    named = [Path(part) for part in os.environ.get("PRUNEBENCH_DATA", "").split(os.pathsep) if part]
    defaults = [Path("data"), Path(platformdirs.user_data_dir("prunebench"))]
    return tuple(str(path.expanduser().absolute()) for path in (*given, *named, *defaults))


def loaded() -> Catalogue:
    """Return the plugins that the command line has loaded, as they may add commands to it, or load them now."""
    context = click.get_current_context(silent=True)
    return (context.find_object(Catalogue) if context else None) or load_plugins()


def catalogue(strict: bool = False) -> Catalogue:
    """Return the plugins and report the broken ones; with `strict`, or PRUNEBENCH_STRICT_PLUGINS=1, stop there."""
    found = loaded()
    for failure in found.failures:
        part = " in part" if failure.partial else ""
        say(f"warning: plugin {failure.origin} was left out{part}: {failure.error}")
    if found.failures and (strict or os.environ.get("PRUNEBENCH_STRICT_PLUGINS") == "1"):
        raise found.failures[0].as_error()
    return found


def slots_for(devices: str, jobs: int | None, per_device: int) -> tuple[str, ...]:
    """Return one entry for each worker: the index of its CUDA device, or "cpu".

    devices: "auto", "cpu", "mps", or a list of CUDA device indices such as "0,1".
    """
    from prunebench.provenance import gpus

    if devices == "auto":
        found = gpus()
        devices = ",".join(str(index) for index in range(len(found))) if found else "cpu"
    if devices in ("cpu", "mps"):
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        return (devices,) * (jobs or (1 if devices == "mps" else min(cores, 8)))
    indices = [part.removeprefix("cuda:") for part in devices.split(",")]
    if not all(index.isdigit() for index in indices):
        raise UsageError(
            f"--devices {devices!r} is not understood", 'write "auto", "cpu", "mps", or indices such as 0,1'
        )
    slots = tuple(indices) * per_device
    return slots[:jobs] if jobs else slots
