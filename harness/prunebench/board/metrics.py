"""Metric plugins: extra columns of the accuracy table, measured from the records of finished cells."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from prunebench.board.grid import UNPRUNED, Row, mean
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

    def left_out(self, why: str) -> str:
        return f"plugin {self.source}: metric {self.spec.name!r} {why}; the board is written without its column"


def load_metrics(catalogue: Catalogue) -> tuple[list[Metric], list[str]]:
    """Return the metrics of the installed plugins in the order of their names, and what is wrong with the others."""
    metrics, problems = [], []
    for _, entry in sorted(catalogue.entries["metrics"].items()):
        try:
            metrics.append(Metric(entry.spec, str(entry.origin), entry.load()))
        except PrunebenchError as error:
            problems.append(f"{error.message}; the board is written without its column")
    return metrics, problems


def clashes(metrics: Sequence[Metric], columns: Sequence[str]) -> dict[Metric, str]:
    """Return the metrics whose column has the name of another column of the table, with what to do about it."""
    names = [*columns, *(metric.column for metric in metrics)]
    why = "has the name of a column of accuracy.csv; give it another"
    return {
        metric: metric.left_out(why)
        for index, metric in enumerate(metrics)
        if metric.column in names[: len(columns) + index]
    }


def measured(rows: Sequence[Row], metrics: Sequence[Metric]) -> tuple[list[dict[str, float | None]], dict[Metric, str]]:
    """Return the columns of each row of one table, and for each metric that raised, why it is left out.

    A row with a hole has no number.  A metric of scope "method" is measured where a method is complete at every
    budget of the table, so that all its numbers are over one grid of budgets.
    """
    found: list[dict[str, float | None]] = [{} for _ in rows]
    problems = {}
    for metric in metrics:
        known: dict[tuple[object, ...], float | None] = {}
        try:
            for row, columns in zip(rows, found, strict=True):
                line = (row.method, row.score_backbone, row.keep if metric.spec.scope == "cell" else "")
                if line not in known:
                    known[line] = _mean_over_seeds(_grid(row, rows, metric), metric)
                columns[metric.column] = known[line]
        except Exception as error:  # whatever a plugin raises
            problems[metric] = metric.left_out(f"failed: {type(error).__name__}: {error}")
    return found, problems


def _grid(row: Row, rows: Sequence[Row], metric: Metric) -> list[Row]:
    """Return the rows that a metric sees at once: one, or those of all budgets of a method and of the full set."""
    if metric.spec.scope == "cell":
        return [row]
    budgets = [r for r in rows if (r.method, r.score_backbone) == (row.method, row.score_backbone)]
    return budgets + [r for r in rows if r.role == UNPRUNED and r.complete][:1] if row.role != UNPRUNED else []


def _mean_over_seeds(rows: Sequence[Row], metric: Metric) -> float | None:
    """Return the mean of a metric over the distinct observations of complete rows; None where a row has a hole."""
    found: dict[str, float | None] = {}
    for seed in rows[0].seeds if rows and all(row.complete for row in rows) else ():
        name = " ".join(row.observations[seed] for row in rows)
        if name not in found:
            value = metric.measure([row.cells[backbone, seed] for row in rows for backbone in row.backbones])
            if value is not None and not (isinstance(value, int | float) and math.isfinite(value)):
                raise TypeError(f"returned {value!r}; expected a finite float, or None for a hole")
            found[name] = value
    return mean(found.values())
