"""MNIST and Fashion-MNIST: IDX files read by torchvision, plain or gzipped, in its layout or Debian's."""

from __future__ import annotations

import gzip
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from prunebench import DataContext, DataError, Dataset, Split

from .splits import numbered

CLOTHES = ("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot")


def load_fashion_mnist(ctx: DataContext) -> Dataset:
    """Return Fashion-MNIST as uint8 [n, 28, 28, 1] in its canonical order and split."""
    folders = ("FashionMNIST/raw", "fashion-mnist", "/usr/share/datasets/fashion-mnist")
    return _load(ctx, "fashion-mnist", folders, CLOTHES, 0.2861, 0.3530)


def load_mnist(ctx: DataContext) -> Dataset:
    """Return MNIST as uint8 [n, 28, 28, 1] in its canonical order and split."""
    return _load(ctx, "mnist", ("MNIST/raw", "mnist"), tuple("0123456789"), 0.1307, 0.3081)


def _load(
    ctx: DataContext, name: str, folders: tuple[str, ...], class_names: tuple[str, ...], mean: float, std: float
) -> Dataset:
    files = ("train-images-idx3", "train-labels-idx1", "t10k-images-idx3", "t10k-labels-idx1")
    found = [ctx.find(*(f"{folder}/{file}-ubyte{end}" for folder in folders for end in ("", ".gz"))) for file in files]
    train, test = _split("train", found[0], found[1]), _split("test", found[2], found[3])
    return Dataset(name=name, train=train, test=test, class_names=class_names, mean=(mean,), std=(std,))


def _split(title: str, images: Path, labels: Path) -> Split:
    from torchvision.datasets.mnist import read_image_file, read_label_file

    return numbered(title, read_idx(images, read_image_file)[..., None], read_idx(labels, read_label_file))


def read_idx(path: Path, read: Callable[[str], Any]) -> NDArray[Any]:
    """Return what a reader of torchvision makes of a file, gzipped or not whatever its name says.

    Raises DataError when the file is truncated, damaged or of another type.
    """
    try:
        with tempfile.TemporaryDirectory() as folder:
            array: NDArray[Any] = read(str(_plain(path, Path(folder)))).numpy()
            return array
    except Exception as error:  # gzip and torchvision raise many types, assertions without a text among them
        reason = " ".join(f"{type(error).__name__}: {error}".split()).removesuffix(":")
        raise DataError(f"{path} is not a whole IDX file of its kind ({reason})", "fetch the file again") from error


def _plain(path: Path, folder: Path) -> Path:
    with path.open("rb") as file:
        if file.read(2) != b"\x1f\x8b":
            return path
    plain = folder / "plain"
    with gzip.open(path) as packed, plain.open("wb") as out:
        shutil.copyfileobj(packed, out)
    return plain
