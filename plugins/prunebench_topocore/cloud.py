"""The points of one class as the rest wants them: each place once, centred, in an order that no file decides."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Cloud:
    """Distinct points float64 [m, 2], how many samples are at each, int64 [m], and which is each sample's, int64 [n].

    The points are in the order of their coordinates, so whatever their order decides, if only the last digit of a sum,
    follows the samples when their file is reordered.
    """

    points: Floats
    counts: Ints
    place: Ints


def cloud(points: Floats) -> Cloud:
    """Return the cloud of points float64 [n, 2], centred at their median: a far one takes no digits from the others."""
    distinct, place, counts = np.unique(points + 0.0, axis=0, return_inverse=True, return_counts=True)
    if len(distinct):
        distinct = distinct - np.median(distinct, axis=0)
    return Cloud(distinct, counts, place.reshape(-1))
