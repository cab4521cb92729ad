"""What the charts draw: numbers of the accuracy rows with their intervals, and the range that holds them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from prunebench.leaderboard.charts.svg import ticks
from prunebench.leaderboard.headline import percent, rate_label, signed_percent
from prunebench.leaderboard.tables import AccuracyRow


@dataclass(frozen=True)
class Point:
    """One number of a chart with its interval, as fractions."""

    rate: str
    value: float
    low: float | None
    high: float | None
    title: str


def accuracy_point(row: AccuracyRow | None) -> Point | None:
    """Return the mean accuracy of a row; None for a hole."""
    if row is None or row.accuracy_mean is None:
        return None
    half = "" if row.accuracy_half_width is None else f" ±{percent(row.accuracy_half_width)}"
    title = f"{row.label}, {rate_label(row.pruning_rate)} pruned: {percent(row.accuracy_mean)}{half}"
    return Point(row.pruning_rate, row.accuracy_mean, row.accuracy_low, row.accuracy_high, title)


def gain_point(row: AccuracyRow | None) -> Point | None:
    """Return the paired gain of a row; None for a hole and for the baseline."""
    if row is None or row.gain_mean is None:
        return None
    title = f"{row.label}, {rate_label(row.pruning_rate)} pruned: {signed_percent(row.gain_mean)}"
    return Point(row.pruning_rate, row.gain_mean, row.gain_low, row.gain_high, title)


def _extent(points: Sequence[Point], values: Sequence[float]) -> tuple[float, float]:
    """Return the range of the values, widened by intervals up to half that range (two seeds have huge ones)."""
    means = [*values, *[point.value for point in points]]
    low, high = min(means), max(means)
    if high - low < 0.01:  # one point, or a tie: a percent of room on both sides
        low, high = low - 0.01, high + 0.01
    room = max((high - low) / 2, 0.01)
    lows = [point.low for point in points if point.low is not None]
    highs = [point.high for point in points if point.high is not None]
    return max(min([low, *lows]), low - room), min(max([high, *highs]), high + room)


Read = Callable[[AccuracyRow | None], Point | None]


def axis_ticks(points: Sequence[Point], full: float | None, most: int = 6) -> list[float]:
    """Return the round numbers of an axis of accuracies up to that of the unpruned set, or of differences (None)."""
    low, high = _extent(points, [0.0 if full is None else full])
    return ticks(low, high, most) if full is None else ticks(max(low, 0.0), min(high, 1.0), most)
