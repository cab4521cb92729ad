"""Digits, the registered fingerprints, data that are missing, and the split of a data set that has none."""

from __future__ import annotations

import os
import tomllib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from sklearn.datasets import load_digits

from dataset_loading import SPECS, load, pixels
from prunebench import DatasetMissing
from prunebench.stages.data import fingerprint
from prunebench_datasets.splits import held_out

ROOT = Path(__file__).resolve().parents[2]
ROOTS = tuple(map(Path, filter(None, os.environ.get("PRUNEBENCH_DATA", "").split(os.pathsep))))


@pytest.mark.parametrize("name", ["digits", "fashion-mnist", "cifar10"])
def test_the_published_data_have_the_registered_fingerprint(name: str) -> None:
    registered = tomllib.loads((ROOT / "registry.toml").read_text())["dataset"][name]["fingerprint"]
    try:
        loaded = load(name, *ROOTS)
    except DatasetMissing:
        pytest.skip(f"{name} is neither installed nor below PRUNEBENCH_DATA")
    assert fingerprint(loaded) == registered


def test_digits_are_those_of_scikit_learn_with_a_fifth_of_each_held_out() -> None:
    loaded, raw = load("digits"), load_digits()
    assert len(loaded.train) + len(loaded.test) == len(raw.target) == 1797
    for split in (loaded.train, loaded.test):
        positions = [int(name.removeprefix("digits/")) for name in split.ids]
        assert positions == sorted(positions)
        assert split.labels.tolist() == raw.target[positions].tolist()
        # Rounding to a byte moves a value by half a step of 255 at most.
        assert pixels(split)[..., 0] / (255 / 16) == pytest.approx(raw.images[positions], abs=0.5 * 16 / 255 + 1e-9)
    train, test = (np.bincount(split.labels, minlength=10) for split in (loaded.train, loaded.test))
    assert (np.abs(test - 0.2 * (train + test)) <= 0.5).all()
    everything = np.concatenate([pixels(loaded.train), pixels(loaded.test)]) / 255
    assert (loaded.mean[0], loaded.std[0]) == pytest.approx((everything.mean(), everything.std()), abs=1e-3)


@pytest.mark.parametrize("name", ["mnist", "cifar10", "cifar100", "svhn", "image-folder"])
def test_missing_files_say_where_was_looked_and_how_to_obtain_them(name: str, tmp_path: Path) -> None:
    with pytest.raises(DatasetMissing) as caught:
        load(name, tmp_path)
    assert str(tmp_path) in caught.value.message
    assert caught.value.hint == SPECS[name].obtain != ""


# ----------------------------------------------------------------------------------------------- held out

SIZES = st.lists(st.integers(1, 40), min_size=1, max_size=6)
FRACTIONS = st.floats(0.01, 0.9)


def samples(sizes: list[int]) -> tuple[list[str], NDArray[np.int64]]:
    labels = np.repeat(np.arange(len(sizes)), sizes)
    return [f"class-{label}/{number}.png" for number, label in enumerate(labels)], labels


@settings(max_examples=40)
@given(SIZES, FRACTIONS, st.integers(0, 2**31))
def test_the_fraction_is_held_out_of_each_class_whatever_the_order(
    sizes: list[int], fraction: float, seed: int
) -> None:
    ids, labels = samples(sizes)
    mask = held_out(ids, labels, fraction)
    for label, size in enumerate(sizes):
        count = int(mask[labels == label].sum())
        assert count < size
        assert abs(count - fraction * size) <= 0.5 + 1e-9 or count == size - 1
    order = np.random.default_rng(seed).permutation(len(ids))
    assert np.array_equal(held_out([ids[i] for i in order], labels[order], fraction), mask[order])


@settings(max_examples=40)
@given(SIZES, FRACTIONS, st.integers(0, 5), st.integers(0, 1000))
def test_a_new_sample_moves_at_most_one_other_and_only_of_its_class(
    sizes: list[int], fraction: float, label: int, name: int
) -> None:
    ids, labels = samples(sizes)
    label %= len(sizes)
    before = held_out(ids, labels, fraction)
    after = held_out([*ids, f"new-{name}.png"], np.append(labels, label), fraction)[:-1]
    moved = np.flatnonzero(before != after)
    assert len(moved) <= 1
    assert (labels[moved] == label).all()


def test_held_out_samples_are_spread_over_the_class() -> None:
    ids, labels = samples([2000])
    where = np.flatnonzero(held_out(ids, labels, 0.5))
    # The mean of 1,000 of 2,000 places without replacement varies by 13: four times that, were they random.
    assert abs(where.mean() - 999.5) < 52
