"""Which positions of somebody's data set hold the samples that were kept: by file, by id, or by position."""

from __future__ import annotations

import os
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from prunebench.errors import DataError, UsageError
from prunebench.pictures import printable
from prunebench.pruning.choose import named_budget

if TYPE_CHECKING:
    import pandas as pd

    from prunebench.pruning.flow import Outcome

Ints = NDArray[np.int64]
SAME_LABELS = 0.9  # the rest may have been corrected since
FILE_LISTS = ("samples", "imgs")  # of torchvision's data sets: pairs of a path and a label


class Pruning(Protocol):
    """What `prunebench.prune` returns, as far as it is needed here."""

    @property
    def outcome(self) -> Outcome: ...
    @property
    def manifest(self) -> Mapping[str, Any]: ...
    @property
    def ledger(self) -> pd.DataFrame: ...


@dataclass(frozen=True, kw_only=True)
class Chosen:
    """What one budget keeps, and where it lies.

    table: rows of the ledger.  files: by id, "path" and, inside a tar file, "offset" and "length"; None where the input
    is no files.  size: how many samples the input has, None where it has no order.  classes: their names.  labelled:
    the classes are labels that the input itself gives."""

    title: str
    table: pd.DataFrame
    files: pd.DataFrame | None = None
    size: int | None = None
    classes: Sequence[str] = field(default=())
    labelled: bool = False

    @property
    def ids(self) -> list[str]:
        return [str(name) for name in self.table["id"]]

    @property
    def positions(self) -> Ints | None:
        """The places in the input, int64, sorted; None where it has no order."""
        if self.size is None or "position" not in self.table:
            return None
        return np.sort(self.table["position"].to_numpy(dtype=np.int64))

    @property
    def paths(self) -> list[str]:
        """The files of what is kept, none where the input is no files of their own."""
        whole = self.files is not None and "offset" not in self.files
        return [] if self.files is None or not whole else self.files["path"].tolist()


def chosen(kept: Pruning | str | os.PathLike[str], keep: str | float | None = None) -> Chosen:
    """Return what a pruning keeps at one of its budgets, by default the first.

    kept: what `prunebench.prune` returned, or the folder that it wrote.  Raises UsageError for another budget, and
    DataError for a folder that no pruning wrote."""
    from prunebench.pruning.folders import open_folder
    from prunebench.pruning.output import FILES, file_index

    if isinstance(kept, str | os.PathLike):
        written = open_folder(Path(kept))
        manifest, ledger, title = written.manifest, written.ledger, str(kept)
        files = written.files if (written.folder / f"{FILES}.csv").is_file() else None
    else:
        manifest, ledger, files = kept.manifest, kept.ledger, file_index(kept.outcome)
        title = kept.outcome.source.title
    name, about = named_budget(keep, manifest["keep"]), manifest["data"]
    column = "kept" if name == manifest["keep"][0] else f"kept_{name}"
    table = ledger[ledger[column] == 1]
    if files is not None:
        files = files.set_index("id").loc[table["id"]].reset_index()
    labelled = manifest["choice"]["clusters"] is None and not about["reading"].get("labels")
    return Chosen(
        title=title, table=table, files=files, size=about.get("size"), classes=about["classes"], labelled=labelled
    )


def positions_in(dataset: Any, kept: Any, keep: str | float | None = None) -> Ints:
    """Return where the kept samples are in a data set, int64.

    kept: a `Pruned`, the folder that it wrote, indices into the data set, a mask bool [len(dataset)], or ids.  A
    pruning is matched by the files that the data set lists in `samples` or `imgs` (wherever they were moved
    together), else by its `ids` or the id column of a Hugging Face data set, else by the place in the input, where
    both have the same number of samples.  Raises UsageError where it cannot be known which samples are meant."""
    if not hasattr(dataset, "__len__") or not hasattr(dataset, "__getitem__"):
        text = f"a data set of type {type(dataset).__name__} has no length and no items by position"
        raise UsageError(text, "give a map-style data set; one that streams cannot be indexed")
    if isinstance(dataset, Mapping):
        named = ", ".join(map(str, dataset))
        raise UsageError(f"a dictionary of data sets ({named}) is no data set", "give one of them")
    if isinstance(kept, str | os.PathLike) or hasattr(kept, "outcome"):
        return _of_pruning(dataset, chosen(kept, keep))
    if keep is not None:
        raise UsageError("keep names a budget of a pruning, and indices or ids were given", "leave keep out")
    if not isinstance(kept, Iterable):
        text = f"what is kept is of type {type(kept).__name__}"
        raise UsageError(text, "give indices, a mask, ids, what prunebench.prune returned, or its folder")
    given = np.asarray(kept if hasattr(kept, "__array__") else list(kept))
    if given.dtype.kind in "UO" and given.ndim == 1 and all(isinstance(one, str) for one in given):
        return _by_name(dataset, given.tolist())
    return _by_index(given, len(dataset))


def _by_index(given: NDArray[Any], n: int) -> Ints:
    if given.ndim != 1 or (given.size and given.dtype.kind not in "iub"):
        text = f"kept is an array {given.dtype} {list(given.shape)}"
        raise UsageError(text, "give indices [m], a mask bool [n], ids, what prunebench.prune returned, or its folder")
    if given.dtype == np.bool_:
        if len(given) != n:
            raise UsageError(f"a mask of {len(given):,} samples for a data set of {n:,}", "give one value per sample")
        return np.flatnonzero(given)
    if given.size and not 0 <= given.min() <= given.max() < n:
        text = f"kept has indices from {given.min()} to {given.max()}, and the data set has {n:,} samples"
        raise UsageError(text, "they count the samples of this data set, from 0")
    return given.astype(np.int64)


def _by_name(dataset: Any, ids: Sequence[str]) -> Ints:
    for known, wanted in _names(dataset, ids, []):
        if set(wanted) <= {*known}:
            return _where(known, wanted)
    text = f"not all of the {len(ids):,} ids, such as {ids[0]!r}, are known to the data set {type(dataset).__name__}"
    raise UsageError(text, "its ids are its attribute `ids` or the paths of its `samples`: give these, or indices")


def _of_pruning(dataset: Any, found: Chosen) -> Ints:
    positions, ids, missing = found.positions, found.ids, ""
    # Row numbers as ids say no more than the positions, and another data set may number its samples in another order.
    numbered = positions is not None and set(ids) == {str(place) for place in positions}
    for known, wanted in _names(dataset, [] if numbered else ids, found.paths):
        there = set(wanted) & {*known}
        if len(there) == len(set(wanted)):
            return _where(known, wanted)
        if there:
            lacking = next(name for name in wanted if name not in there)
            missing = missing or f"{len(set(wanted)) - len(there):,} of them are not in it, such as {lacking!r}"
    named = f"where the {len(ids):,} samples that {found.title} keeps are in the data set {type(dataset).__name__}"
    hint = "give a data set that lists the same files as `samples`, or the indices that are meant"
    if missing:
        raise UsageError(f"it cannot be known {named}: {missing}", hint)
    if positions is None or (found.paths and listed_files(dataset) is not None):
        raise UsageError(f"it cannot be known {named}: it lists none of their files, and no such ids", hint)
    if found.size != len(dataset):
        sizes = f"the input had {found.size:,} samples, and it has {len(dataset):,}"
        raise UsageError(f"it cannot be known {named}: {sizes}", "give the data set that was pruned, or indices")
    _check_labels(dataset, found)
    return positions


def _names(dataset: Any, ids: Sequence[str], paths: Sequence[str]) -> Iterator[tuple[Sequence[str], Sequence[str]]]:
    """Yield ways to tell samples apart: the name of each sample of the data set, and the names that are wanted."""
    files = listed_files(dataset)
    if files is not None and paths:
        yield [os.path.abspath(file) for file in files], [os.path.abspath(path) for path in paths]  # noqa: PTH100
        yield [os.path.realpath(file) for file in files], [os.path.realpath(path) for path in paths]
    if not ids:
        return
    if (known := listed_ids(dataset)) is not None:
        yield known, ids
    if files is not None:
        yield _below_one_folder(files, ids), ids


def _where(known: Sequence[str], wanted: Sequence[str]) -> Ints:
    names = {*wanted}
    return np.array([place for place, name in enumerate(known) if name in names], dtype=np.int64)


def listed_files(dataset: Any) -> list[str] | None:
    """Return the file of each sample of a data set, through `Subset` and `ConcatDataset` of torch; None where it lists
    none."""
    inner, taken, parts = (getattr(dataset, name, None) for name in ("dataset", "indices", "datasets"))
    if inner is not None and taken is not None:
        files = listed_files(inner)
        return None if files is None else [files[place] for place in taken]
    if isinstance(parts, list | tuple):
        each = [listed_files(part) for part in parts]
        return None if None in each else [file for files in each for file in files or ()]
    for name in FILE_LISTS:
        listed = getattr(dataset, name, None)
        if isinstance(listed, list | tuple) and len(listed) == len(dataset):
            firsts = [one[0] if isinstance(one, list | tuple) and one else one for one in listed]
            if all(isinstance(one, str | os.PathLike) for one in firsts):
                return [os.fspath(one) for one in firsts]
    return None


def listed_ids(dataset: Any) -> list[str] | None:
    """Return the id of each sample of a data set: of its `ids`, or of the id column of one of Hugging Face."""
    if type(dataset).__module__.partition(".")[0] == "datasets":
        from prunebench.pruning.reading.label_files import ID_COLUMNS

        column = _column(dataset, ID_COLUMNS)
        values = None if column is None else dataset.with_format(None)[column]
    else:
        values = getattr(dataset, "ids", None)
    if values is None or callable(values) or len(values) != len(dataset):
        return None
    return [printable(str(one)) for one in values]


def _column(dataset: Any, known: Sequence[str]) -> str | None:
    plain = {name.lower(): name for name, feature in dataset.features.items() if type(feature).__name__ != "Image"}
    return next((plain[name] for name in known if name in plain), None)


def _below_one_folder(files: Sequence[str], ids: Sequence[str]) -> list[str]:
    """Return the id of each file: its path below the one folder below which all ids are found, "" for other files.
    Raises UsageError where several folders have all of them."""
    wanted = {*ids}
    texts = [printable(PurePath(os.path.abspath(file)).as_posix()) for file in files]  # noqa: PTH100
    below: dict[str, set[str]] = defaultdict(set)
    for text in texts:
        for slash in (place for place, letter in enumerate(text) if letter == "/"):
            if (name := printable(text[slash + 1 :])) in wanted:
                below[text[: slash + 1]].add(name)
    roots = sorted(below, key=lambda root: -len(below[root]))
    if len(roots) > 1 and len(below[roots[1]]) == len(wanted):
        text = f"all kept files are in {roots[0]} and in {roots[1]}"
        raise UsageError(f"{text}, which the data set lists both", "give a data set of one of these folders")
    return [printable(text.removeprefix(roots[0])) if roots and text.startswith(roots[0]) else "" for text in texts]


def _check_labels(dataset: Any, found: Chosen) -> None:
    """Raise UsageError where the classes say that the data set is in another order than the one that was pruned."""
    table = found.table
    if not found.labelled or not all(table["class"]):
        return
    values = _labels_at(dataset, table["position"].astype("int64").tolist())
    counts = Counter(zip(table["class"].tolist(), map(str, values), strict=True)) if values is not None else Counter()
    agreeing: dict[str, int] = defaultdict(int)  # of each class, those with the label that most of it have
    for (name, _), count in counts.items():
        agreeing[name] = max(agreeing[name], count)
    if sum(agreeing.values()) < SAME_LABELS * counts.total():
        text = f"the labels of the data set are not those of {found.title} at the same places"
        raise UsageError(f"{text}: it was shuffled, or is another one", "give the data set that was pruned")


def _labels_at(dataset: Any, places: Sequence[int]) -> Sequence[Any] | None:
    """Return the labels of some samples, where the data set lists them."""
    if type(dataset).__module__.partition(".")[0] == "datasets":
        from prunebench.pruning.reading.label_files import LABEL_COLUMNS

        column = _column(dataset, LABEL_COLUMNS)
        return None if column is None else list(dataset.with_format(None).select(places)[column])
    listed: Any = getattr(dataset, "targets", None)
    if not hasattr(listed, "__len__") or len(listed) != len(dataset):
        return None
    return [listed[place].item() if hasattr(listed[place], "item") else listed[place] for place in places]


def files_of(table: pd.DataFrame, root: str | os.PathLike[str] | None) -> Mapping[str, Any]:
    """Return names, offsets and lengths of files, each int64 [n] or None for whole files; raises DataError for files
    that are gone or were cut.  root: where shards are now, or the folder below which ids are the paths."""
    whole = "offset" not in table
    names = [str(path) for path in table["path"]]
    if root is not None:
        depths = [1 + name.count("/") if whole else 1 for name in table["id"]]
        parts = [Path(name).parts[-depth:] for name, depth in zip(names, depths, strict=True)]
        names = [str(Path(root, *part)) for part in parts]
    lengths = None if whole else table["length"].to_numpy(dtype=np.int64)
    offsets = None if whole else table["offset"].to_numpy(dtype=np.int64)
    last: dict[str, int] = {}
    for place, name in enumerate(names):
        end = 0 if offsets is None or lengths is None else int(offsets[place] + lengths[place])
        last[name] = max(end, last.get(name, 0))
    for name, end in last.items():
        if not os.path.isfile(name):  # noqa: PTH113
            raise DataError(f"{printable(name)} is not there any more", "name the folder of the files now as root")
        if os.path.getsize(name) < end:  # noqa: PTH202
            raise DataError(f"{printable(name)} is shorter than when it was pruned", "prune the data again")
    return {"names": tuple(names), "offsets": offsets, "lengths": lengths}
