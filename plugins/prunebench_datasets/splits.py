"""What every data set here shares: stable ids and splits that depend on nothing but the data."""

from __future__ import annotations

import hashlib

import numpy as np
from numpy.typing import NDArray

from prunebench import Split


def numbered(
    title: str, images: NDArray[np.uint8], labels: NDArray[np.int64], numbers: NDArray[np.int64] | None = None
) -> Split:
    """Return a split whose ids are the title and the position in the original file, such as "train/00042"."""
    positions = np.arange(len(labels)) if numbers is None else numbers
    return Split(images=images, labels=labels, ids=tuple(f"{title}/{position:05d}" for position in positions))


def held_out(ids: list[str], labels: NDArray[np.int64], fraction: float) -> NDArray[np.bool_]:
    """Return a mask of the samples to hold out: of each class the `fraction` whose ids hash lowest.

    The share is exact up to rounding, and at least one sample of a class is left to train on.  No generator
    is involved: adding an image moves at most one other, the one of its class whose rank is at the border.
    """
    rank = np.array([int.from_bytes(hashlib.blake2b(name.encode(), digest_size=7).digest(), "big") for name in ids])
    mask = np.zeros(len(ids), dtype=np.bool_)
    for label in np.unique(labels):
        members = np.flatnonzero(labels == label)
        count = min(round(fraction * len(members)), len(members) - 1)
        mask[members[np.argsort(rank[members], kind="stable")[:count]]] = True
    return mask
