"""Marks, colours and axes that the charts share, as SVG text."""

from __future__ import annotations

import math
from collections.abc import Iterable
from html import escape

from prunebench.leaderboard.headline import MINUS, Line

WIDTH, RIGHT = 460, 14  # of every chart, and the room at its right edge
COLOURS = 8  # classes c0 to c7 of the style sheet; beyond that the marker and the dash tell lines apart
MARKERS = ("circle", "square", "triangle", "diamond", "cross")


def coordinate(value: float) -> str:
    """Return a coordinate with at most one decimal."""
    text = f"{value:.1f}"
    return text[:-2] if text.endswith(".0") else text


def segment(css: str, x1: float, y1: float, x2: float, y2: float) -> str:
    """Return a straight line."""
    a, b, c, d = map(coordinate, (x1, x2, y1, y2))
    return f'<line class="{css}" x1="{a}" x2="{b}" y1="{c}" y2="{d}"/>'


def words(css: str, x: float, y: float, text: str, anchor: str = "start", title: str = "") -> str:
    """Return text that starts, ends or has its middle at (x, y)."""
    place = "" if anchor == "start" else f' text-anchor="{anchor}"'
    inside = f"<title>{escape(title)}</title>" if title else ""
    return f'<text class="{css}" x="{coordinate(x)}" y="{coordinate(y)}"{place}>{escape(text)}{inside}</text>'


def marker(shape: str, x: float, y: float, css: str, title: str = "") -> str:
    """Return one mark of about 8 units, centred at (x, y)."""
    r = 3.6
    inside = f"<title>{escape(title)}</title>" if title else ""
    if shape == "circle":
        return f'<circle class="{css}" cx="{coordinate(x)}" cy="{coordinate(y)}" r="{coordinate(r)}">{inside}</circle>'
    points = {
        "square": [(-r, -r), (r, -r), (r, r), (-r, r)],
        "triangle": [(0, -r - 0.8), (r + 0.6, r), (-r - 0.6, r)],
        "diamond": [(0, -r - 1), (r + 1, 0), (0, r + 1), (-r - 1, 0)],
    }.get(shape)
    if points is None:
        ends = ((x - r, y - r, x + r, y + r), (x - r, y + r, x + r, y - r))
        path = "".join("M{} {}L{} {}".format(*map(coordinate, end)) for end in ends)
        return f'<path class="{css} open" d="{path}">{inside}</path>'
    corners = " ".join(f"{coordinate(x + dx)},{coordinate(y + dy)}" for dx, dy in points)
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


def swatch(line: Line) -> str:
    """Return the legend's sample of a line."""
    css, shape = style_of(line)
    return (
        f'<svg class="swatch" viewBox="0 0 26 12" aria-hidden="true"><g class="series {css}">'
        f'<polyline class="line" points="1,6 25,6"/>{marker(shape, 13, 6, "mark")}</g></svg>'
    )


def percent_tick(value: float, signed: bool) -> str:
    """Return a fraction as the percent of an axis."""
    return f"{'+' if signed and value > 0 else ''}{value * 100:.10g}".replace("-", MINUS)


def row_name(label: str, left: float, y: float) -> str:
    """Return the name of a row to the left of `left`, shortened where it is long, whole in its title."""
    text = label if len(label) <= 24 else label[:23] + "…"
    return words("name", left - 12, y + 4, text, "end", title=label)


def name_width(labels: Iterable[str]) -> float:
    """Return the room that the names of rows take."""
    return min(190.0, 20 + 7.0 * max(map(len, labels)))


def svg(css: str, height: float, title_id: str, title: str, parts: Iterable[str]) -> str:
    """Return one chart with its title."""
    return (
        f'<svg class="{css}" viewBox="0 0 {WIDTH} {coordinate(height)}" role="img" aria-labelledby="{title_id}">'
        f'<title id="{title_id}">{escape(title)}</title>{"".join(parts)}</svg>'
    )
