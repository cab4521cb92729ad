"""prunebench registry."""

from __future__ import annotations

import json
from datetime import date, datetime
from pathlib import Path

import click

from prunebench.cli.options import catalogue, json_option, registry_option
from prunebench.errors import UsageError
from prunebench.registry import find_registry, load_registry
from prunebench.registry.tables import TIERS


@click.group()
def command() -> None:
    """Check what is official, add a plugin to it, or print its schema."""


@command.command()
@registry_option
@json_option
def check(registry_file: Path | None, as_json: bool) -> None:
    """Check registry.toml against itself and against what is installed.

    Ends with 3 when something is wrong: an unknown key, a name that nothing declares, an installed version outside
    its range, an expected failure of a check that does not exist.
    """
    from prunebench.registry.governance import name_errors, plugin_findings

    registry, found = load_registry(registry_file), catalogue()
    findings = plugin_findings(registry, found)
    errors = [finding.error for finding in findings if finding.error] + name_errors(registry, found)
    rows = [
        {"name": f.listing.name, "kind": f.listing.kind, "tier": f.listing.tier, "distribution": f.listing.dist,
         "range": f.listing.version, "installed": f.installed, "status": f.status}
        for f in findings
    ]  # fmt: skip
    if as_json:
        problems = [{"key": e.key, "line": e.line, "error": e.message, "hint": e.hint} for e in errors]
        click.echo(json.dumps({"file": str(registry.file), "plugins": rows, "errors": problems}, indent=1))
    else:
        for row in rows:
            click.echo("  ".join(str(row[key]) for key in ("kind", "name", "tier", "distribution", "range", "status")))
    for error in errors[:-1]:
        click.echo(f"error: {error.message}\nhint: {error.hint}", err=True)
    if errors:
        raise errors[-1]
    click.echo(f"{registry.file}: {len(rows)} plugins listed, nothing wrong", err=True)


@command.command()
@click.argument("name")
@click.option("--tier", type=click.Choice(TIERS), default="contrib", show_default=True, help="How far it is trusted.")
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
    from prunebench.registry.tables import schema_text

    click.echo(schema_text(), nl=False)
