"""`prunebench export`: what was kept, as files for others: of a pruning, or of any cell of a suite."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click

from prunebench.cli.bar import Bar
from prunebench.cli.options import GLOBS, PATH, requested, suite_options
from prunebench.cli.text import say
from prunebench.errors import UsageError

if TYPE_CHECKING:
    from prunebench.pruning.folders import Written


@click.command("export", short_help="Write what a pruning, or the cells of a suite, keep.")
@suite_options
@click.option("--out", type=PATH, metavar="FOLDER", help="Folder to write one file per selection to.")
@click.option("--format", "form", type=click.Choice(["csv", "parquet", "npz", "txt"]), default="csv", show_default=True,
              help="Of the files; txt is the kept ids alone.")  # fmt: skip
@click.option("--copy-to", type=PATH, metavar="FOLDER", help="Of a pruning: copy the kept files into a new folder.")
@click.option("--link-to", type=PATH, metavar="FOLDER", help="Of a pruning: link to the kept files in a new folder.")
def command(
    suite: str, out: Path | None, form: str, copy_to: Path | None, link_to: Path | None, **options: Any
) -> None:
    """Write ids, labels, scores and what is kept.

    SUITE is a suite whose cells were computed here (the filters choose which), or a folder that `prunebench prune`
    wrote: its kept files are copied or linked to a new folder, or its samples written as a table, at a --keep that it
    has."""
    from prunebench.pruning.output import MANIFEST

    if (Path(suite) / MANIFEST).is_file():
        if ignored := [name for name in (*GLOBS, "added", "seeds") if name != "keep" and options[name]]:
            raise UsageError(f"--{ignored[0]} chooses cells of a suite, and {suite} is a pruning", "leave it out")
        _export_pruning(Path(suite), options["keep"], out, form, copy_to, link_to)
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


def _export_pruning(
    folder: Path, keep: tuple[str, ...], out: Path | None, form: str, copy_to: Path | None, link_to: Path | None
) -> None:
    from prunebench.pruning.folders import open_folder
    from prunebench.pruning.output import place_files

    targets = [target for target in (out, copy_to, link_to) if target]
    if len(targets) != 1 or len(keep) > 1:
        hint = "one of --out FOLDER for a table, --copy-to FOLDER and --link-to FOLDER for the files; and one --keep"
        raise UsageError(f"{folder} is exported in one way at a time", hint)
    written = open_folder(folder)
    budget = keep[0] if keep else written.manifest["keep"][0]
    if out is not None:
        click.echo(_write_kept(written, budget, out, form))
        return
    with Bar() as progress:
        how: Literal["copy", "link"] = "copy" if copy_to else "link"
        count = place_files(written.files, written.at(budget), targets[0], how, progress)
    say(f"{count:,} files in {targets[0]}")
    click.echo(json.dumps({"files": count, "folder": str(targets[0])}))


def _write_kept(written: "Written", keep: str, out: Path, form: str) -> Path:
    from prunebench.pruning.output import write_selection

    out.mkdir(parents=True, exist_ok=True)
    facts = {"keep": keep, "fingerprint": written.manifest["data"]["fingerprint"], **written.manifest["method"]}
    return write_selection(written.table(keep), facts, out / f"kept-{keep.replace('%', 'pct')}.{form}")
