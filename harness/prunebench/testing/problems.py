"""Small seeded evidence on which implementations are tried, and its variations."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

FLOATS = ("features", "logits", "projection", "dynamics", "gradients")
_EPOCHS, _SIDE, _DIMENSIONS = 12, 8, 12

Array = NDArray[Any]


@dataclass(frozen=True, kw_only=True)
class Problem:
    """Evidence of n samples, with what was planted in it.

    evidence: all kinds but pseudo-labels, by name (see ScoreContext).  roles: str [n], "easy", "hard", "noisy" or
    "copy"; all "easy" where nothing was planted.  truth: int64 [n], the labels before noise.
    """

    n_classes: int
    evidence: Mapping[str, Any] = field(repr=False)
    roles: Array = field(repr=False)
    truth: Array = field(repr=False)

    @property
    def n(self) -> int:
        return len(self.truth)

    @property
    def labels(self) -> NDArray[np.int64]:
        """Labels int64 [n]."""
        labels: NDArray[np.int64] = self.evidence["labels"]
        return labels


def ordinary(n: int = 120, seed: int = 0, n_classes: int = 3) -> Problem:
    """Return overlapping Gaussian classes of nearly equal size, in no particular order."""
    rng = np.random.default_rng([seed, n, n_classes])
    truth = rng.permutation(np.arange(n) % n_classes).astype(np.int64)
    centres = _centres(n_classes)
    features = centres[truth] + rng.normal(size=(n, _DIMENSIONS))
    return _observed(features, truth, truth, n_classes, np.full(n, "easy"), rng)


def planted(n: int = 300, seed: int = 0, n_classes: int = 3) -> Problem:
    """Return a set with easy cores, samples between classes, wrong labels and near copies of one sample a class.

    A tenth of the labels is wrong, a fifth of the samples lies between two classes, a fifth are copies.
    """
    rng = np.random.default_rng([seed, n, n_classes, 1])
    truth = rng.permutation(np.arange(n) % n_classes).astype(np.int64)
    roles = rng.permutation(np.repeat(["noisy", "hard", "copy", "easy"], _parts(n)))
    centres, other = _centres(n_classes), (truth + 1) % n_classes
    features = centres[truth] + 0.5 * rng.normal(size=(n, _DIMENSIONS))
    between, copies = roles == "hard", roles == "copy"
    share = rng.uniform(0.40, 0.48, size=(n, 1))
    features[between] += (share * (centres[other] - centres[truth]))[between]
    original = centres + 0.3 * rng.normal(size=centres.shape)
    features[copies] = original[truth[copies]] + 0.002 * rng.normal(size=(int(copies.sum()), _DIMENSIONS))
    labels = np.where(roles == "noisy", other, truth).astype(np.int64)
    return _observed(features, truth, labels, n_classes, roles, rng)


def _parts(n: int) -> tuple[int, int, int, int]:
    tenth = n // 10
    return tenth, 2 * tenth, 2 * tenth, n - 5 * tenth


def _centres(n_classes: int) -> Array:
    return 3.0 * np.eye(max(n_classes, 1), _DIMENSIONS)[:n_classes] + 0.5


def _observed(
    features: Array, truth: Array, labels: Array, n_classes: int, roles: Array, rng: np.random.Generator
) -> Problem:
    """Derive the other kinds of evidence from the features, as a network of these features would."""
    n = len(features)
    logits = -np.square(features[:, None, :] - _centres(n_classes)[None]).sum(axis=2) / 4
    logits -= logits.mean(axis=1, keepdims=True)
    # Easy samples are learnt in the first epochs, those between classes waver, and a network bends towards the
    # given labels late, so that wrong ones are learnt last and never well.
    pull = np.eye(n_classes)[labels] - 1 / n_classes
    epochs = [
        _softmax(1.5 * (1 - 0.5 ** (e + 1)) * logits + pull * e / _EPOCHS + 0.5 * rng.normal(size=logits.shape))
        for e in range(_EPOCHS)
    ]
    mixing = np.random.default_rng(7).normal(size=(_DIMENSIONS, _SIDE * _SIDE)) / _DIMENSIONS
    pixels = np.clip(128 + 90 * (features @ mixing), 0, 255).astype(np.uint8)
    residual = _softmax(logits) - np.eye(n_classes)[labels]
    evidence = {
        "features": features.astype(np.float32),
        "logits": logits.astype(np.float32),
        "labels": labels.astype(np.int64),
        "projection": (features[:, :2] + 0.05 * features[:, 2:4]).astype(np.float32),
        "dynamics": np.stack(epochs).astype(np.float16),
        "gradients": (residual.astype(np.float32), features.astype(np.float32)),
        "pixels": pixels.reshape(n, _SIDE, _SIDE, 1),
    }
    return Problem(n_classes=n_classes, evidence=evidence, roles=roles, truth=truth)


def relearnt(dynamics: Array, labels: Array) -> Array:
    """Return dynamics [epochs, n, k] of a run that learnt `labels`, int64 [n] in 0..k-1, from those of another run.

    Where the other run believed in a class, this one believes in the labels that samples of that class have.
    """
    believed = np.nan_to_num(dynamics[-1].astype(np.float64))
    shares = believed.T @ np.eye(int(labels.max()) + 1)[labels] + 1e-6
    with np.errstate(invalid="ignore"):  # infinite evidence is part of what is tested
        moved = dynamics.astype(np.float64) @ (shares / shares.sum(axis=1, keepdims=True))
    result: Array = moved.astype(dynamics.dtype)
    return result


def _softmax(logits: Array) -> Array:
    weights = np.exp(logits - logits.max(axis=1, keepdims=True))
    result: Array = weights / weights.sum(axis=1, keepdims=True)
    return result


def mapped(problem: Problem, change: Callable[[str, Array], Array]) -> Problem:
    """Return the problem with every array replaced by change(kind, array); gradients are two arrays."""
    evidence = {
        name: tuple(change(name, part) for part in value) if isinstance(value, tuple) else change(name, value)
        for name, value in problem.evidence.items()
    }
    return replace(problem, evidence=evidence)


def take(problem: Problem, rows: Array) -> Problem:
    """Return the samples `rows` (int [m]), in that order."""
    chosen = mapped(problem, lambda name, array: array[:, rows] if name == "dynamics" else array[rows])
    return replace(chosen, roles=problem.roles[rows], truth=problem.truth[rows])


def duplicated(problem: Problem) -> Problem:
    """Return the first half of the problem twice."""
    half = np.arange(problem.n // 2)
    return take(problem, np.concatenate([half, half]))


def one_label(problem: Problem) -> Problem:
    """Return the samples of class 0 alone; the number of classes stays."""
    return take(problem, np.flatnonzero(problem.labels == 0))


def constant(problem: Problem) -> Problem:
    """Return the problem with every sample looking like the first; the labels stay."""

    def same(name: str, array: Array) -> Array:
        if name == "labels":
            return array
        first = array[:, :1] if name == "dynamics" else array[:1]
        return np.broadcast_to(first, array.shape).copy()

    return mapped(problem, same)


def small_classes() -> Problem:
    """Return classes of 1, 2, 3 and 15 samples, in no particular order."""
    problem = ordinary(60, n_classes=4)
    place = np.array([(problem.labels[:row] == problem.labels[row]).sum() for row in range(problem.n)])
    return take(problem, np.flatnonzero(place < np.array([1, 2, 3, 15])[problem.labels]))


def collinear(problem: Problem) -> Problem:
    """Return the problem with all features and projections on one line."""

    def on_a_line(name: str, array: Array) -> Array:
        if name not in ("features", "projection", "gradients") or array.shape[1] == problem.n_classes:
            return array
        line: Array = array[:, :1] * np.linspace(1, 2, array.shape[1], dtype=array.dtype)
        return line

    return mapped(problem, on_a_line)


def half_precision(problem: Problem) -> Problem:
    """Return the problem with all floating-point evidence as float16."""
    return mapped(problem, lambda name, array: array.astype(np.float16) if name in FLOATS else array)


def with_nan(problem: Problem) -> Problem:
    """Return the problem with NaN in one sample of all floating-point evidence."""

    def spoil(name: str, array: Array) -> Array:
        if name not in FLOATS:
            return array
        spoilt = array.copy()
        spoilt[..., problem.n // 2, :] = np.nan
        return spoilt

    return mapped(problem, spoil)


def renamed(problem: Problem) -> Problem:
    """Return the problem with class c called c + 1, the last one 0, in labels and in every column of a class."""

    def rename(name: str, array: Array) -> Array:
        if name == "labels":
            changed: Array = (array + 1) % problem.n_classes
            return changed
        is_by_class = name in ("logits", "dynamics") or (name == "gradients" and array.shape[1] == problem.n_classes)
        return np.roll(array, 1, axis=-1) if is_by_class else array

    return replace(mapped(problem, rename), truth=(problem.truth + 1) % problem.n_classes)
