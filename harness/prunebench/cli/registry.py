"""prunebench registry."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import date, datetime
from pathlib import Path
from typing import get_args

import click

from prunebench.cli.options import catalogue, json_option, registry_option
from prunebench.cli.text import columns, say, wrapped
from prunebench.errors import Fault, RegistryError, UsageError
from prunebench.registry import find_registry, load_registry
from prunebench.registry.model import Tier


@click.group()
def command() -> None:
    """Check what is official, add a plugin to it, or print its schema."""


@command.command()
@registry_option
@json_option
def check(registry_file: Path | None, as_json: bool) -> None:
    """Check registry.toml against itself and against what is installed.

    Ends with 3 when something is wrong: an unknown key, a name that nothing declares, an installed version outside
    its range, an expected failure of a check that does not exist.  All faults are listed, each with its key and line.
    """
    from prunebench.registry.governance import installed_plugins, unknown_plugins
    from prunebench.registry.toml_lines import registry_error

    file = find_registry(registry_file)
    try:
        registry, found = load_registry(file), catalogue()
    except RegistryError as error:
        if as_json:
            click.echo(_report(file, [], error.faults))
        raise
    plugins = installed_plugins(registry, found)
    faults = [fault for plugin in plugins for fault in plugin.faults] + list(unknown_plugins(registry, found))
    rows = [
        {"name": p.listing.name, "kind": p.listing.kind, "tier": p.listing.tier, "distribution": p.listing.dist,
         "range": p.listing.version, "installed": p.version, "status": p.status}
        for p in plugins
    ]  # fmt: skip
    if as_json:
        click.echo(_report(file, rows, faults))
    else:
        for row in rows:
            line = "  ".join(row[key] for key in ("kind", "name", "tier", "distribution", "range", "status"))
            click.echo(line if len(line) <= columns() else wrapped(line, columns(), indent="  "))
    if faults:
        raise registry_error(faults)
    say(f"{file}: {len(rows)} plugins listed, nothing wrong")


def _report(file: Path, rows: list[dict[str, str]], faults: Sequence[Fault]) -> str:
    errors = [{"key": f.key, "line": f.line, "error": f.reason, "hint": f.hint} for f in faults]
    return json.dumps({"file": str(file), "plugins": rows, "errors": errors}, indent=1)


@command.command()
@click.argument("name")
@click.option(
    "--tier", type=click.Choice(get_args(Tier)), default="contrib", show_default=True, help="How far it is trusted."
)
@click.option("--maintainer", default="", help="Who answers for it (default: from the distribution's metadata).")
@click.option("--range", "version", default="", help="PEP 440 range (default: up to the next breaking version).")
@click.option("--reason", default="", help="Why it is in quarantine.")
@click.option("--added", type=click.DateTime(["%Y-%m-%d"]), help="Date of the entry (default: today).")
@registry_option
def add(
    name: str, tier: str, maintainer: str, version: str, reason: str, added: datetime | None, registry_file: Path | None
) -> None:
    """Write the table of an installed plugin, NAME or KIND:NAME, at the end of registry.toml."""
    from prunebench.registry.new_listing import append_table, find_entry, new_table

    if registry_file is None and not Path("registry.toml").is_file():
        raise UsageError("there is no registry.toml here to add to", "name one with --registry FILE")
    entry, day = find_entry(catalogue(), name), added.date() if added else date.today()
    table = new_table(entry, tier=tier, maintainer=maintainer, reason=reason, version=version, added=day)
    append_table(find_registry(registry_file), entry, table, tier=tier)
    click.echo(table, nl=False)


@command.command()
def schema() -> None:
    """Print the JSON Schema of registry.toml."""
    from prunebench.registry.reader import schema_text

    click.echo(schema_text(), nl=False)
