"""`prunebench explain`: what became of one sample, in plain words."""

from pathlib import Path

import click

from prunebench.cli.options import PATH
from prunebench.cli.text import columns, fitted


@click.command("explain")
@click.argument("folder", type=PATH)
@click.argument("ids", nargs=-1, required=True, metavar="ID...")
def command(folder: Path, ids: tuple[str, ...]) -> None:
    """Say what became of samples in FOLDER, which `prunebench prune` wrote, and why."""
    from prunebench.pruning.folders import explain, open_folder

    written = open_folder(folder)
    click.echo("\n\n".join(fitted(explain(written, name), columns()) for name in ids))
