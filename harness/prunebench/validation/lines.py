"""Files of a results folder to records, without trust: sizes, names, bytes, order and duplicates are looked at."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from prunebench.errors import DataError, PrunebenchError, SchemaTooNew
from prunebench.records import SCHEMA, Record, coordinates, record_file
from prunebench.validation.schema import record_problems

MAX_BYTES = 5_000_000
BOARD = "board"
_BOARD_FILES = ("accuracy.csv", "index.html", "leaderboard.md", "rank_correlation.csv")


@dataclass(frozen=True)
class Problem:
    """What is wrong, and where: the path below the results folder, and the line (1-based; 0 for the whole file)."""

    file: str
    line: int
    text: str
    kind: type[PrunebenchError] = DataError

    def __str__(self) -> str:
        return f"{self.file}{f', line {self.line}' if self.line else ''}: {self.text}"


@dataclass(frozen=True)
class Row:
    """A record with its place: the path below the results folder, and the line (1-based)."""

    file: str
    line: int
    record: Record

    @property
    def place(self) -> tuple[Any, ...]:
        """Where the record stands on the board: its file and its coordinates."""
        return (self.file, *coordinates(self.record))


def read_folder(results: Path, max_bytes: int = MAX_BYTES) -> tuple[list[Row], list[Problem]]:
    """Return the sound records of results/<suite>/<dataset>/<method>.jsonl, and what is wrong with the others."""
    rows: list[Row] = []
    problems: list[Problem] = []
    for path in sorted(results.rglob("*")):
        name = path.relative_to(results).as_posix()
        if path.is_symlink() or not (path.is_file() or path.is_dir()):
            problems.append(Problem(name, 0, "is a link or a special file; results are plain files"))
        elif path.is_file() and (problem := _misplaced(name) or _too_large(path, max_bytes)):
            problems.append(Problem(name, 0, problem))
        elif path.is_file() and not name.startswith(f"{BOARD}/"):
            found, wrong = read_lines(name, path.read_bytes())
            rows += found
            problems += wrong
    return rows, problems


def _misplaced(name: str) -> str:
    parts = PurePosixPath(name).parts
    if parts[0] == BOARD:
        fits = len(parts) == 2 and parts[1] in _BOARD_FILES
        return "" if fits else f"is not a file of the board: {', '.join(_BOARD_FILES)}"
    fits = len(parts) == 3 and name.endswith(".jsonl")
    return "" if fits else "is out of place: records are in <suite>/<dataset>/<method>.jsonl"


def _too_large(path: Path, max_bytes: int) -> str:
    size = path.stat().st_size
    return f"has {size:,} bytes, the limit is {max_bytes:,}" if size > max_bytes else ""


def read_lines(file: str, content: bytes) -> tuple[list[Row], list[Problem]]:
    """Return the sound records of one file, and a problem for every line that is none, out of order or repeated."""
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError as error:
        return [], [Problem(file, 0, f"is not UTF-8: {error.reason} at byte {error.start}")]
    lines = text.split("\n")
    problems = [] if lines[-1] == "" and len(lines) > 1 else [Problem(file, len(lines), "does not end with a newline")]
    rows = []
    for number, line in enumerate(lines[:-1] if lines[-1] == "" else lines, start=1):
        record, wrong = _parse(file, number, line)
        problems += wrong
        if record is not None:
            rows.append(Row(file, number, record))
    return rows, problems + list(_order(rows))


def _parse(file: str, number: int, line: str) -> tuple[Record | None, list[Problem]]:
    try:
        record = json.loads(line)
        canonical = json.dumps(record, sort_keys=True, ensure_ascii=False, allow_nan=False)
    except (ValueError, RecursionError) as error:
        return None, [Problem(file, number, f"is not JSON: {error}")]
    if isinstance(record, dict) and type(record.get("schema")) is int and record["schema"] > SCHEMA:
        text = f"has schema {record['schema']}, this prunebench reads {SCHEMA}"
        return None, [Problem(file, number, text, SchemaTooNew)]
    if problems := [Problem(file, number, text) for text in record_problems(record)]:
        return None, problems
    if canonical != line:
        problems.append(Problem(file, number, "is not written as prunebench writes it (sorted keys, one space)"))
    if (right := record_file(Path(), record).as_posix()) != file:
        problems.append(Problem(file, number, f"belongs to {right}"))
    return record, problems


def _order(rows: list[Row]) -> Iterator[Problem]:
    seen: dict[tuple[Any, ...], int] = {}
    last: tuple[Any, ...] | None = None
    for row in rows:
        if row.place in seen:
            yield Problem(row.file, row.line, f"is about the same cell as line {seen[row.place]}")
            continue
        seen[row.place] = row.line
        rank = (row.record["key"], row.place)
        if last is not None and rank < last:
            yield Problem(row.file, row.line, "is out of order: records are sorted by key")
        last = rank
