"""Promises of a data set: images or features, labels and stable ids, the same every time."""

from __future__ import annotations

import os
import tempfile
from typing import Any

import numpy as np

from prunebench.contexts import DataContext, Dataset
from prunebench.errors import DataError, DatasetMissing, PluginContractError
from prunebench.plugins import Entry
from prunebench.stages.data import fingerprint, load_dataset
from prunebench.testing.results import CheckFailed, DoesNotApply
from prunebench.testing.trial import Trial, context, run


def check_data_set_is_valid(entry: Entry[Any]) -> None:
    """It is a Dataset with unique ids, labels in range, and a training sample of every class."""
    with context(entry, Trial()) as ctx:
        assert isinstance(ctx, DataContext)
        try:
            load_dataset(entry, ctx.params, ctx.roots)
        except DatasetMissing:
            raise
        except (DataError, PluginContractError) as error:
            raise CheckFailed(error.message) from error


def check_arrays_have_the_promised_types(entry: Entry[Any]) -> None:
    """Images are uint8 [n, height, width, channels], features float32 [n, d], labels int64 [n]."""
    data: Dataset = run(entry)
    for title, split in (("train", data.train), ("test", data.test)):
        wanted = (("images", split.images, np.uint8, 4), ("features", split.features, np.float32, 2),
                  ("labels", split.labels, np.int64, 1))  # fmt: skip
        for name, array, dtype, dimensions in wanted:
            if array is not None and (array.dtype != dtype or array.ndim != dimensions):
                raise CheckFailed(
                    f"{title} {name}: expected {np.dtype(dtype)} in {dimensions} dimension(s), "
                    f"got {array.dtype} {list(array.shape)}"
                )


def check_loading_twice_gives_the_same_content(entry: Entry[Any]) -> None:
    """The order of the samples does not depend on the file system, a set or a generator."""
    if fingerprint(run(entry)) != fingerprint(run(entry)):
        raise CheckFailed("loaded twice it has two fingerprints: sort the files, and split without chance")


def check_train_and_test_share_no_sample(entry: Entry[Any]) -> None:
    """No id is in both splits."""
    data: Dataset = run(entry)
    if shared := set(data.train.ids) & set(data.test.ids):
        raise CheckFailed(f"{len(shared)} ids are in both splits, such as {min(shared)!r}")


def check_channel_statistics_fit_the_images(entry: Entry[Any]) -> None:
    """mean and std are those of the training images, as fractions of 1, one a channel."""
    data: Dataset = run(entry)
    if data.train.images is None or not data.mean:
        raise DoesNotApply("it has no images, or declares no statistics")
    sample = data.train.images[:: max(1, len(data.train) // 2000)].astype(np.float64) / 255
    for name, declared, real in (
        ("mean", data.mean, sample.mean(axis=(0, 1, 2))),
        ("std", data.std, sample.std(axis=(0, 1, 2))),
    ):
        if len(declared) != len(real) or np.abs(np.array(declared) - real).max() > 0.06:
            raise CheckFailed(f"{name} = {declared}, the images have {tuple(np.round(real, 3).tolist())}")


def check_missing_files_are_explained(entry: Entry[Any]) -> None:
    """Without its files it raises DatasetMissing with a hint how to obtain them."""
    with tempfile.TemporaryDirectory() as empty:
        kept = os.environ.get("PRUNEBENCH_DATA")
        os.environ["PRUNEBENCH_DATA"] = empty
        try:
            run(entry)
        except DatasetMissing as error:
            if not error.hint:
                raise CheckFailed("DatasetMissing has no hint: say how to obtain the files") from error
        except Exception as error:
            raise CheckFailed(f"without files it raises {type(error).__name__}, expected DatasetMissing") from error
        finally:
            os.environ.pop("PRUNEBENCH_DATA")
            if kept is not None:
                os.environ["PRUNEBENCH_DATA"] = kept
