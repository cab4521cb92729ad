"""The command that computes a section of the board: no budget and no seed that the section does not show."""

from __future__ import annotations

from prunebench.leaderboard.cells import Section
from prunebench.leaderboard.tables import Board, by_keep


def run_command(board: Board, section: Section) -> str:
    """Return "prunebench run SUITE" with the seeds and the fractions to keep of the section."""
    rows = [row for row in board.accuracy if row.section == section]
    compared = [row for row in board.correlation if row.section == section]
    seeds = max([row.n_seeds_expected for row in rows] + [row.n_seeds for row in compared], default=0)
    keeps = {row.keep for row in rows if row.role != "unpruned"}
    parts = ["prunebench run", section.suite, f"--seeds {seeds}" if seeds else ""]
    parts += [f"--keep {keep}" for keep in sorted(keeps, key=by_keep)]
    return " ".join(filter(None, parts))
