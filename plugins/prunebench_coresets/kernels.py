"""Inner products of last-layer gradients, from their two factors."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from prunebench import ScoreContext
from prunebench_coresets.groups import Floats, Ints, require_finite

Rows = Callable[[Ints], NDArray[np.floating]]

_BLOCK_VALUES = 2**21


@dataclass(frozen=True, kw_only=True)
class Factors:
    """Vectors g_i = left_i (outer) right_i, never formed; left: [m, c], right: [m, k], both of one float type.

    The last-layer gradient of a sample is (p - y) outer (z, 1); an embedding is 1 outer z.
    """

    left: NDArray[np.floating]
    right: NDArray[np.floating]

    def inner(self, rows: Ints) -> NDArray[np.floating]:
        """Return <g_i, g_j> [len(rows), m] for the given i and every j."""
        product = self.left[rows] @ self.left.T
        product *= self.right[rows] @ self.right.T
        return product

    def mean(self) -> NDArray[np.floating]:
        """Return the mean vector as a matrix [c, k]."""
        return self.left.T @ self.right / len(self.left)

    def against(self, matrix: NDArray[np.floating]) -> NDArray[np.floating]:
        """Return <g_i, matrix> [m] for a matrix [c, k]."""
        result: NDArray[np.floating] = np.einsum("ic,ic->i", self.left, self.right @ matrix.T)
        return result

    def squared_norms(self) -> Floats:
        """Return ||g_i||^2 float64 [m]."""
        left = np.square(self.left, dtype=np.float64).sum(axis=1)
        squared: Floats = left * np.square(self.right, dtype=np.float64).sum(axis=1)
        return squared

    def unit(self) -> Factors:
        """Return the factors of g_i / ||g_i||; a zero vector stays zero."""
        return Factors(left=_unit(self.left), right=_unit(self.right))

    def cast(self, dtype: type[np.floating]) -> Factors:
        """Return the same factors as another float type."""
        return Factors(left=self.left.astype(dtype), right=self.right.astype(dtype))


def gradient_factors(ctx: ScoreContext, members: Ints) -> Factors:
    """Return the last-layer gradients of `members` as float64 factors [m, classes] and [m, d + 1].

    The parameter `softmax`, where declared, says of which loss.
    """
    residual, features = ctx.gradients
    left = residual[members].astype(np.float64)
    if ctx.params["softmax"] == "twice":
        onehot = np.eye(left.shape[1])[ctx.labels[members]]
        left = softmax_twice(left + onehot, onehot)
    return Factors(left=left, right=with_one(features[members]))


def softmax_twice(p: Floats, onehot: Floats) -> Floats:
    """Return the gradient float64 [m, c] by the logits of the cross-entropy of softmax(p), where p = softmax(logits).

    DeepCore's code until January 2023, when its tables had been published, passed probabilities to a loss
    that takes logits.
    """
    outer = softmax(p) - onehot
    gradient: Floats = p * (outer - (p * outer).sum(axis=1, keepdims=True))
    return gradient


def softmax(logits: Floats) -> Floats:
    """Return row-wise probabilities float64 [m, c]."""
    weights: Floats = np.exp(logits - logits.max(axis=1, keepdims=True))
    weights /= weights.sum(axis=1, keepdims=True)
    return weights


def with_one(features: NDArray[Any]) -> Floats:
    """Return (z, 1) float64 [m, d + 1]: the 1 belongs to the bias."""
    return np.column_stack([features.astype(np.float64), np.ones(len(features))])


def embedding_factors(ctx: ScoreContext, members: Ints) -> Factors:
    """Return the features of `members` as float64 factors [m, 1] and [m, d]: no predictions are needed."""
    points = ctx.features[members].astype(np.float64)
    return Factors(left=np.ones((len(points), 1)), right=points)


def require_finite_gradients(ctx: ScoreContext) -> None:
    """Raise DataError, with the number of bad samples, where a factor of the gradients is not finite."""
    for what, part in zip(("class predictions", "features"), ctx.gradients, strict=True):
        require_finite(part, what)


def cosine_rows(factors: Factors) -> Rows:
    """Return rows of 1/2 + cos/2 for unit factors."""

    def rows(chosen: Ints) -> NDArray[np.floating]:
        similarity = factors.inner(chosen)
        similarity *= 0.5
        similarity += 0.5
        return similarity

    return rows


def blocks(size: int) -> list[Ints]:
    """Split 0..size-1 so that a block of rows of length `size` has about 2 million values."""
    step = max(1, _BLOCK_VALUES // max(size, 1))
    return [np.arange(start, min(start + step, size)) for start in range(0, size, step)]


def _unit(matrix: NDArray[np.floating]) -> NDArray[np.floating]:
    norms = np.linalg.norm(matrix, axis=1, keepdims=True)
    unit: NDArray[np.floating] = np.divide(matrix, norms, out=np.zeros_like(matrix), where=norms > 0)
    return unit
