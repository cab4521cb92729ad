"""The board: records to a few tidy tables, tables to CSV, Markdown, HTML and plain text."""

from prunebench.board.files import check_board, load_board, update_board
from prunebench.board.metrics import Metric
from prunebench.board.render.pages import board_files
from prunebench.board.render.terminal import render_terminal
from prunebench.board.table import Board, make_board

__all__ = [
    "Board", "Metric", "board_files", "check_board", "load_board", "make_board", "render_terminal", "update_board",
]  # fmt: skip
