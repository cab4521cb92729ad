"""`prunebench export`: what was kept, as files for others: of a pruning, or of any cell of a suite."""

import json
from pathlib import Path
from typing import Any

import click

from prunebench.cli.bar import Bar
from prunebench.cli.options import PATH, requested, suite_options
from prunebench.cli.text import say
from prunebench.errors import UsageError


@click.command("export", short_help="Write what a pruning, or the cells of a suite, keep.")
@suite_options
@click.option("--out", type=PATH, metavar="FOLDER", help="Folder to write one file per selection to.")
@click.option("--format", "form", type=click.Choice(["csv", "parquet", "npz"]), default="csv", show_default=True,
              help="Of the files.")  # fmt: skip
@click.option("--copy-to", type=PATH, metavar="FOLDER", help="Of a pruning: copy the kept files into a new folder.")
@click.option("--link-to", type=PATH, metavar="FOLDER", help="Of a pruning: link to the kept files in a new folder.")
def command(
    suite: str, out: Path | None, form: str, copy_to: Path | None, link_to: Path | None, **options: Any
) -> None:
    """Write ids, labels, scores and what is kept.

    SUITE is a suite whose cells were computed here (the filters choose which), or a folder that `prunebench prune`
    wrote, whose kept files are copied or linked to a new folder."""
    from prunebench.pruning.output import MANIFEST

    if (Path(suite) / MANIFEST).is_file():
        _export_pruning(Path(suite), copy_to, link_to)
        return
    if copy_to or link_to:
        raise UsageError(f"{suite} is no folder of a pruning", "--copy-to and --link-to are for these")
    if out is None:
        raise UsageError("no folder to write to", "add --out FOLDER")
    _export_suite(out, form, {"suite": suite, **options})


def _export_suite(out: Path, form: str, options: dict[str, Any]) -> None:
    from prunebench.identify import identified_plan, load_registered
    from prunebench.pruning.suites import export_selections, selections
    from prunebench.store import Store

    asked = requested(options)
    registry = asked.registry
    plan = identified_plan(registry, asked.plugins, asked.suite, asked.filters, asked.settings)
    if not plan.cells:
        raise UsageError(f"suite {asked.suite!r} trains on no selection", "name a suite with training")
    data = load_registered(registry.datasets[plan.suite.dataset], asked.plugins, asked.settings.data_roots)
    found = list(selections(plan, data, Store(Path(asked.settings.cache))))
    for path in export_selections(found, plan, out, form):  # type: ignore[arg-type]
        click.echo(path)


def _export_pruning(folder: Path, copy_to: Path | None, link_to: Path | None) -> None:
    from prunebench.pruning.folders import open_folder
    from prunebench.pruning.output import place_files

    if (copy_to is None) == (link_to is None):
        raise UsageError("nothing to do with the kept files", "add one of --copy-to FOLDER and --link-to FOLDER")
    written = open_folder(folder)
    with Bar() as progress:
        target, how = copy_to or link_to or folder, "copy" if copy_to else "link"
        count = place_files(written.files, written.kept, target, how, progress)  # type: ignore[arg-type]
    say(f"{count:,} files in {copy_to or link_to}")
    click.echo(json.dumps({"files": count, "folder": str(copy_to or link_to)}))
