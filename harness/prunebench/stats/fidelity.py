"""One number for accuracies at several budgets."""

import math
from collections.abc import Mapping
from decimal import Decimal

from prunebench.errors import UsageError


def integrated_fidelity(accuracies_by_keep: Mapping[str, float], accuracy_full: float) -> float:
    """Return the Integrated Fidelity Score, the sum over budgets b of w(b) * accuracy(b) / accuracy_full.

    w(b) = exp(-b) / sum of exp(-b).  accuracies_by_keep: kept fraction (decimal string) to accuracy, in the
    unit of `accuracy_full`.  The weights depend on the budgets: compare equal grids only.  Source: ECHO,
    Table I, whose 19 rows fix the weights.  Raises UsageError without a budget or a full accuracy.
    """
    if not accuracies_by_keep or accuracy_full <= 0:
        raise UsageError(
            "the fidelity score needs a budget and the accuracy of the full data set",
            "run the suite's unpruned cells and at least one budget",
        )
    weights = {keep: math.exp(-float(Decimal(keep))) for keep in accuracies_by_keep}
    total = math.fsum(weights[keep] * accuracy for keep, accuracy in accuracies_by_keep.items())
    return total / (accuracy_full * math.fsum(weights.values()))
