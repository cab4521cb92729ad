"""Labels: numbered classes from any values, and the csv files that people keep beside their data."""

from __future__ import annotations

import csv
import io
import os
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from prunebench.errors import DataError
from prunebench.guard import read_plain
from prunebench.pictures import printable, printable_ids
from prunebench.pruning.source import Skipped

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

ID_COLUMNS = (
    "id", "ids", "image_id", "sample_id", "key", "file", "filename", "file_name", "path", "filepath", "file_path",
    "image", "image_path", "img", "name", "names", "paths", "filenames", "files", "uid", "index",
)  # fmt: skip
LABEL_COLUMNS = (
    "label", "labels", "class", "classes", "class_name", "target", "targets", "category", "y", "cls", "class_id",
    "label_name", "ground_truth", "train_labels", "y_train", "fine_label",
)  # fmt: skip


def encode(values: Iterable[Any], where: str) -> tuple[NDArray[np.int64], tuple[str, ...]]:
    """Number the classes: labels int64 [n] and the class names, whole numbers by value and names by their bytes.
    Raises DataError for a label that is missing (None, NaN, an empty name), a fraction, or a row of numbers."""
    import numpy as np

    check_flat(values, "labels", where)
    given = _plain(values)
    texts = [_label(value) for value in given]
    if None in texts:
        rows = [str(row) for row, text in enumerate(texts) if text is None]
        text = f"{where}: {len(rows)} labels are missing or no class (row {', '.join(rows[:5])}, counted from 0)"
        text += f", the first is {printable(repr(given[int(rows[0])]))[:60]}"
        raise DataError(text, "give every sample a whole number or a name as its class")
    distinct = {text for text in texts if text is not None}
    if all(re.fullmatch(r"-?[0-9]{1,100}([.]0+)?", text) for text in distinct):  # "3.0", as a table writes 3
        texts = [(text or "").partition(".")[0] for text in texts]
        distinct = {*map(str, texts)}
    names = sorted(distinct, key=int if all(map(_is_number, distinct)) else _bytes)
    number = {name: position for position, name in enumerate(names)}
    labels = np.fromiter((number[str(text)] for text in texts), dtype=np.int64, count=len(texts))
    return labels, printable_ids(names)


def _bytes(name: str) -> bytes:
    try:
        return name.encode("utf-8", "surrogateescape")  # in any locale
    except UnicodeEncodeError:  # half of a pair of UTF-16, as JSON and Python can hold it
        return name.encode("utf-8", "surrogatepass")


def check_flat(values: Any, what: str, where: str) -> None:
    """Raise DataError for what is not one value for each sample in their order, such as a number, a dictionary, one-hot
    rows or a column [n, 1]."""
    shape = list(getattr(values, "shape", [0]))
    if len(shape) != 1:
        raise DataError(f"{where}: {what} have shape {shape}, expected [n]", "give one value for each sample")
    if isinstance(values, str | bytes | Mapping | Set) or not isinstance(values, Iterable):
        text = f"{where}: {what} are {type(values).__name__}, expected one value for each sample"
        raise DataError(text, "give a list or an array in the order of the samples")


def _plain(values: Any) -> list[Any]:
    """Return labels as a list of Python values."""
    values = values.tolist() if hasattr(values, "tolist") else list(values)
    return [value.item() if hasattr(value, "item") and getattr(value, "size", 1) == 1 else value for value in values]


def _label(value: Any) -> str | None:
    if isinstance(value, bytes):
        value = value.decode("utf-8", "surrogateescape")
    if isinstance(value, str):
        return value.strip() or None
    if isinstance(value, float):
        return str(int(value)) if value.is_integer() else None
    return str(int(value)) if isinstance(value, bool | int) else None


def _is_number(text: str) -> bool:
    return re.fullmatch(r"0|-?[1-9][0-9]{0,99}", text) is not None


@dataclass(frozen=True)
class LabelFile:
    """A csv file of labels.  rows: (id, label) in the order of the file; the id is "" where there is no such column."""

    path: Path
    rows: tuple[tuple[str, str], ...]

    def by_id(self) -> dict[str, set[str]]:
        """Return the labels that each id has."""
        found: dict[str, set[str]] = {}
        for name, label in self.rows:
            found.setdefault(name, set()).add(label)
        return found


def read_labels(path: Path) -> LabelFile:
    """Read a csv file of ids and labels; with or without a header, a byte order mark, CRLF; commas, semicolons or tabs.
    One column holds the labels in the order of the samples.  Raises DataError for a file that is none of these."""
    rows = _csv_rows(path)
    width = Counter(len(row) for _, row in rows).most_common(1)[0][0]
    if wrong := [number for number, row in rows if len(row) != width]:
        text = f"{printable(str(path))}, line {wrong[0]}: {len(wrong)} lines do not have {width} columns"
        raise DataError(text, "quote fields that contain the separator")
    header = [cell.strip().lower() for cell in rows[0][1]]
    if twice := [name for name in header if name in (*ID_COLUMNS, *LABEL_COLUMNS) and header.count(name) > 1]:
        text = f"{printable(str(path))}, line {rows[0][0]}: {header.count(twice[0])} columns are named {twice[0]}"
        raise DataError(text, "give each column a name of its own")
    if (label := _position(header, LABEL_COLUMNS)) is not None or _position(header, ID_COLUMNS) is not None:
        name = next((p for p in (_position(header, ID_COLUMNS),) if p is not None and p != label), None)
        if width == 2:  # the other column is named as its author likes
            label = 1 - (name or 0) if label is None else label
            name = 1 - label
        rows = rows[1:]
    else:
        name, label = (None, 0) if width == 1 else (0, 1) if width == 2 else (None, None)
    if label is None or not rows:
        text = f"{printable(str(path))} has the columns {', '.join(map(printable, header[:6]))}"
        text += ", none named label" if label is None else ", and no rows below them"
        raise DataError(text, "name the columns of the ids and of the classes id and label")
    return LabelFile(path, tuple(("" if name is None else row[name].strip(), row[label].strip()) for _, row in rows))


def _position(header: Sequence[str], known: Sequence[str]) -> int | None:
    return next((header.index(name) for name in known if name in header), None)


def _csv_rows(path: Path) -> list[tuple[int, list[str]]]:
    """Return the lines that are not empty, with their numbers from 1."""
    data = read_plain(path, "name a csv file of labels", most=1 << 32)
    encoding = "utf-16" if data[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig"
    # Names of files need not be UTF-8, and are matched as the file system gives them.
    text = data.decode(encoding, "surrogateescape" if encoding == "utf-8-sig" else "replace")
    if (at := text.find("\0")) >= 0:
        where = f"{printable(str(path))}, line {text.count(chr(10), 0, at) + 1}"
        raise DataError(f"{where}: it is no text: it has a byte 0", "save it as csv in UTF-8")
    first = text.split("\n", 1)[0]
    delimiter = max(",;\t", key=first.count)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    try:
        rows = [(reader.line_num, row) for row in reader if any(cell.strip() for cell in row)]
    except csv.Error as error:
        where = f"{printable(str(path))}, line {reader.line_num}"
        raise DataError(f"{where}: it is no csv file: {error}", "save it as csv in UTF-8") from error
    if not rows:
        raise DataError(f"{printable(str(path))} has no rows", "write one line for each sample: its id and its class")
    return rows


def labelled(names: Sequence[str], file: LabelFile) -> tuple[Mapping[int, str], list[Skipped], list[str]]:
    """Match the rows of a label file to samples: by their names, else by file name, else by stem, where unambiguous.

    Returns the label of each sample that has one, by position; what was skipped (samples without a row, with two
    labels, or of a name that several share; rows without a sample); and notes in words.  Raises DataError where no row
    names a sample."""
    labels, title = file.by_id(), printable(file.path.name)
    known, shared = _aliases(names)
    matched: dict[int, set[str]] = {}
    skipped, clashing = [], set()
    for row, given in labels.items():
        spellings: tuple[str, ...] = (row, row.removeprefix("./").replace("\\", "/").lstrip("/"))
        spellings += tuple(unicodedata.normalize("NFC", one) for one in spellings)
        key = next((one for one in spellings if one in known or one in shared), row)
        if key in known:
            matched.setdefault(known[key], set()).update(given)
        elif key in shared:
            clashing |= shared[key]
            first = printable(min(names[position] for position in shared[key]))
            reason = f"{len(shared[key])} samples are called so: write the path, such as {first}"
            skipped.append(Skipped(id=printable(row), code="ambiguous-name", reason=f"a row of {title}: {reason}"))
        else:
            skipped.append(Skipped(id=printable(row), code="missing-file", reason=f"a row of {title} without a sample"))
    return _judged(names, file, matched, skipped, clashing)


def _aliases(names: Sequence[str]) -> tuple[dict[str, int], dict[str, set[int]]]:
    """Return each unambiguous name, file name and stem with the position it means, and the ambiguous ones."""
    known: dict[str, int] = {name: position for position, name in enumerate(names)}
    shared: dict[str, set[int]] = {}
    for shorten in (_composed, printable, lambda name: _composed(name.rpartition("/")[2]), _without_ending, _stem):
        found: dict[str, set[int]] = {}
        for position, name in enumerate(names):
            found.setdefault(shorten(name), set()).add(position)
        for alias, positions in found.items():
            if alias not in known and alias not in shared:
                if len(positions) == 1:
                    known[alias] = next(iter(positions))
                else:
                    shared[alias] = positions
    return known, shared


def _composed(name: str) -> str:
    """Return a name in the normal form in which most programs write letters with accents; macOS stores another."""
    return unicodedata.normalize("NFC", name)


def _without_ending(name: str) -> str:
    folder, slash, last = _composed(name).rpartition("/")
    return folder + slash + os.path.splitext(last)[0]  # noqa: PTH122


def _stem(name: str) -> str:
    return _without_ending(name.rpartition("/")[2])


def _judged(
    names: Sequence[str], file: LabelFile, matched: Mapping[int, set[str]], skipped: list[Skipped], clashing: set[int]
) -> tuple[Mapping[int, str], list[Skipped], list[str]]:
    title = file.path.name
    if not matched:
        text = f"{printable(str(file.path))}: no row names a sample; its first id is {printable(file.rows[0][0])!r}"
        raise DataError(text, f"ids are paths or file names, such as {printable(names[0])!r}")
    labels: dict[int, str] = {}
    for position, name in enumerate(names):
        given = matched.get(position, set())
        if len(given) == 1 and (label := next(iter(given))):
            labels[position] = label
            continue
        code, reason = "no-label", f"{title} gives it no label"
        if len(given) > 1:
            code, reason = "conflicting-labels", f"{title} gives it {len(given)} labels: {', '.join(sorted(given)[:3])}"
        elif position in clashing:
            code, reason = "ambiguous-name", f"{title} names it by a name that other samples have too"
        skipped.append(Skipped(id=printable(name), code=code, reason=printable(reason)))
    repeated = len(file.rows) - len({name for name, _ in file.rows})
    return labels, skipped, [f"rows of {title} that repeat an id: {repeated:,}"] if repeated else []
