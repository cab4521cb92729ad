"""prunebench validate."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from prunebench.cli.options import PATH, catalogue, registry_option
from prunebench.cli.text import say
from prunebench.errors import UsageError

if TYPE_CHECKING:
    from prunebench.plugins import Catalogue
    from prunebench.registry import Registry


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
    from prunebench.records import write_text
    from prunebench.registry import load_registry
    from prunebench.validation.lines import base_rows
    from prunebench.validation.rules import validate
    from prunebench.validation.summary import plain, summary

    if not results.is_dir() or results.is_symlink():
        raise UsageError(f"{results} is no folder", "name the folder of results")
    if into is not None:
        if base or summary_file:
            text = "--into compares with the records of its folder, and writes no summary"
            raise UsageError(text, "leave out --base and --summary, and validate the folder afterwards")
        _merge(results, into, load_registry(registry_file), catalogue())
        return
    found = validate(results, base_rows(results, base), load_registry(registry_file), catalogue())
    text = summary(found)
    if summary_file is not None:
        write_text(summary_file, text, hint="name another file with --summary FILE")
    click.echo(text, nl=False)
    for fault in found.faults:
        say(f"fault: {plain(str(fault))}")
    if error := found.error():
        raise error


def _merge(part: Path, results: Path, registry: "Registry", plugins: "Catalogue") -> None:
    from prunebench.validation.rules import worst
    from prunebench.validation.slices import merge_slice
    from prunebench.validation.summary import plain

    merged = merge_slice(part, results, registry, plugins)
    for fault in merged.faults:
        say(f"fault: {plain(str(fault))}")
    if error := worst(merged.faults, f"{part}, which was to be added to {results}"):
        raise error
    click.echo(
        f"{merged.added} records are new in {results}, {merged.known} were there; `prunebench leaderboard` shows them"
    )
