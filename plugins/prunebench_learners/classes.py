"""Test accuracy of each class."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def class_accuracy(right: NDArray[np.bool_], labels: NDArray[np.int64], n_classes: int) -> tuple[float | None, ...]:
    """Return the fraction of right predictions in each class [n_classes], None for a class without samples.

    right: bool [n], whether each sample is predicted as labelled.  labels: int64 [n].
    """
    sizes = np.bincount(labels, minlength=n_classes)
    hits = np.bincount(labels[right], minlength=n_classes)
    return tuple(int(hit) / int(size) if size else None for hit, size in zip(hits, sizes, strict=True))
