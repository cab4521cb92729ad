"""Accuracy and gain at few pruning rates: a row a method in the order of the table, a panel a rate."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from prunebench.leaderboard.charts.points import Point, Read, axis_ticks
from prunebench.leaderboard.charts.svg import (
    RIGHT,
    WIDTH,
    marker,
    name_width,
    percent_tick,
    row_name,
    segment,
    style_of,
    svg,
    words,
)
from prunebench.leaderboard.headline import Headline, Line, rate_label

ROW, GAP, TOP, BOTTOM = 20, 30, 24, 26


@dataclass(frozen=True)
class _Panel:
    """One pruning rate: values between round numbers, from left to right."""

    rate: str
    left: float
    right: float
    ticks: tuple[float, ...]

    def x(self, value: float) -> float:
        low, high = self.ticks[0], self.ticks[-1]
        inside = min(max(value, low), high)
        return self.left + (self.right - self.left) * (inside - low) / (high - low)


def _panels(
    rates: Sequence[str], columns: Sequence[Sequence[Point | None]], full: float | None, left: float
) -> list[_Panel]:
    width = (WIDTH - RIGHT - left - GAP * (len(rates) - 1)) / len(rates)
    panels = []
    for index, (rate, column) in enumerate(zip(rates, columns, strict=True)):
        start = left + index * (width + GAP)
        known = [point for point in column if point is not None]
        marks = axis_ticks(known, full, max(3, int(width // 50)))
        panels.append(_Panel(rate, start, start + width, tuple(marks)))
    return panels


def _axis(panel: _Panel, bottom: float, signed: bool, labelled: bool) -> list[str]:
    parts = []
    for tick in panel.ticks:
        x = panel.x(tick)
        parts.append(segment("grid zero" if signed and tick == 0 else "grid", x, TOP - 6, x, bottom))
        parts.append(words("tick", x, bottom + 16, percent_tick(tick, signed), "middle"))
    if labelled:
        parts.append(words("tick", panel.left, TOP - 11, rate_label(panel.rate)))
    return parts


def _row(line: Line, index: int, points: Sequence[Point | None], panels: Sequence[_Panel], y: float) -> str:
    css, shape = style_of(line)
    parts = [row_name(line.label, panels[0].left, y)]
    for panel, point in zip(panels, points, strict=True):
        if point is None:
            continue
        if point.low is not None and point.high is not None:
            parts.append(segment("whisker", panel.x(point.low), y, panel.x(point.high), y))
        parts.append(marker(shape, panel.x(point.value), y, "mark", point.title))
    return f'<g class="series {css}" data-series="{index}">{"".join(parts)}</g>'


def forest_chart(table: Headline, read: Read, full: float | None, title_id: str, title: str) -> str:
    """Return a row a method with its interval, or an empty string when there is nothing to draw.

    full: the accuracy of the unpruned set, or None for differences, whose axis has a sign.
    """
    read_rows = [
        (index, line, [read(line.rows.get(rate)) for rate in table.rates]) for index, line in enumerate(table.lines)
    ]
    rows = [row for row in read_rows if any(row[2])]
    if not rows:
        return ""
    columns = [[points[k] for _, _, points in rows] for k in range(len(table.rates))]
    panels = _panels(table.rates, columns, full, name_width(line.label for _, line, _ in rows))
    bottom = TOP + ROW * len(rows)
    parts = [part for panel in panels for part in _axis(panel, bottom, full is None, len(panels) > 1)]
    if table.unpruned is not None and full is not None:
        parts += [segment("full", panel.x(full), TOP - 6, panel.x(full), bottom) for panel in panels]
        parts.append(words("note", WIDTH - RIGHT, TOP - 11, "unpruned", "end"))
    parts += [
        _row(line, index, points, panels, TOP + ROW * (place + 0.5)) for place, (index, line, points) in enumerate(rows)
    ]
    return svg("chart", bottom + BOTTOM, title_id, title, parts)
