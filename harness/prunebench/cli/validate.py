"""prunebench validate."""

from pathlib import Path

import click

from prunebench.cli.options import PATH, catalogue, registry_option
from prunebench.cli.text import say
from prunebench.errors import UsageError


@click.command()
@click.argument("results", type=PATH, default=Path("results"))
@click.option("--base", default="", help="Git revision or folder to compare with.  [default: merge base with main]")
@registry_option
@click.option("--summary", "summary_file", type=PATH, help="Write the differences as markdown.")
def command(results: Path, base: str, registry_file: Path | None, summary_file: Path | None) -> None:
    """Check RESULTS as data: print what differs from the base as markdown, and fail when something is wrong."""
    from prunebench.records import write_text
    from prunebench.registry import load_registry
    from prunebench.validation.lines import base_rows
    from prunebench.validation.rules import validate
    from prunebench.validation.summary import plain, summary

    if not results.is_dir() or results.is_symlink():
        raise UsageError(f"{results} is no folder", "name the folder of results")
    found = validate(results, base_rows(results, base), load_registry(registry_file), catalogue())
    text = summary(found)
    if summary_file is not None:
        write_text(summary_file, text, hint="name another file with --summary FILE")
    click.echo(text, nl=False)
    for fault in found.faults:
        say(f"fault: {plain(str(fault))}")
    if error := found.error():
        raise error
