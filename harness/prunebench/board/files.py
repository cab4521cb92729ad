"""The board of a results folder: computed once, written whole, and checked against what lies there."""

import gc
import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pandas as pd

from prunebench.board.claims import load_claims
from prunebench.board.comparison import compare
from prunebench.board.metrics import load_metrics
from prunebench.board.published import load_published
from prunebench.board.render.pages import board_files, verdict_files
from prunebench.board.render.terminal import render_terminal
from prunebench.board.table import Board, Missing, make_board
from prunebench.board.verdict import judge
from prunebench.errors import UsageError, did_you_mean
from prunebench.exhibit import read_exhibits
from prunebench.plugins import Catalogue
from prunebench.records import Record, read_results, write_text
from prunebench.registry import Registry, find_registry

FOLDER = "board"


@contextmanager
def _uncollected() -> Iterator[None]:
    """Hold the garbage collector off: a board has very many rows, which it would walk through again and again, and no
    cycles."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


@_uncollected()
def load_board(
    results: Path, registry: Registry, catalogue: Catalogue, missing: Missing = "show", suite: str = ""
) -> tuple[Board, dict[Path, str]]:
    """Return the board of a results folder or of one suite, and its files.
    For a whole folder these have the published tables, where there are some beside the registry; and for the folder
    beside the registry, the verdict on the claims that lie there.  Raises UsageError without records."""
    records = read_results(results, suite or "*")
    if not records:
        raise UsageError(f"{results} holds no records", "run `prunebench run SUITE` first, or name another --results")
    metrics, problems = load_metrics(catalogue)
    named = None if registry.file.absolute() == find_registry().absolute() else str(registry.file)
    # Whose data lie in a folder of the user's, and not in a Python package.
    entries = {name: catalogue.entries["datasets"].get(dataset.spec) for name, dataset in registry.datasets.items()}
    data = frozenset(name for name, entry in entries.items() if entry and "--data" in entry.spec.obtain)
    board = make_board(records, registry, metrics, problems, missing=missing, registry_file=named, needs_data=data)
    exhibits = tuple(read_exhibits(results, suite or "*"))
    methods = _methods(records, registry, catalogue, results / suite / FOLDER)
    board = replace(board, methods=methods, exhibits=exhibits)
    published = None if suite else load_published(registry)
    compared = compare(board, published, registry) if published else []
    pages = board_files(board, compared, published.left_out if published else "")
    files = {results / suite / FOLDER / name: text for name, text in pages.items()}
    beside = registry.file.resolve().parent
    claims = load_claims(registry) if not suite and results.resolve().parent == beside else None
    if claims is None:
        return board, files
    verdict = verdict_files(claims, judge(claims, board, registry), board)
    return board, files | {beside / name: text for name, text in verdict.items()}


def _methods(records: Sequence[Record], registry: Registry, catalogue: Catalogue, board: Path) -> pd.DataFrame:
    """Return what the plugins declare of each scorer, one row each; page: of the reference, as seen from the board."""
    rows, root = [], registry.file.absolute().parent
    for name in sorted({one.scorer for one in records} & catalogue.entries["scorers"].keys()):
        entry = catalogue.entries["scorers"][name]
        page = root / "docs" / "reference" / f"scorer-{name}.md"
        link = Path(os.path.relpath(page, board.absolute())).as_posix() if page.is_file() else ""
        plugin = f"{entry.origin.distribution} {entry.origin.version}"
        rows.append((name, entry.spec.family, entry.spec.summary, entry.spec.paper, plugin, link))
    return pd.DataFrame(rows, columns=["scorer", "family", "summary", "paper", "plugin", "page"], dtype="str")


def update_board(
    results: Path, registry: Registry, catalogue: Catalogue, *, shown: Sequence[str] | None = None, suite: str = "",
    missing: Missing = "show",
) -> str:  # fmt: skip
    """Write results/board/ from all records below `results`; return the text of the suites `shown` (None: all).
    suite: write results/<suite>/board/ from the records of that suite alone.  Raises UsageError without records,
    StoreError for a folder that cannot be written."""
    board, files = load_board(results, registry, catalogue, missing, suite)
    known = set(board.sections.suite)
    for name in shown or ():
        if name not in known:
            raise UsageError(f"{results} holds no records of a suite {name!r}", did_you_mean(name, known))
    for path, text in files.items():
        write_text(path, text)
    return render_terminal(board, min(shutil.get_terminal_size((100, 24)).columns, 120), shown)


def check_board(results: Path, registry: Registry, catalogue: Catalogue) -> list[str]:
    """Return the names of the files that are not what the records give, sorted; empty for a true board."""
    _, files = load_board(results, registry, catalogue)
    return sorted(path.name for path, text in files.items() if not path.is_file() or path.read_bytes() != text.encode())
