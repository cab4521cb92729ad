"""The files of the board: written whole, the same bytes from the same records, and checked against them."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

from prunebench.leaderboard.build import Missing, build_board
from prunebench.leaderboard.html import render_html
from prunebench.leaderboard.load import load_results
from prunebench.leaderboard.markdown import render_markdown
from prunebench.leaderboard.tables import AccuracyRow, Board, CorrelationRow, cell_text, columns
from prunebench.records import write_text
from prunebench.registry import Listing

FOLDER = "board"


def _csv(row_type: type[Any], rows: Iterable[Any]) -> str:
    """Return RFC 4180 text with LF; numbers with six decimals, empty where there is none."""
    names = columns(row_type)
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(names)
    writer.writerows([cell_text(getattr(row, name)) for name in names] for row in rows)
    return text.getvalue()


def board_files(board: Board) -> dict[str, str]:
    """Return file name to content of every file of the board."""
    return {
        "accuracy.csv": _csv(AccuracyRow, board.accuracy),
        "index.html": render_html(board),
        "leaderboard.md": render_markdown(board),
        "rank_correlation.csv": _csv(CorrelationRow, board.correlation),
    }


def write_board(board: Board, folder: Path) -> list[Path]:
    """Write the files of the board into `folder` and return their paths; raises StoreError."""
    paths = []
    for name, text in board_files(board).items():
        write_text(folder / name, text)
        paths.append(folder / name)
    return paths


def check_board(
    results: Path,
    listings: Mapping[str, Listing] = MappingProxyType({}),
    *,
    missing: Missing = "show",
    suites: Sequence[str] | None = None,
    folder: Path | None = None,
) -> list[str]:
    """Return the names of the files in results/board/ (or `folder`) that the records do not give, sorted.

    A missing file counts as stale; an empty list means that the board is true.
    """
    cells, agreements = load_results(results, listings)
    board = build_board(cells, agreements, missing=missing, suites=suites)
    place = results / FOLDER if folder is None else folder
    return sorted(name for name, text in board_files(board).items() if _content(place / name) != text.encode())


def _content(path: Path) -> bytes | None:
    return path.read_bytes() if path.is_file() else None
