"""The charts of a headline table: rows where the rates are few, lines where they are many."""

from __future__ import annotations

from prunebench.leaderboard.charts.curves import curve_chart
from prunebench.leaderboard.charts.forest import forest_chart
from prunebench.leaderboard.charts.points import accuracy_point, gain_point
from prunebench.leaderboard.charts.svg import COLOURS
from prunebench.leaderboard.headline import Headline


def in_rows(table: Headline) -> bool:
    """Tell whether the table is drawn a row a method: at one rate, or at two when lines would be too many to tell."""
    return len(table.rates) == 1 or (len(table.rates) == 2 and len(table.lines) > 2 * COLOURS)


def accuracy_chart(table: Headline, title_id: str) -> str:
    """Return accuracies with their intervals, or an empty string without a number."""
    known = [row.accuracy_mean for line in table.lines for row in line.rows.values() if row.accuracy_mean is not None]
    if not known:
        return ""
    full = max(known)
    if table.unpruned is not None and table.unpruned.accuracy_mean is not None:
        full = table.unpruned.accuracy_mean
    title = f"Accuracy in % by pruning rate, {table.training.arch}"
    draw = forest_chart if in_rows(table) else curve_chart
    return draw(table, accuracy_point, full, title_id, title)


def gain_chart(table: Headline, title_id: str) -> str:
    """Return paired gains over the baseline with their intervals, or an empty string without one."""
    title = f"Gain over the baseline in points by pruning rate, {table.training.arch}"
    draw = forest_chart if in_rows(table) else curve_chart
    return draw(table, gain_point, None, title_id, title)
