"""Feature files: .npy, .npz, .safetensors and .parquet, mapped into memory where the format allows."""

from __future__ import annotations

import zipfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from prunebench.devices import available_bytes
from prunebench.errors import DataError
from prunebench.pictures import printable
from prunebench.pruning.reading.label_files import ID_COLUMNS, LABEL_COLUMNS, check_flat

if TYPE_CHECKING:
    from numpy.typing import NDArray

FEATURE_ENDINGS = (".npy", ".npz", ".safetensors", ".parquet", ".pq")
FEATURE_COLUMNS = (
    "features", "embeddings", "embedding", "feature", "feats", "feat", "emb", "embs", "vectors", "vector", "x", "data",
    "arr_0", "train_features", "x_train",
)  # fmt: skip
CLASS_NAMES = ("class_names", "classes", "label_names")
_PICKLE = "it holds Python objects (a pickle), which would be executed to be read, and is refused"
_HINT = "save features as float32 [n, d], such as with numpy.save"


@dataclass(frozen=True)
class Table:
    """The arrays of a feature file.  values: of any number type, [n, d], perhaps mapped.
    labels, ids, class_names: None where the file has none."""

    values: NDArray[Any]
    labels: Any = None
    ids: Sequence[Any] | None = None
    class_names: Sequence[str] | None = None


def read_table(path: Path) -> Table:
    """Return what a feature file holds; raises DataError for one that is damaged, or would have to be executed, and
    FileNotFoundError."""
    where = printable(str(path))
    ending = path.suffix.lower()
    if path.exists() and not path.is_file():  # a pipe would be waited for
        raise DataError(f"{where} is no file that can be read", _HINT)
    try:
        if ending == ".npy":
            return Table(_mapped_npy(path))
        if ending == ".npz":
            return _chosen(_npz(path), where)
        if ending == ".safetensors":
            return _chosen(_safetensors(path), where)
        return _parquet(path, where)
    except (DataError, FileNotFoundError):
        raise
    except PermissionError as error:
        raise DataError(f"{where} cannot be read: permission denied", "allow reading it") from error
    except MemoryError as error:
        raise DataError(f"{where} needs more memory than there is", "save it as an uncompressed .npy") from error
    except Exception as error:  # what readers raise for a damaged file is anything
        text = " ".join(str(error).split()) or type(error).__name__
        if any(word in text.lower() for word in ("pickle", "object array", "python objects")):
            text = _PICKLE
        raise DataError(f"{where} is no readable {ending} file: {text}", _HINT) from error


def _mapped_npy(path: Path) -> NDArray[Any]:
    import numpy as np

    with path.open("rb") as file:
        magic = file.read(6)
    if magic != b"\x93NUMPY":
        raise ValueError(_PICKLE if magic[:1] == b"\x80" else "it does not begin like one")
    with np.errstate(over="ignore"):  # a size beyond 64 bits is refused by its next line
        array: NDArray[Any] = np.load(path, mmap_mode="r", allow_pickle=False)
    return array


def _npz(path: Path) -> Mapping[str, NDArray[Any]]:
    """Return the arrays of an .npz file; those that are stored without compression are mapped."""
    import numpy as np

    arrays: dict[str, NDArray[Any]] = {}
    with zipfile.ZipFile(path) as archive, np.load(path, allow_pickle=False) as loaded:
        for entry in archive.infolist():
            name = entry.filename.removesuffix(".npy")
            mapped = _mapped_member(path, archive, entry) if entry.compress_type == zipfile.ZIP_STORED else None
            if mapped is None:
                _check_fits(entry.file_size)
            arrays[name] = loaded[name] if mapped is None else mapped
    return arrays


def _check_fits(n_bytes: int) -> None:
    """Raise ValueError for what would not fit into memory: a small file may be a large array that is well packed."""
    free = available_bytes()
    if free is not None and n_bytes > free:
        raise ValueError(f"it unpacks to {n_bytes:,} bytes, and {free:,} are free")


def _mapped_member(path: Path, archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> NDArray[Any] | None:
    """Map an array that lies in a zip file as it is; None for one too small to be worth it, or of another layout."""
    import numpy as np

    if entry.file_size < 1 << 20:
        return None
    with archive.open(entry) as file:
        version = np.lib.format.read_magic(file)
        if version not in ((1, 0), (2, 0)):
            return None
        read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, fortran, dtype = read(file)
        header = file.tell()
    if dtype.hasobject:
        return None
    with path.open("rb") as raw:
        raw.seek(entry.header_offset + 26)  # lengths of the name and of the extra field in the local header
        lengths = raw.read(4)
    start = entry.header_offset + 30 + int.from_bytes(lengths[:2], "little") + int.from_bytes(lengths[2:], "little")
    mapped: Any = np.memmap
    array: NDArray[Any] = mapped(path, dtype, "r", start + header, shape, "F" if fortran else "C")
    return array


def _safetensors(path: Path) -> Mapping[str, NDArray[Any]]:
    from prunebench.errors import CorruptArtefact
    from prunebench.store import map_safetensors

    try:
        return map_safetensors(path)
    except CorruptArtefact as error:
        reason = (
            "of a type that NumPy lacks (save as F32)" if "'BF16'" in error.message or "'F8" in error.message else ""
        )
        raise ValueError(reason or "its header or length is wrong") from error


def _chosen(arrays: Mapping[str, NDArray[Any]], where: str) -> Table:
    """Return features, labels and ids among named arrays: by their names, or the only one that has two dimensions."""
    lower = {name.lower(): name for name in arrays}
    listed = ", ".join(f"{printable(name)} {list(array.shape)}" for name, array in list(arrays.items())[:6])
    name = next((lower[known] for known in FEATURE_COLUMNS if known in lower), None)
    if name is None:
        wide = [name for name, array in arrays.items() if array.ndim >= 2 and array.dtype.kind in "fiu"]
        if len(wide) != 1:
            text = f"{where} has {len(wide)} arrays that may be features among {listed or 'none'}"
            raise DataError(text, "name the one with the features features, with shape [n, d]")
        name = wide[0]

    def found(known: Iterable[str]) -> list[Any] | None:
        key = next((lower[key] for key in known if key in lower and lower[key] != name), None)
        if key is None:
            return None
        check_flat(arrays[key], f"the values of {printable(key)}", where)
        return list(arrays[key].tolist())

    labels = found(key for key in LABEL_COLUMNS if key not in CLASS_NAMES)
    return Table(arrays[name], labels, found(ID_COLUMNS), found(CLASS_NAMES))


def _parquet(path: Path, where: str) -> Table:
    """Return the embedding column of a parquet file, read in batches; lists of one length, or many numeric columns."""
    import numpy as np

    try:
        import pyarrow.parquet as pq
        import pyarrow.types as types
    except ImportError as error:
        text = f"{where}: parquet files need pyarrow, which is not installed"
        raise DataError(text, "pip install 'prunebench[data]'") from error

    with pq.ParquetFile(path) as file:
        schema = file.schema_arrow
        lists = [field.name for field in schema if types.is_list(field.type) or types.is_large_list(field.type)
                 or types.is_fixed_size_list(field.type)]  # fmt: skip
        lower = {name.lower(): name for name in lists}
        column = next(
            (lower[known] for known in FEATURE_COLUMNS if known in lower), lists[0] if len(lists) == 1 else None
        )
        if column is None:
            text = f"{where} has no embedding column among {', '.join(map(printable, schema.names[:8]))}"
            raise DataError(text, "name a column of lists of numbers embedding")
        others = {field.name.lower(): field for field in schema if field.name != column}
        label = next((others[known].name for known in LABEL_COLUMNS if known in others), None)
        # A picture is called image, too: bytes, or a structure of them, and no id.
        pictures = [name for name in ("image", "img") if name in others and "binary" in str(others[name].type)]
        nested = [name for name, field in others.items() if types.is_nested(field.type)]
        names = [name for name in ID_COLUMNS if name in others and name not in {*pictures, *nested}]
        key = next((others[name].name for name in names if others[name].name != label), None)
        values: NDArray[Any] | None = None
        labels: list[Any] = []
        ids: list[Any] = []
        filled = 0
        for batch in file.iter_batches(columns=[name for name in (column, label, key) if name]):
            part = _rows(batch.column(column), where, filled)
            if values is None:
                _check_fits(file.metadata.num_rows * part.shape[1] * part.dtype.itemsize)
                values = np.empty((file.metadata.num_rows, part.shape[1]), dtype=part.dtype)
            if part.shape[1] != values.shape[1]:
                raise DataError(f"{where}: embeddings of {values.shape[1]} and of {part.shape[1]} numbers", _HINT)
            values[filled : filled + len(part)] = part
            filled += len(part)
            labels += batch.column(label).to_pylist() if label else []
            ids += batch.column(key).to_pylist() if key else []
    if values is None:
        raise DataError(f"{where} has no rows", _HINT)
    return Table(values, labels if label else None, ids if key else None)


def _rows(column: Any, where: str, first: int) -> NDArray[Any]:
    """Return a column of lists as numbers [n, d]; raises DataError for one that is missing, or of another length."""
    import numpy as np

    if column.null_count or column.flatten().null_count:
        rows = column.to_pylist()
        at = first + next((at for at, row in enumerate(rows) if row is None or None in row), 0)
        raise DataError(f"{where}: the embedding of row {at} is missing", "remove rows without an embedding")
    flat = column.flatten().to_numpy(zero_copy_only=False)
    lengths = np.fromiter((len(row) for row in column), dtype=np.int64, count=len(column))
    if len(lengths) and (lengths != lengths[0]).any():
        at = int(np.flatnonzero(lengths != lengths[0])[0])
        text = f"{where}: the embedding of row {first + at} has {lengths[at]} numbers, that of row {first} {lengths[0]}"
        raise DataError(text, "all embeddings need the same length")
    return np.asarray(flat).reshape(len(column), -1)
