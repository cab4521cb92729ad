"""prunebench leaderboard."""

from pathlib import Path
from typing import Literal

import click

from prunebench.cli.options import catalogue, registry_option, results_option
from prunebench.errors import StaleBoard
from prunebench.registry import load_registry


@click.command()
@results_option
@registry_option
@click.option("--suite", "suites", multiple=True, help="Print only this suite. Repeatable.")
@click.option("--missing", type=click.Choice(["show", "drop", "error"]), default="show", show_default=True,
              help="What to do about methods with holes.")  # fmt: skip
@click.option("--check", is_flag=True, help="Write nothing; fail when the files on disk are stale.")
def command(
    results: Path, registry_file: Path | None, suites: tuple[str, ...], missing: Literal["show", "drop", "error"],
    check: bool,
) -> None:  # fmt: skip
    """Write the board from the records in the results folder; the registry says who is in quarantine."""
    from prunebench.board import check_board, update_board

    registry, plugins = load_registry(registry_file), catalogue()
    if not check:
        click.echo(update_board(results, registry, plugins, shown=suites or None, missing=missing))
        click.echo(f"board: {results / 'board' / 'index.html'}", err=True)
    elif stale := check_board(results, registry, plugins):
        message = f"the board in {results / 'board'} is not what the records give: {', '.join(stale)}"
        raise StaleBoard(message, "write it again with `prunebench leaderboard` and commit it")
    else:
        click.echo("the board is up to date")
