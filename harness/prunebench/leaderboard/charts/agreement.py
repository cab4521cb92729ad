"""Agreement of scores across backbones beside that from seed to seed: a row a method."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from prunebench.leaderboard.charts.svg import RIGHT, WIDTH, marker, name_width, row_name, segment, svg, ticks, words
from prunebench.leaderboard.headline import AgreementLine, number

ROW = 26


def _axis(low: float, bottom: float, left: float) -> list[str]:
    parts = []
    for tick in ticks(low, 1.0, 7):
        if not low - 1e-9 <= tick <= 1.0:
            continue
        x = _x(tick, low, left)
        parts.append(segment("grid zero" if tick == 0 else "grid", x, 8, x, bottom))
        parts.append(words("tick", x, bottom + 16, number(tick), "middle"))
    return parts


def _x(value: float, low: float, left: float) -> float:
    return left + (WIDTH - RIGHT - 8 - left) * (value - low) / (1.0 - low)


def _row(line: AgreementLine, index: int, low: float, left: float) -> str:
    y = 8 + ROW * (index + 0.5)
    parts = [row_name(line.label, left, y)]
    cross = line.cross.value if line.cross else None
    seed = line.seed.value if line.seed else None
    if cross is not None and seed is not None:
        parts.append(segment("gap", _x(cross, low, left), y, _x(seed, low, left), y))
    for pair in line.pairs:
        if pair.comparison == "cross_backbone" and pair.value is not None:
            x = _x(pair.value, low, left)
            parts.append(segment("pair", x, y - 5, x, y + 5))
    if seed is not None:
        title = f"{line.label}, seed to seed: {number(seed)}"
        parts.append(marker("circle", _x(seed, low, left), y, "ceiling", title))
    if cross is not None:
        title = f"{line.label}, across backbones: {number(cross)}"
        parts.append(marker("diamond", _x(cross, low, left), y, "cross", title))
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
    left = name_width(line.label for line in lines)
    bottom = 8 + ROW * len(lines) + 4
    rows = [_row(line, index, low, left) for index, line in enumerate(lines)]
    title = "Agreement of scores across backbones and from seed to seed"
    return svg("chart", bottom + 24, title_id, title, [*_axis(low, bottom, left), *rows])
