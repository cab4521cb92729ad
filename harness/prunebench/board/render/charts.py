"""Scales and series of the charts; the templates draw them as SVG."""

import math
from collections.abc import Sequence
from itertools import groupby
from typing import NamedTuple

from prunebench.board.render.view import MINUS, Line, Row, TrainingView

Series = list[tuple[int, Line, list[Row | None]]]  # place in the table, the line, its row at each rate, None for holes


class Scale(NamedTuple):
    """Round numbers at even distances, from the first at the pixel `start` to the last at `end`."""

    ticks: Sequence[float]
    start: float
    end: float

    def at(self, value: float) -> float:
        """Return the pixel of a value; what is beyond the scale stands at its end."""
        low, high = self.ticks[0], self.ticks[-1]
        return self.start + (self.end - self.start) * (min(max(value, low), high) - low) / (high - low)


def series(table: TrainingView, name: str) -> Series:
    """Return what the chart of "accuracy" or "gain" draws: the lines that have a number."""
    found: Series = []
    for index, line in enumerate(table.lines):
        rows = [line.rows.get(rate) for rate in table.rates]
        found.append((index, line, [row if row and row[f"{name}_mean"] is not None else None for row in rows]))
    return [one for one in found if any(one[2])]


def scale(rows: Sequence[Row | None], name: str, full: float | None, start: float, end: float, most: int = 6) -> Scale:
    """Return the scale of some rows and the accuracy of the full set, or of gains (None) and 0."""
    found = [row for row in rows if row]
    means = [0.0 if full is None else full, *[row[f"{name}_mean"] for row in found]]
    low, high = min(means), max(means)
    if high - low < 0.01:  # one point, or a tie: a percent of room on both sides
        low, high = low - 0.01, high + 0.01
    room = max((high - low) / 2, 0.01)
    sides = [row for row in found if row[f"{name}_low"] is not None]
    low = max(min([low, *[row[f"{name}_low"] for row in sides]]), low - room)
    high = min(max([high, *[row[f"{name}_high"] for row in sides]]), high + room)
    return Scale(ticks(low, high, most) if full is None else ticks(max(low, 0.0), min(high, 1.0), most), start, end)


def ticks(low: float, high: float, most: int = 6) -> list[float]:
    """Return round numbers that cover [low, high], at most about `most` of them."""
    raw = max(high - low, 1e-6) / (most - 1)
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(power * factor for factor in (1, 2, 2.5, 5, 10) if power * factor >= raw * 0.999)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [round(i * step, 9) for i in range(first, last + 1)]


def runs(rows: Sequence[Row | None]) -> list[list[tuple[int, Row]]]:
    """Return the stretches without a hole, with their places: no line is drawn across a hole."""
    stretches = groupby(enumerate(rows), lambda one: one[1] is not None)
    return [[(place, row) for place, row in stretch if row] for there, stretch in stretches if there]


def tick(value: float, signed: bool) -> str:
    """Return a fraction as the percent of an axis."""
    return f"{'+' if signed and value > 0 else ''}{value * 100:.10g}".replace("-", MINUS)


def px(value: float) -> str:
    """Return a coordinate with at most one decimal."""
    return f"{value:.1f}".removesuffix(".0")
