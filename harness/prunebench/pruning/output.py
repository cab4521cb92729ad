"""The folder that a pruning writes: all of it or nothing, and the same bytes for the same input."""

from __future__ import annotations

import contextlib
import csv
import json
import os
import shutil
import uuid
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from prunebench.errors import DataError, UsageError
from prunebench.pictures.signatures import PICTURE_ENDINGS, ending_of
from prunebench.pruning.flow import Outcome
from prunebench.pruning.progress import Progress

if TYPE_CHECKING:
    import pandas as pd

Format = Literal["csv", "parquet", "txt"]
MANIFEST, LEDGER, FILES, REPORT = "manifest.json", "ledger", "files", "report.html"


def kept_table(outcome: Outcome, keep: str = "") -> pd.DataFrame:
    """Return id, place in the input if there is one, class, score and rank of what a budget keeps, in the order of the
    input."""
    columns = [name for name in ("id", "position", "class", "score", "rank") if name in outcome.ledger]
    return outcome.ledger.iloc[outcome.indices(keep)][columns]


def write_folder(
    folder: Path, outcome: Outcome, manifest: Mapping[str, Any], report: str = "", form: Format = "csv"
) -> dict[str, Path]:
    """Write the kept samples of each budget, the ledger, the manifest and the report; return the files by what they
    are.

    The folder appears when all of it is written, in place of an earlier one of prunebench.  Raises UsageError for a
    folder that holds anything else, DataError where it cannot be written."""
    check_replaceable(folder)
    files: dict[str, Path] = {}
    with replaced(folder) as scratch:
        for keep in outcome.kept:
            name = "kept" if len(outcome.kept) == 1 else f"kept-{keep.replace('%', 'pct')}"
            files[name] = write_table(kept_table(outcome, keep), scratch / name, form)
        files[LEDGER] = write_table(outcome.ledger, scratch / LEDGER, "parquet" if form == "parquet" else "csv")
        files["manifest"] = scratch / MANIFEST
        files["manifest"].write_text(json.dumps(manifest, indent=1, sort_keys=True) + "\n", encoding="utf-8")
        if (index := file_index(outcome)) is not None:
            files[FILES] = write_table(index, scratch / FILES, "csv")
        if report:
            files["report"] = scratch / REPORT
            files["report"].write_text(report, encoding="utf-8")
    return {name: folder / path.name for name, path in files.items()}


def check_replaceable(folder: Path) -> None:
    """Raise UsageError for a place that holds something else than an earlier output, DataError for one that may not be
    written."""
    above = next(one for one in Path(os.path.realpath(folder)).parents if one.exists())
    if above.is_dir() and not os.access(above, os.W_OK | os.X_OK):
        raise DataError(f"{folder} cannot be written: permission denied", "name another folder with --out")
    if folder.is_dir() and (not any(folder.iterdir()) or (folder / MANIFEST).is_file()):
        return
    if folder.exists() or folder.is_symlink():
        raise UsageError(f"{folder} exists and is no output of prunebench", "name a new folder with --out")


def write_table(table: pd.DataFrame, path: Path, form: Format) -> Path:
    """Write a table with the ending of its format, and return its path; "txt" is the ids alone, one per line."""
    path = path.with_name(f"{path.name}.{form}")
    if form == "parquet":
        require("pyarrow", "parquet files")
        table.to_parquet(path, index=False)
    elif form == "txt":
        if bad := [name for name in table["id"] if "\n" in name or "\r" in name]:
            raise UsageError(f"the id {bad[0]!r} has a line break, and txt is one id per line", "write csv")
        path.write_text("".join(f"{name}\n" for name in table["id"]), encoding="utf-8", newline="")
    else:
        broken = "path" in table and any("\r" in one for one in table["path"])  # which csv leaves without quotes
        quoting: Any = csv.QUOTE_NONNUMERIC if broken else csv.QUOTE_MINIMAL
        table.to_csv(path, index=False, lineterminator="\n", errors="surrogateescape", quoting=quoting)
    return path


def write_selection(table: pd.DataFrame, facts: Mapping[str, Any], path: Path) -> Path:
    """Write a selection, one row per sample with a column "kept", as the ending of the path says; return the path.

    csv and parquet: the table.  npz: its columns, and the facts as JSON in "facts".  txt: the kept ids alone.  The file
    is there when all of it is written."""
    form: Any = path.suffix[1:]
    scratch = path.with_name(f".{uuid.uuid4().hex}.{form}")
    try:
        if form == "npz":
            arrays = {str(name): np.array(table[name].tolist()) for name in table}
            about = np.array(json.dumps(facts, sort_keys=True))
            np.savez_compressed(scratch, allow_pickle=False, facts=about, **arrays)
        else:
            write_table(table[table["kept"] == 1] if form == "txt" else table, scratch.with_suffix(""), form)
        scratch.replace(path)
    finally:
        scratch.unlink(missing_ok=True)
    return path


def require(package: str, what: str) -> None:
    """Raise DataError that names the extra to install where a package is not there."""
    from importlib.util import find_spec

    if find_spec(package) is None:
        raise DataError(f"{what} need {package}, which is not installed", "pip install 'prunebench[data]'")


@contextlib.contextmanager
def replaced(folder: Path) -> Iterator[Path]:
    """Yield a folder beside `folder` that takes its place at the end; nothing is left of it after an error.  Where
    `folder` is a link, what it leads to is replaced."""
    folder = Path(os.path.realpath(folder))
    scratch = folder.parent / f".{folder.name}-{uuid.uuid4().hex[:8]}"
    try:
        scratch.mkdir(parents=True)
        yield scratch
        if folder.exists():
            old = scratch.with_name(f"{scratch.name}-old")
            folder.rename(old)
            scratch.rename(folder)
            shutil.rmtree(old)
        else:
            scratch.rename(folder)
    except OSError as error:
        raise DataError(
            f"{folder} cannot be written: {error.strerror or error}", "name another folder with --out"
        ) from error
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def file_index(outcome: Outcome) -> pd.DataFrame | None:
    """Return where the files of what is kept at any budget lie: id, path, and offset and length in bytes inside a tar
    file; None for data that are no files."""
    import pandas as pd

    pictures = outcome.source.pictures
    rows = np.unique(np.concatenate([outcome.indices(keep) for keep in outcome.kept]))
    if pictures is None or not len(rows) or "path" not in pictures.locator(int(rows[0])):
        return None
    found = [{"id": outcome.source.ids[row], **pictures.locator(row)} for row in rows.tolist()]
    table = pd.DataFrame({"id": [one["id"] for one in found]})
    # Objects, as a path may hold bytes that are no UTF-8, which no column of text does.
    table["path"] = pd.Series([one["path"] for one in found], dtype=object)
    for name in ("offset", "length") if "offset" in found[0] else ():
        table[name] = [one[name] for one in found]
    return table


def check_place(folder: Path, how: Literal["copy", "link"], data: Path | None = None) -> None:
    """Raise UsageError for a folder that is not empty, or that lies in the folder of the data, of which it would become
    a part."""
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UsageError(f"{folder} is not empty", f"name a new folder to {how} to")
    if data is not None:
        check_outside(folder, data, f"name a new folder beside it to {how} to")


def check_outside(folder: Path, data: Path, hint: str) -> None:
    """Raise UsageError for a folder to write in that of the data, which is never changed, and is read as a whole."""
    if data.is_dir() and folder.resolve().is_relative_to(data.resolve()):
        raise UsageError(f"{folder} is inside {data}, and would be a part of the data the next time", hint)


def place_files(
    files: pd.DataFrame, ids: Collection[str], folder: Path, how: Literal["copy", "link"], progress: Progress
) -> int:
    """Copy files of a file index into a new folder, or link to them there, under their ids; return how many.
    An id without the ending of a picture gets that of its file.

    ids: which of them.  A member of a tar file is always copied.  Raises UsageError for a folder that is not empty,
    DataError for a file that is not there any more."""
    check_place(folder, how)
    wanted = files[files["id"].isin(list(ids))].to_dict("records")
    with replaced(folder) as scratch:
        for number, row in enumerate(wanted):
            source, target = Path(row["path"]), scratch / inside(row["id"])
            if not source.is_file():
                raise DataError(f"{source} is not there any more", "the data moved: prune them again")
            if "offset" in row:
                with source.open("rb") as file:
                    file.seek(row["offset"])
                    content = file.read(row["length"])
            if target.suffix.lower() not in PICTURE_ENDINGS:  # which trainers know pictures by
                target = target.with_name(target.name + (ending_of(content) if "offset" in row else source.suffix))
            target.parent.mkdir(parents=True, exist_ok=True)
            if "offset" in row:
                target.write_bytes(content)
            elif how == "copy":
                shutil.copy2(source, target)
            else:
                target.symlink_to(source.absolute())
            progress(number / len(wanted), f"{how}ing the kept files")
    return len(wanted)


def inside(name: str) -> Path:
    """Return a relative path that cannot leave the folder it is put into."""
    parts = [part for part in Path(name).parts if part not in ("/", "\\", "..", ".")]
    return Path(*parts) if parts else Path("_")
