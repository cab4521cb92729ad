"""prunebench check."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click

from prunebench.cli.options import cache_folder, cache_option, data_folders, data_option, loaded, registry_option
from prunebench.cli.text import columns, wrapped
from prunebench.environments import interpreter_of
from prunebench.errors import PluginContractError, UsageError, did_you_mean
from prunebench.plugins import Catalogue, Entry, Failure
from prunebench.registry import expected_failures, load_registry

if TYPE_CHECKING:
    from rich.table import Table

    from prunebench.testing.results import CheckResult

_COLOURS = {"passed": "green", "failed": "red", "unexpected_pass": "red", "expected_fail": "yellow"}


@click.command()
@click.argument("names", nargs=-1, metavar="[NAME]...")
@click.option("--checks", "globs", multiple=True, metavar="GLOB", help="Only these checks. Repeatable.")
@click.option("--list", "only_list", is_flag=True, help="List the checks with their promises, and stop.")
@click.option("--set", "settings", multiple=True, metavar="PARAM=VALUE", help="Check with another default. Repeatable.")
@click.option(
    "--expect", "expected", multiple=True, metavar="CHECK=REASON", help="A check that may not pass. Repeatable."
)
@click.option("--timeout", type=click.FloatRange(min=0.1), default=120.0, show_default=True, help="Seconds per check.")
@click.option("--json", "json_file", type=click.Path(path_type=Path), help="Write the results as JSON; - is stdout.")
@click.option("--junit", "junit_file", type=click.Path(path_type=Path), help="Write the results as JUnit XML.")
@click.option("-v", "--verbose", is_flag=True, help="Show every check, with what it measured.")
@registry_option
@cache_option
@data_option
def command(
    names: tuple[str, ...],
    globs: tuple[str, ...],
    only_list: bool,
    settings: tuple[str, ...],
    expected: tuple[str, ...],
    timeout: float,
    json_file: Path | None,
    junit_file: Path | None,
    verbose: bool,
    registry_file: Path | None,
    cache: Path | None,
    data_roots: tuple[Path, ...],
) -> None:
    """Check that plugins keep the promises of their declarations.

    NAME is a plugin ("random", or "scorer:random"), a kind ("scorer"), an entry point or a distribution; without
    a name everything that is installed is checked. A check that registry.toml expects to fail must fail. Ends with 0
    when all is well, with 3 when a promise is broken.
    """
    from prunebench.testing.examiner import Examiner, examine
    from prunebench.testing.results import as_json, as_junit

    if only_list:
        _list_checks(names)
        return
    found, listings = loaded(), load_registry(registry_file).plugins
    if (python := interpreter_of(names, found, listings, cache_folder(cache))) is not None:
        raise SystemExit(subprocess.run([python, "-m", "prunebench", *sys.argv[1:]], check=False).returncode)
    entries, failures = _chosen(found, names)
    entries = [_changed(entry, settings) for entry in entries] if settings else entries
    _reject_unknown(globs, expected, entries)
    results = [_as_result(failure) for failure in failures]
    with Examiner(timeout, data_folders(data_roots), cache_folder(cache)) as examiner:
        for number, entry in enumerate(entries, 1):
            checks = _matching(entry, globs)
            if checks:
                _say(f"{number}/{len(entries)} {entry.spec.kind} {entry.spec.name}: {len(checks)} checks")
                known = {**expected_failures(listings, entry), **_pairs(expected)}
                wanted = {name: why for name, why in known.items() if name in checks}
                results += examine(entry, checks, wanted, examiner)
    if junit_file:
        junit_file.write_text(as_junit(results), encoding="utf-8")
    if json_file and str(json_file) != "-":
        json_file.write_text(as_json(results), encoding="utf-8")
    if str(json_file) == "-":
        click.echo(as_json(results), nl=False)
    else:
        _print(results, verbose or len(entries) == 1)
    _conclude(results)


def _chosen(catalogue: Catalogue, names: Sequence[str]) -> tuple[list[Entry[Any]], list[Failure]]:
    """Return the entries and the load failures that `names` mean, all when there are none."""
    entries = [entry for by_name in catalogue.entries.values() for _, entry in sorted(by_name.items())]
    failures = list(catalogue.failures)
    if names:
        known = {name for entry in entries for name in _names_of(entry)}
        known |= {name for failure in failures for name in (failure.origin.entry_point, failure.origin.distribution)}
        for name in names:
            if name not in known:
                raise UsageError(f"no plugin, kind or distribution is named {name!r}", did_you_mean(name, known))
        entries = [entry for entry in entries if _names_of(entry).intersection(names)]
        failures = [f for f in failures if {f.origin.entry_point, f.origin.distribution}.intersection(names)]
    # Plugins of one entry point share a process: keep them together.
    return sorted(entries, key=lambda entry: (entry.origin.distribution, entry.origin.entry_point)), failures


def _names_of(entry: Entry[Any]) -> set[str]:
    kind, name = entry.spec.kind, entry.spec.name
    return {name, kind, f"{kind}s", f"{kind}:{name}", entry.origin.entry_point, entry.origin.distribution}


def _as_result(failure: Failure) -> CheckResult:
    """Return a plugin that was left out of the catalogue as a failed check."""
    from prunebench.testing.results import CheckResult

    reason = failure.error + (f" ({failure.hint})" if failure.hint else "")
    more: dict[str, Any] = {"kind": "", "plugin": "", "check": "check_plugin_loads", "status": "failed"}
    return CheckResult(origin=failure.origin, reason=reason, **more)


def _list_checks(names: Sequence[str]) -> None:
    from prunebench.testing.checks import all_checks, checks_for
    from prunebench.wire import CHECKED

    kinds = [name.removesuffix("s") for name in names]
    if unknown := [kind for kind in kinds if kind not in CHECKED]:
        raise UsageError(f"no kind {unknown[0]!r} is checked", "known: " + ", ".join(CHECKED))
    found = {c.name: c for kind in kinds for c in checks_for(kind)} if kinds else all_checks()
    for check in found.values():
        click.echo(f"{check.name}\n{wrapped(check.promise, columns(), '    ')}")


def _pairs(texts: Iterable[str]) -> dict[str, str]:
    pairs = [text.partition("=") for text in texts]
    for name, sign, _ in pairs:
        if not sign:
            raise UsageError(f"{name!r} is not NAME=VALUE", "write the name, an equals sign and the value")
    return {name: value for name, _, value in pairs}


def _changed(entry: Entry[Any], settings: Sequence[str]) -> Entry[Any]:
    import json

    from prunebench.wire import with_defaults

    values: dict[str, Any] = {}
    for name, text in _pairs(settings).items():
        try:
            values[name] = json.loads(text)
        except ValueError:
            values[name] = text
    return with_defaults(entry, values)


def _matching(entry: Entry[Any], globs: Sequence[str]) -> list[str]:
    from prunebench.testing.checks import checks_for

    names = [check.name for check in checks_for(entry.spec.kind)]
    return [name for name in names if not globs or any(fnmatchcase(name, glob) for glob in globs)]


def _reject_unknown(globs: Sequence[str], expected: Sequence[str], entries: Sequence[Entry[Any]]) -> None:
    from prunebench.testing.checks import all_checks, checks_for
    from prunebench.testing.results import known_checks

    known = {c.name for entry in entries for c in checks_for(entry.spec.kind)} or set(all_checks())
    known_checks(_pairs(expected), known)
    known_checks([glob for glob in globs if not any(fnmatchcase(name, glob) for name in known)], known)


def _say(text: str) -> None:
    if sys.stderr.isatty():
        click.echo(text, err=True)


def _print(results: Sequence[CheckResult], every: bool) -> None:
    from rich.console import Console
    from rich.text import Text

    from prunebench.testing.results import by_plugin

    # A pipe has no width: take one in which nothing is cut off.
    console = Console(width=None if sys.stdout.isatty() else 160)
    if every:
        for group in by_plugin(results):
            console.print(_every(group))
    else:
        console.print(_summary(list(by_plugin(results))))
    for result in results:
        if result.is_bad or result.status == "expected_fail":
            console.print(Text(str(result), style=_COLOURS[result.status]), soft_wrap=True)


def _every(group: Sequence[CheckResult]) -> Table:
    from rich.markup import escape

    title = f"{group[0].kind} {group[0].plugin} of {group[0].origin}".strip()
    table = _table(title, ("check", "status", "seconds", "measured"))
    for result in group:
        style = _COLOURS.get(result.status, "dim")
        is_plain = result.status == "passed" or result.is_bad
        name = result.check.removeprefix("check_").replace("_", " ")
        seconds = f"{result.seconds:.2f}"
        measured = _facts(result.facts) if is_plain else result.reason
        table.add_row(name, f"[{style}]{result.status.replace('_', ' ')}[/]", seconds, escape(measured))
    return table


def _summary(groups: Sequence[Sequence[CheckResult]]) -> Table:
    from prunebench.testing.results import STATUSES, count

    short = {"expected_fail": "expected", "unexpected_pass": "unexpected", "not_applicable": "n/a"}
    headers = (short.get(status, status.replace("_", " ")) for status in STATUSES)
    table = _table("", ("plugin", "distribution", *headers, "seconds"))
    for group in groups:
        first, counted = group[0], count(group)
        numbers = [f"[{_COLOURS.get(s, 'dim')}]{counted[s]}[/]" if counted[s] else "-" for s in STATUSES]
        title = f"{first.kind} {first.plugin}".strip() or first.origin.entry_point
        origin = f"{first.origin.distribution} {first.origin.version}"
        table.add_row(title, origin, *numbers, f"{sum(result.seconds for result in group):.1f}")
    return table


def _table(title: str, columns: Sequence[str]) -> Table:
    from rich.table import Table

    table = Table(box=None, title=title or None, title_justify="left", title_style="bold")
    words = ("plugin", "distribution", "check", "status", "measured")
    for column in columns:
        justify: Literal["left", "right"] = "left" if column in words else "right"
        table.add_column(column, justify=justify, no_wrap=column in ("check", "plugin"), overflow="fold")
    return table


def _facts(facts: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {value}" for name, value in facts.items() if value is not None)


def _conclude(results: Sequence[CheckResult]) -> None:
    from prunebench.testing.results import count

    counted = count(results)
    text = ", ".join(f"{number} {status.replace('_', ' ')}" for status, number in counted.items() if number)
    click.echo(f"{len(results)} checks: {text or 'none'}", err=True)
    if broken := [result for result in results if result.is_bad]:
        dists = sorted({f"{result.origin.distribution} {result.origin.version}" for result in broken})
        raise PluginContractError(
            f"{len(broken)} promise(s) broken by {', '.join(dists)}",
            f"prunebench check {broken[0].plugin or broken[0].origin.entry_point} --checks {broken[0].check}",
        )
