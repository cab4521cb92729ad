"""Your own images: one folder a class."""

from __future__ import annotations

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
IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def load(ctx: DataContext) -> Dataset:
    """Return the images of a folder as uint8 [n, size, size, 3]; ids are paths relative to it.

    Folders named train and test (or val, or valid) become the splits; without them a share of each class is
    held out.  Raises DataError for an empty class, a test class that training lacks or an unreadable image,
    DatasetMissing when there is no such folder.
    """
    root = ctx.find(str(ctx.params["path"]))
    size = int(str(ctx.params["image_size"]))
    test_name = next((name for name in ("test", "val", "valid") if (root / name).is_dir()), None)
    if (root / "train").is_dir() and test_name is not None:
        names = _classes(root / "train")
        if unknown := sorted(set(_classes(root / test_name)) - set(names)):
            raise DataError(
                f"{root / test_name} has classes that train lacks: {', '.join(unknown[:3])}",
                "both need the same class folders",
            )
        train = _split(ctx, root, [root / "train" / name for name in names], size)
        test = _split(ctx, root, [root / test_name / name for name in names], size)
        return _dataset(root, train, test, names)
    names = _classes(root)
    if names == ("train",):
        raise DataError(f"{root} has a train folder and no test, val or valid", "add one, or name the train folder")
    everything = _split(ctx, root, [root / name for name in names], size)
    mask = held_out(list(everything.ids), everything.labels, float(str(ctx.params["test_fraction"])))
    return _dataset(root, _take(everything, ~mask), _take(everything, mask), names)


def _dataset(root: Path, train: Split, test: Split, names: tuple[str, ...]) -> Dataset:
    return Dataset(name=root.name, train=train, test=test, class_names=names, mean=IMAGENET_MEAN, std=IMAGENET_STD)


def _classes(root: Path) -> tuple[str, ...]:
    names = tuple(sorted(path.name for path in root.iterdir() if path.is_dir() and not path.name.startswith(".")))
    if not names:
        raise DataError(f"{root} has no folders", "put the images of each class into a folder of its own")
    return names


def _split(ctx: DataContext, root: Path, folders: list[Path], size: int) -> Split:
    files = [sorted(p for p in folder.rglob("*") if p.suffix.lower() in ENDINGS) for folder in folders]
    for folder, found in zip(folders, files, strict=True):
        if not found:
            raise DataError(f"class folder {folder} has no images", f"known endings: {', '.join(sorted(ENDINGS))}")
    flat = [(path, label) for label, found in enumerate(files) for path in found]
    images = np.empty((len(flat), size, size, 3), dtype=np.uint8)
    for number, (path, _) in enumerate(flat):
        images[number] = _read(path, size)
        ctx.progress(number / len(flat), "reading images")
    labels = np.array([label for _, label in flat], dtype=np.int64)
    return Split(images=images, labels=labels, ids=tuple(path.relative_to(root).as_posix() for path, _ in flat))


def _read(path: Path, size: int) -> NDArray[np.uint8]:
    from PIL import Image

    try:
        with Image.open(path) as file:
            image = _as_rgb(file)
    except Exception as error:  # decoders raise what they like for a damaged file
        raise DataError(f"{path} cannot be read as an image: {error}", "remove or replace the file") from error
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
    if "transparency" in upright.info:
        upright = upright.convert("RGBA")
    return upright.convert("RGB")


def _take(split: Split, mask: NDArray[np.bool_]) -> Split:
    assert split.images is not None
    ids = tuple(name for name, chosen in zip(split.ids, mask, strict=True) if chosen)
    return Split(images=split.images[mask], labels=split.labels[mask], ids=ids)
