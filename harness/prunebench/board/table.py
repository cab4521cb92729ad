"""The board: a few tidy tables from typed records, pure, and blind to the order of the records."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import pandas as pd

from prunebench.board import accuracy, correlation
from prunebench.board.accuracy import accuracy_rows
from prunebench.board.correlation import method_correlations, named_pairs, score_correlations
from prunebench.board.facts import failures, section_facts, table_facts
from prunebench.board.grid import Table, one_per_place, section_of, tables, with_remarks
from prunebench.board.metrics import Metric, clashes, measured
from prunebench.errors import UsageError
from prunebench.records import AgreementRecord, CellRecord, Record
from prunebench.registry import Registry

Missing = Literal["show", "drop", "error"]


@dataclass(frozen=True)
class Board:
    """Everything that is printed, in the order of printing.

    accuracy: one row per method, budget, training and scoring backbone (and one for the mean over the backbones).
    rank_correlation: one row per quantity and pair of architectures or backbones.  failures: records without a value,
    one row per section and reason.  tables: one row per training of a section, with what its seeds moved.  sections:
    one row per section, with its title, the command that computes it and where its records come from.  metrics: the
    plugins that gave a column each.  problems: what is wrong with the others.
    """

    accuracy: pd.DataFrame
    rank_correlation: pd.DataFrame
    failures: pd.DataFrame
    tables: pd.DataFrame
    sections: pd.DataFrame
    metrics: tuple[Metric, ...] = ()
    problems: tuple[str, ...] = ()
    missing: Missing = "show"


def make_board(
    records: Iterable[Record],
    registry: Registry | None = None,
    metrics: Sequence[Metric] = (),
    problems: Sequence[str] = (),
    *,
    missing: Missing = "show",
    registry_file: str | None = None,
    needs_data: frozenset[str] = frozenset(),
) -> Board:
    """Return the board of some records.

    registry: its suites say which backbones a mean is over, its plugins who is in quarantine; None to know neither.
    problems: metrics that could not be loaded, to be reported.  missing: "show" keeps rows with a hole, "drop" leaves
    them out, "error" refuses them.  registry_file, needs_data: the file and the data sets that the commands which
    reproduce a section have to name.
    Raises UsageError without records and for two baselines, ResultConflict for two results of one place.
    """
    if not (every := list(records)):
        raise UsageError("there are no records to make a board of", "run `prunebench run SUITE` first")
    marked = list(with_remarks(every, registry.plugins)) if registry else [(record, False) for record in every]
    cells = one_per_place(record for record, _ in marked if isinstance(record, CellRecord))
    compared = one_per_place(record for record, _ in marked if isinstance(record, AgreementRecord))
    suites = registry.suites if registry else {}
    quarantined = frozenset(record.key for record, held in marked if held)
    found = list(tables(cells, quarantined, {name: suite.backbones for name, suite in suites.items()}))
    rows, kept, failed = _accuracy(found, metrics)
    correlations = _correlations(found, compared, registry)
    return Board(
        _without_holes(_frame(rows, [*accuracy.COLUMNS, *(m.column for m in kept)], accuracy.INTEGERS), missing),
        _frame(correlations, correlation.COLUMNS, correlation.INTEGERS),
        failures([*cells, *compared]),
        table_facts(found),
        section_facts([*cells, *compared], suites, registry_file, needs_data),
        kept,
        (*problems, *failed),
        missing,
    )


def _accuracy(
    found: Sequence[Table], metrics: Sequence[Metric]
) -> tuple[list[dict[str, Any]], tuple[Metric, ...], list[str]]:
    """Return the rows of all tables with the columns of the metrics, the metrics that worked, and what did not."""
    problems = clashes(metrics, accuracy.COLUMNS)
    rows: list[dict[str, Any]] = []
    for table in found:
        extra, failed = measured(table.rows, [metric for metric in metrics if metric not in problems])
        problems |= failed
        rows += [{**row, **more} for row, more in zip(accuracy_rows(table), extra, strict=True)]
    return rows, tuple(metric for metric in metrics if metric not in problems), sorted(problems.values())


def _correlations(
    found: Sequence[Table], compared: Sequence[AgreementRecord], registry: Registry | None
) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    for section in sorted({table.section for table in found} | {section_of(record) for record in compared}):
        suite = registry.suites.get(section.suite) if registry else None
        controls = [name for name, network in registry.networks.items() if network.control] if registry else []
        named = named_pairs(suite.agreement_backbones, controls) if suite else {}
        rows += method_correlations([table for table in found if table.section == section])
        rows += score_correlations(section, [r for r in compared if section_of(r) == section], named)
    return rows


def _frame(rows: Sequence[Mapping[str, Any]], columns: Sequence[str], integers: Sequence[str]) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=list(columns)).astype(dict.fromkeys(integers, "Int64"))


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
