"""`prunebench export`: what was kept, of a pruning or of any cell of a suite, and trained networks, as files."""

import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click

from prunebench.cli.bar import Bar
from prunebench.cli.options import (
    GLOBS,
    PATH,
    Count,
    cache_option,
    data_option,
    registry_option,
    requested,
    results_option,
    suite_options,
)  # fmt: skip
from prunebench.cli.text import say
from prunebench.errors import UsageError

if TYPE_CHECKING:
    from prunebench.pruning.folders import Written


class _Exports(click.Group):
    """A group whose command `kept` is meant where none is named; `kept` is also the usual name of a folder."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        first, *others = args or [""]
        named = first in ("backbone", "exhibit", "-h", "--help") or (
            first == "kept" and others and others[0][:1] != "-"
        )
        return super().parse_args(ctx, args if named else ["kept", *args])


@click.group("export", cls=_Exports, short_help="Write what was kept, or a trained network, as files.")
def command() -> None:
    """Write what was computed as files for others. `prunebench export SUITE` is short for `export kept SUITE`."""


@command.command()
@suite_options
@click.option("--out", type=PATH, metavar="FOLDER", help="Folder to write one file per selection to.")
@click.option("--format", "form", type=click.Choice(["csv", "parquet", "npz", "txt"]), default="csv", show_default=True,
              help="Of the files; txt is the kept ids alone.")  # fmt: skip
@click.option("--copy-to", type=PATH, metavar="FOLDER", help="Of a pruning: copy the kept files into a new folder.")
@click.option("--link-to", type=PATH, metavar="FOLDER", help="Of a pruning: link to the kept files in a new folder.")
def kept(suite: str, out: Path | None, form: str, copy_to: Path | None, link_to: Path | None, **options: Any) -> None:
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


@command.command()
@click.argument("suite")
@registry_option
@results_option
@cache_option
@data_option
def exhibit(suite: str, **options: Any) -> None:
    """Write what the board shows of the data of SUITE: a sample on a map, its pictures, and what each method keeps.

    The suite must have been computed here, for its first seed at the least. Pictures are written where the registry
    names a licence that lets others show them."""
    from prunebench.identify import data_of, identified_plan
    from prunebench.pruning.exhibits import export_exhibit

    asked = requested({**options, "suite": suite, "seeds": 1})
    plan = identified_plan(asked)
    licence = asked.registry.datasets[plan.suite.dataset].licence
    click.echo(export_exhibit(plan, data_of(asked), asked.store, asked.results, licence))


@command.command()
@click.argument("name")
@click.option("--out", type=PATH, metavar="FILE", required=True, help="File to write, in the format of safetensors.")
@click.option("--suite", help="Suite on whose data it was trained.  [default: the only one that trains it]")
@click.option("--replicate", type=Count(min=0), default=0, show_default=True,
              help="Which of the networks that the seeds of a suite are spread over.")  # fmt: skip
@registry_option
@cache_option
@data_option
def backbone(name: str, out: Path, suite: str | None, replicate: int, **options: Any) -> None:
    """Write the weights of network NAME, which was trained here, and print the lines that register the file.

    The file goes into a folder that --data names, or into its sub-folder weights, on whatever machine goes on from
    there. It says what it was trained on, and how."""
    from prunebench.network_file import export_backbone, suites_of

    asked = requested({**options, "results": Path("results"), "suite": suite or ""})
    suites = [suite] if suite else suites_of(asked, name)
    data = {asked.registry.suite(one).dataset for one in suites}
    if len(data) > 1:
        raise UsageError(f"{name} is trained on {', '.join(sorted(data))}", f"add --suite, such as --suite {suites[0]}")
    if not suites and name in asked.registry.networks:
        raise UsageError(f"no suite trains {name} on all of its data", "name the data by a suite, with --suite SUITE")
    found = export_backbone(replace(asked, suite=suites[0] if suites else ""), name, out, replicate)
    say(f"{out}: accuracy {found.facts['accuracy']} on the test set of {found.facts['dataset']}")
    click.echo(found.lines, nl=False)


def _export_suite(out: Path, form: str, options: dict[str, Any]) -> None:
    from prunebench.identify import data_of, identified_plan
    from prunebench.pruning.suites import export_selections, selections

    asked = requested(options)
    plan = identified_plan(asked)
    if not plan.cells:
        raise UsageError(f"suite {asked.suite!r} trains on no selection", "name a suite with training")
    found = list(selections(plan, data_of(asked), asked.store))
    for path in export_selections(found, plan, out, form):  # type: ignore[arg-type]
        click.echo(path)


def _export_pruning(
    folder: Path, keep: tuple[str, ...], out: Path | None, form: str, copy_to: Path | None, link_to: Path | None
) -> None:
    from prunebench.pruning.folders import input_folder, open_folder
    from prunebench.pruning.output import check_place, place_files

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
        check_place(targets[0], how, input_folder(written))
        count = place_files(written.files, written.at(budget), targets[0], how, progress)
    say(f"{count:,} files in {targets[0]}")
    click.echo(json.dumps({"files": count, "folder": str(targets[0])}))


def _write_kept(written: "Written", keep: str, out: Path, form: str) -> Path:
    from prunebench.pruning.output import write_selection

    out.mkdir(parents=True, exist_ok=True)
    facts = {"keep": keep, "fingerprint": written.manifest["data"]["fingerprint"], **written.manifest["method"]}
    return write_selection(written.table(keep), facts, out / f"kept-{keep.replace('%', 'pct')}.{form}")
