"""Where the marks of the charts stand; the templates draw them as SVG."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

from prunebench.board.render.view import MINUS, Line, Row, ScoreLine, TrainingView, half, percent, points, rate

WIDTH, RIGHT, ROW, GAP = 460, 14, 20, 30  # of every chart: its width, room at the right, height of a row, panel gap
COLOURS = 8  # classes c0 to c7 of the style sheet; beyond that the marker and the dash tell lines apart
MARKERS = ("circle", "square", "triangle", "diamond", "cross")


class Point(NamedTuple):
    """One number of a chart with its interval, as fractions."""

    value: float
    low: float | None
    high: float | None
    title: str


class Scale(NamedTuple):
    """Round numbers at even distances, from the first at the pixel `start` to the last at `end`."""

    ticks: Sequence[float]
    start: float
    end: float

    def at(self, value: float) -> float:
        """Return the pixel of a value; what is beyond the scale stands at its end."""
        low, high = self.ticks[0], self.ticks[-1]
        return self.start + (self.end - self.start) * (min(max(value, low), high) - low) / (high - low)


def in_rows(table: TrainingView) -> bool:
    """Whether the chart has one row per method: at one rate, or at two when lines would be too many to tell apart."""
    return len(table.rates) == 1 or (len(table.rates) == 2 and len(table.lines) > 2 * COLOURS)


def style_of(line: Line) -> tuple[str, str]:
    """Return the classes and the marker of a line; the baseline is grey and dashed."""
    if line.role == "baseline":
        return "base", "circle"
    dash = f" d{line.style // COLOURS % 3}" if line.style >= COLOURS else ""
    return f"c{line.style % COLOURS}{dash}", MARKERS[line.style % len(MARKERS)]


def chart(table: TrainingView, name: str) -> dict[str, Any] | None:
    """Return the geometry of the chart of "accuracy" or "gain" of a table, or None without a number to draw."""
    series = [(index, line, [_point(line.rows.get(rate), name) for rate in table.rates])
              for index, line in enumerate(table.lines)]  # fmt: skip
    series = [one for one in series if any(one[2])]
    if not series:
        return None
    full: float | None = None
    if name == "accuracy":
        full = table.unpruned["accuracy_mean"] if table.unpruned else None
        full = full if full is not None else max(point.value for _, _, found in series for point in found if point)
    shared = {"full": full, "series": series, "unpruned": full is not None and table.unpruned is not None}
    return {**shared, **(_rows if in_rows(table) else _curves)(table, series, full)}


def _point(row: Row | None, name: str) -> Point | None:
    if row is None or row[f"{name}_mean"] is None:
        return None
    value = row[f"{name}_mean"]
    shown = percent(value) if name == "accuracy" else points(value)
    title = f"{rate(row['pruning_rate'])} pruned: {shown} {half(row, name)}".strip()
    return Point(value, row[f"{name}_low"], row[f"{name}_high"], title)


def _rows(table: TrainingView, series: Sequence[Any], full: float | None) -> dict[str, Any]:
    left = name_width([line.label for _, line, _ in series])
    width = (WIDTH - RIGHT - left - GAP * (len(table.rates) - 1)) / len(table.rates)
    panels = []
    for k, text in enumerate(table.rates):
        start = left + k * (width + GAP)
        ticks = _axis([found[k] for _, _, found in series if found[k]], full, max(3, int(width // 50)))
        panels.append((text, Scale(ticks, start, start + width)))
    return {"left": left, "panels": panels, "bottom": 24 + ROW * len(series), "height": 50 + ROW * len(series)}


def _curves(table: TrainingView, series: Sequence[Any], full: float | None) -> dict[str, Any]:
    height = 240 if full is None else 300
    step = (WIDTH - 44 - RIGHT - 24) / (len(table.rates) - 1)
    places = [56 + step * index for index in range(len(table.rates))]
    ticks = _axis([point for _, _, found in series for point in found if point], full)
    runs = [_runs(list(zip(places, found, strict=True))) for _, _, found in series]
    return {"height": height, "places": places, "scale": Scale(ticks, height - 28, 14), "runs": runs}


def _runs(found: Sequence[tuple[float, Point | None]]) -> list[list[tuple[float, Point]]]:
    """Return the stretches without a hole: no line is drawn across a hole."""
    runs: list[list[tuple[float, Point]]] = [[]]
    for place, point in found:
        if point is not None:
            runs[-1].append((place, point))
        elif runs[-1]:
            runs.append([])
    return [run for run in runs if run]


def _axis(found: Sequence[Point], full: float | None, most: int = 6) -> list[float]:
    """Return the ticks for some points and the accuracy of the full set, or for differences (None) and 0.

    Intervals widen the range by half of it at most: two seeds have huge ones.
    """
    means = [0.0 if full is None else full, *[point.value for point in found]]
    low, high = min(means), max(means)
    if high - low < 0.01:  # one point, or a tie: a percent of room on both sides
        low, high = low - 0.01, high + 0.01
    room = max((high - low) / 2, 0.01)
    low = max(min([low, *[point.low for point in found if point.low is not None]]), low - room)
    high = min(max([high, *[point.high for point in found if point.high is not None]]), high + room)
    return ticks(low, high, most) if full is None else ticks(max(low, 0.0), min(high, 1.0), most)


def ticks(low: float, high: float, most: int = 6) -> list[float]:
    """Return round numbers that cover [low, high], at most about `most` of them."""
    raw = max(high - low, 1e-6) / (most - 1)
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(power * factor for factor in (1, 2, 2.5, 5, 10) if power * factor >= raw * 0.999)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [round(i * step, 9) for i in range(first, last + 1)]


def agreement_chart(lines: Sequence[ScoreLine]) -> dict[str, Any] | None:
    """Return the geometry of the chart of agreement of scores, or None without a number to draw."""
    series = []
    for line in lines:
        pairs = [row["value"] for row in line.rows if row["quantity"] == "score_rho" and row["value"] is not None
                 and row["comparison"] == "cross_backbone" and row["a"] != "mean"]  # fmt: skip
        cross = line.cross["value"] if line.cross else None
        ceiling = line.cross["ceiling"] if line.cross else line.seed["value"] if line.seed else None
        series.append((line.label, cross, ceiling, pairs))
    known = [value for _, cross, ceiling, pairs in series for value in (cross, ceiling, *pairs) if value is not None]
    if not known:
        return None
    low = min([0.0, *ticks(min(known), 1.0, 7)])
    left = name_width([line.label for line in lines])
    marks = [tick for tick in ticks(low, 1.0, 7) if low - 1e-9 <= tick <= 1.0]
    return {
        "series": series,
        "left": left,
        "scale": Scale(marks, left, WIDTH - RIGHT - 8),
        "bottom": 12 + 26 * len(lines),
    }


def name_width(labels: Sequence[str]) -> float:
    """Return the room that the names of rows take."""
    return min(215.0, 20 + 7.0 * max(map(len, labels)))


def short(label: str) -> str:
    return label if len(label) <= 30 else label[:29] + "…"


def tick(value: float, signed: bool) -> str:
    """Return a fraction as the percent of an axis."""
    return f"{'+' if signed and value > 0 else ''}{value * 100:.10g}".replace("-", MINUS)


def px(value: float) -> str:
    """Return a coordinate with at most one decimal."""
    return f"{value:.1f}".removesuffix(".0")
