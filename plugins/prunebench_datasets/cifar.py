"""CIFAR-10 and CIFAR-100: torchvision's pickles, read without running what is in them, or one npz."""

from __future__ import annotations

import io
import pickle
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from prunebench import DataContext, DataError, Dataset

from .splits import numbered

TEN = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")


def load_cifar10(ctx: DataContext) -> Dataset:
    """Return CIFAR-10 as uint8 [n, 32, 32, 3] in its canonical order and split."""
    found = ctx.find("cifar-10-batches-py", "cifar10/cifar-10-batches-py", "cifar10.npz", "cifar10/cifar10.npz")
    mean, std = (0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616)
    if found.is_file():
        return _from_npz("cifar10", found, mean, std)
    train = [_batch(found / f"data_batch_{number}", "labels") for number in range(1, 6)]
    images = np.concatenate([batch[0] for batch in train])
    labels = np.concatenate([batch[1] for batch in train])
    return _dataset("cifar10", (images, labels), _batch(found / "test_batch", "labels"), TEN, mean, std)


def load_cifar100(ctx: DataContext) -> Dataset:
    """Return CIFAR-100 with its fine labels as uint8 [n, 32, 32, 3], in the order of the file that is found."""
    found = ctx.find("cifar-100-python", "cifar100/cifar-100-python", "cifar100.npz", "cifar100/cifar100.npz")
    mean, std = (0.5071, 0.4865, 0.4409), (0.2673, 0.2564, 0.2762)
    if found.is_file():
        return _from_npz("cifar100", found, mean, std)
    names = tuple(_text(name) for name in _unpickle(found / "meta").get("fine_label_names", ()))
    if not names:
        raise DataError(f"{found / 'meta'} has no fine_label_names", "fetch the file again")
    train, test = (_batch(found / title, "fine_labels") for title in ("train", "test"))
    return _dataset("cifar100", train, test, names, mean, std)


Arrays = tuple[NDArray[np.uint8], NDArray[np.int64]]


def _dataset(
    name: str,
    train: Arrays,
    test: Arrays,
    class_names: tuple[str, ...],
    mean: tuple[float, ...],
    std: tuple[float, ...],
) -> Dataset:
    return Dataset(
        name=name,
        train=numbered("train", *train),
        test=numbered("test", *test),
        class_names=class_names,
        mean=mean,
        std=std,
    )


def _from_npz(name: str, path: Path, mean: tuple[float, ...], std: tuple[float, ...]) -> Dataset:
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
            arrays = {key: archive[key] for key in archive.files}
        train = (arrays["train_images"], arrays["train_labels"].astype(np.int64))
        test = (arrays["test_images"], arrays["test_labels"].astype(np.int64))
        names = tuple(str(label) for label in arrays["class_names"])
    except Exception as error:  # a damaged archive raises whatever zip, zlib or the header reader trips over
        raise DataError(
            f"{path} cannot be read: {type(error).__name__}: {error}",
            "it holds train_images uint8 [n, 32, 32, 3], train_labels, test_images, test_labels, class_names",
        ) from error
    for images, labels in (train, test):
        if images.dtype != np.uint8 or images.shape[1:] != (32, 32, 3) or len(images) != len(labels):
            raise DataError(f"{path}: images {images.dtype} {list(images.shape)}", "expected uint8 [n, 32, 32, 3]")
    return _dataset(name, train, test, names, mean, std)


def _batch(path: Path, label_key: str) -> Arrays:
    content = _unpickle(path)
    try:
        values = np.asarray(content["data"])
        if values.dtype.kind not in "iu" or (values.size and (values.min() < 0 or values.max() > 255)):
            raise ValueError("pixels are not integers in 0..255")  # NumPy 1 would wrap them round
        images = values.astype(np.uint8).reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)
        labels = np.asarray(content[label_key], dtype=np.int64)
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise DataError(
            f"{path} is not a CIFAR batch: {type(error).__name__}: {error}", "fetch the file again"
        ) from error
    if labels.shape != (len(images),):
        raise DataError(f"{path} has {len(images)} images and labels {list(labels.shape)}", "fetch the file again")
    return np.ascontiguousarray(images), labels


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)


def _unpickle(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise DataError(f"{path} is missing", "fetch the archive again and unpack all of it")
    try:
        content = _ArraysOnly(io.BytesIO(path.read_bytes()), encoding="bytes").load()
        return {_text(key): value for key, value in content.items()}
    except Exception as error:  # a damaged pickle may raise anything
        raise DataError(f"{path} cannot be read: {type(error).__name__}: {error}", "fetch the file again") from error


class _ArraysOnly(pickle.Unpickler):
    """Builds NumPy arrays and plain containers, and refuses to look up anything else."""

    def find_class(self, module: str, name: str) -> Any:
        allowed = {
            ("numpy.core.multiarray", "_reconstruct"),
            ("numpy._core.multiarray", "_reconstruct"),
            ("numpy", "ndarray"),
            ("numpy", "dtype"),
            ("_codecs", "encode"),
        }
        if (module, name) not in allowed:
            raise pickle.UnpicklingError(f"it asks for {module}.{name}, which a CIFAR batch does not need")
        if name == "_reconstruct":  # NumPy 2 has it in another module: take the one that this NumPy itself writes
            return np.empty(0).__reduce__()[0]
        return super().find_class(module, name)
