"""`prunebench try`: which method suits your own data, if any does."""

import json
from pathlib import Path
from typing import Any

import click

from prunebench.cli.bar import Bar
from prunebench.cli.options import PATH, Count
from prunebench.cli.own_data import data_options, machine_options
from prunebench.cli.text import columns, fitted, table
from prunebench.errors import UsageError
from prunebench.request import cache_folder


@click.command("try", short_help="Compare a few methods on your own data.")
@click.argument("data", type=PATH)
@click.option("--keep", multiple=True, metavar="KEEP", help="0.1 or 10% is a fraction, 500 a number. Repeatable; the "
              "first is that of the recommendation.  [default: 0.1]")  # fmt: skip
@click.option("--method", "methods", multiple=True, metavar="NAME", help="Method of registry.toml, or scorer. "
              "Repeatable.  [default: a few that are cheap]")  # fmt: skip
@data_options
@click.option("--seed", type=Count(min=0), default=0, show_default=True, help="Of all that is drawn.")
@machine_options
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def command(
    data: Path, keep: tuple[str, ...], methods: tuple[str, ...], seed: int, cache: Path | None, device: str,
    workers: int | None, quiet: bool, as_json: bool, **options: Any,
) -> None:  # fmt: skip
    """Compare a few methods on DATA with labels, and recommend one, or random.

    A linear probe on the features of DATA is trained on what each method keeps and on random parts of the same size,
    and judged on held-out samples."""
    from prunebench.plugins import load_plugins
    from prunebench.pruning.gathering import Given, Machine, gather
    from prunebench.pruning.progress import part
    from prunebench.pruning.trying import check_judged, try_methods
    from prunebench.registry import registry_for_own_data

    registry, catalogue = registry_for_own_data(), load_plugins()
    names = methods or registry.own_data.tried
    for name in names:
        catalogue.scorer(registry.method(name).scorer)
    if len(options["backbones"]) > 1:
        raise UsageError("a trial is on the features of one backbone", "try each of them on its own")
    machine = Machine(cache=cache_folder(cache), device=device, workers=workers)
    with Bar(quiet) as progress:
        gathered = gather(
            Given(data=data, **options), machine, registry, catalogue, check_judged, part(progress, 0.0, 0.6)
        )
        found = try_methods(
            gathered.bench, gathered.source, registry, names, keep or ("0.1",), seed=seed,
            progress=part(progress, 0.6, 1.0),
        )  # fmt: skip
    if as_json:
        import msgspec

        click.echo(json.dumps(msgspec.to_builtins(found)))
        return
    click.echo(_shown(found))


def _shown(found: Any) -> str:
    lines = []
    for number, keep in enumerate(found.keep):
        rows = [(one, one.rows[number]) for one in found.tried if one.rows]
        lines += table(
            [f"keep {keep}", "accuracy", "random", "gain", "everything", "seconds"],
            [
                (one.method, f"{100 * row.kept.mean:.1f}", f"{100 * row.random.mean:.1f}", _gain(row.over_random),
                 f"{100 * row.everything.mean:.1f}", f"{one.seconds:.1f}")
                for one, row in rows
            ],
        )  # fmt: skip
        lines.append("")
    lines += [f"{one.method} was not tried: {one.reason}" for one in found.tried if not one.rows]
    lines.append(f"recommended: {found.recommended}: {found.because}")
    return fitted("\n".join(lines), columns())


def _gain(difference: Any) -> str:
    half = difference.half_width
    return f"{100 * difference.mean:+.1f}" + ("" if half is None else f" ±{100 * half:.1f}")
