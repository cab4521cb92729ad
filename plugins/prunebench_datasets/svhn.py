"""SVHN, read by torchvision."""

from __future__ import annotations

import numpy as np

from prunebench import DataContext, Dataset, Split

from .published import require_published
from .splits import numbered


def load(ctx: DataContext) -> Dataset:
    """Return SVHN's train and test digits as uint8 [n, 32, 32, 3] in the order of their files, where 10 stands for 0.

    With the parameter `extra` the training split ends with the extra digits.  Raises DatasetMissing where the files are
    not found and DataError where they are not the published ones.
    """
    folder = ctx.find("train_32x32.mat", "svhn/train_32x32.mat", "SVHN/train_32x32.mat").parent
    from torchvision.datasets import SVHN

    titles = ("train", "test", "extra") if ctx.params["extra"] else ("train", "test")
    require_published((folder / name, md5) for name, md5 in (SVHN.split_list[title][1:] for title in titles))
    splits = {}
    for title in titles:
        found = SVHN(folder, split=title)
        splits[title] = numbered(title, np.ascontiguousarray(found.data.transpose(0, 2, 3, 1)), found.labels)
    train = splits["train"]
    return Dataset(
        name="svhn",
        train=_joined(train, splits["extra"]) if "extra" in splits else train,
        test=splits["test"],
        class_names=tuple("0123456789"),
        mean=(0.4377, 0.4438, 0.4728),
        std=(0.1980, 0.2010, 0.1970),
    )


def _joined(first: Split, second: Split) -> Split:
    assert first.images is not None
    assert second.images is not None
    return Split(
        images=np.concatenate([first.images, second.images]),
        labels=np.concatenate([first.labels, second.labels]),
        ids=first.ids + second.ids,
    )
