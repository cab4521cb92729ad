"""The metrics themselves: finished cells in, one number out."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from decimal import Decimal

from prunebench import CellRecord, DataError


def worst_class_accuracy(cells: Sequence[CellRecord]) -> float | None:
    """Return the lowest accuracy of a class, a fraction, mean over the cells; None where a cell does not hold it."""
    worst = [min((value for value in cell.class_accuracy if value is not None), default=None) for cell in cells]
    known = [value for value in worst if value is not None]
    return math.fsum(known) / len(known) if known and len(known) == len(worst) else None


def integrated_fidelity_score(cells: Sequence[CellRecord]) -> float | None:
    """Return the Integrated Fidelity Score of one method at one seed; None without an accuracy of the full set.

    cells: of all budgets, several per budget where the method was scored with several backbones, and of the full set.
    """
    accuracies: dict[str, list[float]] = defaultdict(list)
    full: list[float] = []
    for cell in cells:
        if cell.accuracy is not None:
            (full if cell.role == "unpruned" else accuracies[cell.keep]).append(cell.accuracy)
    if not full or not accuracies or math.fsum(full) <= 0:
        return None
    means = {keep: math.fsum(values) / len(values) for keep, values in accuracies.items()}
    return integrated_fidelity(means, math.fsum(full) / len(full))


def integrated_fidelity(accuracies_by_keep: Mapping[str, float], accuracy_full: float) -> float:
    """Return the sum over the budgets b of w(b) * accuracy(b) / accuracy_full, w(b) = exp(-b) / sum of exp(-b).

    accuracies_by_keep: kept fraction (decimal string) to accuracy, in the unit of `accuracy_full`.  The weights depend
    on the budgets, so only scores of equal budgets can be compared.  Source: ECHO, Table I, whose 19 rows fix the
    weights.  Raises DataError without a budget or with a full accuracy of 0.
    """
    if not accuracies_by_keep or accuracy_full <= 0:
        raise DataError(
            f"the fidelity score got {len(accuracies_by_keep)} budgets and a full accuracy of {accuracy_full}",
            "run the suite's cell of the full training set and at least one budget",
        )
    weights = {keep: math.exp(-float(Decimal(keep))) for keep in accuracies_by_keep}
    total = math.fsum(weights[keep] * accuracy for keep, accuracy in accuracies_by_keep.items())
    return total / (accuracy_full * math.fsum(weights.values()))
