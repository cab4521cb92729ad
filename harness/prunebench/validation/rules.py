"""A results folder against its base and the registry: what is wrong, and what is different."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

from prunebench.errors import DataError, PrunebenchError, ResultConflict, SchemaTooNew
from prunebench.records import Record
from prunebench.registry import Registry
from prunebench.validation.lines import MAX_BYTES, Problem, Row, read_folder

NONE = "-"


@dataclass(frozen=True)
class Differences:
    """New rows, pairs of (old, new) rows of one cell, and rows that are gone."""

    added: tuple[Row, ...]
    changed: tuple[tuple[Row, Row], ...]
    removed: tuple[Row, ...]


@dataclass(frozen=True)
class Validation:
    """What came of a validation; `base` is the name of what it was compared with."""

    base: str
    n_rows: int
    problems: tuple[Problem, ...]
    differences: Differences

    def error(self) -> PrunebenchError | None:
        """Return the error to end with, or None: a schema too new comes before bad data, and that before conflicts."""
        if not self.problems:
            return None
        kinds = {problem.kind for problem in self.problems}
        first = next(kind for kind in (SchemaTooNew, DataError, ResultConflict) if kind in kinds)
        count = len(self.problems)
        return first(
            f"{count} problem{'s' if count > 1 else ''} in the results, compared with {self.base}",
            "records are never edited by hand: restore the file, and let `prunebench run` write it",
        )


def validate(
    results: Path, base: tuple[str, Sequence[Row]], registry: Registry, max_bytes: int = MAX_BYTES
) -> Validation:
    """Compare a results folder with the base's name and rows, and what is new with the registry."""
    name, old = base
    rows, problems = read_folder(results, max_bytes)
    differences = compare(old, rows)
    problems += [
        Problem(row.file, 0, f"the record {row.record['key']} is gone; results are never removed")
        for row in differences.removed
    ]
    problems += [problem for before, after in differences.changed for problem in _unexplained(before, after)]
    for row in (*differences.added, *(after for _, after in differences.changed)):
        problems += [Problem(row.file, row.line, text) for text in registry_problems(row.record, registry)]
    return Validation(name, len(rows), tuple(problems), differences)


def compare(old: Sequence[Row], new: Sequence[Row]) -> Differences:
    """Return how two sets of rows differ; a row is known by its place on the board."""
    before, after = {row.place: row for row in old}, {row.place: row for row in new}
    return Differences(
        tuple(row for place, row in after.items() if place not in before),
        tuple((before[p], row) for p, row in after.items() if p in before and before[p].record != row.record),
        tuple(row for place, row in before.items() if place not in after),
    )


def _unexplained(before: Row, after: Row) -> Iterator[Problem]:
    old, new = before.record, after.record
    if old["status"] != "ok" or (old["key"] != new["key"] and new["status"] == "ok"):
        return  # a failure gave way, or another version of the method, recipe or data
    if new["status"] != "ok":
        yield Problem(after.file, after.line, "a result has given way to a failure", ResultConflict)
    elif new["attempt"] <= old["attempt"] or not new.get("superseded"):
        yield Problem(
            after.file,
            after.line,
            f"differs from the published record of the same key {new['key']} without a reason to supersede it",
            ResultConflict,
        )


def registry_problems(record: Record, registry: Registry) -> Iterator[str]:
    """Yield where a new record and the registry disagree: protocol, suite, data set, networks, budget, recipe."""
    if record["protocol"] != registry.protocol:
        yield f"protocol {record['protocol']!r}, the registry has {registry.protocol!r}"
    if record["suite"] not in registry.suites:
        yield f"suite {record['suite']!r} is not in the registry"
        return
    suite = registry.suites[record["suite"]]
    if record["dataset"] != suite.dataset:
        yield f"data set {record['dataset']!r}, suite {suite.name!r} has {suite.dataset!r}"
    elif (found := record.get("dataset_fingerprint")) and (
        expected := registry.datasets[suite.dataset].fingerprint
    ) not in ("", found):
        yield f"fingerprint {found} of data set {suite.dataset!r}, the registry has {expected}"
    if record["kind"] == "agreement":
        names = {record["backbone_a"], record["backbone_b"]} - set(suite.agreement_backbones)
    else:
        names = {record["score_backbone"]} - {*suite.backbones, NONE}
        if (record["train_arch"], record["recipe"]) not in suite.training:
            yield f"training {record['train_arch']!r} by {record['recipe']!r} is not of suite {suite.name!r}"
        rate = 1 - Decimal(record["keep"])
        if rate != 0 and rate not in {Decimal(known) for known in suite.pruning_rates}:
            yield f"keep {record['keep']} is not a budget of suite {suite.name!r}"
    for backbone in sorted(names):
        yield f"backbone {backbone!r} is not of suite {suite.name!r}"
