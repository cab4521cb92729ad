"""Records of slices, which were computed elsewhere, into one folder of results."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from prunebench.errors import Fault, ResultConflict
from prunebench.plugins import Catalogue
from prunebench.records import AGREEMENT_TOLERANCE, CellRecord, Record, difference, update_file
from prunebench.registry import Registry
from prunebench.validation.lines import Row, read_folder
from prunebench.validation.rules import disagreements


class Merged(NamedTuple):
    """What came of a slice: faults, with which nothing is written, or how many of its records are new or were there."""

    faults: tuple[Fault, ...]
    added: int = 0
    known: int = 0


def merge_slice(part: Path, results: Path, registry: Registry, catalogue: Catalogue) -> Merged:
    """Add the records of a folder to those of another, all of them or none.  Part of a suite is enough.  Of a finished
    cell that is there already, the first record stays; the repeat is a fault where it differs by more than the
    tolerance of its recipe, or where other code or data made it."""
    (rows, faults), (before, damaged) = read_folder(part), read_folder(results)
    there: Mapping[object, Record] = {(row.file, *row.record.place): row.record for row in before}
    for row in rows:
        faults += map(row.fault, disagreements(row.record, registry, catalogue))
        faults += _conflicts(row, there.get((row.file, *row.record.place)), registry)
    if faults or damaged:
        return Merged((*faults, *damaged))
    files: dict[Path, list[Record]] = {}
    for row in rows:
        files.setdefault(results / row.record.file, []).append(row.record)
    tolerance = {name: recipe.tolerance for name, recipe in registry.recipes.items()}
    for file, records in sorted(files.items()):
        update_file(file, records, tolerance=tolerance)
    known = sum((row.file, *row.record.place) in there for row in rows)
    return Merged((), len(rows) - known, known)


def _conflicts(row: Row, kept: Record | None, registry: Registry) -> Iterator[Fault]:
    """Yield why a record cannot stand beside the one of the same cell that is there."""
    record = row.record
    if kept is None or kept.status != "ok" or record.status != "ok":
        return  # a result takes the place of a failure, and never the other way round
    recipe = registry.recipes.get(record.recipe) if isinstance(record, CellRecord) else None
    allowed = recipe.tolerance if recipe else AGREEMENT_TOLERANCE
    if record.key != kept.key:
        reason = f"has key {record.key}, and the record that is there has {kept.key}: other code or data made it"
        yield row.fault(f"{reason}; run the suite here, which keeps the version that is right", ResultConflict)
    elif (change := difference(kept, record)) > allowed:
        yield row.fault(f"is a repeat of key {record.key} that differs by {change:.6g}", ResultConflict)
