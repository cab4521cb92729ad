"""Data sets that break one promise each; named after what they do."""

from __future__ import annotations

import numpy as np

from prunebench import Dataset, Split


def _split(title, n, labels=None):
    images = np.random.default_rng(5).integers(0, 255, (n, 4, 4, 1)).astype(np.uint8)
    labels = np.arange(n) % 3 if labels is None else labels
    return Split(images=images, labels=labels.astype(np.int64), ids=tuple(f"{title}/{i}" for i in range(n)))


def _dataset(train, test, **more):
    return Dataset(name="mine", train=train, test=test, class_names=("a", "b", "c"), **more)


def images(ctx):
    """Noise: keeps every promise."""
    return _dataset(_split("train", 60), _split("test", 30), mean=(0.5,), std=(0.29,))


def no_sample_of_a_class(ctx):
    return _dataset(_split("train", 60, np.arange(60) % 2), _split("test", 30))


def float_images(ctx):
    train = _split("train", 60)
    return _dataset(Split(images=train.images / 255, labels=train.labels, ids=train.ids), _split("test", 30))


def another_order_every_time(ctx):
    train = _split("train", 60)
    return _dataset(
        Split(images=train.images[np.random.default_rng().permutation(60)], labels=train.labels, ids=train.ids),
        _split("test", 30),
    )


def the_same_ids_twice(ctx):
    return _dataset(_split("image", 60), _split("image", 30))
