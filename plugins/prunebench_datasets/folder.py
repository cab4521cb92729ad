"""Your own images: one folder for each class."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from prunebench import DataContext, DataError, Dataset, Split

from .splits import held_out

if TYPE_CHECKING:
    from PIL.Image import Image
    from PIL.ImageFile import ImageFile

ENDINGS = {".png", ".jpg", ".jpeg", ".webp", ".bmp", ".gif", ".tif", ".tiff"}
TEST_FOLDERS = ("test", "val", "valid")
SPLITS = {"train", "training", *TEST_FOLDERS, "testing", "validation"}
IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def load(ctx: DataContext) -> Dataset:
    """Return the images of a folder as uint8 [n, size, size, 3]; ids are POSIX paths relative to it.

    Folders named train and test (or val, or valid) become the splits; without them a share of each class is
    held out.  Classes and the images of each are sorted by the bytes of their paths.  Hidden files and folders are
    ignored.  Raises DataError for a class without images, a test class that training lacks or unreadable images,
    DatasetMissing when there is no such folder.
    """
    root = ctx.find(str(ctx.params["path"]))
    size = int(str(ctx.params["image_size"]))
    names = _classes(root)
    test_name = next((name for name in TEST_FOLDERS if name in names), None)
    if "train" in names and test_name is not None:
        return _with_its_own_test(ctx, root, test_name, size)
    if {name.lower() for name in names} <= SPLITS:
        raise DataError(
            f"{root} has the folders {', '.join(names)}, which are no classes, and as splits they lack one",
            f"call them train and test, val or valid, or name {root / names[0]} alone to hold out a part of it",
        )
    everything = _split(ctx, root, [root / name for name in names], size)
    fraction = float(str(ctx.params["test_fraction"]))
    mask = held_out(list(everything.ids), everything.labels, fraction)
    if not mask.any():
        raise DataError(
            f"{root} has too few images to hold any out: {fraction:g} of each class rounds to none",
            "raise test_fraction, add images, or give train and test folders",
        )
    return _dataset(root, _take(everything, ~mask), _take(everything, mask), names)


def _with_its_own_test(ctx: DataContext, root: Path, test_name: str, size: int) -> Dataset:
    names = _classes(root / "train")
    if unknown := sorted(set(_classes(root / test_name)) - set(names)):
        raise DataError(
            f"{root / test_name} has classes that train lacks: {', '.join(unknown[:3])}",
            "both need the same class folders",
        )
    train, test = (_split(ctx, root, [root / part / name for name in names], size) for part in ("train", test_name))
    return _dataset(root, train, test, names)


def _dataset(root: Path, train: Split, test: Split, names: tuple[str, ...]) -> Dataset:
    return Dataset(name=root.name, train=train, test=test, class_names=names, mean=IMAGENET_MEAN, std=IMAGENET_STD)


def _classes(root: Path) -> tuple[str, ...]:
    if not root.is_dir():
        raise DataError(f"{root} is a file", "name the folder that holds one folder for each class")
    names = sorted((path.name for path in root.iterdir() if path.is_dir() and path.name[0] != "."), key=os.fsencode)
    if not names:
        raise DataError(f"{root} has no folders", "put the images of each class into a folder of its own")
    return tuple(names)


def _images(root: Path, folder: Path) -> list[Path]:
    """Return the images below a class folder, sorted by the bytes of their POSIX paths; links are followed."""
    found = []
    for place, folders, files in os.walk(folder, followlinks=True):
        # What begins with a dot is not the user's: .DS_Store, ._photo.jpg, .ipynb_checkpoints.
        # A link to a folder around it would be walked again and again.
        here = Path(place).resolve()
        folders[:] = [n for n in folders if n[0] != "." and not here.is_relative_to(Path(place, n).resolve())]
        found += [Path(place, name) for name in files if name[0] != "." and Path(name).suffix.lower() in ENDINGS]
    if not found:
        raise DataError(f"class folder {folder} has no images", f"known endings: {', '.join(sorted(ENDINGS))}")
    return sorted(found, key=lambda path: os.fsencode(path.relative_to(root).as_posix()))


def _split(ctx: DataContext, root: Path, folders: list[Path], size: int) -> Split:
    flat = [(path, label) for label, folder in enumerate(folders) for path in _images(root, folder)]
    images = np.empty((len(flat), size, size, 3), dtype=np.uint8)
    faults = []
    for number, (path, _) in enumerate(flat):
        try:
            path.relative_to(root).as_posix().encode()  # fails for a name that is no text: it cannot be an id
            images[number] = _read(path, size)
        except Exception as error:  # decoders raise what they like for a damaged file
            faults.append(" ".join(f"{os.fsencode(path).decode(errors='backslashreplace')} ({error})".split()))
        ctx.progress(number / len(flat), "reading images")
    if faults:
        more = f" and {len(faults) - 5} more" if len(faults) > 5 else ""
        raise DataError(
            f"{len(faults)} of {len(flat)} images cannot be read: {'; '.join(faults[:5])}{more}",
            "remove, rename or replace these files",
        )
    labels = np.array([label for _, label in flat], dtype=np.int64)
    return Split(images=images, labels=labels, ids=tuple(path.relative_to(root).as_posix() for path, _ in flat))


def _read(path: Path, size: int) -> NDArray[np.uint8]:
    from PIL import Image

    with Image.open(path) as file:
        image = _as_rgb(file)
    scale = size / min(image.size)
    width, height = (max(size, round(side * scale)) for side in image.size)
    image = image.resize((width, height), Image.Resampling.BICUBIC)
    left, top = (width - size) // 2, (height - size) // 2
    return np.asarray(image.crop((left, top, left + size, top + size)), dtype=np.uint8)


def _as_rgb(file: ImageFile) -> Image:
    from PIL import Image, ImageOps

    upright = ImageOps.exif_transpose(file)
    if upright.mode.startswith("I;16"):  # Pillow would cut 16-bit grey off at 255
        return Image.fromarray((np.asarray(upright) >> 8).astype(np.uint8)).convert("RGB")
    if upright.mode in ("I", "F"):
        raise ValueError("pixels of 32 bits have no agreed range: save it with 8 or 16 bits")
    if "transparency" in upright.info:
        upright = upright.convert("RGBA")
    return upright.convert("RGB")


def _take(split: Split, mask: NDArray[np.bool_]) -> Split:
    assert split.images is not None
    ids = tuple(name for name, chosen in zip(split.ids, mask, strict=True) if chosen)
    return Split(images=split.images[mask], labels=split.labels[mask], ids=ids)
