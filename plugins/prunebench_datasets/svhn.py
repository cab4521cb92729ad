"""SVHN, read by torchvision."""

from __future__ import annotations

import numpy as np

from prunebench import DataContext, Dataset

from .published import require_published
from .splits import numbered


def load(ctx: DataContext) -> Dataset:
    """Return SVHN's train and test digits as uint8 [n, 32, 32, 3] in the order of their files.

    Raises DatasetMissing where the files are not found and DataError where they are not the published ones.
    """
    folder = ctx.find("train_32x32.mat", "svhn/train_32x32.mat", "SVHN/train_32x32.mat").parent
    from torchvision.datasets import SVHN

    titles = ("train", "test")
    require_published((folder / name, md5) for name, md5 in (SVHN.split_list[title][1:] for title in titles))
    splits = {}
    for title in titles:
        found = SVHN(folder, split=title)
        splits[title] = numbered(title, np.ascontiguousarray(found.data.transpose(0, 2, 3, 1)), found.labels)
    return Dataset(
        name="svhn",
        train=splits["train"],
        test=splits["test"],
        class_names=tuple("0123456789"),
        mean=(0.4377, 0.4438, 0.4728),
        std=(0.1980, 0.2010, 0.1970),
    )
