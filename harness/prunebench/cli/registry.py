"""prunebench registry."""

import json
from datetime import datetime
from pathlib import Path
from typing import get_args

import click

from prunebench.cli.options import catalogue, json_option, registry_option
from prunebench.cli.text import columns, say, wrapped
from prunebench.errors import UsageError
from prunebench.registry import find_registry
from prunebench.registry.model import Tier


@click.group()
def command() -> None:
    """Check what is official, add a plugin to it, or print its schema."""


@command.command()
@registry_option
@json_option
def check(registry_file: Path | None, as_json: bool) -> None:
    """Check registry.toml against itself and what is installed; ends with 3 and all faults when something is wrong."""
    from prunebench.registry.governance import check_registry

    file = find_registry(registry_file)
    rows, error = check_registry(file, catalogue())
    faults = error.faults if error else ()
    if as_json:
        errors = [{"key": f.key, "line": f.line, "error": f.reason, "hint": f.hint} for f in faults]
        click.echo(json.dumps({"file": str(file), "plugins": rows, "errors": errors}, indent=1))
    for row in [] if as_json else rows:
        line = "  ".join(row[key] for key in ("kind", "name", "tier", "distribution", "range", "status"))
        click.echo(line if len(line) <= columns() else wrapped(line, columns(), indent="  "))
    if error:
        raise error
    say(f"{file}: {len(rows)} plugins listed, nothing wrong")


@command.command()
@click.argument("name")
@click.option("--tier", type=click.Choice(get_args(Tier)), default="contrib", help="Trust (default: contrib).")
@click.option("--maintainer", default="", help="Who answers for it (default: from the distribution's metadata).")
@click.option("--range", "version", default="", help="PEP 440 range (default: up to the next breaking version).")
@click.option("--reason", default="", help="Why it is in quarantine.")
@click.option("--added", type=click.DateTime(["%Y-%m-%d"]), default=datetime.now, help="Date (default: today).")
@registry_option
def add(name: str, registry_file: Path | None, added: datetime, **given: str) -> None:
    """Write the table of an installed plugin, NAME or KIND:NAME, at the end of registry.toml."""
    from prunebench.registry.governance import add_listing

    if registry_file is None and not Path("registry.toml").is_file():
        raise UsageError("there is no registry.toml here to add to", "name one with --registry FILE")
    click.echo(add_listing(find_registry(registry_file), catalogue(), name, added=added.date(), **given), nl=False)


@command.command()
def schema() -> None:
    """Print the JSON Schema of registry.toml."""
    from prunebench.registry.reader import schema_text

    click.echo(schema_text(), nl=False)
