"""Small seeded evidence on which implementations are tried, and its variations."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray
from scipy.special import softmax

FLOATS = ("features", "logits", "projection", "dynamics", "gradients")
SIDE = 8  # of the images, in pixels
_EPOCHS, _DIMENSIONS = 12, 12

Array = NDArray[Any]


@dataclass(frozen=True, kw_only=True)
class Problem:
    """Evidence of n samples: all kinds but pseudo-labels, by name (see ScoreContext)."""

    n_classes: int
    evidence: Mapping[str, Any] = field(repr=False)

    @property
    def n(self) -> int:
        return len(self.labels)

    @property
    def labels(self) -> NDArray[np.int64]:
        """Labels int64 [n]."""
        return cast(NDArray[np.int64], self.evidence["labels"])


def ordinary(n: int = 120, seed: int = 0, n_classes: int = 3) -> Problem:
    """Return overlapping Gaussian classes of nearly equal size, in no particular order."""
    rng = np.random.default_rng([seed, n, n_classes])
    labels = rng.permutation(np.arange(n) % n_classes).astype(np.int64)
    return _observed(_centres(n_classes)[labels] + rng.normal(size=(n, _DIMENSIONS)), labels, n_classes, rng)


def planted(n: int = 300) -> tuple[Problem, Array]:
    """Return a problem of three classes, and the role of each sample, str [n].
    A tenth is "noisy" (its label is wrong), a fifth is "hard" (between two classes), a fifth is "copy" (nearly equal
    to one sample of its class), and the others are "easy" (in the core of their class)."""
    rng = np.random.default_rng([0, n, 3, 1])
    truth = rng.permutation(np.arange(n) % 3).astype(np.int64)
    roles = rng.permutation(np.repeat(["noisy", "hard", "copy", "easy"], np.array([1, 2, 2, 5]) * n // 10))
    centres, other = _centres(3), (truth + 1) % 3
    features = centres[truth] + 0.5 * rng.normal(size=(n, _DIMENSIONS))
    between, copies = roles == "hard", roles == "copy"
    share = rng.uniform(0.40, 0.48, size=(n, 1))
    features[between] += (share * (centres[other] - centres[truth]))[between]
    original = centres + 0.3 * rng.normal(size=centres.shape)
    features[copies] = original[truth[copies]] + 0.002 * rng.normal(size=(int(copies.sum()), _DIMENSIONS))
    return _observed(features, np.where(roles == "noisy", other, truth).astype(np.int64), 3, rng), roles


def _centres(n_classes: int) -> Array:
    return 3.0 * np.eye(n_classes, _DIMENSIONS) + 0.5


def _observed(features: Array, labels: Array, n_classes: int, rng: np.random.Generator) -> Problem:
    """Derive the other kinds of evidence from the features, as a network of these features would."""
    logits = -np.square(features[:, None, :] - _centres(n_classes)[None]).sum(axis=2) / 4
    logits -= logits.mean(axis=1, keepdims=True)
    # Easy samples are learnt in the first epochs, those between classes waver, and a network bends towards the
    # given labels late, so that wrong ones are learnt last and never well.
    pull = np.eye(n_classes)[labels] - 1 / n_classes
    noise = rng.normal(size=(_EPOCHS, *logits.shape))
    epochs = [1.5 * (1 - 0.5 ** (e + 1)) * logits + pull * e / _EPOCHS + 0.5 * noise[e] for e in range(_EPOCHS)]
    mixing = np.random.default_rng(7).normal(size=(_DIMENSIONS, SIDE * SIDE)) / _DIMENSIONS
    pixels = np.clip(128 + 90 * (features @ mixing), 0, 255).astype(np.uint8)
    residual = softmax(logits, axis=1) - np.eye(n_classes)[labels]
    evidence = {
        "features": features.astype(np.float32),
        "logits": logits.astype(np.float32),
        "labels": labels.copy(),
        "projection": (features[:, :2] + 0.05 * features[:, 2:4]).astype(np.float32),
        "dynamics": softmax(np.stack(epochs), axis=2).astype(np.float16),
        "gradients": (residual.astype(np.float32), features.astype(np.float32)),
        "pixels": pixels.reshape(-1, SIDE, SIDE, 1),
    }
    return mapped(Problem(n_classes=n_classes, evidence=evidence), lambda name, array: array)


def relearnt(dynamics: Array, labels: Array) -> Array:
    """Return dynamics [epochs, n, k] of a run that learnt `labels`, int64 [n] in 0..k-1, from those of another run.
    Where the other run believed in a class, this one believes in the labels that samples of that class have."""
    shares = np.nan_to_num(dynamics[-1].astype(np.float64)).T @ np.eye(int(labels.max()) + 1)[labels] + 1e-6
    with np.errstate(invalid="ignore"):  # infinite evidence is part of what is tested
        moved = dynamics.astype(np.float64) @ (shares / shares.sum(axis=1, keepdims=True))
    return np.asarray(moved, dtype=dynamics.dtype)


def mapped(problem: Problem, change: Callable[[str, Array], Array]) -> Problem:
    """Return the problem with every array replaced by change(kind, array), read-only; gradients are two arrays."""
    parts = {name: value if isinstance(value, tuple) else (value,) for name, value in problem.evidence.items()}
    made = {name: tuple(read_only(change(name, part)) for part in value) for name, value in parts.items()}
    return replace(problem, evidence={name: value if len(value) > 1 else value[0] for name, value in made.items()})


def read_only(array: Array) -> Array:
    """Return the same array, which nobody can write to by accident from now on."""
    array.flags.writeable = False
    return array


def take(problem: Problem, rows: Array) -> Problem:
    """Return the samples `rows` (int [m]), in that order."""
    return mapped(problem, lambda name, array: array[:, rows] if name == "dynamics" else array[rows])


def duplicated() -> Problem:
    """Return the first half of the ordinary problem twice."""
    return take(ordinary(), np.tile(np.arange(60), 2))


def small_classes() -> Problem:
    """Return classes of 1, 2, 3 and 15 samples, in no particular order."""
    problem = ordinary(60, n_classes=4)
    members = [np.flatnonzero(problem.labels == label)[:size] for label, size in enumerate((1, 2, 3, 15))]
    return take(problem, np.sort(np.concatenate(members)))


def odd_problems(min_samples: int) -> dict[str, Problem]:
    """Return problems that make numbers break, by what is odd about them, of at least so many samples."""
    plain, alike = ordinary(), take(ordinary(), np.zeros(120, dtype=np.int64))
    few = sorted({max(n, min_samples) for n in (1, 2, 3, 6)})
    return {
        "every sample occurs twice": duplicated(),
        "all samples look the same": replace(alike, evidence={**alike.evidence, "labels": plain.labels}),
        "there is one class": ordinary(40, n_classes=1),
        "two classes have no sample": take(plain, np.flatnonzero(plain.labels == 0)),
        "classes have one, two and three samples": small_classes(),
        "evidence is float16": mapped(plain, lambda name, a: a.astype(np.float16) if name in FLOATS else a),
        **{f"there are {n} samples": take(ordinary(max(12, n)), np.arange(n)) for n in few},
    }


def with_nan(problem: Problem) -> Problem:
    """Return the problem with NaN in one sample of all floating-point evidence."""
    is_bad = np.arange(problem.n)[:, None] == problem.n // 2
    return mapped(problem, lambda name, a: np.where(is_bad, a.dtype.type("nan"), a) if name in FLOATS else a)


def renamed(problem: Problem) -> Problem:
    """Return the problem with class c called c + 1, the last one 0, in labels and in every column of a class."""

    def rename(name: str, array: Array) -> Array:
        is_by_class = name in ("logits", "dynamics") or (name == "gradients" and array.shape[1] == problem.n_classes)
        given = (array + 1) % problem.n_classes if name == "labels" else array
        return np.roll(given, 1, axis=-1) if is_by_class else given

    return mapped(problem, rename)
