"""Files of a folder or a git revision to records, without trust: sizes, names, bytes and order are looked at."""

import contextlib
import io
import itertools
import subprocess
import tarfile
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import NamedTuple

from prunebench.errors import DataError, Fault, PrunebenchError, UsageError
from prunebench.exhibit import FILE as EXHIBIT
from prunebench.exhibit import decode_exhibit
from prunebench.records import Record, encode, parse

MAX_BYTES, MAX_LINE, MAX_FAULTS = 10_000_000, 100_000, 20  # of a file; of a line, in characters; of a file
BOARD_FILES = ("accuracy.csv", "comparison.html", "comparison.md", "index.html", "leaderboard.md",
               "rank_correlation.csv")  # fmt: skip


class Row(NamedTuple):
    """A record and where it stands: the path below the results folder, and the line (from 1)."""

    file: str
    line: int
    record: Record

    def fault(self, reason: str, kind: type[PrunebenchError] = DataError) -> Fault:
        """Return a fault of this record."""
        return Fault(self.line, reason, file=self.file, kind=kind)


def read_folder(results: Path) -> tuple[list[Row], list[Fault]]:
    """Return the sound records of results/<suite>/<dataset>/<method>.jsonl, and what is wrong with the others."""
    rows, faults = list[Row](), list[Fault]()
    for path in sorted(path for path in results.rglob("*") if path.is_symlink() or not path.is_dir()):
        name = path.relative_to(results)
        if reason := _refusal(path, name) or _unfit(path, name):
            faults.append(Fault(0, reason, file=name.as_posix(), kind=DataError))
        elif path.suffix == ".jsonl":
            found, wrong = read_lines(name.as_posix(), path.read_bytes())
            rows += found
            faults += wrong
    return rows, faults


def _refusal(path: Path, name: Path) -> str:
    if path.is_symlink() or not path.is_file():
        return "is a link or a special file; results are plain files"
    if (size := path.stat().st_size) > MAX_BYTES:
        return f"has {size:,} bytes, the limit is {MAX_BYTES:,}"
    if size == 0 and name.name.startswith(".") and name.suffix == ".lock":
        return ""  # an update of the file beside it leaves one
    if name.suffix != ".jsonl" and name.parent.name == "board" and len(name.parts) <= 3:  # of all suites, or of one
        return "" if name.name in BOARD_FILES else f"is not a file of the board: {', '.join(BOARD_FILES)}"
    fits = len(name.parts) == 3 and (name.suffix == ".jsonl" or name.name == EXHIBIT)
    where = f"records are in <suite>/<dataset>/<method>.jsonl, pictures in {EXHIBIT} beside them"
    return "" if fits else f"is out of place: {where}"


def _unfit(path: Path, name: Path) -> str:
    """Return what is wrong with an exhibit, empty for every other file."""
    try:
        if path.name == EXHIBIT:
            decode_exhibit(path.read_bytes(), name)
    except (ValueError, RecursionError) as error:
        return f"is no exhibit: {error}"
    return ""


def read_lines(file: str, content: bytes) -> tuple[list[Row], list[Fault]]:
    """Return the sound records of one file, and a fault for every line that is none, out of order or repeated."""
    rows = list[Row]()
    faults = _faults(file, content, rows)
    found = list(itertools.islice(faults, MAX_FAULTS))
    if next(faults, None):
        found.append(Fault(found[-1].line + 1, "is not read any further: too much is wrong", file=file, kind=DataError))
    return rows, found


def _faults(file: str, content: bytes, rows: list[Row]) -> Iterator[Fault]:
    """Yield what is wrong with the lines of a file, and add those that are records to `rows`."""
    fault = partial(Fault, file=file, kind=DataError)
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        yield fault(line, f"is not UTF-8: {error.reason} at byte {error.start} of the file")
        return
    lines = text.split("\n")
    if lines[-1]:
        yield fault(len(lines), "does not end with a newline")
    if too_long := next((number for number, line in enumerate(lines, start=1) if len(line) > MAX_LINE), 0):
        yield fault(too_long, f"has more than {MAX_LINE:,} characters")
        return
    seen: dict[object, int] = {}
    for number, item in enumerate(parse(text), start=1):
        if isinstance(item, Fault):
            yield replace(item, file=file)
            continue
        rows.append(Row(file, number, item))
        if encode(item) != lines[number - 1]:
            yield fault(number, "is not written as prunebench writes it: sorted keys, each once, no spaces")
        if item.file.as_posix() != file:
            yield fault(number, f"belongs to {item.file.as_posix()}")
        if item.place in seen:
            yield fault(number, f"is about the same cell as line {seen[item.place]}")
        elif len(rows) > 1 and (item.key, item.place) < (rows[-2].record.key, rows[-2].record.place):
            yield fault(number, "is out of order: records are sorted by key")
        seen.setdefault(item.place, number)


def base_rows(results: Path, base: str) -> tuple[str, list[Row]]:
    """Return the name and the records of a folder, a git revision, or by default where HEAD left main.  Raises
    DataError for a damaged folder, UsageError for what is neither."""
    if base and Path(base).is_dir():
        return base, _sound(base)
    folder = results.resolve()
    named = [("rev-parse", "--verify", "--end-of-options", f"{base}^{{commit}}")]
    for arguments in named if base else [("merge-base", "HEAD", branch) for branch in ("origin/main", "main")]:
        with contextlib.suppress(OSError, subprocess.CalledProcessError):
            commit = _git(folder, *arguments).decode().strip()
            top = Path(_git(folder, "rev-parse", "--show-toplevel").decode().strip()).resolve()
            return commit[:12], _rows_at(top, folder.relative_to(top).as_posix(), commit)
    message = f"{base or 'main'} is no folder of results, and no revision of a git repository that holds {results}"
    raise UsageError(message, "name a folder of results or a revision; `prunebench validate` takes it as --base")


def side(results: Path, name: str) -> tuple[str, list[Row]]:
    """Return the name and the records of one side of a comparison: a folder of results, a run whose records are in
    `results`, or a git revision of `results`.  Raises UsageError for anything else, DataError for a damaged folder."""
    if Path(name).is_dir():
        found = name, _sound(name)
    else:
        rows = [row for row in read_folder(results)[0] if row.record.run_id == name]
        found = (name, rows) if rows else base_rows(results, name)
    if not found[1]:
        raise UsageError(f"{name} holds no records", "name a folder of results, a run, or a revision that has some")
    return found


def _sound(folder: str) -> list[Row]:
    """Return the records of a folder; raises DataError where a file of records is damaged or out of place."""
    rows, faults = read_folder(Path(folder))
    if damaged := [fault for fault in faults if fault.file.endswith(".jsonl")]:
        raise DataError(f"{folder}: {damaged[0]}", f"`prunebench validate {folder}` says all that is wrong with it")
    return rows


def _rows_at(top: Path, folder: str, commit: str) -> list[Row]:
    if not _git(top, "ls-tree", "-r", commit, "--", f"{folder}/"):
        return []
    rows: list[Row] = []
    with tarfile.open(fileobj=io.BytesIO(_git(top, "archive", "--format=tar", commit, "--", folder))) as archive:
        for member in archive:
            content = archive.extractfile(member) if member.name.endswith(".jsonl") and member.isfile() else None
            if content is not None:
                rows += read_lines(member.name.removeprefix(f"{folder}/"), content.read())[0]
    return rows


def _git(folder: Path, *arguments: str) -> bytes:
    return subprocess.run(["git", "-C", str(folder), *arguments], capture_output=True, check=True).stdout
