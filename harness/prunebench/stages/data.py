"""Load a data set through its plugin, and check that it is the one that was promised."""

import hashlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from prunebench.contexts import DataContext, Dataset, Split
from prunebench.errors import DataError, FingerprintMismatch
from prunebench.keys import canonical_json
from prunebench.plugins import Entry
from prunebench.stages.bench import Bench, broken_promise
from prunebench.tasks import Task


def dataset(bench: Bench, task: Task) -> Dataset:
    """Return the data set that a task reads; loaded and checked once per process.  Raises DataError for unusable data
    and FingerprintMismatch when the content is not that of the task's key."""
    expected = task.config["dataset"]["fingerprint"]
    if expected not in bench.datasets:
        where = task.locators["dataset"]
        loaded = load_dataset(bench.catalogue.dataset(where["spec"]), where["params"], bench.settings.data_roots)
        if (found := fingerprint(loaded)) != expected:
            text = f"data set {where['name']!r} has fingerprint {found} now, and had {expected} when the run started"
            raise FingerprintMismatch(text, "its files changed meanwhile: run the suite again")
        bench.datasets.clear()  # one at a time: images are the largest thing in memory
        bench.datasets[expected] = loaded
    return bench.datasets[expected]


def check_rows(data: Dataset, what: str, rows: int) -> None:
    """Raise DataError unless there is one row for each training sample: others were computed from other data."""
    if rows != len(data.train):
        text = f"data set {data.name!r} has {len(data.train)} training samples, and its {what} {rows} rows"
        raise DataError(text, "they were computed from other data: remove the cache folder and run the suite again")


def load_dataset(entry: Entry[Any], params: Mapping[str, Any], roots: Iterable[str | Path]) -> Dataset:
    """Load and validate a data set; arrays come back read-only."""
    context = DataContext(params=params, roots=tuple(map(Path, roots)), obtain=entry.spec.obtain)
    loaded = entry.load()(context)
    if not isinstance(loaded, Dataset):
        raise broken_promise(entry, "a prunebench.Dataset", type(loaded).__name__)
    for title, split in (("train", loaded.train), ("test", loaded.test)):
        _check_split(f"{loaded.name} ({title})", split, loaded.class_names)
    n, n_classes = len(loaded.train), loaded.n_classes
    if n < n_classes:
        text = f"data set {loaded.name} has {n} training samples for {n_classes} classes"
        raise DataError(text, "give each class at least one sample")
    if len(empty := np.flatnonzero(np.bincount(loaded.train.labels, minlength=n_classes) == 0)):
        names = ", ".join(loaded.class_names[i] for i in empty[:5])
        text = f"data set {loaded.name}: no training sample of class {names}"
        raise DataError(text, "remove the empty class, or add images to it")
    return loaded


def _check_split(title: str, split: Split, class_names: tuple[str, ...]) -> None:
    n, distinct = len(split.labels), len(set(split.ids))
    if n == 0:
        raise DataError(f"data set {title} has no samples", "check the folder or file that it was read from")
    if not n == len(split.ids) == distinct:
        raise DataError(f"data set {title}: {distinct} distinct ids for {n} samples", "ids must be unique")
    arrays, labels = [array for array in (split.images, split.features) if array is not None], split.labels
    if not arrays or any(len(array) != n for array in arrays):
        samples = [len(array) for array in arrays]
        raise DataError(f"data set {title}: {n} labels, {samples} samples", "give each sample one label")
    if labels.dtype.kind not in "iu" or labels.ndim != 1:
        text = f"data set {title}: labels are {labels.dtype} {list(labels.shape)}, expected int64 [{n}]"
        raise DataError(text, "number the classes 0..n_classes-1 and give their names as class_names")
    if labels.min() < 0 or labels.max() >= len(class_names):
        found = f"from {labels.min()} to {labels.max()}, and there are {len(class_names)} classes"
        raise DataError(f"data set {title}: labels run {found}", "labels must be 0..n_classes-1")
    for array in (*arrays, labels):
        array.flags.writeable = False


def fingerprint(loaded: Dataset) -> str:
    """Return the digest of all that a result can depend on, 32 hexadecimal digits.  Class names, channel statistics,
    and ids, labels, pixels and features of both splits, in their order."""
    state = hashlib.blake2b(digest_size=16)
    state.update(canonical_json([list(loaded.class_names), list(loaded.mean), list(loaded.std)]).encode())
    for split in (loaded.train, loaded.test):
        state.update(canonical_json(list(split.ids)).encode())
        for title, array in (("labels", split.labels), ("images", split.images), ("features", split.features)):
            if array is not None:
                state.update(f"{title}{array.dtype.str}{array.shape}".encode())
                state.update(np.ascontiguousarray(array).data)
    return state.hexdigest()


def check_fingerprint(name: str, expected: str, found: str) -> None:
    """Raise FingerprintMismatch when a fingerprint is registered and differs."""
    if expected and expected != found:
        text = f"data set {name!r} has fingerprint {found}, and registry.toml expects {expected}"
        why = "the files differ from the canonical ones (another version, order or a damaged copy)"
        hint = f"{why}; fetch them again, or register yours under another name with fingerprint = {found!r}"
        raise FingerprintMismatch(text, hint)
