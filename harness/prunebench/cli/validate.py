"""prunebench validate."""

from __future__ import annotations

from pathlib import Path

import click

from prunebench.cli.options import catalogue, registry_option
from prunebench.cli.text import say
from prunebench.errors import UsageError


@click.command()
@click.argument("results", type=click.Path(path_type=Path), default=Path("results"))
@click.option("--base", default="", help="Git revision or folder to compare with.  [default: merge base with main]")
@registry_option
@click.option("--max-bytes", type=click.IntRange(min=1), default=5_000_000, show_default=True, help="Size of a file.")
@click.option("--summary", "summary_file", type=click.Path(path_type=Path), help="Write the differences as markdown.")
def command(results: Path, base: str, registry_file: Path | None, max_bytes: int, summary_file: Path | None) -> None:
    """Check RESULTS as data: print what differs from the base as markdown, and fail when something is wrong."""
    from prunebench.records import write_text
    from prunebench.registry import load_registry
    from prunebench.validation.base import base_rows
    from prunebench.validation.rules import validate
    from prunebench.validation.summary import plain, summary

    if not results.is_dir() or results.is_symlink():
        raise UsageError(f"{results} is no folder", "name the folder of results")
    found = validate(results, base_rows(results, base), load_registry(registry_file), catalogue(), max_bytes)
    text = summary(found)
    if summary_file is not None:
        write_text(summary_file, text, hint="name another file with --summary FILE")
    click.echo(text, nl=False)
    for fault in found.faults:
        say(f"fault: {plain(str(fault))}")
    if error := found.error():
        raise error
