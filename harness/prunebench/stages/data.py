"""Load a data set through its plugin, and check that it is the one that was promised."""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import save_file

from prunebench.contexts import DataContext, Dataset, Split
from prunebench.devices import cores
from prunebench.errors import DataError, FingerprintMismatch
from prunebench.keys import canonical_json
from prunebench.plugins import Entry
from prunebench.stages.bench import Bench, broken_promise
from prunebench.store import Store
from prunebench.tasks import Task

_STAGE = "datasets"
_SHARED_BYTES = 1 << 24  # less is loaded as quickly as it is mapped and checked


def dataset(bench: Bench, task: Task) -> Dataset:
    """Return the data set that a task reads; loaded and checked once per process.  Raises DataError for unusable data
    and FingerprintMismatch when the content is not that of the task's key."""
    expected = task.config["dataset"]["fingerprint"]
    if expected not in bench.datasets:
        bench.datasets.clear()  # one at a time: images are the largest thing in memory
        bench.datasets[expected] = _shared(bench.store, expected) or _loaded(bench, task, expected)
    return bench.datasets[expected]


def _loaded(bench: Bench, task: Task, expected: str) -> Dataset:
    """Load a data set through its plugin, and share it with the other processes where it is large."""
    where = task.locators["dataset"]
    with bench.store.lock(f"dataset-{expected}"):
        if (stored := _shared(bench.store, expected)) is not None:  # by another process, meanwhile
            return stored
        entry, roots = bench.catalogue.dataset(where["spec"]), bench.settings.data_roots
        loaded = load_dataset(entry, where["params"], roots, where.get("per_class", (0, 0)))
        if (found := fingerprint(loaded)) != expected:
            text = f"data set {where['name']!r} has fingerprint {found} now, and had {expected} when the run started"
            raise FingerprintMismatch(text, "its files changed meanwhile: run the suite again")
        share(bench.store, expected, loaded)
    return _shared(bench.store, expected) or loaded


def _splits(data: Dataset) -> dict[str, Split]:
    return {"train": data.train, "test": data.test}


def _arrays(split: Split) -> dict[str, NDArray[Any]]:
    given = {"labels": split.labels, "images": split.images, "features": split.features}
    return {name: array for name, array in given.items() if array is not None}


def share(store: Store, key: str, data: Dataset) -> None:
    """Write a data set below the cache, where it is large: one file for each split, for all processes to map."""
    if sum(array.nbytes for split in _splits(data).values() for array in _arrays(split).values()) < _SHARED_BYTES:
        return
    if store.has(_STAGE, key):
        return
    meta = {"name": data.name, "class_names": data.class_names, "mean": data.mean, "std": data.std}
    ids = {name: split.ids for name, split in _splits(data).items()}
    with store.publishing(_STAGE, key, {**meta, "ids": ids}) as scratch:
        for name, split in _splits(data).items():
            contiguous = {title: np.ascontiguousarray(array) for title, array in _arrays(split).items()}
            save_file(contiguous, scratch / f"{name}.safetensors")


def _shared(store: Store, key: str) -> Dataset | None:
    """Return a data set that was written below the cache, mapped into memory: all processes share one copy."""
    if not store.has(_STAGE, key) or (stored := store.read(_STAGE, key)) is None:
        return None
    meta = stored.meta
    train, test = (
        Split(
            images=stored.arrays.get(f"{name}/images"), features=stored.arrays.get(f"{name}/features"),
            labels=stored.arrays[f"{name}/labels"], ids=tuple(meta["ids"][name]),
        )
        for name in ("train", "test")
    )  # fmt: skip
    names, mean, std = (tuple(meta[title]) for title in ("class_names", "mean", "std"))
    return Dataset(name=meta["name"], train=train, test=test, class_names=names, mean=mean, std=std)


def check_rows(data: Dataset, what: str, rows: int) -> None:
    """Raise DataError unless there is one row for each training sample: others were computed from other data."""
    if rows != len(data.train):
        text = f"data set {data.name!r} has {len(data.train)} training samples, and its {what} {rows} rows"
        raise DataError(text, "they were computed from other data: remove the cache folder and run the suite again")


def load_dataset(
    entry: Entry[Any], params: Mapping[str, Any], roots: Iterable[str | Path], per_class: Sequence[int] = (0, 0)
) -> Dataset:
    """Load and validate a data set; arrays come back read-only.  per_class: how many samples of each class there are at
    most in the training and in the test split, the first ones of the file; 0 for all."""
    context = DataContext(params=params, roots=tuple(map(Path, roots)), obtain=entry.spec.obtain, threads=cores())
    loaded = entry.load()(context)
    if not isinstance(loaded, Dataset):
        raise broken_promise(entry, "a prunebench.Dataset", type(loaded).__name__)
    check_dataset(loaded)
    if any(per_class):
        train, test = (_first(split, n) for split, n in zip((loaded.train, loaded.test), per_class, strict=True))
        check_dataset(loaded := replace(loaded, train=train, test=test))
    return loaded


def _first(split: Split, n: int) -> Split:
    """Return the first n samples of each class in the order of the file; all of them for 0."""
    order = np.argsort(split.labels, kind="stable")
    starts = np.searchsorted(split.labels[order], split.labels[order])  # the place where the class of a sample begins
    rows = np.sort(order[np.arange(len(order)) - starts < n]) if n else np.arange(len(order))
    taken = {title: array[rows] for title, array in _arrays(split).items()}
    return replace(split, ids=tuple(split.ids[row] for row in rows), **taken)


def check_dataset(loaded: Dataset) -> None:
    """Raise DataError unless a data set is as plugins promise it; its arrays become read-only.

    Images are uint8 [n, height, width, channels], features float32 [n, d] and finite, labels int64 [n] in
    0..n_classes-1; ids are strings, unique over both splits; class names are distinct; each class has a training
    sample; both splits hold the same kind of samples."""
    names = [str(name) for name in loaded.class_names]
    if repeated := sorted({name for name in names if names.count(name) > 1}):
        text = f"data set {loaded.name}: {len(repeated)} class names stand for two classes, such as {repeated[0]!r}"
        raise DataError(text, "give each class a name of its own")
    splits = _splits(loaded)
    for title, split in splits.items():
        _check_split(f"{loaded.name} ({title})", split, loaded.n_classes)
    shapes = [[None if array is None else array.shape[1:] for array in (s.images, s.features)] for s in splits.values()]
    if shapes[0] != shapes[1]:
        parts = [f"{title} samples of shape {shape}" for title, shape in zip(splits, shapes, strict=True)]
        raise DataError(
            f"data set {loaded.name} has {' and '.join(parts)}", "give both splits the same kind of samples"
        )
    if shared := set(loaded.train.ids) & set(loaded.test.ids):
        text = f"data set {loaded.name}: {len(shared)} ids are in train and test, such as {min(shared)!r}"
        raise DataError(text, "ids must be unique over both splits")
    _check_classes(loaded)


def _check_classes(loaded: Dataset) -> None:
    n, n_classes = len(loaded.train), loaded.n_classes
    if n < n_classes:
        text = f"data set {loaded.name} has {n} training samples for {n_classes} classes"
        raise DataError(text, "give each class at least one sample")
    if len(empty := np.flatnonzero(np.bincount(loaded.train.labels, minlength=n_classes) == 0)):
        names = ", ".join(loaded.class_names[i] for i in empty[:5])
        text = f"data set {loaded.name}: no training sample of class {names}"
        raise DataError(text, "remove the empty class, or add images to it")


def _check_split(title: str, split: Split, n_classes: int) -> None:
    n, distinct = len(split.labels), len(set(split.ids))
    if n == 0:
        hint = "if a share of each class is held out, it may round to none: check the folder or file that it came from"
        raise DataError(f"data set {title} has no samples", hint)
    if not n == len(split.ids) == distinct:
        raise DataError(f"data set {title}: {distinct} distinct ids for {n} samples", "ids must be unique")
    if odd := [name for name in split.ids if not isinstance(name, str)]:
        text = f"data set {title}: ids are strings, and {odd[0]!r} is {type(odd[0]).__name__}"
        raise DataError(text, "give ids as strings that do not change, such as paths")
    hint = "number the classes 0..n_classes-1 and give their names as class_names"
    _check_array(title, "labels", split.labels, np.int64, n, (), hint)
    if split.labels.min() < 0 or split.labels.max() >= n_classes:
        found = f"from {split.labels.min()} to {split.labels.max()}, and there are {n_classes} classes"
        raise DataError(f"data set {title}: labels run {found}", "labels must be 0..n_classes-1")
    if split.images is None and split.features is None:
        raise DataError(f"data set {title} has neither images nor features", "give one of the two for each sample")
    if split.images is not None:
        hint = "give pixels 0..255 as uint8, with a last axis of 1 or 3 channels: grey images are [n, height, width, 1]"
        _check_array(title, "images", split.images, np.uint8, n, ("height", "width", "channels"), hint)
    if split.features is not None:
        _check_array(title, "features", split.features, np.float32, n, ("d",), "give each sample one row of float32")


def _check_array(
    title: str, name: str, array: Any, dtype: type[np.generic], n: int, axes: tuple[str, ...], hint: str
) -> None:
    expected = f"expected {np.dtype(dtype)} [{', '.join((str(n), *axes))}]"
    if not isinstance(array, np.ndarray):
        raise DataError(f"data set {title}: {name} are a {type(array).__name__}, {expected}", hint)
    if array.dtype != dtype or array.ndim != 1 + len(axes) or 0 in array.shape:
        raise DataError(f"data set {title}: {name} are {array.dtype} {list(array.shape)}, {expected}", hint)
    if len(array) != n:
        raise DataError(f"data set {title}: {n} labels, {len(array)} {name}", "give each sample one label")
    if array.dtype.kind == "f" and not (finite := np.isfinite(array)).all():
        rows = int((~finite).any(axis=-1).sum())
        raise DataError(f"data set {title}: {name} of {rows} samples are not finite", "remove or recompute them")
    array.flags.writeable = False


def fingerprint(loaded: Dataset) -> str:
    """Return the digest of all that a result can depend on, 32 hexadecimal digits.  Class names, channel statistics,
    and ids, labels, pixels and features of both splits, in their order."""
    state = hashlib.blake2b(digest_size=16)
    state.update(canonical_json([list(loaded.class_names), list(loaded.mean), list(loaded.std)]).encode())
    for split in (loaded.train, loaded.test):
        state.update(canonical_json(list(split.ids)).encode())
        for title, array in _arrays(split).items():  # in this order
            state.update(f"{title}{array.dtype.str}{array.shape}".encode())
            state.update(np.ascontiguousarray(array).data)
    return state.hexdigest()


def remarks(loaded: Dataset) -> tuple[str, ...]:
    """Return what is odd about a data set, one sentence each: images of one colour, and samples of the test split that
    are in the training split too."""
    found = []
    flat = [name for split in _splits(loaded).values() for name in _of_one_colour(split)]
    if flat:
        images = "1 image is" if len(flat) == 1 else f"{len(flat)} images are"
        found.append(f"data set {loaded.name}: {images} of one colour alone, such as {flat[0]!r}")
    contents = {title: _contents(split) for title, split in _splits(loaded).items()}
    if both := sorted(contents["train"].keys() & contents["test"].keys(), key=contents["train"].__getitem__):
        train, test = ([contents[title][one] for one in both] for title in ("train", "test"))
        samples = "1 sample of train is" if len(both) == 1 else f"{len(both)} samples of train are"
        text = f"data set {loaded.name}: {samples} in test, too, such as {train[0]!r}, which is {test[0]!r} there"
        found.append(f"{text}; test accuracies are too high for methods that keep them")
    return tuple(found)


def _of_one_colour(split: Split) -> list[str]:
    if split.images is None:
        return []
    first, images = split.images[:, :1, :1], split.images
    # Two equal corners come first, so that few images need a look at each pixel.
    likely = np.flatnonzero((images[:, -1:, -1:] == first).all(axis=(1, 2, 3)))
    return [split.ids[row] for row in likely.tolist() if (images[row] == first[row]).all()]


def _contents(split: Split) -> dict[bytes, str]:
    """Return the id of the first sample of each content."""
    samples = split.images if split.images is not None else split.features
    assert samples is not None  # it was checked
    found: dict[bytes, str] = {}
    for name, sample in zip(split.ids, samples, strict=True):
        found.setdefault(hashlib.blake2b(sample.tobytes(), digest_size=16).digest(), name)
    return found


def check_fingerprint(name: str, expected: str, found: str) -> None:
    """Raise FingerprintMismatch when a fingerprint is registered and differs."""
    if expected and expected != found:
        text = f"data set {name!r} has fingerprint {found}, and registry.toml expects {expected}"
        why = "the files differ from the canonical ones (another version, order or a damaged copy)"
        hint = f"{why}; fetch them again, or register yours under another name with fingerprint = {found!r}"
        raise FingerprintMismatch(text, hint)
