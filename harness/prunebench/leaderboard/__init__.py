"""The leaderboard: records to tables, tables to CSV, Markdown, HTML and plain text."""

from prunebench.leaderboard.build import build_board
from prunebench.leaderboard.load import load_results
from prunebench.leaderboard.tables import AccuracyRow, Board, CorrelationRow, FailureRow
from prunebench.leaderboard.terminal import render_terminal
from prunebench.leaderboard.write import board_files, check_board, write_board

__all__ = [
    "AccuracyRow",
    "Board",
    "CorrelationRow",
    "FailureRow",
    "board_files",
    "build_board",
    "check_board",
    "load_results",
    "render_terminal",
    "write_board",
]
