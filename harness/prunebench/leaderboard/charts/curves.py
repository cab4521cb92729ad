"""Accuracy and gain against the pruning rate: a line a method."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from prunebench.leaderboard.charts.points import Point, Read, axis_ticks
from prunebench.leaderboard.charts.svg import (
    COLOURS,
    RIGHT,
    WIDTH,
    coordinate,
    marker,
    percent_tick,
    segment,
    style_of,
    svg,
    words,
)
from prunebench.leaderboard.headline import Headline, Line, rate_label

HEIGHT, GAIN_HEIGHT = 300, 240
LEFT, TOP, BOTTOM = 44, 14, 28


@dataclass(frozen=True)
class _Scale:
    """Places two or more pruning rates at equal steps, and values between round numbers."""

    rates: tuple[str, ...]
    ticks: tuple[float, ...]
    height: int

    def x(self, rate: str) -> float:
        inner = WIDTH - LEFT - RIGHT - 24
        return LEFT + 12 + inner * self.rates.index(rate) / (len(self.rates) - 1)

    def y(self, value: float) -> float:
        low, high = self.ticks[0], self.ticks[-1]
        inside = min(max(value, low), high)
        return TOP + (self.height - TOP - BOTTOM) * (high - inside) / (high - low)


def _axes(scale: _Scale, signed: bool) -> list[str]:
    parts = []
    for tick in scale.ticks:
        y = scale.y(tick)
        parts.append(segment("grid zero" if signed and tick == 0 else "grid", LEFT, y, WIDTH - RIGHT, y))
        parts.append(words("tick", LEFT - 6, y + 4, percent_tick(tick, signed), "end"))
    for rate in scale.rates:
        parts.append(words("tick", scale.x(rate), scale.height - BOTTOM + 17, rate_label(rate), "middle"))
    return parts


def _runs(points: Sequence[Point | None]) -> list[list[Point]]:
    """Return the stretches without a hole: a line is not drawn across a hole."""
    runs: list[list[Point]] = [[]]
    for point in points:
        if point is not None:
            runs[-1].append(point)
        elif runs[-1]:
            runs.append([])
    return [run for run in runs if run]


def _series(line: Line, index: int, points: Sequence[Point | None], scale: _Scale) -> str:
    css, shape = style_of(line)
    bands, paths, marks = [], [], []
    for run in _runs(points):
        edges = [(scale.x(p.rate), p.low, p.high) for p in run if p.low is not None and p.high is not None]
        if len(edges) == len(run) > 1:
            upper = [f"{coordinate(x)},{coordinate(scale.y(high))}" for x, _, high in edges]
            lower = [f"{coordinate(x)},{coordinate(scale.y(low))}" for x, low, _ in reversed(edges)]
            bands.append(f'<polygon class="band" points="{" ".join(upper + lower)}"/>')
        elif edges:
            x, low, high = edges[0]
            bands.append(segment("whisker", x, scale.y(low), x, scale.y(high)))
        means = " ".join(f"{coordinate(scale.x(point.rate))},{coordinate(scale.y(point.value))}" for point in run)
        paths.append(f'<polyline class="line" points="{means}"/>')
        marks += [marker(shape, scale.x(p.rate), scale.y(p.value), "mark", p.title) for p in run]
    return f'<g class="series {css}" data-series="{index}">{"".join(bands + paths + marks)}</g>'


def curve_chart(table: Headline, read: Read, full: float | None, title_id: str, title: str) -> str:
    """Return a line a method over the pruning rates, or an empty string when there is nothing to draw.

    full: the accuracy of the unpruned set, or None for differences, whose axis has a sign.
    """
    series = [[read(line.rows.get(rate)) for rate in table.rates] for line in table.lines]
    points = [point for line in series for point in line if point is not None]
    if not points:
        return ""
    signed = full is None
    height = GAIN_HEIGHT if signed else HEIGHT
    scale = _Scale(table.rates, tuple(axis_ticks(points, full)), height)
    parts = _axes(scale, signed)
    if table.unpruned is not None and full is not None:
        y = scale.y(full)
        parts.append(segment("full", LEFT, y, WIDTH - RIGHT, y))
        parts.append(words("note", WIDTH - RIGHT, y - 5, "nothing pruned", "end"))
    parts += [_series(line, index, series[index], scale) for index, line in enumerate(table.lines)]
    return svg(f"chart{' many' if len(series) > COLOURS else ''}", height, title_id, title, parts)
