"""Pseudo-labels: what a labeller promises, and how near they come to the labels."""

from typing import Any

import numpy as np
from numpy.typing import NDArray


def label_problem(returned: Any, n: int) -> str:
    """Return what came instead of pseudo-labels int64 [n] in 0..n-1, or an empty string."""
    if not isinstance(returned, np.ndarray):
        return type(returned).__name__
    if returned.dtype != np.int64 or returned.shape != (n,):
        return f"{returned.dtype} {list(returned.shape)}"
    if n and not 0 <= int(returned.min()) <= int(returned.max()) < n:
        return f"labels in {returned.min()}..{returned.max()}"
    return ""


def matched_accuracy(pseudo_labels: NDArray[np.int64], labels: NDArray[np.int64]) -> float:
    """Return the share of samples whose pseudo-label stands for their label, under the best one-to-one matching.  Both
    int64 [n], from 0.  Source: the clustering accuracy of the field, by linear assignment (Kuhn 1955)."""
    from scipy.optimize import linear_sum_assignment

    counts = np.zeros((int(pseudo_labels.max()) + 1, int(labels.max()) + 1), dtype=np.int64)
    np.add.at(counts, (pseudo_labels, labels), 1)
    return float(counts[linear_sum_assignment(counts, maximize=True)].sum() / len(labels))
