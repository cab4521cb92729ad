"""Metric plugins: extra columns of the accuracy table, measured from the records of finished cells."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import pandas as pd

from prunebench.board.cells import METHOD, UNPRUNED, mean
from prunebench.board.grid import TABLE, Grid
from prunebench.errors import PrunebenchError
from prunebench.plugins import Catalogue
from prunebench.records import CellRecord
from prunebench.specs import MetricSpec


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
    for metric in metrics:
        why = "has the name of a column of accuracy.csv; give it another" if metric.column in table else ""
        try:
            table = table if why else table.assign(**{metric.column: _column(grid, metric)})
        except Exception as error:  # whatever a plugin raises
            why = f"failed: {type(error).__name__}: {error}"
        if why:
            about = f"plugin {metric.source}: metric {metric.spec.name!r}"
            problems.append(f"{about} {why}; the board is written without its column")
        else:
            kept.append(metric)
    return table, tuple(kept), sorted(problems)


def _column(grid: Grid, metric: Metric) -> pd.Series[float]:
    """Return the numbers of one metric; one of scope "method" needs a method that is complete at every budget."""
    found = pd.Series(math.nan, index=grid.rows.index)
    for _, table in grid.rows.groupby(TABLE):
        full = table.index[(table.role == UNPRUNED) & table.complete][:1]
        by = ["keep"] if metric.spec.scope == "cell" else []
        for _, rows in table.groupby([*METHOD, "score_backbone", *by]):
            if not by and (rows.role == UNPRUNED).all():
                continue
            if rows.complete.all():
                found[rows.index] = _mean_over_seeds(grid, rows.index if by else rows.index.append(full), metric)
    return found


def _mean_over_seeds(grid: Grid, rows: pd.Index[int], metric: Metric) -> float | None:
    """Return the mean of a metric over the distinct observations of some rows."""
    cells = grid.cells.loc[rows]
    names = grid.seeds.observation.loc[rows].groupby("seed", sort=True).agg(" ".join)
    values = []
    for seed in names.drop_duplicates().index:
        value = metric.measure(list(cells.record[cells.seed == seed]))
        if value is not None and not (isinstance(value, int | float) and math.isfinite(value)):
            raise TypeError(f"returned {value!r}; expected a finite float, or None for a hole")
        values.append(value)
    return mean(values)
