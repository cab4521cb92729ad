"""prunebench compare."""

from pathlib import Path

import click
import msgspec

from prunebench.cli.options import json_option, results_option
from prunebench.validation.changes import changes
from prunebench.validation.lines import side
from prunebench.validation.summary import told


@click.command()
@click.argument("before", metavar="A")
@click.argument("after", metavar="B")
@results_option
@json_option
@click.option("--fail-on-change", is_flag=True, help="End with 1 if a number moved, or records came or went.")
def command(before: str, after: str, results: Path, as_json: bool, fail_on_change: bool) -> int:
    """Show which numbers moved between A and B, by how much: two folders of results, git revisions, or runs.

    Of a revision the folder --results is read as it was then; of a run, the records in --results that it made."""
    found = changes(side(results, before), side(results, after))
    click.echo(msgspec.json.encode(found.facts).decode() if as_json else told(found), nl=as_json)
    return int(fail_on_change and found.any)
