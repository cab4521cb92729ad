"""Charts as inline SVG text: accuracy by pruning rate, and agreement of scores."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from html import escape

from prunebench.leaderboard.headline import (
    MINUS,
    AgreementLine,
    Headline,
    Line,
    number,
    percent,
    rate_label,
    signed_percent,
)
from prunebench.leaderboard.tables import AccuracyRow

WIDTH, HEIGHT, GAIN_HEIGHT = 460, 300, 240
LEFT, RIGHT, TOP, BOTTOM = 44, 14, 14, 28
COLOURS = 8  # classes c0 to c7 of the style sheet; beyond that the marker and the dash tell lines apart
MARKERS = ("circle", "square", "triangle", "diamond", "cross")
ROW = 26


def _n(value: float) -> str:
    """Return a coordinate with at most one decimal."""
    text = f"{value:.1f}"
    return text[:-2] if text.endswith(".0") else text


def marker(shape: str, x: float, y: float, css: str, title: str = "") -> str:
    """Return one mark of about 8 units, centred at (x, y)."""
    r = 3.6
    inside = f"<title>{escape(title)}</title>" if title else ""
    if shape == "circle":
        return f'<circle class="{css}" cx="{_n(x)}" cy="{_n(y)}" r="{_n(r)}">{inside}</circle>'
    points = {
        "square": [(-r, -r), (r, -r), (r, r), (-r, r)],
        "triangle": [(0, -r - 0.8), (r + 0.6, r), (-r - 0.6, r)],
        "diamond": [(0, -r - 1), (r + 1, 0), (0, r + 1), (-r - 1, 0)],
    }.get(shape)
    if points is None:
        path = f"M{_n(x - r)} {_n(y - r)}L{_n(x + r)} {_n(y + r)}M{_n(x - r)} {_n(y + r)}L{_n(x + r)} {_n(y - r)}"
        return f'<path class="{css} open" d="{path}">{inside}</path>'
    corners = " ".join(f"{_n(x + dx)},{_n(y + dy)}" for dx, dy in points)
    return f'<polygon class="{css}" points="{corners}">{inside}</polygon>'


def style_of(line: Line) -> tuple[str, str]:
    """Return the classes and the marker of a line; the baseline is grey and dashed."""
    if line.role == "baseline":
        return "base", "circle"
    index = line.style
    dash = f" d{index // COLOURS % 3}" if index >= COLOURS else ""
    return f"c{index % COLOURS}{dash}", MARKERS[index % len(MARKERS)]


def ticks(low: float, high: float, most: int = 6) -> list[float]:
    """Return round numbers that cover [low, high], at most about `most` of them."""
    raw = max(high - low, 1e-6) / (most - 1)
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(power * factor for factor in (1, 2, 2.5, 5, 10) if power * factor >= raw * 0.999)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [round(i * step, 9) for i in range(first, last + 1)]


@dataclass(frozen=True)
class _Point:
    """One number of a chart with its interval, as fractions."""

    rate: str
    value: float
    low: float | None
    high: float | None
    title: str


def _accuracy(row: AccuracyRow) -> _Point | None:
    if row.accuracy_mean is None:
        return None
    half = "" if row.accuracy_half_width is None else f" ±{percent(row.accuracy_half_width)}"
    title = f"{row.label}, {rate_label(row.pruning_rate)} pruned: {percent(row.accuracy_mean)}{half}"
    return _Point(row.pruning_rate, row.accuracy_mean, row.accuracy_low, row.accuracy_high, title)


def _gain(row: AccuracyRow) -> _Point | None:
    if row.gain_mean is None:
        return None
    title = f"{row.label}, {rate_label(row.pruning_rate)} pruned: {signed_percent(row.gain_mean)}"
    return _Point(row.pruning_rate, row.gain_mean, row.gain_low, row.gain_high, title)


def _extent(points: Sequence[_Point], values: Sequence[float]) -> tuple[float, float]:
    """Return the range of the values, widened by intervals up to half that range (two seeds have huge ones)."""
    means = [*values, *[point.value for point in points]]
    low, high = min(means), max(means)
    if high - low < 0.01:  # one point, or a tie: a percent of room on both sides
        low, high = low - 0.01, high + 0.01
    room = max((high - low) / 2, 0.01)
    lows = [point.low for point in points if point.low is not None]
    highs = [point.high for point in points if point.high is not None]
    return max(min([low, *lows]), low - room), min(max([high, *highs]), high + room)


@dataclass(frozen=True)
class _Scale:
    """Places pruning rates at equal steps, and values between round numbers."""

    rates: tuple[str, ...]
    ticks: tuple[float, ...]
    height: int

    def x(self, rate: str) -> float:
        inner = WIDTH - LEFT - RIGHT - 24
        share = self.rates.index(rate) / (len(self.rates) - 1) if len(self.rates) > 1 else 0.5
        return LEFT + 12 + inner * share

    def y(self, value: float) -> float:
        low, high = self.ticks[0], self.ticks[-1]
        inside = min(max(value, low), high)
        return TOP + (self.height - TOP - BOTTOM) * (high - inside) / (high - low)


def _axes(scale: _Scale, signed: bool) -> list[str]:
    parts = []
    for tick in scale.ticks:
        y, css = scale.y(tick), "grid zero" if signed and tick == 0 else "grid"
        label = f"{'+' if signed and tick > 0 else ''}{tick * 100:.10g}".replace("-", MINUS)
        parts.append(f'<line class="{css}" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{_n(y)}" y2="{_n(y)}"/>')
        parts.append(f'<text class="tick" x="{LEFT - 6}" y="{_n(y + 4)}" text-anchor="end">{label}</text>')
    for rate in scale.rates:
        x, y = _n(scale.x(rate)), scale.height - BOTTOM + 17
        parts.append(f'<text class="tick" x="{x}" y="{y}" text-anchor="middle">{rate_label(rate)}</text>')
    return parts


def _runs(points: Sequence[_Point | None]) -> list[list[_Point]]:
    """Return the stretches without a hole: a line is not drawn across a hole."""
    runs: list[list[_Point]] = [[]]
    for point in points:
        if point is not None:
            runs[-1].append(point)
        elif runs[-1]:
            runs.append([])
    return [run for run in runs if run]


def _series(line: Line, index: int, points: Sequence[_Point | None], scale: _Scale) -> str:
    css, shape = style_of(line)
    bands, paths, marks = [], [], []
    for run in _runs(points):
        edges = [(scale.x(p.rate), p.low, p.high) for p in run if p.low is not None and p.high is not None]
        if len(edges) == len(run) > 1:
            upper = [f"{_n(x)},{_n(scale.y(high))}" for x, _, high in edges]
            lower = [f"{_n(x)},{_n(scale.y(low))}" for x, low, _ in reversed(edges)]
            bands.append(f'<polygon class="band" points="{" ".join(upper + lower)}"/>')
        elif edges:
            x, low, high = edges[0]
            bands.append(
                f'<line class="whisker" x1="{_n(x)}" x2="{_n(x)}" y1="{_n(scale.y(low))}" y2="{_n(scale.y(high))}"/>'
            )
        means = " ".join(f"{_n(scale.x(point.rate))},{_n(scale.y(point.value))}" for point in run)
        paths.append(f'<polyline class="line" points="{means}"/>')
        marks += [marker(shape, scale.x(p.rate), scale.y(p.value), "mark", p.title) for p in run]
    return f'<g class="series {css}" data-series="{index}">{"".join(bands + paths + marks)}</g>'


def _chart(
    table: Headline, read: Callable[[AccuracyRow], _Point | None], full: float | None, title_id: str, title: str
) -> str:
    """Return one chart of all lines of a table, or an empty string when there is nothing to draw."""
    series = []
    for line in table.lines:
        rows = [line.rows.get(rate) for rate in table.rates]
        series.append([None if row is None else read(row) for row in rows])
    points = [point for line in series for point in line if point is not None]
    if not points:
        return ""
    signed = full is None
    low, high = _extent(points, [0.0 if full is None else full])
    height = GAIN_HEIGHT if signed else HEIGHT
    marks = ticks(low if signed else max(low, 0.0), high if signed else min(high, 1.0))
    scale = _Scale(table.rates, tuple(marks), height)
    parts = _axes(scale, signed)
    if table.unpruned is not None and full is not None:
        y = scale.y(full)
        parts.append(f'<line class="full" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{_n(y)}" y2="{_n(y)}"/>')
        parts.append(f'<text class="note" x="{WIDTH - RIGHT}" y="{_n(y - 5)}" text-anchor="end">nothing pruned</text>')
    parts += [_series(line, index, series[index], scale) for index, line in enumerate(table.lines)]
    many = " many" if len(series) > COLOURS else ""
    return (
        f'<svg class="chart{many}" viewBox="0 0 {WIDTH} {height}" role="img" aria-labelledby="{title_id}">'
        f'<title id="{title_id}">{escape(title)}</title>{"".join(parts)}</svg>'
    )


def accuracy_chart(table: Headline, title_id: str) -> str:
    """Return accuracy against pruning rate with interval bands, or an empty string without a number."""
    known = [row.accuracy_mean for line in table.lines for row in line.rows.values() if row.accuracy_mean is not None]
    if not known:
        return ""
    full = max(known)
    if table.unpruned is not None and table.unpruned.accuracy_mean is not None:
        full = table.unpruned.accuracy_mean
    title = f"Accuracy in % by pruning rate, {table.training.arch}"
    return _chart(table, _accuracy, full, title_id, title)


def gain_chart(table: Headline, title_id: str) -> str:
    """Return the paired gain over the baseline against pruning rate, or an empty string without one."""
    title = f"Gain over the baseline in points by pruning rate, {table.training.arch}"
    return _chart(table, _gain, None, title_id, title)


def swatch(line: Line) -> str:
    """Return the legend's sample of a line."""
    css, shape = style_of(line)
    return (
        f'<svg class="swatch" viewBox="0 0 26 12" aria-hidden="true"><g class="series {css}">'
        f'<polyline class="line" points="1,6 25,6"/>{marker(shape, 13, 6, "mark")}</g></svg>'
    )


def _agreement_axis(low: float, bottom: float, left: float) -> list[str]:
    parts = []
    for tick in ticks(low, 1.0, 7):
        if not low - 1e-9 <= tick <= 1.0:
            continue
        x = _agreement_x(tick, low, left)
        css = "grid zero" if tick == 0 else "grid"
        parts.append(f'<line class="{css}" x1="{_n(x)}" x2="{_n(x)}" y1="8" y2="{_n(bottom)}"/>')
        parts.append(f'<text class="tick" x="{_n(x)}" y="{_n(bottom + 16)}" text-anchor="middle">{number(tick)}</text>')
    return parts


def _agreement_x(value: float, low: float, left: float) -> float:
    return left + (WIDTH - RIGHT - 8 - left) * (value - low) / (1.0 - low)


def _agreement_row(line: AgreementLine, index: int, low: float, left: float) -> str:
    y = 8 + ROW * (index + 0.5)
    text = line.label if len(line.label) <= 24 else line.label[:23] + "…"
    parts = [
        f'<text class="name" x="{_n(left - 12)}" y="{_n(y + 4)}" text-anchor="end">{escape(text)}'
        f"<title>{escape(line.label)}</title></text>"
    ]
    cross = line.cross.value if line.cross else None
    seed = line.seed.value if line.seed else None
    if cross is not None and seed is not None:
        xs = _agreement_x(cross, low, left), _agreement_x(seed, low, left)
        parts.append(f'<line class="gap" x1="{_n(xs[0])}" x2="{_n(xs[1])}" y1="{_n(y)}" y2="{_n(y)}"/>')
    for pair in line.pairs:
        if pair.comparison == "cross_backbone" and pair.value is not None:
            x = _n(_agreement_x(pair.value, low, left))
            parts.append(f'<line class="pair" x1="{x}" x2="{x}" y1="{_n(y - 5)}" y2="{_n(y + 5)}"/>')
    if seed is not None:
        title = f"{line.label}, seed to seed: {number(seed)}"
        parts.append(marker("circle", _agreement_x(seed, low, left), y, "ceiling", title))
    if cross is not None:
        title = f"{line.label}, across backbones: {number(cross)}"
        parts.append(marker("diamond", _agreement_x(cross, low, left), y, "cross", title))
    return "".join(parts)


def _known(lines: Iterable[AgreementLine]) -> list[float]:
    rows = [row for line in lines for row in (line.cross, line.seed, *line.pairs) if row is not None]
    return [row.value for row in rows if row.value is not None and not row.comparison.startswith("control_")]


def agreement_chart(lines: Sequence[AgreementLine], title_id: str) -> str:
    """Return agreement across backbones beside seed to seed, a row a method; empty without a number."""
    known = _known(lines)
    if not known:
        return ""
    low = min([0.0, *ticks(min(known), 1.0, 7)])
    left = min(190.0, 20 + 7.0 * max(len(line.label) for line in lines))
    bottom = 8 + ROW * len(lines) + 4
    rows = [_agreement_row(line, index, low, left) for index, line in enumerate(lines)]
    title = f'<title id="{title_id}">Agreement of scores across backbones and from seed to seed</title>'
    return (
        f'<svg class="chart" viewBox="0 0 {WIDTH} {_n(bottom + 24)}" role="img" aria-labelledby="{title_id}">'
        f"{title}{''.join(_agreement_axis(low, bottom, left))}{''.join(rows)}</svg>"
    )
