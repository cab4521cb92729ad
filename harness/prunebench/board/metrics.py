"""Metric plugins: extra columns of the accuracy table, measured from the records of finished cells."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from prunebench.board.cells import METHOD, UNPRUNED, mean
from prunebench.board.grid import TABLE, Grid, by_row_and_seed
from prunebench.errors import PrunebenchError
from prunebench.plugins import Catalogue
from prunebench.records import CellRecord
from prunebench.specs import MetricSpec

Cells = Mapping[int, Mapping[int, list[CellRecord]]]  # by row and seed
Names = Mapping[int, Mapping[int, str]]  # of observations, by row and seed


@dataclass(frozen=True, eq=False)
class Metric:
    """A metric that is ready to measure; `source` names its plugin and version."""

    spec: MetricSpec
    source: str
    measure: Callable[[Sequence[CellRecord]], float | None]

    @property
    def column(self) -> str:
        return self.spec.name.replace("-", "_")


def load_metrics(catalogue: Catalogue) -> tuple[list[Metric], list[str]]:
    """Return the metrics of the installed plugins in the order of their names, and what is wrong with the others."""
    metrics, problems = [], []
    for _, entry in sorted(catalogue.entries["metrics"].items()):
        try:
            metrics.append(Metric(entry.spec, str(entry.origin), entry.load()))
        except PrunebenchError as error:
            problems.append(f"{error.message}; the board is written without its column")
    return metrics, problems


def with_metrics(
    table: pd.DataFrame, grid: Grid, metrics: Sequence[Metric]
) -> tuple[pd.DataFrame, tuple[Metric, ...], list[str]]:
    """Return the table of accuracies with a column per metric, the metrics that worked, and why the others did not."""
    kept, problems = [], []
    cells, names = _by_seed(grid) if metrics else ({}, {})
    for metric in metrics:
        why = "has the name of a column of accuracy.csv; give it another" if metric.column in table else ""
        try:
            table = table if why else table.assign(**{metric.column: _column(grid, cells, names, metric)})
        except Exception as error:  # whatever a plugin raises
            why = f"failed: {type(error).__name__}: {error}"
        if why:
            about = f"plugin {metric.source}: metric {metric.spec.name!r}"
            problems.append(f"{about} {why}; the board is written without its column")
        else:
            kept.append(metric)
    return table, tuple(kept), sorted(problems)


def _column(grid: Grid, cells: Cells, names: Names, metric: Metric) -> pd.Series[float]:
    """Return the numbers of one metric; one of scope "method" needs a method that is complete at every budget."""
    found: dict[int, float | None] = {}
    full: dict[tuple[Any, ...], int] = {}  # the unpruned row of each table, where it is complete
    lines: dict[tuple[Any, ...], list[tuple[int, str, bool]]] = defaultdict(list)
    by = ["keep"] if metric.spec.scope == "cell" else []
    columns = [*TABLE, *METHOD, "score_backbone", *by]
    places = grid.rows[columns].itertuples(index=False, name=None)
    facts = zip(grid.rows.index, grid.rows.role, grid.rows.complete, places, strict=True)
    for row, role, complete, place in facts:
        if role == UNPRUNED and complete:
            full.setdefault(place[: len(TABLE)], row)
        lines[place].append((row, role, complete))
    for line, members in lines.items():
        rows = [row for row, _, _ in members]
        whole = full.get(line[: len(TABLE)])
        if not all(complete for *_, complete in members) or (
            not by and all(role == UNPRUNED for _, role, _ in members)
        ):
            continue
        beside = [] if by or whole is None else [whole]
        found |= dict.fromkeys(rows, _mean_over_seeds([*rows, *beside], cells, names, metric))
    return pd.Series(found, index=grid.rows.index, dtype="float64")


def _by_seed(grid: Grid) -> tuple[Cells, Names]:
    """Return the records and the name of the observation, both by row and seed."""
    cells: dict[int, dict[int, list[CellRecord]]] = defaultdict(lambda: defaultdict(list))
    for row, seed, record in zip(grid.cells.index, grid.cells.seed, grid.cells.record, strict=True):
        cells[row][seed].append(record)
    return cells, by_row_and_seed(grid.seeds.observation)


def _mean_over_seeds(rows: Sequence[int], cells: Cells, names: Names, metric: Metric) -> float | None:
    """Return the mean of a metric over the distinct observations of some rows."""
    seeds: dict[str, int] = {}
    for seed in sorted({seed for row in rows for seed in names[row]}):
        seeds.setdefault(" ".join(names[row][seed] for row in rows if seed in names[row]), seed)
    values = []
    for seed in seeds.values():
        value = metric.measure([record for row in rows for record in cells[row].get(seed, ())])
        if value is not None and not (isinstance(value, int | float) and math.isfinite(value)):
            raise TypeError(f"returned {value!r}; expected a finite float, or None for a hole")
        values.append(value)
    return mean(values)
