"""Promises of a metric: records to a number or None, and nothing else."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from prunebench.plugins import Entry
from prunebench.records import CellRecord, encode
from prunebench.testing.promises import promise
from prunebench.testing.results import CheckFailed

_DIGEST = "0" * 32


def cells_of(entry: Entry[Any], *, by_class: bool = True, n: int = 6) -> list[CellRecord]:
    """Return made-up records as a metric of this scope gets them: `n` cells of one method and seed.

    by_class: with the accuracy of each class, one class without test samples.
    """
    keeps = ["0.3"] * n if entry.spec.scope == "cell" else ["1", "0.7", "0.5", "0.3", "0.2", "0.1"][:n]
    found = []
    for number, keep in enumerate(keeps):
        accuracy = 0.95 - 0.07 * number
        is_unpruned = keep == "1"
        found.append(
            CellRecord(
                key=f"{number:032x}", suite="made-up", protocol="1", dataset="made-up", dataset_fingerprint=_DIGEST,
                method="full" if is_unpruned else "odd", role="unpruned" if is_unpruned else "method", status="ok",
                scorer="odd", scorer_version="1", scorer_dist="odd 1", selector="class_top", keep=keep, seed=0,
                train_arch="small", recipe="short",
                accuracy=accuracy, accuracy_best=accuracy, epochs=2, n_train=1000, n_classes=3,
                n_keep=int(1000 * float(keep)), loss=0.1 * number, score_backbone=f"b{number % 2}",
                class_accuracy=[accuracy, 0.9 * accuracy, None] if by_class else [],
            )
        )  # fmt: skip
    return found


@promise("metric", stage=6)
def check_a_number_or_none_is_returned(entry: Entry[Any]) -> dict[str, Any]:
    """It returns a finite float, or None where it has no value; not NaN, and no exception."""
    return {"value": _measured(entry, cells_of(entry))}


@promise("metric")
def check_few_cells_are_accepted(entry: Entry[Any]) -> None:
    """One cell, and no cell at all, give a number or None."""
    for n in (1, 0):
        _measured(entry, cells_of(entry, n=n))


@promise("metric")
def check_missing_class_accuracies_are_accepted(entry: Entry[Any]) -> None:
    """Cells in which the accuracy of each class was not measured give a number or None."""
    _measured(entry, cells_of(entry, by_class=False))


@promise("metric")
def check_the_same_cells_give_the_same_number(entry: Entry[Any]) -> None:
    """Asked again, and in another order of the cells, it gives the same number up to rounding."""
    cells = cells_of(entry)
    first, again, turned = (_measured(entry, given) for given in (cells, cells, cells[::-1]))
    if first != again:
        raise CheckFailed(f"the same cells give {first} and then {again}")
    if (first is None) != (turned is None) or (first is not None and not math.isclose(first, turned or 0.0)):
        raise CheckFailed(f"the cells in another order give {turned} in place of {first}")


@promise("metric")
def check_records_are_left_unchanged(entry: Entry[Any]) -> None:
    """The records, which other columns read too, are as they were."""
    cells = cells_of(entry)
    before = [encode(cell) for cell in cells]
    _measured(entry, cells)
    if len(cells) != len(before) or [encode(cell) for cell in cells] != before:
        raise CheckFailed("it changes the records that it is given")


def _measured(entry: Entry[Any], cells: Sequence[CellRecord]) -> float | None:
    found = entry.load()(cells)
    if found is None or (isinstance(found, int | float) and not isinstance(found, bool) and math.isfinite(found)):
        return None if found is None else float(found)
    raise CheckFailed(f"expected a finite float or None, got {found!r}")
