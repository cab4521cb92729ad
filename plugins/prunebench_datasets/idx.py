"""MNIST and its relatives: IDX files, plain or gzipped, in Debian's or torchvision's layout."""

from __future__ import annotations

import gzip
import math
import zlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from prunebench import DataContext, DataError, Dataset

from .splits import numbered

CLOTHES = ("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot")


def load_fashion_mnist(ctx: DataContext) -> Dataset:
    """Return Fashion-MNIST as uint8 [n, 28, 28, 1] in its canonical order and split."""
    folders = ("FashionMNIST/raw", "fashion-mnist", "/usr/share/datasets/fashion-mnist")
    return _load(ctx, "fashion-mnist", folders, CLOTHES, 0.2861, 0.3530)


def load_mnist(ctx: DataContext) -> Dataset:
    """Return MNIST as uint8 [n, 28, 28, 1] in its canonical order and split."""
    return _load(ctx, "mnist", ("MNIST/raw", "mnist"), tuple(map(str, range(10))), 0.1307, 0.3081)


def _load(
    ctx: DataContext, name: str, folders: tuple[str, ...], class_names: tuple[str, ...], mean: float, std: float
) -> Dataset:
    splits = {}
    for title, prefix in (("train", "train"), ("test", "t10k")):
        images = read_idx(_find(ctx, folders, f"{prefix}-images-idx3-ubyte"), dimensions=3)
        labels = read_idx(_find(ctx, folders, f"{prefix}-labels-idx1-ubyte"), dimensions=1)
        splits[title] = numbered(title, images[..., None], labels.astype(np.int64))
    return Dataset(
        name=name, train=splits["train"], test=splits["test"], class_names=class_names, mean=(mean,), std=(std,)
    )


def _find(ctx: DataContext, folders: tuple[str, ...], name: str) -> Path:
    return ctx.find(*(f"{folder}/{name}{ending}" for folder in folders for ending in ("", ".gz")))


def read_idx(path: Path, dimensions: int) -> NDArray[np.uint8]:
    """Return the array of an IDX file of unsigned bytes, gzipped or not whatever its name says.

    Raises DataError when the file is truncated, damaged or of another type.
    """
    raw = path.read_bytes()
    if raw[:2] == b"\x1f\x8b":
        try:
            raw = gzip.decompress(raw)
        except (OSError, EOFError, zlib.error) as error:
            raise DataError(f"{path} cannot be decompressed: {error}", "fetch the file again") from error
    if len(raw) < 4 or raw[:2] != b"\0\0" or raw[2] != 8:
        raise DataError(f"{path} is not an IDX file of unsigned bytes", "fetch the file again")
    if raw[3] != dimensions:
        raise DataError(f"{path} has {raw[3]} dimensions instead of {dimensions}", "fetch the file again")
    header = 4 + 4 * dimensions
    shape = tuple(np.frombuffer(raw, ">u4", dimensions, 4).tolist()) if len(raw) >= header else (0,)
    expected = header + math.prod(shape)
    if len(raw) != expected:
        raise DataError(f"{path} has {len(raw)} bytes, its header promises {expected}", "fetch the file again")
    return np.frombuffer(raw, np.uint8, offset=header).reshape(shape)
