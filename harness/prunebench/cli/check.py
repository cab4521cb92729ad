"""prunebench check."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from fnmatch import fnmatchcase
from itertools import groupby
from pathlib import Path
from typing import Any

import click

from prunebench.cli import options
from prunebench.cli.text import PIPE, columns, fitted, table, wrapped
from prunebench.describe import counted
from prunebench.errors import PluginContractError, UsageError, did_you_mean
from prunebench.plugins import Catalogue, Entry, Failure
from prunebench.registry import expected_failures, load_registry, not_installed
from prunebench.request import cache_folder, data_folders
from prunebench.testing import CheckResult, Examiner, checks_for, count
from prunebench.testing.checks import all_checks
from prunebench.testing.results import known_checks
from prunebench.wire import CHECKED, with_defaults


@click.command()
@click.argument("names", nargs=-1, metavar="[NAME]...")
@click.option("--checks", "globs", multiple=True, metavar="GLOB", help="Only these checks. Repeatable.")
@click.option("--list", "only_list", is_flag=True, help="List the checks with their promises, and stop.")
@click.option(
    "--set",
    "settings",
    multiple=True,
    metavar="PARAM=VALUE",
    callback=options.assignments,
    help="Check with another default. Repeatable.",
)
@click.option("--expect", "expected", multiple=True, metavar="CHECK=REASON", callback=options.pairs,
              help="A check that must fail. Repeatable.")  # fmt: skip
@click.option("--timeout", type=options.Seconds(min=0.1), default=120.0, show_default=True, help="Seconds per check.")
@click.option("--json", "json_file", type=click.File("w", "utf-8"), help="Write the results as JSON; - is stdout.")
@click.option("-v", "--verbose", is_flag=True, help="Show every check, with what it measured.")
@options.registry_option
@options.cache_option
@options.data_option
def command(
    names: tuple[str, ...], globs: tuple[str, ...], only_list: bool, settings: dict[str, Any],
    expected: dict[str, str], timeout: float, json_file: Any, verbose: bool, registry_file: Path | None,
    cache: Path | None, data_roots: tuple[Path, ...],
) -> None:  # fmt: skip
    """Check that plugins keep the promises of their declarations.

    NAME is a plugin ("random", or "scorer:random"), a kind ("scorer"), an entry point or a distribution; without
    a name everything that is installed is checked. A check that registry.toml expects to fail must fail. Ends with 0
    when all is well, with 3 when a promise is broken."""
    if only_list:
        _list_checks(names)
        return
    found, listings = options.loaded(), load_registry(registry_file).plugins
    for (kind, name), error in not_installed(found, listings, lambda one: ("check", one.name)).items():
        if {name, f"{kind}:{name}"} & {*names}:
            raise error
    chosen, failures = _chosen(found, names)
    entries = [with_defaults(entry, settings) for entry in chosen]
    known = {check.name for entry in entries for check in checks_for(entry.spec.kind)} or set(all_checks())
    known_checks([*expected, *(glob for glob in globs if not any(fnmatchcase(name, glob) for name in known))], known)
    unloaded: dict[str, Any] = {"kind": "", "plugin": "", "check": "check_plugin_loads", "status": "failed"}
    results = [CheckResult(origin=f.origin, reason=f"{f.error} {f.hint}".strip(), **unloaded) for f in failures]
    with Examiner(timeout, data_folders(data_roots), cache_folder(cache)) as examiner:
        for entry in entries:
            failing = {**expected_failures(listings, entry), **expected}
            checks = [c for c in checks_for(entry.spec.kind) if any(fnmatchcase(c.name, g) for g in globs or "*")]
            results += [examiner.examine(entry, check, failing) for check in checks]
    if json_file:
        json_file.write(_as_json(results))
    if not json_file or getattr(json_file, "name", "-") not in ("-", "<stdout>"):
        text = "\n".join(_as_text(results, verbose or len(entries) == 1))
        click.echo(text if columns() == PIPE else fitted(text, columns()))  # whole lines for whoever reads a pipe
    _conclude(results)


def _chosen(catalogue: Catalogue, names: Sequence[str]) -> tuple[list[Entry[Any]], list[Failure]]:
    """Return the entries and the load failures that `names` mean, all when there are none."""
    # Plugins of one entry point share a process: keep them together.
    entries = [entry for by_name in catalogue.entries.values() for _, entry in sorted(by_name.items())]
    entries.sort(key=lambda entry: (entry.origin.distribution, entry.origin.entry_point))
    known = [(entry, _names_of(entry)) for entry in entries]
    failed = [(f, {f.origin.entry_point, f.origin.distribution}) for f in catalogue.failures]
    every = set().union(*(own for _, own in (*known, *failed)))
    for unknown in (name for name in names if name not in every):
        raise UsageError(f"no plugin, kind or distribution is named {unknown!r}", did_you_mean(unknown, every))
    chosen = set(names) or every
    return [entry for entry, own in known if own & chosen], [f for f, own in failed if own & chosen]


def _names_of(entry: Entry[Any]) -> set[str]:
    kind, name = entry.spec.kind, entry.spec.name
    return {name, kind, f"{kind}s", f"{kind}:{name}", entry.origin.entry_point, entry.origin.distribution}


def _list_checks(names: Sequence[str]) -> None:
    kinds = {name.removesuffix("s") for name in names}
    for unknown in sorted(kinds - set(CHECKED)):
        raise UsageError(f"no kind {unknown!r} is checked", "known: " + ", ".join(CHECKED))
    for check in all_checks().values():
        if not kinds or kinds & check.kinds:
            click.echo(f"{check.name}\n{wrapped(check.promise, columns(), '    ')}")


def _as_json(results: Sequence[CheckResult]) -> str:
    """Return all results with their counts, as indented JSON."""
    listed = [{**row.pop("origin"), **row} for row in map(asdict, results)]
    content = {"counts": count(results), "conformant": not any(r.is_bad for r in results), "results": listed}
    return json.dumps({"schema": 1, **content}, indent=1) + "\n"


def _as_text(results: Sequence[CheckResult], every: bool) -> Iterator[str]:
    """Yield a line for every check, or one for every plugin, and then what is wrong or expected to be."""
    rows = []
    for (origin, kind, plugin), group in groupby(results, key=lambda r: (r.origin, r.kind, r.plugin)):
        listed, title = list(group), f"{kind} {plugin} of {origin}".strip()
        rows.append([title, *(n or "-" for n in count(listed).values()), f"{sum(r.seconds for r in listed):.1f}"])
        if every:
            yield title
            for r in listed:
                yield f"  {r.status.replace('_', ' '):15}{r.seconds:7.2f} s  {r.check}  {'' if r.is_bad else r.reason}"
    if not every:
        yield from table(["plugin", *(status.replace("_", " ") for status in count([])), "seconds"], rows)
    for r in results:
        if r.is_bad or r.status == "expected_fail":
            yield click.style(str(r), fg="red" if r.is_bad else "yellow")


def _conclude(results: Sequence[CheckResult]) -> None:
    by_status = ", ".join(f"{n} {status.replace('_', ' ')}" for status, n in count(results).items() if n)
    click.echo(f"{counted(len(results), 'check')}: {by_status or 'none'}", err=True)
    if broken := [result for result in results if result.is_bad]:
        dists = ", ".join(sorted({f"{result.origin.distribution} {result.origin.version}" for result in broken}))
        hint = f"prunebench check {broken[0].plugin or broken[0].origin.entry_point} --checks {broken[0].check}"
        raise PluginContractError(f"{counted(len(broken), 'promise')} broken by {dists}", hint)
