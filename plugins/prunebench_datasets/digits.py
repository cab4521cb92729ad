"""scikit-learn's digits: the data set that is always there."""

from __future__ import annotations

import numpy as np

from prunebench import DataContext, Dataset

from .splits import held_out, numbered


def load(ctx: DataContext) -> Dataset:
    """Return digits as uint8 [n, 8, 8, 1], a fifth of each class held out as the test split."""
    from sklearn.datasets import load_digits

    raw = load_digits()
    # Sixteen grey levels, 0 to 16, spread over the range of a byte.
    images = np.rint(raw.images * (255 / 16)).astype(np.uint8)[..., None]
    labels = raw.target.astype(np.int64)
    test = held_out([f"digits/{i:05d}" for i in range(len(labels))], labels, 0.2)
    positions = np.arange(len(labels))
    return Dataset(
        name="digits",
        train=numbered("digits", images[~test], labels[~test], positions[~test]),
        test=numbered("digits", images[test], labels[test], positions[test]),
        class_names=tuple(str(digit) for digit in range(10)),
        mean=(0.3053,),
        std=(0.3760,),
    )
