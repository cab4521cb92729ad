"""Promises of a data set: images or features, labels and stable ids, the same every time."""

from __future__ import annotations

import os
import tempfile
from typing import Any

import numpy as np

from prunebench.contexts import Dataset
from prunebench.errors import DataError, DatasetMissing, PluginContractError
from prunebench.plugins import Entry
from prunebench.stages.data import fingerprint, load_dataset
from prunebench.testing.cases import Case, context, ordinary_run, run
from prunebench.testing.promises import promise
from prunebench.testing.results import CheckFailed, DoesNotApply


@promise("dataset", stage=5)
def check_data_set_is_valid(entry: Entry[Any]) -> None:
    """It is a Dataset with unique ids, labels in range, and a training sample of every class."""
    with context(entry, Case()) as ctx:
        try:
            load_dataset(entry, ctx.params, ctx.roots)
        except DatasetMissing:
            raise
        except (DataError, PluginContractError) as error:
            raise CheckFailed(error.message) from error


@promise("dataset")
def check_arrays_have_the_promised_types(entry: Entry[Any]) -> None:
    """Images are uint8 [n, height, width, channels], features float32 [n, d], labels int64 [n]."""
    data: Dataset = ordinary_run(entry)
    for title, split in (("train", data.train), ("test", data.test)):
        wanted = (("images", split.images, np.uint8, 4), ("features", split.features, np.float32, 2),
                  ("labels", split.labels, np.int64, 1))  # fmt: skip
        for name, array, dtype, dimensions in wanted:
            if array is not None and (array.dtype != dtype or array.ndim != dimensions):
                expected = f"expected {np.dtype(dtype)} in {dimensions} dimension(s)"
                raise CheckFailed(f"{title} {name}: {expected}, got {array.dtype} {list(array.shape)}")


@promise("dataset", stage=7)
def check_loading_twice_gives_the_same_content(entry: Entry[Any]) -> None:
    """The order of the samples does not depend on the file system, a set or a generator."""
    if fingerprint(ordinary_run(entry)) != fingerprint(run(entry)):
        raise CheckFailed("loaded twice it has two fingerprints: sort the files, and split without chance")


@promise("dataset")
def check_number_of_classes_is_as_declared(entry: Entry[Any]) -> None:
    """The data set has as many classes as its declaration says, where it says so."""
    if not entry.spec.n_classes:
        raise DoesNotApply("n_classes is not declared")
    if (found := ordinary_run(entry).n_classes) != entry.spec.n_classes:
        raise CheckFailed(f"{found} classes, declared are {entry.spec.n_classes}")


@promise("dataset")
def check_train_and_test_share_no_sample(entry: Entry[Any]) -> None:
    """No id is in both splits."""
    data: Dataset = ordinary_run(entry)
    if shared := set(data.train.ids) & set(data.test.ids):
        raise CheckFailed(f"{len(shared)} ids are in both splits, such as {min(shared)!r}")


@promise("dataset")
def check_channel_statistics_fit_the_images(entry: Entry[Any]) -> None:
    """mean and std are those of the training images, as fractions of 1, one per channel."""
    data: Dataset = ordinary_run(entry)
    if data.train.images is None or not data.mean:
        raise DoesNotApply("it has no images, or declares no statistics")
    sample = data.train.images[:: max(1, len(data.train) // 2000)].astype(np.float64) / 255
    found = {"mean": (data.mean, sample.mean(axis=(0, 1, 2))), "std": (data.std, sample.std(axis=(0, 1, 2)))}
    for name, (declared, real) in found.items():
        if len(declared) != len(real) or np.abs(np.array(declared) - real).max() > 0.06:
            raise CheckFailed(f"{name} = {declared}, the images have {tuple(np.round(real, 3).tolist())}")


@promise("dataset")
def check_missing_files_are_explained(entry: Entry[Any]) -> None:
    """Without its files it raises DatasetMissing with a hint how to obtain them."""
    kept = os.environ.get("PRUNEBENCH_DATA", "")
    with tempfile.TemporaryDirectory() as empty:
        os.environ["PRUNEBENCH_DATA"] = empty
        try:
            run(entry)
        except DatasetMissing as error:
            if not error.hint:
                raise CheckFailed("DatasetMissing has no hint: say how to obtain the files") from error
        except Exception as error:
            raise CheckFailed(f"without files it raises {type(error).__name__}, expected DatasetMissing") from error
        finally:
            os.environ["PRUNEBENCH_DATA"] = kept
