"""The board of a results folder: computed once, written whole, and checked against what lies there."""

import shutil
from collections.abc import Sequence
from pathlib import Path

from prunebench.board.comparison import BlockView, compare
from prunebench.board.metrics import load_metrics
from prunebench.board.published import load_published
from prunebench.board.render.pages import board_files
from prunebench.board.render.terminal import render_terminal
from prunebench.board.table import Board, Missing, make_board
from prunebench.errors import UsageError, did_you_mean
from prunebench.plugins import Catalogue
from prunebench.records import read_results, write_text
from prunebench.registry import Registry, find_registry

FOLDER = "board"


def load_board(
    results: Path, registry: Registry, catalogue: Catalogue, missing: Missing = "show", suite: str = ""
) -> tuple[Board, list[BlockView], str]:
    """Return the board of a results folder or of one suite; for a whole folder, where the registry has some, also the
    published tables beside it and the remark on those that are left out.  Raises UsageError without records."""
    records = read_results(results, suite or "*")
    if not records:
        raise UsageError(f"{results} holds no records", "run `prunebench run SUITE` first, or name another --results")
    metrics, problems = load_metrics(catalogue)
    named = None if registry.file.absolute() == find_registry().absolute() else str(registry.file)
    # Whose data lie in a folder of the user's, and not in a Python package.
    entries = {name: catalogue.entries["datasets"].get(dataset.spec) for name, dataset in registry.datasets.items()}
    data = frozenset(name for name, entry in entries.items() if entry and "--data" in entry.spec.obtain)
    board = make_board(records, registry, metrics, problems, missing=missing, registry_file=named, needs_data=data)
    published = None if suite else load_published(registry)
    if published is None:
        return board, [], ""
    return board, compare(records, published, registry, data), published.left_out


def update_board(
    results: Path, registry: Registry, catalogue: Catalogue, *, shown: Sequence[str] | None = None, suite: str = "",
    missing: Missing = "show",
) -> str:  # fmt: skip
    """Write results/board/ from all records below `results`; return the text of the suites `shown` (None: all).
    suite: write results/<suite>/board/ from the records of that suite alone.  Raises UsageError without records,
    StoreError for a folder that cannot be written."""
    board, compared, left_out = load_board(results, registry, catalogue, missing, suite)
    known = set(board.sections.suite)
    for name in shown or ():
        if name not in known:
            raise UsageError(f"{results} holds no records of a suite {name!r}", did_you_mean(name, known))
    for name, text in board_files(board, compared, left_out).items():
        write_text(results / suite / FOLDER / name, text)
    return render_terminal(board, min(shutil.get_terminal_size((100, 24)).columns, 120), shown)


def check_board(results: Path, registry: Registry, catalogue: Catalogue) -> list[str]:
    """Return the names of the files in results/board/ that the records do not give, sorted; empty for a true board."""
    files, folder = board_files(*load_board(results, registry, catalogue)), results / FOLDER
    written = {path.name: path.read_bytes() for path in folder.glob("*") if path.name in files and path.is_file()}
    return sorted(name for name, text in files.items() if written.get(name) != text.encode())
