"""Options that several verbs share, and what they mean."""

import contextlib
import json
import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

import click

from prunebench.cli.text import say
from prunebench.errors import UsageError
from prunebench.plan import Filters
from prunebench.plugins import Catalogue, load_plugins
from prunebench.provenance import gpus
from prunebench.registry import Listing, Registry, elsewhere, load_registry
from prunebench.settings import Settings
from prunebench.store import default_cache

F = TypeVar("F", bound=Callable[..., Any])
PATH = click.Path(path_type=Path)
COUNT = click.IntRange(min=1)

registry_option = click.option("--registry", "registry_file", type=PATH, metavar="FILE",
    help="registry.toml to read.  [default: the one here, else the one that ships with prunebench]")  # fmt: skip
results_option = click.option("--results", type=PATH, default=Path("results"), show_default=True,
    metavar="DIR", help="Folder of records and boards.")  # fmt: skip
cache_option = click.option("--cache", type=PATH, metavar="DIR", help="Folder of computed features, scores and "
    "trainings.  [default: PRUNEBENCH_CACHE, else the user's cache]")  # fmt: skip
data_option = click.option("--data", "data_roots", type=PATH, multiple=True, metavar="DIR",
    help="Folder to look for data and weights in, before those of PRUNEBENCH_DATA and ./data. Repeatable.")  # fmt: skip
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
GLOBS = {"scorer": "Method or scorer", "projector": "Projector", "backbone": "Scoring backbone",
         "arch": "Training architecture", "keep": "Fraction to keep, such as 0.1"}  # fmt: skip


@dataclass(frozen=True)
class Request:
    """A suite as the command line asks for it: what of it, by which plugins, and where."""

    registry: Registry
    plugins: Catalogue
    suite: str
    filters: Filters
    settings: Settings
    results: Path


def suite_options(function: F) -> F:
    """Add the suite, what of it is meant, and its folders: what `requested` takes."""
    globs = [click.option(f"--{n}", multiple=True, metavar="GLOB", help=f"{GLOBS[n]}. Repeatable.") for n in GLOBS]
    added = click.option("--with", "added", multiple=True, metavar="METHOD", help="Add a method. Repeatable.")
    seeds = click.option("--seeds", type=COUNT, help="Only the first N seeds.")
    folders = (registry_option, results_option, cache_option, data_option)
    for add in reversed([click.argument("suite"), seeds, added, *globs, *folders]):
        function = add(function)
    return function


def requested(options: dict[str, Any], strict: bool = False, **settings: Any) -> Request:
    """Return what the options of `suite_options` ask for; with `strict`, a broken plugin is an error."""
    registry, plugins, suite = load_registry(options["registry_file"]), catalogue(strict), options["suite"]
    filters = Filters(**{name: options[name] for name in (*GLOBS, "added", "seeds")})
    kept = [("--registry", options["registry_file"]), ("--results", options["results"]), ("--cache", options["cache"])]
    kept += [("--data", folder) for folder in options["data_roots"]]
    given = [str(word) for option in kept if option[1] not in (None, Path("results")) for word in option]

    def arguments(one: Listing) -> list[str]:
        named = [name for name in filters.added if (one.kind, one.name) == ("scorer", registry.method(name).scorer)]
        return [*run_alone(suite, one), *(word for name in named for word in ("--with", name)), *given]

    plugins = replace(plugins, elsewhere=elsewhere(plugins, registry.plugins, arguments))
    made = Settings(str(cache_folder(options["cache"])), data_folders(options["data_roots"]), **settings)
    return Request(registry, plugins, suite, filters, made, options["results"])


def run_alone(suite: str, one: Listing) -> list[str]:
    """Return the arguments of prunebench that run one plugin of a suite and leave the others of its kind out."""
    return ["run", suite, *((f"--{one.kind}", one.name) if one.kind in ("scorer", "projector", "executor") else ())]


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
        say(f"warning: plugin {failure.origin} was left out{' in part' * failure.partial}: {failure.error}")
    if found.failures and (strict or os.environ.get("PRUNEBENCH_STRICT_PLUGINS") == "1"):
        first = found.failures[0]
        raise first.kind(f"plugin {first.origin}: {first.error}", first.hint)
    return found


def slots_for(devices: str, jobs: int | None, per_device: int) -> tuple[str, ...]:
    """Return one entry for each worker: the index of its CUDA device, "cpu" or "mps".
    devices: "auto", "cpu", "mps", or a list of CUDA device indices such as "0,1"."""
    if devices == "auto":
        devices = ",".join(str(index) for index, _ in enumerate(gpus())) or "cpu"
    if devices in ("cpu", "mps"):
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        return (devices,) * (jobs or (1 if devices == "mps" else min(cores, 8)))
    indices = [part.removeprefix("cuda:") for part in devices.split(",")]
    if not all(map(str.isdigit, indices)):
        hint = 'write "auto", "cpu", "mps", or indices such as 0,1'
        raise UsageError(f"--devices {devices!r} is not understood", hint)
    return (tuple(indices) * per_device)[: jobs or None]


def pairs(context: click.Context, option: click.Parameter, given: tuple[str, ...]) -> dict[str, str]:
    """Return the texts NAME=VALUE of an option by their names."""
    if wrong := [text for text in given if text.find("=") < 1]:
        hint = "write the name, an equals sign and the value, such as k=10"
        raise UsageError(f"{option.opts[-1]} {wrong[0]!r} is not NAME=VALUE", hint)
    return dict(text.split("=", 1) for text in given)


def assignments(context: click.Context, option: click.Parameter, given: tuple[str, ...]) -> dict[str, Any]:
    """Return the values NAME=VALUE of an option by their names: numbers, true, false or text."""
    found: dict[str, Any] = pairs(context, option, given)
    for name, text in found.items():
        with contextlib.suppress(ValueError):
            found[name] = json.loads(text)
    return found
