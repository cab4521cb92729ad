"""prunebench list."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import click

from prunebench.cli.options import catalogue, json_option, registry_option
from prunebench.errors import UsageError, did_you_mean
from prunebench.plugins import Catalogue, Entry
from prunebench.registry import Listing, Registry, load_registry, standing

PLUGIN_KINDS = ("scorers", "selectors", "projectors", "datasets", "backbones", "learners", "executors", "metrics")
KINDS = ("suites", "networks", *PLUGIN_KINDS)


@click.command()
@click.argument("kind", required=False, metavar=f"[{'|'.join(KINDS)}]")
@registry_option
@json_option
def command(kind: str | None, registry_file: Path | None, as_json: bool) -> None:
    """List suites, methods, data sets and whatever else the installed plugins offer.

    Plugins that the registry gives environments of their own are listed from there: with the range of their version
    in place of the version, and nothing is installed.
    """
    if kind is not None and kind not in KINDS:
        raise UsageError(f"no kind is named {kind!r}", did_you_mean(kind, KINDS))
    found, registry = catalogue(), load_registry(registry_file)
    kinds = (kind,) if kind else KINDS
    tables = {name: _rows(name, found, registry) for name in kinds}
    if as_json:
        failures = [
            {"plugin": f.origin.entry_point, "distribution": f.origin.distribution, "version": f.origin.version,
             "error": f.error, "hint": f.hint}
            for f in found.failures
        ]  # fmt: skip
        click.echo(json.dumps({**tables, "failures": failures}, indent=1))
        return
    _print(tables)


def _rows(kind: str, found: Catalogue, registry: Registry) -> list[dict[str, Any]]:
    if kind == "suites":
        return [
            {"name": s.name, "summary": s.summary, "dataset": s.dataset, "methods": list(s.methods)}
            for s in registry.suites.values()
        ]
    if kind == "networks":
        return [
            {"name": n.arch.name, "summary": f"{n.arch.provider}: {n.arch.model}, weights: {n.weights.source}"}
            for n in registry.networks.values()
        ]
    rows = [_installed_row(entry, registry) for entry in found.entries[kind].values()]
    rows += [_listed_row(listing) for listing in registry.plugins.values() if _is_elsewhere(listing, kind, found)]
    return sorted(rows, key=lambda row: str(row["name"]))


def _installed_row(entry: Entry[Any], registry: Registry) -> dict[str, Any]:
    spec, origin = entry.spec, entry.origin
    return {
        "name": spec.name,
        "summary": spec.summary,
        "distribution": origin.distribution,
        "version": origin.version,
        "tier": standing(registry.plugins, spec.kind, spec.name, origin.distribution, origin.version).tier,
        "paper": spec.paper,
        "params": {name: param.default for name, param in spec.params.items()},
        "environment": [],
    }


def _is_elsewhere(listing: Listing, kind: str, found: Catalogue) -> bool:
    if not listing.environment or f"{listing.kind}s" != kind:
        return False
    here = found.entries[kind].get(listing.name)
    return here is None or not listing.is_met_by(here.origin)


def _listed_row(listing: Listing) -> dict[str, Any]:
    """Return what the registry knows of a plugin that is not here; its parameters are known where it is installed."""
    return {
        "name": listing.name,
        "summary": f"Runs in an environment of its own: {', '.join(listing.environment)}.",
        "distribution": listing.dist,
        "version": listing.version,
        "tier": listing.tier,
        "paper": listing.paper,
        "params": None,
        "environment": list(listing.environment),
    }


def _print(tables: dict[str, list[dict[str, Any]]]) -> None:
    width = max((len(row["name"]) for rows in tables.values() for row in rows), default=0) + 2
    columns = _terminal_width() if sys.stdout.isatty() else 100
    for kind, rows in tables.items():
        if not rows:
            continue
        click.echo(click.style(kind, bold=True))
        for row in rows:
            source = "" if row.get("distribution", "prunebench") == "prunebench" else (
                f" [{row['distribution']} {row['version']}, {row['tier']}]"
            )  # fmt: skip
            click.echo(_wrapped(f"  {row['name']:<{width}}", row["summary"] + source, columns))
        click.echo()


def _terminal_width() -> int:
    import shutil

    return shutil.get_terminal_size().columns


def _wrapped(head: str, text: str, columns: int) -> str:
    import textwrap

    room = max(columns - len(head), 24)
    lines = textwrap.wrap(text, room) or [""]
    return ("\n" + " " * len(head)).join([head + lines[0], *lines[1:]])
