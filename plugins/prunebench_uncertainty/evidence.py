"""Checks and steps that all scorers here share."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from prunebench import DataError

_BLOCK_VALUES = 1 << 21


def require_finite(values: NDArray[Any], what: str) -> None:
    """Raise DataError with the number of rows of `values` [n, k] that hold NaN or infinity."""
    bad = sum(
        int(np.count_nonzero(~np.isfinite(values[rows]).all(axis=1))) for rows in blocks(len(values), values.shape[1])
    )
    if bad:
        raise DataError(
            f"{bad} of {len(values)} rows of the {what} are not finite", "check the backbone and its weights"
        )


def blocks(n: int, width: int) -> Iterator[slice]:
    """Yield slices of 0..n, of as many rows as keep an array of `width` numbers a row near 16 MiB."""
    step = max(1, _BLOCK_VALUES // max(1, width))
    for start in range(0, n, step):
        yield slice(start, min(start + step, n))


def groups(labels: NDArray[np.int64], order: NDArray[np.int64], n_classes: int) -> list[NDArray[np.int64]]:
    """Split `order` (int64 [m]) into the members of each class, in their given order; empty ones left out."""
    ordered = labels[order]
    members = (order[ordered == label] for label in range(n_classes))
    return [group for group in members if len(group)]
