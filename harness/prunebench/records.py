"""Records: one JSON object a cell, kept as sorted JSON Lines, one file a method, merged without losing any."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from prunebench.errors import DataError, ResultConflict, SchemaTooNew, StoreError

SCHEMA = 1
AGREEMENT_FILE = "agreement.jsonl"
_COORDINATES = {
    "cell": ("method", "score_backbone", "projector", "keep", "train_arch", "recipe", "seed"),
    "agreement": ("method", "projector", "backbone_a", "seed_a", "backbone_b", "seed_b"),
}

Record = dict[str, Any]


def coordinates(record: Mapping[str, Any]) -> tuple[Any, ...]:
    """Return the place of a record on the board; one place holds one record."""
    return tuple(record[name] for name in _COORDINATES[record["kind"]])


def record_file(results: Path, record: Mapping[str, Any]) -> Path:
    """Return the file that a record belongs to: results/<suite>/<dataset>/<method>.jsonl."""
    folder = results / str(record["suite"]) / str(record["dataset"])
    return folder / (AGREEMENT_FILE if record["kind"] == "agreement" else f"{record['method']}.jsonl")


def read_records(path: Path) -> list[Record]:
    """Read one JSON Lines file; DataError names the line that is not a record."""
    found = []
    # Not splitlines: a reason may hold other separators that Unicode knows, and only LF ends a line here.
    lines = path.read_text(encoding="utf-8").split("\n")
    for number, line in enumerate(lines[:-1] if lines[-1] == "" else lines, start=1):
        try:
            record = json.loads(line)
            schema, _ = record["schema"], coordinates(record)
        except (ValueError, KeyError, TypeError) as error:
            raise DataError(
                f"{path}, line {number}: not a record ({type(error).__name__}: {error})",
                "restore the file, or remove the line and run the suite again",
            ) from error
        if schema > SCHEMA:
            raise SchemaTooNew(f"{path}, line {number}: schema {schema}, this prunebench reads {SCHEMA}", "update")
        found.append(record)
    return found


def merge(
    old: Iterable[Record], new: Iterable[Record], *, tolerance: float, supersede: str = ""
) -> tuple[list[Record], int]:
    """Return the records of one file after a run, sorted by key, and how many older versions gave way.

    A new record takes the place of one with another key (the method, recipe or data changed) and of one that
    failed.  For the same key the first result stays: it was published.  Raises ResultConflict when a repeat
    differs from it by more than `tolerance` (a fraction), unless `supersede` gives the reason to replace it.
    """
    merged = {coordinates(record): record for record in old}
    replaced = 0
    for record in new:
        place = coordinates(record)
        kept = merged.get(place)
        if kept is None or kept["status"] != "ok":
            merged[place] = record
        elif record["key"] != kept["key"]:
            replaced += 1
            merged[place] = record
        elif record["status"] == "ok" and _differs(kept, record, tolerance):
            if not supersede:
                raise ResultConflict(
                    f"{record['suite']}: {record['method']} at {place[1:]}: accuracy {record['accuracy']} now, "
                    f"{kept['accuracy']} in the results, same key {record['key']}",
                    "find out why; then replace it with --supersede REASON",
                )
            merged[place] = {**record, "attempt": kept["attempt"] + 1, "superseded": supersede}
    return sorted(merged.values(), key=lambda record: (record["key"], coordinates(record))), replaced


def _differs(kept: Record, record: Record, tolerance: float) -> bool:
    if record["kind"] != "cell":
        return False
    return bool(abs(kept["accuracy"] - record["accuracy"]) > tolerance)


def write_records(path: Path, records: Iterable[Mapping[str, Any]]) -> None:
    """Write JSON Lines: UTF-8, LF, sorted keys; whole or not at all."""
    lines = [json.dumps(record, sort_keys=True, ensure_ascii=False, allow_nan=False) for record in records]
    write_text(path, "".join(line + "\n" for line in lines))


def write_text(path: Path, text: str, hint: str = "name another folder with --results DIR") -> None:
    """Replace a file in one step; StoreError when the folder cannot be written."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(
            "w", encoding="utf-8", newline="\n", dir=path.parent, prefix=".", delete=False
        ) as file:
            file.write(text)
        Path(file.name).chmod(0o644)
        os.replace(file.name, path)  # noqa: PTH105 - Path.replace does the same; this names the atomic step
    except OSError as error:
        raise StoreError(f"{path}: {error.strerror}", hint) from error
