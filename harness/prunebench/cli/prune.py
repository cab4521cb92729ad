"""`prunebench prune`: the ids of what to keep of your own data."""

import json
import sys
from pathlib import Path
from typing import Any, Literal

import click

from prunebench.cli.bar import Bar
from prunebench.cli.options import PATH
from prunebench.cli.own_data import machine_options, pruning_options
from prunebench.cli.text import columns, say
from prunebench.errors import UsageError


@click.command("prune")
@click.argument("data", type=PATH)
@click.option("--keep", multiple=True, metavar="KEEP", help="What to keep: 0.1 or 10% is a fraction, 500 a number. "
              "Repeatable; the first decides the columns of the ledger.  [default: 0.1]")  # fmt: skip
@click.option("--out", type=PATH, required=True, metavar="FOLDER", help="Folder to write.")
@pruning_options
@click.option("--prove/--no-prove", default=None, help="Prove the cut by a probe on held-out samples, and how stable "
              "it is.  [default: where there are labels and it costs little]")  # fmt: skip
@click.option("--format", "form", type=click.Choice(["csv", "parquet", "txt"]), default="csv", show_default=True,
              help="Of the kept ids and the ledger.")  # fmt: skip
@click.option("--copy-to", type=PATH, metavar="FOLDER", help="Copy the kept files into a new folder, too.")
@click.option(
    "--symlink-to",
    "--link-to",
    "symlink_to",
    type=PATH,
    metavar="FOLDER",
    help="Link to the kept files in a new folder.",
)
@machine_options
@click.option("--executor", default="", metavar="NAME[:OPTION=VALUE,...]", help="Embed pictures by workers elsewhere, "
              "such as local:slots=4, ray or slurm.  [default: in this process]")  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="Print the manifest and the files as JSON.")
def command(
    data: Path, keep: tuple[str, ...], out: Path, form: str, copy_to: Path | None, symlink_to: Path | None,
    balance: Literal["class", "none"] | None, backbones: tuple[str, ...], cache: Path | None, device: str,
    workers: int | None, quiet: bool, as_json: bool, **options: Any,
) -> None:  # fmt: skip
    """Choose what to keep of DATA, and write ids, ledger and report to a folder.

    DATA is a folder of images (a folder per class, or flat), a file of features (.npy, .npz, .safetensors, .parquet), a
    Hugging Face data set saved on disk, or a folder of tar shards. It is never changed."""
    from prunebench.pruning.api import prune
    from prunebench.pruning.folders import moved, open_folder
    from prunebench.pruning.output import MANIFEST, check_outside, check_place, check_replaceable, place_files
    from prunebench.pruning.reading.feature_files import FEATURE_ENDINGS
    from prunebench.pruning.reading.hugging_face import is_saved

    check_replaceable(out)
    check_outside(out, data, "name a folder beside it with --out")
    earlier = open_folder(out) if (out / MANIFEST).is_file() else None
    if copy_to and symlink_to:
        raise UsageError("--copy-to and --symlink-to are both given", "choose one")
    if place := copy_to or symlink_to:
        check_place(place, "copy" if copy_to else "link", data)
        if data.suffix.lower() in FEATURE_ENDINGS or is_saved(data):
            raise UsageError(f"{data} holds no files of pictures", "leave --copy-to out: kept.csv has the ids")
    with Bar(quiet) as progress:
        pruned = prune(
            data,
            keep=keep or "0.1",
            balance=balance or "",
            backbone=backbones,
            cache=cache,
            device=device,
            workers=workers,
            progress=progress,
            **options,
        )
        files = pruned.save(out, form)
        if place:
            place_files(open_folder(out).files, pruned.ids, place, "copy" if copy_to else "link", progress)
    _tell(pruned, files, as_json)
    if earlier is not None:
        say(moved(earlier, open_folder(out)))


def _tell(pruned: Any, files: dict[str, Path], as_json: bool) -> None:
    from prunebench.pruning.assurance import texts

    if as_json:
        named = {name: str(path) for name, path in files.items()}
        click.echo(json.dumps({"files": named, "manifest": dict(pruned.manifest)}))
    skipped = pruned.outcome.source.skipped
    for note in pruned.notes:
        say(f"note: {note}")
    if skipped:
        say(f"{len(skipped)} samples were skipped, such as {skipped[0].id!r} ({skipped[0].reason}): see the ledger")
    for keep in pruned.outcome.kept:
        rows = pruned.outcome.indices(keep)
        say(f"keep {keep}: {len(rows):,} of {len(pruned.outcome.source):,} samples")
    for text in texts(pruned.assurance, columns(sys.stderr)):
        say(text)
    if not as_json:
        for path in files.values():
            click.echo(path)
