"""The one way to read a file that may come from anybody: a plain file of bounded size, in UTF-8, with known fields."""

from __future__ import annotations

import contextlib
import csv
import os
import re
import stat
import warnings
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, TypeVar

import msgspec

from prunebench.errors import DataError

if TYPE_CHECKING:
    import pandas as pd

S = TypeVar("S", bound=msgspec.Struct)
MAX_BYTES = 1 << 28  # of a file that is read whole
_RESTORE = "restore the file, or remove it"
_DAMAGED = (ValueError, RecursionError, OverflowError, csv.Error)  # what decoders of text raise
# What begins like this a spreadsheet computes, and a formula may call programs; -1, -a.b and a lone - call nothing.
FORMULA = re.compile(r"^(?:[=@\t\r]|[+-](?![\w ./+-]*$))")
MAX_DEPTH = 50  # of JSON that is read whole
MAX_DOTS = 1000  # in a line of TOML
# Control characters but for tab, line feed and colours, which would act on a terminal.
CONTROLS = re.compile(r"[\0-\x08\x0b-\x1a\x1c-\x1f\x7f-\x9f]|\x1b(?!\[[0-9;]*m)")


@contextlib.contextmanager
def plain_file(path: Path, hint: str = _RESTORE) -> Iterator[BinaryIO]:
    """Yield a file that is open for reading.  Raises DataError for what cannot be read, and for what is no file: a pipe
    or a device would be waited for, or read, for ever."""
    try:
        with open(path, "rb", opener=_without_waiting) as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                raise DataError(f"{_shown(path)} is no file that can be read", hint)
            yield file
    except (OSError, ValueError) as error:  # ValueError: a path with a NUL
        if isinstance(error, IsADirectoryError):
            raise DataError(f"{_shown(path)} is no file that can be read", hint) from error
        reason = getattr(error, "strerror", None) or error
        raise DataError(f"{_shown(path)} cannot be read: {reason}", hint) from error


def _without_waiting(path: str, flags: int) -> int:
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))


def read_plain(path: Path, hint: str = _RESTORE, most: int = MAX_BYTES) -> bytes:
    """Return the content of a file of at most `most` bytes; raises DataError as `plain_file` does."""
    with plain_file(path, hint) as file:
        if (size := os.fstat(file.fileno()).st_size) > most:
            raise DataError(f"{_shown(path)} has {size:,} bytes, the limit is {most:,}", hint)
        return file.read()


def read_text(path: Path, hint: str = _RESTORE, most: int = MAX_BYTES) -> str:
    """Return the text of a file in UTF-8, with LF for CRLF; raises DataError that names the line of what is none."""
    content = read_plain(path, hint, most)
    try:
        return content.decode("utf-8-sig").replace("\r\n", "\n")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise DataError(f"{_shown(path)}, line {line}: is not UTF-8: {error.reason}", hint) from error


def read_json(path: Path, kind: type[msgspec.Struct], hint: str = _RESTORE) -> dict[str, Any]:
    """Return the JSON object of a file with all of its fields, of which those of a struct are checked; raises DataError
    that names the file and the field."""
    content = read_plain(path, hint)
    with told(path, hint):
        msgspec.json.decode(content, type=kind)
        found: dict[str, Any] = msgspec.json.decode(content)
        level: list[Any] = [found]
        for _ in range(MAX_DEPTH):
            inner = (value.values() if isinstance(value, dict) else value for value in level)
            level = [value for values in inner for value in values if isinstance(value, dict | list)]
        if level:
            raise ValueError(f"is nested more than {MAX_DEPTH} deep")
        return found


@contextlib.contextmanager
def told(path: Path, hint: str = _RESTORE) -> Iterator[None]:
    """Turn what decoders of text raise into DataError that names the file."""
    try:
        yield
    except _DAMAGED as error:
        raise DataError(f"{_shown(path)}: {_line(error)}", hint) from error


def read_csv(path: Path, kinds: Mapping[str, Any], needed: Iterable[str], hint: str = _RESTORE) -> pd.DataFrame:
    """Return a table with the columns `kinds` of those types, all others as numbers, NaN where they are empty.  needed:
    columns that must be there.  Bytes that are no UTF-8 are surrogates where the type is object.  Raises DataError that
    names the file, the row (from 1) and the column."""
    import pandas as pd

    faults = "surrogateescape" if object in kinds.values() else "strict"
    with plain_file(path, hint) as file, told(path, hint):
        given: Any = {"keep_default_na": False, "encoding_errors": faults}
        names = list(map(str, pd.read_csv(file, nrows=0, **given)))
        file.seek(0)
        empty = {name: [""] for name in names if name not in kinds}
        with warnings.catch_warnings(action="error", category=pd.errors.ParserWarning):
            try:
                table = pd.read_csv(
                    file, dtype=dict(kinds), na_values=empty, index_col=False, low_memory=False, **given
                )
            except pd.errors.ParserWarning as warning:  # rows of more cells than the header has
                raise ValueError(str(warning)) from warning
    return checked_table(table, path, kinds, needed, hint)


def checked_table(
    table: pd.DataFrame, path: Path, texts: Iterable[str], needed: Iterable[str], hint: str = _RESTORE
) -> pd.DataFrame:
    """Return a table whose columns but for `texts` are finite numbers or NaN; raises DataError as `read_csv` does."""
    import numpy as np
    import pandas as pd

    if lacking := [name for name in needed if name not in table]:
        raise DataError(f"{_shown(path)} has no column {lacking[0]}", hint)
    for name in (name for name in table if str(name) not in texts):
        column = table[name]
        if column.dtype.kind in "iu":
            continue
        try:
            numbers = pd.to_numeric(column, errors="coerce").astype("float64")
        except OverflowError:  # whole numbers of hundreds of digits
            numbers = pd.to_numeric(column.astype(str), errors="coerce").astype("float64")
        wrong = (numbers.isna() & column.notna()) | np.isinf(numbers) | (column.dtype.kind == "b")
        if wrong.any():
            row = int(wrong.to_numpy().argmax())
            text = f"{_shown(path)}, row {row + 1}: {name} is {str(column.iloc[row])[:60]!r}, expected a number"
            raise DataError(text, hint)
        table[name] = numbers
    return table


def read_toml(path: Path, kind: type[S], hint: str) -> S | None:
    """Return a file of at most 1 MB as a struct, None where there is no such file; raises DataError with what is
    wrong."""
    if not path.is_file():
        return None
    with told(path, hint):
        return msgspec.toml.decode(bounded_toml(read_text(path, hint, 1_000_000)), type=kind)


def bounded_toml(text: str) -> str:
    """Return the text of a TOML file; raises ValueError for a line with too many dots: for those of a key the parser
    takes time that grows with the square of their number."""
    for number, line in enumerate(text.split("\n"), start=1):
        if line.count(".") > MAX_DOTS:
            raise ValueError(f"more than {MAX_DOTS:,} dots in a line (at line {number}, column 1)")
    return text


def shown(text: str) -> str:
    """Return a text as a terminal may get it."""
    return CONTROLS.sub(lambda found: f"\\x{ord(found[0]):02x}", text)


def cell(text: str) -> str:
    """Return a text as a cell of a table that a spreadsheet will not compute, and that may be shown on a terminal."""
    return f"'{shown(text)}" if FORMULA.match(text) else shown(text)


def _shown(path: Path) -> str:
    return shown(str(path)).replace("\n", "\\n").encode("utf-8", "backslashreplace").decode()


def _line(error: Exception) -> str:
    return " ".join(str(error).split())[:300] or type(error).__name__
