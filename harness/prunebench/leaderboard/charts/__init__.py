"""The charts of the page, as inline SVG text."""

from prunebench.leaderboard.charts.agreement import agreement_chart
from prunebench.leaderboard.charts.headline import accuracy_chart, gain_chart, in_rows
from prunebench.leaderboard.charts.svg import marker, swatch

__all__ = ["accuracy_chart", "agreement_chart", "gain_chart", "in_rows", "marker", "swatch"]
