"""Options that several verbs share, and what they mean."""

import contextlib
import json
import math
import os
from collections.abc import Callable
from functools import reduce
from pathlib import Path
from typing import Any, TypeVar

import click

from prunebench.cli.text import say
from prunebench.devices import MOST_WORKERS
from prunebench.errors import UsageError
from prunebench.memory import parse_bytes
from prunebench.plan import Filters
from prunebench.plugins import Catalogue, load_plugins
from prunebench.remote import working_copy
from prunebench.remote_records import remote_records
from prunebench.request import Request, make_request

F = TypeVar("F", bound=Callable[..., Any])
PATH = click.Path(path_type=Path)


class Place(click.ParamType):  # type: ignore[type-arg]  # click 8.1 has none
    """A folder, or the URL of one, of which the working copy is meant."""

    name = "path"

    def convert(self, value: Any, param: click.Parameter | None, context: click.Context | None) -> Path:
        return value if isinstance(value, Path) else working_copy(value)


class ResultsPlace(Place):
    """As Place; records of a URL are fetched first."""

    def convert(self, value: Any, param: click.Parameter | None, context: click.Context | None) -> Path:
        folder = super().convert(value, param, context)
        if (shared := remote_records(folder)) is not None:
            shared.pull()
        return folder


class Count(click.IntRange):
    """A whole number from `min` on, up to `max` where it is given."""

    def convert(self, value: Any, param: click.Parameter | None, context: click.Context | None) -> Any:
        try:
            return super().convert(value, param, context)
        except click.BadParameter:
            expected = f"of at least {self.min}" if self.max is None else f"from {self.min} to {self.max:,}"
            self.fail(f"{value!r} is not a whole number {expected}", param, context)


class Seconds(click.FloatRange):
    """A finite number of seconds, at least `min`."""

    def convert(self, value: Any, param: click.Parameter | None, context: click.Context | None) -> Any:
        seconds = math.nan
        with contextlib.suppress(click.BadParameter):
            seconds = super().convert(value, param, context)
        if not math.isfinite(seconds):
            self.fail(f"{value!r} is not a number of seconds, at least {self.min:g}", param, context)
        return seconds


COUNT = Count(min=1, max=MOST_WORKERS)

registry_option = click.option("--registry", "registry_file", type=PATH, metavar="FILE",
    help="registry.toml to read.  [default: the one here, else the one that ships with prunebench]")  # fmt: skip
results_option = click.option("--results", type=ResultsPlace(), default=Path("results"), show_default=True,
    metavar="DIR", help="Folder of records and boards, or a URL such as s3://bucket/results.")  # fmt: skip
cache_option = click.option("--cache", type=Place(), metavar="DIR", help="Folder of computed features, scores and "
    "trainings, or a URL such as s3://bucket/cache.  [default: PRUNEBENCH_CACHE, else the user's cache]")  # fmt: skip
data_option = click.option("--data", "data_roots", type=Place(), multiple=True, metavar="DIR",
    help="Folder or URL to look for data and weights in, before those of PRUNEBENCH_DATA and ./data. "
    "Repeatable.")  # fmt: skip
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
GLOBS = {"scorer": "Method or scorer", "projector": "Projector", "backbone": "Scoring backbone",
         "arch": "Training architecture", "keep": "Fraction to keep, such as 0.1"}  # fmt: skip


def together(*options: Callable[[F], F]) -> Callable[[F], F]:
    """Return a decorator that adds some options, in their order on the page of help."""
    return lambda function: reduce(lambda made, add: add(made), reversed(options), function)


# The suite, what of it is meant, and its folders: what `requested` takes.
suite_options = together(
    click.argument("suite"),
    click.option("--seeds", type=COUNT, help="Only the first N seeds."),
    click.option("--with", "added", multiple=True, metavar="METHOD", help="Add a method. Repeatable."),
    *(click.option(f"--{n}", multiple=True, metavar="GLOB", help=f"{GLOBS[n]}. Repeatable.") for n in GLOBS),
    registry_option, results_option, cache_option, data_option,
)  # fmt: skip


def requested(options: dict[str, Any], strict: bool = False, **settings: Any) -> Request:
    """Return what the options of `suite_options` ask for; with `strict`, a broken plugin is an error."""
    filters = Filters(**{name: options[name] for name in (*GLOBS, "added", "seeds") if name in options})
    folders = {name: options[name] for name in ("registry_file", "results", "cache", "data_roots")}
    return make_request(options["suite"], filters, catalogue(strict), **folders, **settings)


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


def amount(_: click.Context, option: click.Parameter, given: str | None) -> int | None:
    """Return the bytes of an option such as 20GB."""
    return None if given is None else parse_bytes(given, option.opts[-1], least=0)
