"""One entrance for all kinds of data: what it is, and which reader reads it."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from prunebench.contexts import silent
from prunebench.errors import DataError
from prunebench.pictures import chosen_split, printable, visible_folders
from prunebench.pictures.signatures import PACKED_ENDINGS
from prunebench.pruning.reading.options import Options
from prunebench.pruning.source import Source

Progress = Callable[[float, str], None]


def read(
    data: Any,
    *,
    labels: Any = None,
    ids: Sequence[str] | None = None,
    split: str | None = None,
    strict: bool = False,
    cache: Path | None = None,
    progress: Progress = silent,
) -> Source:
    """Return the samples of any data; pictures are listed and not decoded, and nothing is executed or changed.

    data: a folder of pictures (with a sub-folder for each class, or flat), a feature file (.npy, .npz, .safetensors,
    .parquet), a Hugging Face data set saved on disk, a tar shard or a folder of them, or what `from_python` reads.
    labels: a csv file of ids and labels, or one label for each sample.  ids: one for each sample, instead of those of
    the data.  split: the one to read of several, by its name in any case; "." says that there are none.  strict: raise
    DataError, naming all of them, rather than skip samples that cannot be read.  cache: a folder where digests of files
    and converted features are remembered.  Raises DataError with what to do for data that cannot be read."""
    options = Options(labels=_labels(labels), ids=ids, split=split, cache=cache, progress=progress)
    source = _from_path(Path(data), options) if isinstance(data, str | os.PathLike) else _from_object(data, options)
    if source.skipped and (strict or not len(source)):
        raise refused(source)
    return source


def from_python(data: Any, labels: Any = None, ids: Sequence[str] | None = None, **more: Any) -> Source:
    """Return the samples of what is in memory.

    data: pictures uint8 [n, h, w, c] or [n, h, w], floating ones in 0..1, features [n, d], a table or tensor of them, a
    list of files, a data set of torch or of Hugging Face, or a prunebench.Dataset.  more: as for `read`."""
    return read(data, labels=labels, ids=ids, **more)


def refused(source: Source) -> DataError:
    """Return the error that names all that was skipped."""
    counts = Counter(one.code for one in source.skipped)
    kinds = ", ".join(f"{count} {code}" for code, count in sorted(counts.items()))
    listed = "; ".join(f"{one.id} ({one.reason})" for one in source.skipped)
    text = f"{source.title}: {len(source.skipped)} samples cannot be read ({kinds}): {listed}"
    return DataError(
        text, "mend or remove them" + (", or read without strict, which skips them" if len(source) else "")
    )


def _labels(given: Any) -> Any:
    if not isinstance(given, str | os.PathLike):
        return given
    path = Path(given)
    if not path.is_file():
        raise DataError(f"no file of labels is at {printable(str(path))}", "name a csv file with columns id and label")
    if path.suffix.lower() == ".npy":
        from prunebench.pruning.reading.feature_files import read_table

        return read_table(path).values
    return path


def _from_object(data: Any, options: Options) -> Source:
    from prunebench.pruning.reading.python_objects import read_object

    if type(data).__module__.partition(".")[0] == "datasets":
        from prunebench.pruning.reading.hugging_face import read_data_set

        return read_data_set(data, "data set", options)
    return read_object(data, options)


def _from_path(path: Path, options: Options) -> Source:
    from prunebench.pruning.reading import feature_files, hugging_face
    from prunebench.pruning.reading.tars import read_shards, shards_in

    where = printable(str(path))
    try:
        if path.is_dir():
            if hugging_face.is_saved(path):
                return hugging_face.read_saved(path, options)
            from prunebench.pruning.reading.folders import read_folder

            title, folders = printable(path.resolve().name), visible_folders(path)
            if not folders and (shards := shards_in(path)):
                return read_shards(shards, title, options)
            if folders and shards_in(path / folders[0]) and options.split != ".":  # a folder of shards for each split
                name = folders[0] if len(folders) == 1 else chosen_split(folders, options.split, where)
                return read_shards(shards_in(path / name), title, replace(options, split=None))
            return read_folder(path, options)
        if path.name.lower().endswith(".tar"):
            return read_shards([path], printable(path.name), options)
        if path.suffix.lower() in feature_files.FEATURE_ENDINGS:
            return _from_arrays(path, options)
    except FileNotFoundError as error:
        raise DataError(f"{where} is not there", "check the path") from error
    except PermissionError as error:
        raise DataError(f"{where} cannot be read: permission denied", "allow reading it") from error
    if not path.exists():
        raise DataError(f"{where} is not there", "check the path")
    if path.name.lower().endswith(PACKED_ENDINGS):
        raise DataError(f"{where} is packed", "unpack it, and name the folder or the .tar file")
    endings = ", ".join((*feature_files.FEATURE_ENDINGS, ".tar"))
    raise DataError(f"{where} is no folder, and its ending is none of {endings}", "name a folder or one of these files")


def _from_arrays(path: Path, options: Options) -> Source:
    """Read a file of features, or of pictures in an array."""
    from prunebench.pruning.reading.feature_files import read_table
    from prunebench.pruning.reading.features import read_features
    from prunebench.pruning.reading.python_objects import read_array

    table = read_table(path)
    if table.values.ndim not in (3, 4) or table.values.dtype.kind not in "ub":
        return read_features(path, table, options)
    given = replace(
        options, ids=table.ids if options.ids is None else options.ids,
        labels=table.labels if options.labels is None else options.labels,
    )  # fmt: skip
    names = () if options.labels is not None else table.class_names or ()
    return read_array(table.values, printable(path.name), given, list(map(str, names)))
