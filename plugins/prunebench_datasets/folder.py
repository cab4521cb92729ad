"""Your own images: one folder for each class."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from prunebench import DataContext, DataError, Dataset, Split
from prunebench.pictures import (
    Unreadable,
    check_no_split_in_classes,
    decode,
    find_pictures,
    printable,
    printable_ids,
    split_of,
    splits_among,
    visible_folders,
)

from .splits import held_out

if TYPE_CHECKING:
    from PIL.Image import Image

LISTED = 100  # faults that a message names
IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def load(ctx: DataContext) -> Dataset:
    """Return the images of a folder as uint8 [n, size, size, 3]; ids are POSIX paths relative to it.

    Folders named as splits, in any case (train; test, or else val, valid, validation, dev or eval), become the splits;
    without them a share of each class is held out.  Classes and the images of each are sorted by the bytes of their
    paths.  Files of the system and hidden ones are ignored; images are decoded as `prunebench.pictures.decode` says.
    Raises DataError for a class without images, a test class that training lacks, folders that may be splits or
    classes, or unreadable images, DatasetMissing when there is no such folder.
    """
    root = ctx.find(str(ctx.params["path"]))
    if not root.is_dir():
        raise DataError(f"{printable(str(root))} is a file", "name the folder that holds one folder for each class")
    size = int(str(ctx.params["image_size"]))
    train_name, test_name = _split_names(root, str(ctx.params["train"]), str(ctx.params["test"]))
    train = _split(ctx, root, train_name, _classes(root / train_name), size)
    names = _classes(root / train_name)
    if test_name:
        if unknown := sorted(set(_classes(root / test_name)) - set(names)):
            listed = ", ".join(map(printable, unknown[:3]))
            text = f"{printable(str(root / test_name))} has classes that {train_name or 'the folder'} lacks: {listed}"
            raise DataError(text, "both need the same class folders")
        test = _split(ctx, root, test_name, names, size)
    else:
        train, test = _held_out(root, train, float(str(ctx.params["test_fraction"])))
    return Dataset(
        name=printable(root.name), train=train, test=test, class_names=printable_ids(names),
        mean=IMAGENET_MEAN, std=IMAGENET_STD,
    )  # fmt: skip


def _split_names(root: Path, train: str, test: str) -> tuple[str, str]:
    """Return the folders of training and test images; "" is the folder itself, and no folder for the test."""
    if train or test:
        if not train:
            raise DataError(f"{root.name}: test = {test!r} without train", "name the folder of training images, too")
        return train.removeprefix("."), test
    names = splits_among(root)
    if not names:
        return "", ""
    by_role = {role: [name for name in names if split_of(name) == role] for role in ("train", "test", "validation")}
    training, testing = by_role["train"], by_role["test"] or by_role["validation"]
    listed = ", ".join(map(printable, names))
    if not training or not testing:
        alone = printable(str(root / names[0]))
        raise DataError(
            f"{printable(str(root))} has the folders {listed}, which are no classes, and as splits they lack one",
            f"call them train and test, val or valid, or name {alone} alone to hold out a part of it",
        )
    if len(training) > 1 or len(testing) > 1:
        text = f"{printable(str(root))} has the folders {listed}, of which several may be one split"
        raise DataError(text, "name the two to read with params = { train = ..., test = ... }")
    return training[0], testing[0]


def _classes(folder: Path) -> tuple[str, ...]:
    names = visible_folders(folder)
    if not names:
        raise DataError(f"{printable(str(folder))} has no folders", "put the images of each class into one of its own")
    return names


def _split(ctx: DataContext, root: Path, part: str, classes: Sequence[str], size: int) -> Split:
    """Return all images of one split; raises DataError with all that cannot be read."""
    found = find_pictures(root / part, lambda fraction, text: ctx.progress(0.0, text))
    check_no_split_in_classes(root / part, found.names)
    start = f"{part}/" if part else ""
    position = {name: label for label, name in enumerate(classes)}
    names = [name for name in found.names if "/" in name]
    labels = np.array([position[name.split("/")[0]] for name in names], dtype=np.int64)
    faults = [(one.name, one.reason) for one in found.unread if "/" in one.name]
    _check_not_empty(root / part, classes, {name.split("/")[0] for name in [*names, *(name for name, _ in faults)]})
    images = np.empty((len(names), size, size, 3), dtype=np.uint8)

    def read(number: int) -> str:
        try:
            images[number] = _square(decode((root / part / names[number]).read_bytes()), size)
        except (Unreadable, OSError) as error:
            return str(error)
        return ""

    with ThreadPoolExecutor(max(1, ctx.threads)) as pool:
        for number, fault in enumerate(pool.map(read, range(len(names)))):
            if fault:
                faults.append((names[number], fault))
            ctx.progress(number / len(names), "reading images")
    if faults:
        listed = "; ".join(f"{printable(str(root / part / name))} ({why})" for name, why in faults[:LISTED])
        more = f" and {len(faults) - LISTED} more" if len(faults) > LISTED else ""
        total = len(names) + sum("/" in one.name for one in found.unread)
        raise DataError(
            f"{len(faults)} of {total} images cannot be read: {listed}{more}", "remove, mend or replace these files"
        )
    return Split(images=images, labels=labels, ids=printable_ids(start + name for name in names))


def _check_not_empty(folder: Path, classes: Sequence[str], present: set[str]) -> None:
    if empty := [name for name in classes if name not in present]:
        listed = ", ".join(printable(str(folder / name)) for name in empty[:LISTED])
        raise DataError(f"class folder {listed} has no images", "remove the folder, or put images into it")


def _square(image: Image, size: int) -> NDArray[np.uint8]:
    """Return the middle of an image whose shorter side is resized; what is cut off is not computed."""
    from PIL.Image import Resampling

    scale = size / min(image.size)
    box = []
    for side in image.size:
        whole = max(size, round(side * scale))
        first = (whole - size) // 2
        box.append((first * side / whole, min(side, (first + size) * side / whole)))
    (left, right), (top, bottom) = box
    square = image.resize((size, size), Resampling.BICUBIC, box=(left, top, right, bottom))
    return np.asarray(square, dtype=np.uint8)


def _held_out(root: Path, everything: Split, fraction: float) -> tuple[Split, Split]:
    mask = held_out(list(everything.ids), everything.labels, fraction)
    if not mask.any():
        raise DataError(
            f"{printable(str(root))} has too few images to hold any out: {fraction:g} of each class rounds to none",
            "raise test_fraction, add images, or give train and test folders",
        )
    return _take(everything, ~mask), _take(everything, mask)


def _take(split: Split, mask: NDArray[np.bool_]) -> Split:
    assert split.images is not None
    ids = tuple(name for name, chosen in zip(split.ids, mask, strict=True) if chosen)
    return Split(images=split.images[mask], labels=split.labels[mask], ids=ids)
