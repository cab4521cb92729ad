"""Files of a results folder to records, without trust: sizes, names, bytes, order and repetition are looked at."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from prunebench.errors import DataError, Fault, PrunebenchError
from prunebench.records import Record, encode, parse

MAX_BYTES = 5_000_000
MAX_LINE = 100_000  # characters
MAX_FAULTS = 20  # of one file
BOARD = "board"
_BOARD_FILES = ("accuracy.csv", "index.html", "leaderboard.md", "rank_correlation.csv")


class Row(NamedTuple):
    """A record and where it stands: the path below the results folder, and the line (from 1)."""

    file: str
    line: int
    record: Record

    def fault(self, reason: str, hint: str = "", kind: type[PrunebenchError] = DataError) -> Fault:
        """Return a fault of this record."""
        return Fault(self.line, reason, hint, self.file, kind=kind)


def read_folder(results: Path, max_bytes: int = MAX_BYTES) -> tuple[list[Row], list[Fault]]:
    """Return the sound records of results/<suite>/<dataset>/<method>.jsonl, and what is wrong with the others."""
    rows: list[Row] = []
    faults: list[Fault] = []
    for path in sorted(results.rglob("*")):
        name = path.relative_to(results).as_posix()
        if path.is_dir() and not path.is_symlink():
            continue
        if reason := _refusal(path, PurePosixPath(name), max_bytes):
            faults.append(Fault(0, reason, file=name, kind=DataError))
        elif path.suffix == ".jsonl":
            found, wrong = read_lines(name, path.read_bytes())
            rows += found
            faults += wrong
    return rows, faults


def _refusal(path: Path, name: PurePosixPath, max_bytes: int) -> str:
    """Return why a file is not read, or an empty string."""
    if path.is_symlink() or not path.is_file():
        return "is a link or a special file; results are plain files"
    if (size := path.stat().st_size) > max_bytes:
        return f"has {size:,} bytes, the limit is {max_bytes:,}"
    if size == 0 and name.name.startswith(".") and name.suffix == ".lock":
        return ""  # an update of the file beside it leaves one
    if name.parts[0] == BOARD:
        fits = len(name.parts) == 2 and name.name in _BOARD_FILES
        return "" if fits else f"is not a file of the board: {', '.join(_BOARD_FILES)}"
    fits = len(name.parts) == 3 and name.suffix == ".jsonl"
    return "" if fits else "is out of place: records are in <suite>/<dataset>/<method>.jsonl"


def read_lines(file: str, content: bytes) -> tuple[list[Row], list[Fault]]:
    """Return the sound records of one file, and a fault for every line that is none, out of order or repeated."""
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError as error:
        return [], [Fault(0, f"is not UTF-8: {error.reason} at byte {error.start}", file=file, kind=DataError)]
    rows: list[Row] = []
    faults = _faults(file, text, rows)
    found = list(itertools.islice(faults, MAX_FAULTS))
    if next(faults, None) is not None:
        found.append(Fault(found[-1].line + 1, "is not read any further: too much is wrong", file=file, kind=DataError))
    return rows, found


def _faults(file: str, text: str, rows: list[Row]) -> Iterator[Fault]:
    """Yield what is wrong with the lines of a file, and add those that are records to `rows`."""
    lines = text.split("\n")
    if text and not text.endswith("\n"):
        yield Fault(len(lines), "does not end with a newline", file=file, kind=DataError)
    if too_long := next((number for number, line in enumerate(lines, start=1) if len(line) > MAX_LINE), 0):
        yield Fault(too_long, f"has more than {MAX_LINE:,} characters", file=file, kind=DataError)
        return
    seen: dict[object, int] = {}
    last: Row | None = None
    for number, item in enumerate(parse(text), start=1):
        if isinstance(item, Fault):
            yield replace(item, file=file)
            continue
        row = Row(file, number, item)
        rows.append(row)
        if encode(item) != lines[number - 1]:
            yield row.fault("is not written as prunebench writes it: sorted keys, each once, no spaces")
        if item.file.as_posix() != file:
            yield row.fault(f"belongs to {item.file.as_posix()}")
        if item.place in seen:
            yield row.fault(f"is about the same cell as line {seen[item.place]}")
        elif last is not None and (item.key, item.place) < (last.record.key, last.record.place):
            yield row.fault("is out of order: records are sorted by key")
        seen.setdefault(item.place, number)
        last = row
