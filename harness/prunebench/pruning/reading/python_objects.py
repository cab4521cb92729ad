"""Data that are in memory: arrays of pictures or features, data sets of torch, lists of files."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from prunebench.errors import DataError
from prunebench.pictures import Unreadable, printable, printable_ids
from prunebench.pruning.reading.feature_files import Table
from prunebench.pruning.reading.features import check_distinct, features_source, id_text
from prunebench.pruning.reading.folders import match_labels
from prunebench.pruning.reading.label_files import check_flat
from prunebench.pruning.reading.options import Options
from prunebench.pruning.reading.picture_files import PictureFiles, content_digest, memory_below
from prunebench.pruning.source import Pictures, Skipped, Source

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from PIL.Image import Image


@dataclass(frozen=True)
class ArrayPictures:
    """Pictures uint8 [n, h, w, c] with 1, 3 or 4 channels, [n, h, w] grey, or floating ones in 0..1."""

    array: NDArray[Any]

    def __len__(self) -> int:
        return len(self.array)

    def picture(self, index: int) -> Image:
        """Return a picture as RGB; raises Unreadable for floating values outside of 0..1."""
        return picture_of(self.array[index])

    def digest(self, index: int) -> str:
        """Return the blake2b-128 of the pixels with their type and shape, 32 hexadecimal digits."""
        return _array_digest(self.array[index])

    def locator(self, index: int) -> Mapping[str, Any]:
        """Return {"row"}: the position in the array."""
        return {"row": index}


@dataclass(frozen=True)
class ItemPictures:
    """The pictures of a data set of torch, each obtained when it is asked for."""

    items: Any
    rows: tuple[int, ...]

    def __len__(self) -> int:
        return len(self.rows)

    def picture(self, index: int) -> Image:
        """Return a picture as RGB; raises Unreadable for one that the data set cannot give."""
        try:
            item = self.items[self.rows[index]]
        except Exception as error:  # of somebody's data set, which may raise anything
            raise Unreadable("damaged", f"the data set raises {type(error).__name__}: {error}") from error
        return picture_of(_first(item))

    def digest(self, index: int) -> str:
        """Return the blake2b-128 of the pixels, 32 hexadecimal digits; raises Unreadable."""
        import numpy as np

        return _array_digest(np.asarray(self.picture(index)))

    def locator(self, index: int) -> Mapping[str, Any]:
        """Return {"row"}: the position in the data set."""
        return {"row": self.rows[index]}


def _array_digest(array: NDArray[Any]) -> str:
    import numpy as np

    return content_digest(f"{array.dtype.str}{array.shape}".encode(), np.ascontiguousarray(array).tobytes())


def picture_of(item: Any) -> Image:
    """Return a picture of any kind as RGB: PIL's, an array, or a tensor [c, h, w] or [h, w, c]; raises Unreadable."""
    import io

    import numpy as np
    from PIL import Image

    from prunebench.pictures.decoding import decode, noted

    if isinstance(item, Image.Image):
        if item.mode == "RGB":
            return noted(item.copy())
        form = "TIFF" if item.mode == "F" or item.mode.startswith("I") else "PNG"
        buffer = io.BytesIO()
        known = form == "TIFF" or item.mode in ("L", "LA", "RGBA", "P", "1")
        (item if known else item.convert("RGB")).save(buffer, form)
        return decode(buffer.getvalue())
    array = np.asarray(item.detach().cpu().numpy() if hasattr(item, "detach") else item)
    if array.ndim == 3 and array.shape[0] in (1, 3, 4) and array.shape[2] not in (1, 3, 4):
        array = array.transpose(1, 2, 0)
    if array.dtype.kind == "f":
        low, high = (float(array.min()), float(array.max())) if array.size else (0.0, 0.0)
        if not 0 <= low <= high <= 1:
            text = f"floating pixels run from {low:g} to {high:g}, expected 0 to 1"
            raise Unreadable("unknown-range", text)
        array = np.rint(array.astype(np.float64) * 255).astype(np.uint8)
    elif array.dtype == np.bool_:
        array = array.astype(np.uint8) * 255
    if array.ndim == 3 and array.shape[2] == 1:
        array = array[:, :, 0]
    fits = array.ndim in (2, 3) and 0 not in array.shape and array.shape[2:] in ((), (3,), (4,))
    if array.dtype != np.uint8 or not fits:
        text = f"an array {array.dtype} {list(array.shape)} is no picture: uint8 or 0..1, [h, w] or [h, w, 3]"
        raise Unreadable("not-an-image", text)
    image = Image.fromarray(np.ascontiguousarray(array))
    return noted(image) if image.mode == "RGB" else picture_of(image)


def _first(item: Any) -> Any:
    """Return the picture of an item: itself, the first of a tuple, or the one of a dictionary."""
    if isinstance(item, Mapping):
        keys = [key for key in ("image", "img", "pixel_values", "picture", "x", "input") if key in item]
        return item[keys[0]] if keys else next(iter(item.values()), None)
    return item[0] if isinstance(item, tuple | list) and item else item


def _second(item: Any) -> Any:
    if isinstance(item, Mapping):
        return next((item[key] for key in ("label", "labels", "target", "y", "class") if key in item), None)
    return item[1] if isinstance(item, tuple | list) and len(item) > 1 else None


def read_object(data: Any, options: Options) -> Source:
    """Return a Source of arrays, tensors, tables, lists of files, or data sets of torch; see `from_python`."""
    import numpy as np

    if hasattr(data, "train") and hasattr(data, "class_names") and hasattr(data.train, "ids"):
        return _registered(data, options)
    if hasattr(data, "to_numpy") and hasattr(data, "columns"):  # a DataFrame of features
        ids = options.ids if options.ids is not None else [str(name) for name in data.index]
        return features_source(Table(data.to_numpy(), ids=ids), "features", options)
    if isinstance(data, list | tuple) and data and all(isinstance(one, str | os.PathLike) for one in data):
        return _files([os.fspath(one) for one in data], options)
    if hasattr(data, "toarray"):
        raise DataError("features are a sparse matrix", "give them as an array, such as by toarray()")
    if hasattr(data, "detach"):
        data = data.detach().cpu().numpy()
    if isinstance(data, list | tuple) and data and _is_vector(data[0]):
        try:
            data = np.stack([np.asarray(row) for row in data])
        except ValueError as error:
            raise DataError(f"rows of features differ: {error}", "give each sample as many numbers") from error
    if isinstance(data, np.ndarray):
        if np.ma.is_masked(data):
            text = f"{np.ma.count_masked(data):,} values are masked"  # type: ignore[no-untyped-call]
            raise DataError(f"arrays: {text}, and what is under a mask is no value", "fill them, or leave rows out")
        return read_array(data, "arrays", options)
    if hasattr(data, "__getitem__") and hasattr(data, "__len__") and not isinstance(data, Mapping):
        return _items(data, options)
    text = f"data of type {type(data).__name__} are not understood"
    raise DataError(text, "give a path, an array [n, h, w, c] or [n, d], or a data set with a length and items")


def _is_vector(item: Any) -> bool:
    """Tell whether an item is a row of features rather than a picture, with or without its label."""
    if isinstance(item, list | tuple):
        return bool(item) and all(isinstance(value, int | float) for value in item)
    return getattr(item, "ndim", 0) == 1


def read_array(array: NDArray[Any], title: str, options: Options, class_names: Sequence[str] = ()) -> Source:
    """Return a Source of an array: features [n, d], pictures [n, h, w, c] or grey ones [n, h, w].  class_names: of
    pictures whose labels count in them.  Raises DataError for an array that is neither, and for floating
    pixels outside of 0..1."""
    if array.ndim == 2 or array.dtype.kind not in "fiub":
        return features_source(Table(array), title, options)
    if array.ndim not in (3, 4) or 0 in array.shape or (array.ndim == 4 and array.shape[3] not in (1, 3, 4)):
        text = f"{title}: an array of shape {list(array.shape)} holds neither features nor pictures"
        raise DataError(
            text, "give features [n, d], or pictures [n, h, w, 3], [n, h, w, 1] or [n, h, w]: the channels come last"
        )
    if array.dtype.kind == "f":
        low, high = float(array.min()), float(array.max())
        if not 0 <= low <= high <= 1:  # NaN is in no range
            text = f"{title}: floating pixels run from {low:g} to {high:g}, expected 0 to 1"
            hint = "divide pixels by their range, or give them as uint8; features are one row [d] for each sample"
            raise DataError(text, hint)
    elif array.dtype not in ("uint8", "bool"):
        hint = "give pixels as uint8; features are one row [d] for each sample"
        raise DataError(f"{title}: pixels are {array.dtype}, expected uint8", hint)
    names = _names(options, len(array), title)

    def pictures(rows: list[int]) -> ArrayPictures:
        return ArrayPictures(array if len(rows) == len(array) else array[rows])

    return _pictures(pictures, names, title, options, class_names)


def _names(options: Options, n: int, title: str) -> list[str]:
    if options.ids is not None:
        check_flat(options.ids, "ids", title)
    names = [str(row) for row in range(n)] if options.ids is None else [id_text(name) for name in options.ids]
    if len(names) != n:
        raise DataError(f"{title}: {len(names):,} ids for {n:,} samples", "give each sample one id")
    check_distinct(names, title)
    return names


def _pictures(
    make: Callable[[list[int]], Pictures], names: Sequence[str], title: str, options: Options,
    class_names: Sequence[str] = (),
) -> Source:  # fmt: skip
    """Return a Source of pictures by row, of those that have a label where labels are given."""
    import numpy as np

    options.without_splits(title)
    skipped: list[Skipped] = []
    notes: list[str] = []
    rows, labels = list(range(len(names))), None
    classes: tuple[str, ...] = ()
    if options.labels is not None:
        rows, labels, classes = match_labels(names, options.labels, title, skipped, notes)
    if class_names and set(classes) <= set(map(str, range(len(class_names)))):
        classes = tuple(printable(class_names[int(one)]) for one in classes)
    return Source(
        title=title, ids=printable_ids([names[row] for row in rows]), labels=labels, class_names=classes,
        pictures=make(rows), skipped=tuple(skipped), notes=tuple(notes),
        settings={"kind": "Python objects", **options.settings()}, positions=np.array(rows, dtype=np.int64),
        size=len(names),
    )  # fmt: skip


def _registered(data: Any, options: Options) -> Source:
    """Return the training samples of a prunebench.Dataset."""
    import numpy as np

    options.without_splits(data.name)
    options.without_ids(data.name)
    split, names = data.train, tuple(map(printable, data.class_names))
    pictures = None if split.images is None else ArrayPictures(split.images)
    return Source(
        title=printable(data.name), ids=printable_ids(split.ids), labels=split.labels, class_names=names,
        features=split.features, pictures=pictures, settings={"kind": "data set", **options.settings()},
        positions=np.arange(len(split.ids)), size=len(split.ids),
    )  # fmt: skip


def _files(paths: Sequence[str], options: Options, class_names: Sequence[str] = ()) -> Source:
    """Return a Source of picture files; ids are relative to the folder that holds all of them."""
    full = [os.path.abspath(path) for path in paths]  # noqa: PTH100
    root = os.path.commonpath([os.path.dirname(path) for path in full])  # noqa: PTH120
    relative = [Path(os.path.relpath(path, root)).as_posix() for path in full]
    names = relative if options.ids is None else list(options.ids)
    check_distinct(names, "the list of files")

    def make(rows: list[int]) -> PictureFiles:
        return PictureFiles(root, tuple(relative[row] for row in rows), memory=memory_below(options.cache, root))

    return _pictures(make, names, "files", options, class_names)


def _items(data: Any, options: Options) -> Source:
    """Return a Source of a data set of torch: by the files that it lists, or by its items."""
    from dataclasses import replace

    title, n = type(data).__name__, len(data)
    if n == 0:
        raise DataError(f"{title} has no samples", "give a data set with samples")
    class_names = tuple(map(str, getattr(data, "classes", ()) or ()))
    listed = getattr(data, "samples", None)
    if isinstance(listed, list) and len(listed) == n and all(isinstance(_first(one), str) for one in listed):
        if options.labels is None:
            options = replace(options, labels=[_second(one) for one in listed])
        return _files([_first(one) for one in listed], options, class_names)
    if options.labels is None:
        options = replace(options, labels=_labels(data, n, options))
    names = _names(options, n, title)
    return _pictures(lambda rows: ItemPictures(data, tuple(rows)), names, title, options, class_names)


def _labels(data: Any, n: int, options: Options) -> Sequence[Any] | None:
    """Return the labels of a data set: those that it lists, or those of its items; None where it has none."""
    for name in ("targets", "labels", "_labels"):
        listed = getattr(data, name, None)
        if listed is not None and not callable(listed) and hasattr(listed, "__len__") and len(listed) == n:
            return listed.tolist() if hasattr(listed, "tolist") else list(listed)
    if _second(data[0]) is None:
        return None
    found = []
    for row in range(n):
        options.progress(row / n, "reading labels")
        value = _second(data[row])
        found.append(value.item() if hasattr(value, "item") else value)
    return found
