"""What the tests of data sets share: loading as by the harness, published files of our own, and errors."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import prunebench_datasets
from prunebench import DataError, Dataset, Split
from prunebench.plugins import Entry, Origin
from prunebench.stages.data import load_dataset

SPECS = {spec.name: spec for spec in prunebench_datasets.prunebench_datasets()}
ORIGIN = Origin("datasets", "prunebench", "0")


def load(name: str, *roots: Path, **params: Any) -> Dataset:
    """Load a data set as the harness does, with the promises that it checks and those of the documentation."""
    spec = SPECS[name]
    loaded = load_dataset(Entry(spec, ORIGIN), spec.resolve_params(params), roots)
    assert loaded.n_classes == (spec.n_classes or loaded.n_classes)
    for split in (loaded.train, loaded.test):
        assert (split.labels.dtype, pixels(split).dtype, pixels(split).ndim) == (np.int64, np.uint8, 4)
    assert not set(loaded.train.ids) & set(loaded.test.ids)
    return loaded


def pixels(split: Split) -> NDArray[np.uint8]:
    assert split.images is not None
    return split.images


def md5(path: Path) -> str:
    return hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest()


def refusal(name: str, *roots: Path, **params: Any) -> str:
    """Return the one sentence with which a data set is refused; it has a hint, and nothing of torchvision's."""
    with pytest.raises(DataError) as caught:
        load(name, *roots, **params)
    assert "\n" not in caught.value.message
    assert caught.value.hint
    assert "download=True" not in caught.value.message + caught.value.hint
    return caught.value.message
