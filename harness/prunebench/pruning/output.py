"""The folder that a pruning writes: all of it or nothing, and the same bytes for the same input."""

from __future__ import annotations

import contextlib
import json
import shutil
import uuid
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from prunebench.errors import DataError, UsageError
from prunebench.pruning.flow import Outcome
from prunebench.pruning.source import Source

if TYPE_CHECKING:
    import pandas as pd

Format = Literal["csv", "parquet", "txt"]
MANIFEST, LEDGER, REPORT = "manifest.json", "ledger", "report.html"


def kept_table(outcome: Outcome, keep: str = "") -> pd.DataFrame:
    """Return id, class, score and rank of what a budget keeps, in the order of the input."""
    return outcome.ledger.iloc[outcome.indices(keep)][["id", "class", "score", "rank"]]


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
        if report:
            files["report"] = scratch / REPORT
            files["report"].write_text(report, encoding="utf-8")
    return {name: folder / path.name for name, path in files.items()}


def check_replaceable(folder: Path) -> None:
    """Raise UsageError for a place that holds something else than an earlier output."""
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
        table.to_csv(path, index=False, lineterminator="\n")
    return path


def require(package: str, what: str) -> None:
    """Raise DataError that names the extra to install where a package is not there."""
    from importlib.util import find_spec

    if find_spec(package) is None:
        raise DataError(f"{what} need {package}, which is not installed", "pip install 'prunebench[data]'")


@contextlib.contextmanager
def replaced(folder: Path) -> Iterator[Path]:
    """Yield a folder beside `folder` that takes its place at the end; nothing is left of it after an error."""
    scratch = folder.absolute().parent / f".{folder.name}-{uuid.uuid4().hex[:8]}"
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


def place_files(
    source: Source,
    rows: NDArray[np.int64],
    folder: Path,
    how: Literal["copy", "link"],
    progress: Callable[[float, str], None],
) -> None:
    """Copy the kept files into a new folder, or link to them there, under their own relative names.

    Raises UsageError for data that are no files, and for a folder that is not empty."""
    if source.pictures is None:
        raise UsageError(f"{source.title} is features, not files to {how}", "leave it out; kept.csv has the ids")
    if folder.exists() and any(folder.iterdir()):
        raise UsageError(f"{folder} is not empty", f"name a new folder to {how} to")
    with replaced(folder) as scratch:
        for number, row in enumerate(rows.tolist()):
            where = source.pictures.locator(row)
            target = scratch / inside(where.get("name", source.ids[row]))
            target.parent.mkdir(parents=True, exist_ok=True)
            if "offset" in where:
                with Path(where["path"]).open("rb") as file:
                    file.seek(where["offset"])
                    target.write_bytes(file.read(where["length"]))
            elif how == "copy":
                shutil.copy2(where["path"], target)
            else:
                target.symlink_to(Path(where["path"]).absolute())
            progress(number / len(rows), f"{how}ing the kept files")


def inside(name: str) -> Path:
    """Return a relative path that cannot leave the folder it is put into."""
    parts = [part for part in Path(name).parts if part not in ("/", "\\", "..", ".")]
    return Path(*parts) if parts else Path("_")
