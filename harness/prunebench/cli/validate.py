"""prunebench validate."""

from collections.abc import Sequence
from pathlib import Path

import click

from prunebench.cli.options import PATH, catalogue, registry_option
from prunebench.cli.text import say
from prunebench.errors import Fault, UsageError
from prunebench.records import write_text
from prunebench.registry import load_registry
from prunebench.validation.lines import base_rows
from prunebench.validation.rules import validate, worst
from prunebench.validation.slices import merge_slice
from prunebench.validation.summary import plain, summary


@click.command()
@click.argument("results", type=PATH, default=Path("results"))
@click.option("--base", default="", help="Git revision or folder to compare with.  [default: merge base with main]")
@registry_option
@click.option("--into", type=PATH, metavar="DIR", help="Add the records to this folder, if nothing is wrong with them.")
@click.option("--summary", "summary_file", type=PATH, help="Write the differences as markdown.")
def command(results: Path, base: str, registry_file: Path | None, into: Path | None, summary_file: Path | None) -> None:
    """Check RESULTS as data: print what differs from the base as markdown, and fail when something is wrong.

    With --into, RESULTS is a slice: records that were computed elsewhere, part of a suite or all of it. They are added
    to those of DIR, all of them or none."""
    if not results.is_dir() or results.is_symlink():
        raise UsageError(f"{results} is no folder", "name the folder of results")
    registry, plugins = load_registry(registry_file), catalogue()
    if into is not None:
        if base or summary_file:
            text = "--into compares with the records of its folder, and writes no summary"
            raise UsageError(text, "leave out --base and --summary, and validate the folder afterwards")
        merged = merge_slice(results, into, registry, plugins)
        _refuse(merged.faults, f"{results}, which was to be added to {into}")
        known = f"{merged.added} records are new in {into}, {merged.known} were there"
        click.echo(f"{known}; `prunebench leaderboard` shows them")
        return
    found = validate(results, base_rows(results, base), registry, plugins)
    text = summary(found)
    if summary_file is not None:
        write_text(summary_file, text, hint="name another file with --summary FILE")
    click.echo(text, nl=False)
    _refuse(found.faults, f"the results, compared with {found.changes.before}")


def _refuse(faults: Sequence[Fault], where: str) -> None:
    """Say what is wrong, and end with the error that it amounts to."""
    for fault in faults:
        say(f"fault: {plain(str(fault))}")
    if error := worst(faults, where):
        raise error
