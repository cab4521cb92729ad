"""Records as typed cells: validated, attempts merged, in an order that does not depend on the files."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from decimal import Decimal, InvalidOperation
from typing import Any, NamedTuple

from prunebench.errors import DataError, ResultConflict

FAILURES = frozenset({"failed", "oom", "timeout", "diverged"})
REQUIRED = ("suite", "dataset", "method", "keep", "train_arch", "recipe", "seed", "status")


class Section(NamedTuple):
    """What may be compared: one protocol on one data set; partial runs stay among themselves."""

    suite: str
    dataset: str
    protocol: str
    partial: bool


class Training(NamedTuple):
    """What the subsets train: an architecture under a recipe."""

    arch: str
    recipe: str


class Entrant(NamedTuple):
    """One line of the board: a method, with its projector."""

    method: str
    projector: str


@dataclass(frozen=True)
class Cell:
    """One cell of the grid after its attempts were merged; accuracy as a fraction, None unless ok."""

    section: Section
    entrant: Entrant
    role: str
    score_backbone: str
    training: Training
    keep: str
    seed: int
    status: str
    reason: str
    accuracy: float | None
    accuracy_best: float | None
    key: str
    conformance: str
    caveat: str = ""
    quarantined: bool = False
    diagnostics: Mapping[str, float] = field(default_factory=dict)

    @property
    def place(self) -> tuple[Section, Entrant, str, Training, Decimal, int]:
        """Where the cell stands in the grid, whoever computed it."""
        return (self.section, self.entrant, self.score_backbone, self.training, Decimal(self.keep), self.seed)


def plain_decimal(value: str) -> str:
    """Return a decimal string without exponent or trailing zeros ("0.10" -> "0.1")."""
    return format(Decimal(value).normalize(), "f")


def pruning_rate(keep: str) -> str:
    """Return 1 - keep in decimal arithmetic."""
    return plain_decimal(str(1 - Decimal(keep)))


def _fraction(value: Any) -> float | None:
    return float(value) if isinstance(value, int | float) and math.isfinite(value) else None


def _conformance(value: Any) -> str:
    """Return "passed/total" with the number of expected failures, as the board prints it."""
    if not isinstance(value, Mapping):
        return "" if value is None else str(value)
    expected = value.get("expected_fail", 0)
    counts = f"{value.get('passed', '?')}/{value.get('total', '?')}"
    return f"{counts} ({expected} expected to fail)" if expected else counts


def parse_cell(record: Mapping[str, Any]) -> Cell:
    """Return the cell of a record; raises DataError when a field is missing or is no budget."""
    if missing := [name for name in REQUIRED if name not in record]:
        raise DataError(
            f"cell record {record.get('key', '?')} lacks {', '.join(missing)}", "write records with `prunebench run`"
        )
    try:
        keep = plain_decimal(str(record["keep"]))
    except InvalidOperation as error:
        raise DataError(f"keep = {record['keep']!r} is no decimal number", "write a fraction such as 0.1") from error
    accuracy, status = _fraction(record.get("accuracy")), str(record["status"])
    reason = str(record.get("status_reason") or "")
    if status == "ok" and accuracy is None:
        status, reason = "failed", "the record is ok but holds no finite accuracy"
    numbers = {name: _fraction(value) for name, value in (record.get("diagnostics") or {}).items()}
    return Cell(
        section=Section(
            str(record["suite"]),
            str(record["dataset"]),
            str(record.get("protocol", "")),
            bool(record.get("partial", False)),
        ),
        entrant=Entrant(str(record["method"]), str(record.get("projector") or "-")),
        role=str(record.get("role", "method")),
        score_backbone=str(record.get("score_backbone") or "-"),
        training=Training(str(record["train_arch"]), str(record["recipe"])),
        keep=keep,
        seed=int(record["seed"]),
        status=status,
        reason=reason,
        accuracy=accuracy if status == "ok" else None,
        accuracy_best=_fraction(record.get("accuracy_best")) if status == "ok" else None,
        key=str(record.get("key", "")),
        conformance=_conformance(record.get("conformance")),
        caveat=str(record.get("caveat") or ""),
        quarantined=bool(record.get("quarantined")),
        diagnostics={name: number for name, number in sorted(numbers.items()) if number is not None},
    )


def _mean(values: Iterable[float | None]) -> float | None:
    known = sorted(value for value in values if value is not None)
    return math.fsum(known) / len(known) if known else None


def _merge(attempts: list[Cell]) -> Cell:
    """Return one cell of several attempts: the mean of those that are ok, or else the first by reason."""
    attempts = sorted(attempts, key=lambda cell: (cell.status != "ok", cell.status, cell.reason, repr(cell)))
    finished = [cell for cell in attempts if cell.status == "ok"]
    if len({cell.key for cell in finished}) > 1:
        first, second = finished[0], next(cell for cell in finished if cell.key != finished[0].key)
        raise ResultConflict(
            f"two different cells claim one place on the board: {first.entrant.method} on "
            f"{first.section.suite}/{first.section.dataset}, keep {first.keep}, {first.training.arch}, "
            f"seed {first.seed} (keys {first.key} and {second.key})",
            "give variants of a method their own label, or drop the records of the older version",
        )
    if len(finished) < 2:
        return attempts[0]
    return replace(
        finished[0],
        accuracy=_mean(cell.accuracy for cell in finished),
        accuracy_best=_mean(cell.accuracy_best for cell in finished),
    )


def parse_cells(records: Iterable[Mapping[str, Any]]) -> list[Cell]:
    """Return the cells of the board, one a place, sorted by place.

    Attempts of one key are averaged, never "last wins", and a finished attempt replaces a failed one; raises
    ResultConflict when two keys finished for one place.
    """
    by_place: dict[tuple[Any, ...], list[Cell]] = defaultdict(list)
    for record in records:
        cell = parse_cell(record)
        by_place[cell.place].append(cell)
    return [_merge(by_place[place]) for place in sorted(by_place)]
