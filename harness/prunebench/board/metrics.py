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

    @property
    def title(self) -> str:
        return self.spec.label or self.spec.name

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


def measured(rows: Sequence[Row], metrics: Sequence[Metric]) -> tuple[list[dict[str, float | None]], dict[Metric, str]]:
    """Return the columns of each row of one table, and for each metric that raised, why it is left out.

    A row with a hole has no number.  A metric of scope "method" is measured where a method is complete at every
    budget of the table, so that all its numbers are over one grid of budgets.
    """
    found: list[dict[str, float | None]] = [{} for _ in rows]
    problems = {}
    for metric in metrics:
        try:
            values = _by_row(rows, metric)
        except Exception as error:  # whatever a plugin raises
            problems[metric] = metric.left_out(f"failed: {type(error).__name__}: {error}")
            continue
        for columns, value in zip(found, values, strict=True):
            columns[metric.column] = value
    return found, problems


def _by_row(rows: Sequence[Row], metric: Metric) -> list[float | None]:
    whole = {(row.method, row.keep, row.score_backbone): row for row in rows}
    keeps = {row.keep for row in rows if row.role != UNPRUNED}
    full = [row for row in rows if row.role == UNPRUNED and row.complete][:1]
    known: dict[tuple[object, ...], float | None] = {}
    values: list[float | None] = []
    for row in rows:
        if metric.spec.scope == "cell":
            values.append(_mean_over_seeds([row], metric))
            continue
        line = (row.method, row.score_backbone)
        if line not in known:
            budgets = [whole[row.method, keep, row.score_backbone] for keep in sorted(keeps)] if _pruned(row) else []
            known[line] = _mean_over_seeds([*budgets, *full], metric) if budgets else None
        values.append(known[line])
    return values


def _pruned(row: Row) -> bool:
    return row.role != UNPRUNED


def _mean_over_seeds(rows: Sequence[Row], metric: Metric) -> float | None:
    if not all(row.complete for row in rows):
        return None
    found: dict[str, float | None] = {}
    for seed in rows[0].seeds:
        name = " ".join(row.observations[seed] for row in rows)
        if name not in found:
            cells = [row.cells[backbone, seed] for row in rows for backbone in row.backbones]
            found[name] = _number(metric.measure(cells))
    return mean(found.values())


def _number(value: object) -> float | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise TypeError(f"returned {value!r}; expected a finite float, or None for a hole")
    return float(value)


def clashes(metrics: Sequence[Metric], columns: Sequence[str]) -> dict[Metric, str]:
    """Return the metrics whose column has the name of another column of the table, with what to do about it."""
    taken, problems = set(columns), {}
    for metric in metrics:
        if metric.column in taken:
            problems[metric] = metric.left_out("has the name of a column of accuracy.csv; give it another")
        taken.add(metric.column)
    return problems
