"""Options of the verbs for a person's own data, by the names that `prunebench.prune` has."""

from pathlib import Path

import click

from prunebench.cli.options import COUNT, PATH, Count, assignments, cache_option, together
from prunebench.errors import DataError, UsageError
from prunebench.guard import read_text
from prunebench.request import data_folders

# What says how to read data, and how to embed pictures.
data_options = together(
    click.option(
        "--data",
        "roots",
        type=PATH,
        multiple=True,
        metavar="DIR",
        callback=lambda _, __, given: data_folders(given),
        help="Folder with the files of data sets and weights that registry.toml names. Repeatable.",
    ),
    click.option("--labels", type=PATH, metavar="CSV", help="Labels: columns id and label."),
    click.option("--split", metavar="NAME", help="Which of several splits to read, such as train."),
    click.option(
        "--backbone",
        "backbones",
        multiple=True,
        metavar="MODEL",
        help="Network of registry.toml or timm model, for pictures. `prune` takes a second one, and tells how far the "
        "choice depends on it.",
    ),
    click.option(
        "--weights", type=PATH, multiple=True, metavar="FILE", help="Its weights, instead of those of the hub."
    ),
    click.option("--strict", is_flag=True, help="Stop where a sample cannot be read."),
)

# Where it is computed, and whether progress is shown.
machine_options = together(
    cache_option,
    click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda or mps."),
    click.option("--workers", type=COUNT, help="Threads that decode pictures.  [default: one for each core]"),
    click.option("-q", "--quiet", is_flag=True, help="Show no progress."),
)


def _lines(context: click.Context, option: click.Parameter, given: Path | None) -> tuple[str, ...]:
    if given is None:
        return ()
    try:
        return tuple(line for line in read_text(given).splitlines() if line)
    except DataError as error:
        raise UsageError(error.message, "name a text file with one id per line") from error


# What says how to read data, and how to choose from them.
pruning_options = together(
    data_options,
    click.option("--scorer", default="", help="Method: see `prunebench list`.  [default: that of registry.toml]"),
    click.option("-p", "--param", "params", multiple=True, metavar="NAME=VALUE", callback=assignments,
                 help="Parameter of the scorer. Repeatable."),
    click.option("--selector", default="", help="How to choose from scores.  [default: the scorer's own]"),
    click.option("--selector-param", "selector_params", multiple=True, metavar="NAME=VALUE", callback=assignments,
                 help="Parameter of the selector. Repeatable."),
    click.option("--projector", default="", help="For scorers that read a projection."),
    click.option("--balance", type=click.Choice(["class", "none"]), default=None,
                 help="Give each class its share, or take the best of all.  [default: as the method says]"),
    click.option("--seed", type=Count(min=0), default=0, show_default=True, help="Of all that is drawn."),
    click.option("--protect", type=PATH, metavar="FILE", callback=_lines,
                 help="Ids that are always kept, one per line."),
    click.option("--drop-duplicates", type=float, metavar="COSINE",
                 help="Remove near-duplicates first: 0.95 is usual."),
    click.option("--clusters", type=COUNT, metavar="K", help="Pseudo-classes for data without labels."),
    click.option("--reference", type=PATH, metavar="DATA",
                 help="Tell near-duplicates of these, such as a test set."),
    click.option("--search", default="auto", show_default=True, metavar="HOW",
                 help="For neighbours over all classes: exact, clusters, pynndescent, faiss; auto: exact if few."),
)  # fmt: skip
