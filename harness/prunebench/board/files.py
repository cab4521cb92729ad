"""The board of a results folder: computed once, written whole, and checked against what lies there."""

import shutil
from collections.abc import Sequence
from pathlib import Path

from prunebench.board.comparison import compare
from prunebench.board.metrics import load_metrics
from prunebench.board.published import load_published
from prunebench.board.render.pages import board_files
from prunebench.board.render.terminal import render_terminal
from prunebench.board.table import Board, Missing, make_board
from prunebench.errors import UsageError, did_you_mean
from prunebench.plugins import Catalogue
from prunebench.records import Record, read_results, write_text
from prunebench.registry import Registry, find_registry

FOLDER = "board"


def load_board(
    results: Path, registry: Registry, catalogue: Catalogue, missing: Missing = "show", suite: str = ""
) -> Board:
    """Return the board of a results folder or of one suite; raises UsageError where there are no records."""
    return _board(_records(results, suite), registry, catalogue, missing)


def _records(results: Path, suite: str) -> list[Record]:
    if records := read_results(results, suite or "*"):
        return records
    raise UsageError(f"{results} holds no records", "run `prunebench run SUITE` first, or name another --results")


def _board(records: Sequence[Record], registry: Registry, catalogue: Catalogue, missing: Missing) -> Board:
    metrics, problems = load_metrics(catalogue)
    named = None if registry.file.absolute() == find_registry().absolute() else str(registry.file)
    data = _needs_data(registry, catalogue)
    return make_board(records, registry, metrics, problems, missing=missing, registry_file=named, needs_data=data)


def _needs_data(registry: Registry, catalogue: Catalogue) -> frozenset[str]:
    """Return the data sets that lie in a folder of the user's, and not in a Python package."""
    entries = {name: catalogue.entries["datasets"].get(dataset.spec) for name, dataset in registry.datasets.items()}
    return frozenset(name for name, entry in entries.items() if entry and "--data" in entry.spec.obtain)


def _files(
    results: Path, registry: Registry, catalogue: Catalogue, missing: Missing, suite: str
) -> tuple[Board, dict[str, str]]:
    """Return the board and its files; the board of all suites has the published tables that lie beside the registry."""
    records = _records(results, suite)
    board, published = _board(records, registry, catalogue, missing), None if suite else load_published(registry)
    compared = compare(records, published, registry, _needs_data(registry, catalogue)) if published else ()
    return board, board_files(board, compared)


def update_board(
    results: Path, registry: Registry, catalogue: Catalogue, *, shown: Sequence[str] | None = None, suite: str = "",
    missing: Missing = "show",
) -> str:  # fmt: skip
    """Write results/board/ from all records below `results`; return the text of the suites `shown` (None: all).
    suite: write results/<suite>/board/ from the records of that suite alone.  Raises UsageError without records,
    StoreError for a folder that cannot be written."""
    board, files = _files(results, registry, catalogue, missing, suite)
    known = set(board.sections.suite)
    for name in shown or ():
        if name not in known:
            raise UsageError(f"{results} holds no records of a suite {name!r}", did_you_mean(name, known))
    for name, text in files.items():
        write_text(results / suite / FOLDER / name, text)
    return render_terminal(board, min(shutil.get_terminal_size((100, 24)).columns, 120), shown)


def check_board(results: Path, registry: Registry, catalogue: Catalogue) -> list[str]:
    """Return the names of the files in results/board/ that the records do not give, sorted; empty for a true board."""
    (_, files), folder = _files(results, registry, catalogue, "show", ""), results / FOLDER
    written = {path.name: path.read_bytes() for path in folder.glob("*") if path.name in files and path.is_file()}
    return sorted(name for name, text in files.items() if written.get(name) != text.encode())
