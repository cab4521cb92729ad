"""Digits, and the split of a data set that has none."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from sklearn.datasets import load_digits

from dataset_loading import load, pixels
from prunebench_datasets.splits import held_out

# ------------------------------------------------------------------------------------------------- digits


def test_digits_are_those_of_scikit_learn_over_the_range_of_a_byte() -> None:
    loaded, raw = load("digits"), load_digits()
    assert len(loaded.train) + len(loaded.test) == len(raw.target) == 1797
    assert loaded.class_names == tuple("0123456789")
    for split in (loaded.train, loaded.test):
        positions = [int(name.removeprefix("digits/")) for name in split.ids]
        assert positions == sorted(positions)
        assert split.labels.tolist() == raw.target[positions].tolist()
        assert pixels(split).shape == (len(split), 8, 8, 1)
        assert pixels(split)[..., 0] / (255 / 16) == pytest.approx(raw.images[positions], abs=0.04)


def test_a_fifth_of_each_digit_is_held_out() -> None:
    loaded = load("digits")
    train, test = (np.bincount(split.labels, minlength=10) for split in (loaded.train, loaded.test))
    assert (np.abs(test - 0.2 * (train + test)) <= 0.5).all()


def test_digits_are_the_same_each_time_and_their_statistics_are_those_of_the_pixels() -> None:
    first, second = load("digits"), load("digits")
    assert (first.train.ids, first.test.ids) == (second.train.ids, second.test.ids)
    assert first.test.ids[:4] == ("digits/00000", "digits/00002", "digits/00004", "digits/00005")
    everything = np.concatenate([pixels(first.train), pixels(first.test)]) / 255
    assert (first.mean, first.std) == (
        pytest.approx((everything.mean(),), abs=1e-3),
        pytest.approx((everything.std(),), abs=1e-3),
    )


# ----------------------------------------------------------------------------------------------- held out

SIZES = st.lists(st.integers(1, 40), min_size=1, max_size=6)


FRACTIONS = st.floats(0.01, 0.9)


def samples(sizes: list[int]) -> tuple[list[str], NDArray[np.int64]]:
    labels = np.repeat(np.arange(len(sizes)), sizes)
    return [f"class-{label}/{number}.png" for number, label in enumerate(labels)], labels


@given(SIZES, FRACTIONS)
def test_the_fraction_is_held_out_of_each_class_and_a_sample_is_left(sizes: list[int], fraction: float) -> None:
    ids, labels = samples(sizes)
    mask = held_out(ids, labels, fraction)
    for label, size in enumerate(sizes):
        count = int(mask[labels == label].sum())
        assert count < size
        assert abs(count - fraction * size) <= 0.5 + 1e-9 or count == size - 1


@given(SIZES, FRACTIONS, st.integers(0, 2**31))
def test_the_order_of_the_samples_does_not_matter(sizes: list[int], fraction: float, seed: int) -> None:
    ids, labels = samples(sizes)
    order = np.random.default_rng(seed).permutation(len(ids))
    straight = held_out(ids, labels, fraction)
    shuffled = held_out([ids[i] for i in order], labels[order], fraction)
    assert np.array_equal(shuffled, straight[order])


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
    assert abs(where.mean() - 1000) < 50
