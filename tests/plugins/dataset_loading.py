"""What the tests of data sets share: loading as by the harness, with its promises checked."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import prunebench_datasets
from prunebench import DataContext, DataError, Dataset, Split

SPECS = {spec.name: spec for spec in prunebench_datasets.prunebench_datasets()}


SHARED = Path(__file__).resolve().parents[2].parent / "shared" / "data"


def load(name: str, *roots: Path, **params: Any) -> Dataset:
    """Load a data set as the harness does."""
    spec = SPECS[name]
    module, function = spec.load.split(":")
    context = DataContext(params=spec.resolve_params(params), roots=roots, obtain=spec.obtain)
    loaded: Dataset = getattr(importlib.import_module(module), function)(context)
    assert loaded.n_classes == (spec.n_classes or loaded.n_classes)
    for split in (loaded.train, loaded.test):
        assert split.labels.dtype == np.int64
        assert pixels(split).dtype == np.uint8
        assert len(pixels(split)) == len(split.labels) == len(split.ids) == len(set(split.ids))
    assert not set(loaded.train.ids) & set(loaded.test.ids)
    return loaded


def pixels(split: Split) -> NDArray[np.uint8]:
    assert split.images is not None
    return split.images


def one_sentence(error: DataError) -> str:
    assert "\n" not in error.message
    assert error.hint
    return error.message
