"""Features of any number type as float32 [n, d] that are finite, with labels and ids from wherever they are."""

from __future__ import annotations

import uuid
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from prunebench.errors import DataError
from prunebench.pictures import printable, printable_ids
from prunebench.pruning.reading.feature_files import Table
from prunebench.pruning.reading.label_files import check_flat, encode, labelled, read_labels
from prunebench.pruning.reading.options import Options
from prunebench.pruning.reading.picture_files import content_digest
from prunebench.pruning.source import Skipped, Source

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_BLOCK_BYTES = 1 << 26
_IN_MEMORY_BYTES = 1 << 28  # converted features that are larger are written below the cache, and mapped


def read_features(path: Path, table: Table, options: Options) -> Source:
    """Read what a feature file holds, with labels and ids from it or from what is given; ids are row numbers where
    there are none.  Features that are float32 already are mapped, not copied.  Raises DataError for what is not [n, d]
    or not finite."""
    state = path.stat()
    key = content_digest(str(path.resolve()).encode("utf-8", "surrogateescape"), repr(
        (state.st_size, state.st_mtime_ns, state.st_ctime_ns, state.st_ino)).encode())  # fmt: skip
    target = None if options.cache is None else Path(options.cache) / "features" / f"{key}.npy"
    return features_source(table, path.name, options, target)


def features_source(table: Table, title: str, options: Options, target: Path | None = None) -> Source:
    """Return a Source of features.  target: where to write them if they have to be converted and are large."""
    import numpy as np

    where = printable(title)
    options.without_splits(where)
    values = as_float32(table.values, where, options, target)
    ids = _ids(options.ids if options.ids is not None else table.ids, len(values), where)
    labels: Any = options.labels if options.labels is not None else table.labels
    rows: NDArray[np.int64] | None = None
    skipped: Sequence[Skipped] = ()
    notes: Sequence[str] = ()
    if isinstance(labels, Path):
        labels, ids, rows, skipped, notes = _from_csv(labels, ids, len(values), where)
    numbers, names = (None, ()) if labels is None else encode(labels, where)
    if numbers is not None and len(numbers) != (len(values) if rows is None else len(rows)):
        raise DataError(f"{where}: {len(numbers):,} labels for {len(values):,} samples", "give each sample one label")
    if numbers is not None and table.class_names is not None and options.labels is None:
        names, numbers = _named(numbers, names, [str(name) for name in table.class_names])
    return Source(
        title=where, ids=tuple(str(row) for row in range(len(values))) if ids is None else ids, labels=numbers,
        class_names=names, features=values if rows is None else values[rows], skipped=tuple(skipped),
        notes=tuple(notes), settings={"kind": "features", **options.settings()},
        positions=np.arange(len(values)) if rows is None else rows, size=len(values),
    )  # fmt: skip


def _named(
    numbers: NDArray[np.int64], found: Sequence[str], names: Sequence[str]
) -> tuple[tuple[str, ...], NDArray[np.int64]]:
    """Return the class names that the data give, with the labels that count in them."""
    import numpy as np

    if set(found) <= set(names):
        position = np.array([names.index(name) for name in found], dtype=np.int64)
    elif all(name.isdecimal() and int(name) < len(names) for name in found):
        position = np.array([int(name) for name in found], dtype=np.int64)
    else:
        return tuple(found), numbers
    present = np.unique(position)  # a class without samples is none
    return tuple(printable(names[at]) for at in present), np.searchsorted(present, position)[numbers]


def _ids(given: Sequence[Any] | None, n: int, where: str) -> tuple[str, ...] | None:
    if given is None:
        return None
    check_flat(given, "ids", where)
    texts = list(map(id_text, given))
    if len(texts) != n:
        raise DataError(f"{where}: {len(texts):,} ids for {n:,} samples", "give each sample one id")
    check_distinct(texts, where)
    return printable_ids(texts)


def id_text(value: Any) -> str:
    """Return an id as text, "" for one that is missing."""
    if isinstance(value, bytes):
        return value.decode("utf-8", "surrogateescape")
    return "" if value is None or value != value else str(value)  # NaN is not itself


def check_distinct(ids: Sequence[str], where: str) -> None:
    """Raise DataError with the ids that several samples have, or that are empty."""
    if len(set(ids)) != len(ids):
        repeated = [name for name, count in Counter(ids).items() if count > 1]
        shown = ", ".join(repr(printable(name)) for name in repeated[:3])
        raise DataError(
            f"{where}: {len(repeated):,} ids belong to several samples, such as {shown}", "ids must be unique"
        )
    if "" in ids:
        raise DataError(f"{where}: the id of row {ids.index('')} is empty", "give each sample an id")


def _from_csv(
    path: Path, ids: tuple[str, ...] | None, n: int, where: str
) -> tuple[list[str], tuple[str, ...] | None, NDArray[np.int64] | None, list[Skipped], list[str]]:
    """Return labels, ids, the rows that have a label (None for all), what was skipped, and notes."""
    import numpy as np

    file = read_labels(path)
    title = printable(path.name)
    if ids is None:
        if len(file.rows) != n:
            text = f"{title} has {len(file.rows):,} rows for the {n:,} samples of {where}, which have no ids"
            raise DataError(text, "give one row for each sample in their order, or ids in the feature file")
        names = [name for name, _ in file.rows]
        if any(names):
            check_distinct(names, title)
        note = f"rows of {title} are matched to those of {where} by their order"
        return [label for _, label in file.rows], printable_ids(names) if any(names) else None, None, [], [note]
    if not any(name for name, _ in file.rows):
        raise DataError(f"{title} has no column of ids, and the samples of {where} have ids", "add a column id")
    of, skipped, notes = labelled(ids, file)
    rows = np.array(sorted(of), dtype=np.int64)
    notes = [f"labels come from {title}", *notes]
    chosen = [of[row] for row in rows.tolist()]
    if len(rows) == n:
        return chosen, ids, None, skipped, notes
    return chosen, tuple(ids[row] for row in rows), rows, skipped, notes


def as_float32(values: NDArray[Any], where: str, options: Options, target: Path | None = None) -> NDArray[np.float32]:
    """Return features as float32 [n, d] in row order, checked to be finite; as they are where they are so already."""
    import numpy as np

    if values.dtype.kind not in "fiub":
        raise DataError(f"{where}: features are {values.dtype}, expected numbers", "save them as float32 [n, d]")
    if values.ndim != 2 or 0 in values.shape:
        text = f"{where}: features have shape {list(values.shape)}, expected [n, d] with at least one of each"
        raise DataError(
            text, "give one row of features for each sample, such as averages over places, or pictures as uint8"
        )
    same = values.dtype == np.dtype("<f4") and values.flags.c_contiguous
    if not same and target is not None and target.is_file():  # whole: it is renamed into its place
        return np.asarray(np.load(target, mmap_mode="r", allow_pickle=False))
    scratch = (
        None if target is None or values.size * 4 <= _IN_MEMORY_BYTES else target.with_suffix(f".{uuid.uuid4().hex}")
    )
    converted = values.view() if same else _room(values.shape, scratch)
    step = max(1, _BLOCK_BYTES // (values.shape[1] * values.dtype.itemsize))
    bad: list[int] = []
    beyond = 0
    for start in range(0, len(values), step):
        block = values[start : start + step]
        with np.errstate(over="ignore", invalid="ignore"):
            single = np.asarray(block, dtype=np.float32)
        wrong = ~np.isfinite(single).all(axis=1)
        if wrong.any():
            bad += (start + np.flatnonzero(wrong)).tolist()
            beyond += int(np.isfinite(block[wrong]).all(axis=1).sum())
        if not same:
            converted[start : start + step] = single
        options.progress(start / len(values), "reading features")
    if bad:
        what = "beyond the range of float32" if beyond == len(bad) else "NaN or infinite"
        if values.dtype == np.float16 and np.isinf(values[bad]).any():
            what += " (float16 overflows above 65,504)"
        rows = ", ".join(map(str, bad[:5]))
        text = f"{where}: {len(bad):,} of {len(values):,} samples have features that are {what} (row {rows}, from 0)"
        raise DataError(text, "remove these rows, or compute their features again in float32")
    if scratch is not None and target is not None:
        scratch.rename(target)
    converted.flags.writeable = False
    return converted


def _room(shape: tuple[int, ...], file: Path | None) -> NDArray[np.float32]:
    import numpy as np

    if file is None:
        return np.empty(shape, dtype=np.float32)
    file.parent.mkdir(parents=True, exist_ok=True)
    return np.lib.format.open_memmap(file, mode="w+", dtype=np.float32, shape=shape)
