"""Scales of charts that templates draw as SVG."""

import math
from collections.abc import Sequence
from typing import NamedTuple

from prunebench.board.render.view import MINUS


class Scale(NamedTuple):
    """Round numbers at even distances, from the first at the pixel `start` to the last at `end`."""

    ticks: Sequence[float]
    start: float
    end: float

    def at(self, value: float) -> float:
        """Return the pixel of a value; what is beyond the scale stands at its end."""
        low, high = self.ticks[0], self.ticks[-1]
        return self.start + (self.end - self.start) * (min(max(value, low), high) - low) / (high - low)


def ticks(low: float, high: float, most: int = 6) -> list[float]:
    """Return round numbers that cover [low, high], at most about `most` of them."""
    raw = max(high - low, 1e-6) / (most - 1)
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(power * factor for factor in (1, 2, 2.5, 5, 10) if power * factor >= raw * 0.999)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [round(i * step, 9) for i in range(first, last + 1)]


def tick(value: float, signed: bool) -> str:
    """Return a fraction as the percent of an axis."""
    return f"{'+' if signed and value > 0 else ''}{value * 100:.10g}".replace("-", MINUS)


def px(value: float) -> str:
    """Return a coordinate with at most one decimal."""
    return f"{value:.1f}".removesuffix(".0")
