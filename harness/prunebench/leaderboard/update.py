"""The board of a results folder, in one call."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

from prunebench.leaderboard.build import Missing, build_board
from prunebench.leaderboard.load import load_results
from prunebench.leaderboard.terminal import render_terminal
from prunebench.leaderboard.write import FOLDER, write_board
from prunebench.registry import Listing


def update_board(
    results: Path,
    listings: Mapping[str, Listing],
    *,
    missing: Missing = "show",
    shown: Sequence[str] | None = None,
) -> str:
    """Write results/board/ from all records below `results`; return the text of the suites `shown` (all: None).

    listings: the plugins of the registry; they mark methods that are not registered or in quarantine.
    """
    cells, agreements = load_results(results, listings)
    write_board(build_board(cells, agreements, missing=missing), results / FOLDER)
    board = build_board(cells, agreements, missing=missing, suites=shown)
    return render_terminal(board, min(shutil.get_terminal_size((100, 24)).columns, 120))
