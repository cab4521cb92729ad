"""The board: a few tidy tables from typed records, pure, and blind to the order of the records."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Literal

import pandas as pd

from prunebench.board.accuracy import accuracy_table
from prunebench.board.cells import cells_in, tidy
from prunebench.board.correlation import correlation_table
from prunebench.board.facts import failures, section_facts, table_facts
from prunebench.board.grid import Grid, make_grid
from prunebench.board.metrics import Metric, with_metrics
from prunebench.errors import UsageError
from prunebench.exhibit import Exhibit
from prunebench.records import Record
from prunebench.registry import Registry

Missing = Literal["show", "drop", "error"]


@dataclass(frozen=True)
class Board:
    """Everything that is printed, in the order of printing."""

    accuracy: pd.DataFrame  # one row per method, budget, training and scoring backbone, and one for their mean
    rank_correlation: pd.DataFrame  # one row per quantity and pair of architectures or backbones
    failures: pd.DataFrame  # records without a value, one row per section and reason
    tables: pd.DataFrame  # one row per training of a section, with what its seeds moved
    sections: pd.DataFrame  # one row per section, with the command that computes it
    cells: pd.DataFrame  # one row per record of a cell
    grid: Grid  # what the rows of `accuracy` are made of
    comparisons: pd.DataFrame  # one row per record of a comparison of scores
    metrics: tuple[Metric, ...] = ()
    problems: tuple[str, ...] = ()
    missing: Missing = "show"
    needs_data: Collection[str] = ()  # data sets that lie in a folder of the user's
    methods: pd.DataFrame = field(default_factory=pd.DataFrame)  # one row per scorer, with what its plugin declares
    exhibits: tuple[Exhibit, ...] = ()


def make_board(
    records: Iterable[Record], registry: Registry | None = None, metrics: Sequence[Metric] = (),
    problems: Sequence[str] = (), *, missing: Missing = "show", registry_file: str | None = None,
    needs_data: Collection[str] = (),
) -> Board:  # fmt: skip
    """Return the board of some records.
    registry: its suites say which backbones a mean is over, its plugins who is in quarantine; None to know neither.
    missing: "show" keeps rows with a hole, "drop" leaves them out, "error" refuses them.  registry_file, needs_data:
    the file and the data sets that the commands which reproduce a section have to name.  Raises UsageError without
    records and for two baselines, ResultConflict for two results of one place."""
    every = tidy(records, registry.plugins if registry else None)
    if every.empty:
        raise UsageError("there are no records to make a board of", "run `prunebench run SUITE` first")
    cells, suites = cells_in(every), registry.suites if registry else {}
    by_rate = {name for name, method in registry.methods.items() if method.at} if registry else set()
    grid = make_grid(cells, {name: suite.backbones for name, suite in suites.items()}, by_rate)
    accuracy, kept, failed = with_metrics(accuracy_table(grid), grid, metrics)
    return Board(
        _without_holes(accuracy, missing), correlation_table(every, grid, registry), failures(every),
        table_facts(cells), section_facts(every, suites, registry_file, needs_data), cells,
        grid, every[every.backbone_a.notna()], metrics=kept, problems=(*problems, *failed), missing=missing,
        needs_data=needs_data,
    )  # fmt: skip


def _without_holes(rows: pd.DataFrame, missing: Missing) -> pd.DataFrame:
    holes = rows[(rows.status == "hole") & ~rows.status_reason.str.startswith("not_applicable")]
    if missing == "error" and len(holes):
        first = holes.iloc[0]
        raise UsageError(
            f"{len(holes)} rows have a hole, the first: {first.method} on {first.suite}/{first.dataset}, "
            f"keep {first.keep}, {first.train_arch}: {first.status_reason}",
            f"run `prunebench run {first.suite}`, or allow holes with --missing show",
        )
    return rows[rows.status == "ok"].reset_index(drop=True) if missing == "drop" else rows
