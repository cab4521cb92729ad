"""CIFAR-10 and CIFAR-100: the published batches, read by torchvision, or one npz."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from prunebench import DataContext, DataError, Dataset

from .published import require_published
from .splits import numbered

# Images uint8 [n, 32, 32, 3] and labels int64 [n].
Arrays = tuple[NDArray[np.uint8], NDArray[np.int64]]
NPZ = "train_images uint8 [n, 32, 32, 3], train_labels of integers [n], test_images, test_labels, class_names"


def load_cifar10(ctx: DataContext) -> Dataset:
    """Return CIFAR-10 as uint8 [n, 32, 32, 3] in its canonical order and split."""
    return _load(ctx, "CIFAR10", (0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616))


def load_cifar100(ctx: DataContext) -> Dataset:
    """Return CIFAR-100 with its fine labels as uint8 [n, 32, 32, 3], in the order of the file that is found."""
    return _load(ctx, "CIFAR100", (0.5071, 0.4865, 0.4409), (0.2673, 0.2564, 0.2762))


def _load(ctx: DataContext, reader: str, mean: tuple[float, ...], std: tuple[float, ...]) -> Dataset:
    name = reader.lower()
    folder = {"cifar10": "cifar-10-batches-py", "cifar100": "cifar-100-python"}[name]
    found = ctx.find(folder, f"{name}/{folder}", f"{name}.npz", f"{name}/{name}.npz")
    train, test, class_names = _from_npz(found) if found.is_file() else _from_batches(found, reader)
    return Dataset(
        name=name,
        train=numbered("train", *train),
        test=numbered("test", *test),
        class_names=class_names,
        mean=mean,
        std=std,
    )


def _from_batches(folder: Path, reader: str) -> tuple[Arrays, Arrays, tuple[str, ...]]:
    from torchvision import datasets

    source = getattr(datasets, reader)
    files = [*source.train_list, *source.test_list, (source.meta["filename"], source.meta["md5"])]
    otherwise = f", or give other images of this size as {reader.lower()}.npz"
    require_published(((folder / name, md5) for name, md5 in files), otherwise)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Python 2 wrote the pickles, and NumPy deprecates what they hold
        train, test = (source(folder.parent, train=part) for part in (True, False))
    first, second = (
        (np.ascontiguousarray(part.data), np.array(part.targets, dtype=np.int64)) for part in (train, test)
    )
    return first, second, tuple(train.classes)


def _from_npz(path: Path) -> tuple[Arrays, Arrays, tuple[str, ...]]:
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
            train, test = ((archive[f"{split}_images"], archive[f"{split}_labels"]) for split in ("train", "test"))
            class_names = tuple(archive["class_names"].astype(np.str_).tolist())
    except Exception as error:  # a damaged archive raises whatever zip, zlib or the header reader trips over
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        raise DataError(f"{path} cannot be read: {reason}", f"it holds {NPZ}") from error
    for images, labels in (train, test):
        fits = images.dtype == np.uint8 and images.shape == (len(images), 32, 32, 3)
        if not fits or labels.dtype.kind not in "iu" or labels.shape != images.shape[:1]:
            found = f"images {images.dtype} {list(images.shape)} and labels {labels.dtype} {list(labels.shape)}"
            raise DataError(f"{path} has {found}", f"expected {NPZ}")
    return (train[0], train[1].astype(np.int64)), (test[0], test[1].astype(np.int64)), class_names
