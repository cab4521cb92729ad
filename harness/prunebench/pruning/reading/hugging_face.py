"""Hugging Face data sets, saved on disk or in memory: a column of pictures or of embeddings, labels and ids."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from prunebench.errors import DataError
from prunebench.guard import read_plain
from prunebench.pictures import Unreadable, chosen_split, decode, printable, printable_ids
from prunebench.pictures.decoding import MAX_BYTES
from prunebench.pruning.reading.feature_files import FEATURE_COLUMNS, Table
from prunebench.pruning.reading.features import check_distinct, features_source, id_text
from prunebench.pruning.reading.folders import match_labels
from prunebench.pruning.reading.label_files import ID_COLUMNS, LABEL_COLUMNS, encode
from prunebench.pruning.reading.options import Options
from prunebench.pruning.reading.picture_files import DigestMemory, content_digest, memory_below
from prunebench.pruning.source import Skipped, Source

if TYPE_CHECKING:
    from PIL.Image import Image

MARKERS = ("dataset_info.json", "dataset_dict.json", "state.json")


def is_saved(folder: Path) -> bool:
    """Tell whether a folder was written by `save_to_disk`."""
    return (folder / "dataset_dict.json").is_file() or all((folder / name).is_file() for name in MARKERS[::2])


def read_saved(folder: Path, options: Options) -> Source:
    """Read what `save_to_disk` wrote; no code is run.  Raises DataError without the package `datasets`."""
    try:
        import datasets
    except ImportError as error:
        text = f"{printable(str(folder))} is a Hugging Face data set, and the package datasets is not installed"
        raise DataError(text, "pip install 'prunebench[data]'") from error
    try:
        loaded = datasets.load_from_disk(str(folder))
    except Exception as error:  # what pyarrow and json raise for damaged files
        text = f"{printable(str(folder))} cannot be read by datasets: {' '.join(str(error).split())}"
        raise DataError(text, "save the data set again with save_to_disk") from error
    return read_data_set(loaded, printable(folder.resolve().name), options)


@dataclass(frozen=True)
class ColumnPictures:
    """The encoded pictures of a column of a data set, by row."""

    column: Any  # a data set of this one column, not decoded
    name: str
    rows: tuple[int, ...]
    memory: DigestMemory | None = None
    identity: str = ""  # of the files that hold the data set

    def __len__(self) -> int:
        return len(self.rows)

    def encoded(self, index: int) -> bytes:
        """Return the bytes of a picture as they are stored; raises Unreadable."""
        cell = self.column[self.rows[index]][self.name]
        if cell is None:
            raise Unreadable("empty", "the row has no picture")
        if cell.get("bytes") is not None:
            return bytes(cell["bytes"])
        try:
            return read_plain(Path(cell["path"]), most=MAX_BYTES)
        except (DataError, TypeError) as error:
            raise Unreadable("missing-file", f"its file cannot be read: {error}") from error

    def picture(self, index: int) -> Image:
        """Return a picture as RGB, upright, at its own size; raises Unreadable."""
        return decode(self.encoded(index))

    def digest(self, index: int) -> str:
        """Return the blake2b-128 of the encoded bytes, 32 hexadecimal digits; raises Unreadable.
        It is remembered for bytes that lie in the files of the data set, while these are what they were."""
        if self.memory is None:
            return content_digest(self.encoded(index))
        key = content_digest(f"{self.identity}/{self.name}/{self.rows[index]}".encode())
        if (digest := self.memory.get(key)) is None:
            digest = content_digest(self.encoded(index))
            if "path" not in self.locator(index):
                self.memory.put(key, digest)
        return digest

    def locator(self, index: int) -> Mapping[str, Any]:
        """Return {"row"}, and "path" where the picture has a file of its own."""
        row = self.rows[index]
        cell = self.column[row][self.name] or {}
        return {"row": row} if cell.get("bytes") is not None else {"path": cell.get("path"), "row": row}


def read_data_set(data: Any, title: str, options: Options) -> Source:
    """Read a Hugging Face data set; of several splits the one that is asked for, or the only one for training."""
    notes: list[str] = []
    if isinstance(data, Mapping):  # a DatasetDict
        names = list(data)
        name = names[0] if len(names) == 1 and not options.split else chosen_split(names, options.split, title)
        others = ", ".join(other for other in names if other != name)
        notes.append(f"read the split {name}" + (f"; {others} is not read" if others else ""))
        data, options = data[name], replace(options, split=None)
    options.without_splits(title)
    if len(data) == 0:
        raise DataError(f"{title} has no rows", "name a split with samples")
    kinds = {name: type(feature).__name__ for name, feature in data.features.items()}
    picture = next((name for name, kind in kinds.items() if kind == "Image"), None)
    by_name = {name.lower(): name for name in kinds if name != picture}
    label = next((by_name[known] for known in LABEL_COLUMNS if known in by_name), None)
    key = next((by_name[known] for known in ID_COLUMNS if known in by_name and by_name[known] != label), None)
    ids = list(options.ids) if options.ids is not None else _plain(data, key)
    labels = _labels(data, label)
    if picture is None:
        vectors = next((by_name[known] for known in FEATURE_COLUMNS if known in by_name), None)
        if vectors is None:
            text = f"{title} has no column of pictures or embeddings among {', '.join(map(printable, kinds))}"
            raise DataError(text, "cast a column with datasets.Image(), or call the embeddings embedding")
        values = data.select_columns([vectors]).with_format("numpy")[:][vectors]
        return features_source(Table(values, labels, ids), title, options)
    return _pictures(data, picture, labels, ids, title, notes, options)


def _plain(data: Any, column: str | None) -> list[Any] | None:
    return None if column is None else list(data.with_format(None)[column])


def _labels(data: Any, column: str | None) -> list[Any] | None:
    values, feature = _plain(data, column), None if column is None else data.features[column]
    names = getattr(feature, "names", None)
    if values is None or not names:
        return values
    return [None if value is None or value < 0 else names[value] for value in values]


def _pictures(
    data: Any,
    column: str,
    labels: list[Any] | None,
    ids: list[Any] | None,
    title: str,
    notes: list[str],
    options: Options,
) -> Source:
    import datasets
    import numpy as np

    names = [str(row) for row in range(len(data))] if ids is None else [id_text(name) for name in ids]
    check_distinct(names, title)
    skipped: list[Skipped] = []
    rows, numbers = list(range(len(names))), None
    classes: tuple[str, ...] = ()
    if options.labels is not None:
        rows, numbers, classes = match_labels(names, options.labels, title, skipped, notes)
    elif labels is not None and any(value is not None for value in labels):
        rows = [row for row, value in enumerate(labels) if value is not None]
        skipped += [Skipped(id=printable(names[row]), code="no-label", reason="its label is missing")
                    for row, value in enumerate(labels) if value is None]  # fmt: skip
        numbers, classes = encode([labels[row] for row in rows], title)
    encoded = data.with_format(None).select_columns([column]).cast_column(column, datasets.Image(decode=False))
    files = [str(file["filename"]) for file in encoded.cache_files]
    states = [(s.st_size, s.st_mtime_ns, s.st_ctime_ns) for s in map(os.stat, files)]
    identity = repr([encoded._fingerprint, *zip(files, states, strict=True)])
    memory = memory_below(options.cache, files[0]) if files else None
    return Source(
        title=title, ids=printable_ids([names[row] for row in rows]), labels=numbers, class_names=classes,
        pictures=ColumnPictures(encoded, column, tuple(rows), memory, identity), skipped=tuple(skipped),
        notes=tuple(notes), settings={"kind": "Hugging Face data set", **options.settings()},
        positions=np.array(rows, dtype=np.int64), size=len(names),
    )  # fmt: skip
