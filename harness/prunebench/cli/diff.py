"""`prunebench diff`: two selections side by side."""

import json
from pathlib import Path

import click

from prunebench.cli.options import PATH, json_option

_SHOWN = 10


@click.command("diff")
@click.argument("a", type=PATH)
@click.argument("b", type=PATH)
@json_option
def command(a: Path, b: Path, as_json: bool) -> None:
    """Compare what the folders A and B, which `prunebench prune` wrote, keep."""
    from prunebench.pruning.folders import diff, open_folder

    found = diff(open_folder(a), open_folder(b))
    if as_json:
        click.echo(json.dumps(found))
        return
    click.echo(
        f"{a}: {found['kept_a']} kept; {b}: {found['kept_b']} kept; {found['samples_in_both']} samples are in both"
    )
    overlap = "" if found["overlap"] is None else f" (overlap {found['overlap']:.3f} of all that either keeps)"
    click.echo(f"shared: {found['shared']}{overlap}; chance would share {found['chance']}")
    for side, folder in (("only_a", a), ("only_b", b)):
        names = found[side]
        more = f", and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
        click.echo(f"only in {folder}: {len(names)}" + (f": {', '.join(names[:_SHOWN])}{more}" if names else ""))
    for key, (one, two) in found["settings"].items():
        click.echo(f"{key}: {json.dumps(one)} / {json.dumps(two)}")
