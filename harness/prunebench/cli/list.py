"""prunebench list."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import click

from prunebench.cli.options import catalogue, json_option, registry_option
from prunebench.errors import UsageError, did_you_mean
from prunebench.listing import standing
from prunebench.plugins import Catalogue, Entry
from prunebench.registry import Registry, load_registry

PLUGIN_KINDS = ("scorers", "selectors", "projectors", "datasets", "backbones", "learners", "executors", "metrics")
KINDS = ("suites", "networks", *PLUGIN_KINDS)


@click.command()
@click.argument("kind", required=False, metavar=f"[{'|'.join(KINDS)}]")
@registry_option
@json_option
def command(kind: str | None, registry_file: Path | None, as_json: bool) -> None:
    """List suites, methods, data sets and whatever else the installed plugins offer."""
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
    return [
        {
            "name": entry.spec.name,
            "summary": entry.spec.summary,
            "distribution": entry.origin.distribution,
            "version": entry.origin.version,
            "tier": _tier(entry, registry),
            "paper": entry.spec.paper,
            "params": {name: param.default for name, param in entry.spec.params.items()},
        }
        for _, entry in sorted(found.entries[kind].items())
    ]


def _tier(entry: Entry[Any], registry: Registry) -> str:
    origin = entry.origin
    return standing(registry.plugins, entry.spec.kind, entry.spec.name, origin.distribution, origin.version).tier


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
