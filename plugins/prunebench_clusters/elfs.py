"""ELFS (Zheng et al., ICLR 2025) on given embeddings: pseudo-labels, and the dynamics of learning these."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import cast

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from prunebench import ScoreContext, Scores
from prunebench_clusters.kmeans import Settings, finite_features, kmeans, unit_rows

_PEAK_RATE, _FLOOR_RATE, _MOMENTUM, _WEIGHT_DECAY, _BATCH = 0.1, 1e-4, 0.9, 5e-4, 256


def elfs_linear(ctx: ScoreContext) -> Scores:
    """Return minus the area under the margin of the pseudo-labels, float64 [n] in [-1, 1]: hard samples highest.

    Pseudo-labels are clusters of the features by cosine; a linear classifier learns them from the same features,
    and the margin p_y - max of the other p, as a sample is met, is averaged over epochs.  Labels are never read.
    Source: Zheng et al. 2025, with a linear network and k-means.  Raises DataError for features that are not
    finite.
    """
    points = unit_rows(finite_features(ctx)).astype(np.float32, copy=False)
    k = cast(int, ctx.params["clusters"]) or max(1, ctx.n_classes)
    found = kmeans(points, k, Settings.of(ctx), ctx.rng, spherical=True)
    used, pseudo = np.unique(found.labels, return_inverse=True)
    with threadpool_limits(limits=1):
        margins = area_under_margin(ctx, standardised(points), pseudo.astype(np.int64))
    return Scores(values=-margins, diagnostics={"pseudo_classes": len(used)})


def standardised(points: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return `points` [n, d] about their mean, with a mean squared length of 1, and a last column of ones."""
    centred = points - points.mean(axis=0, dtype=np.float64).astype(np.float32)
    length = math.sqrt(float(np.einsum("nd,nd->", centred, centred, dtype=np.float64)) / len(centred))
    return np.column_stack([centred / (length or 1.0), np.ones(len(centred))]).astype(np.float32)


@dataclass
class _Linear:
    """A linear classifier [classes, d] without start, trained by SGD with Nesterov momentum."""

    weights: NDArray[np.float32]
    velocity: NDArray[np.float32]

    def meet(self, inputs: NDArray[np.float32], onehot: NDArray[np.float32], rate: float) -> NDArray[np.float32]:
        """Return the probabilities [b, classes] of a batch, and then learn from it."""
        logits = inputs @ self.weights.T
        probabilities = np.exp(logits - logits.max(axis=1, keepdims=True))
        probabilities /= probabilities.sum(axis=1, keepdims=True)
        gradient = (probabilities - onehot).T @ inputs / np.float32(len(inputs)) + _WEIGHT_DECAY * self.weights
        self.velocity = (_MOMENTUM * self.velocity + gradient).astype(np.float32)
        self.weights = (self.weights - rate * (gradient + _MOMENTUM * self.velocity)).astype(np.float32)
        return cast("NDArray[np.float32]", probabilities)


def area_under_margin(ctx: ScoreContext, inputs: NDArray[np.float32], labels: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return the mean margin float64 [n] over `epochs` of a linear classifier that learns `labels` int64 [n].

    inputs: float32 [n, d].  As ELFS trains networks: SGD, 0.1 falling by a cosine, Nesterov momentum 0.9,
    weight decay 5e-4, batches of 256.
    """
    n, n_epochs = len(inputs), cast(int, ctx.params["epochs"])
    identity = np.eye(int(labels.max()) + 1, dtype=np.float32)
    start = np.zeros((len(identity), inputs.shape[1]), dtype=np.float32)
    network, total = _Linear(weights=start, velocity=start.copy()), np.zeros(n)
    batches = range(0, n, _BATCH)
    for epoch in range(n_epochs):
        ctx.check_deadline()
        order = ctx.rng.permutation(n)
        for number, first in enumerate(batches):
            members = order[first : first + _BATCH]
            onehot = identity[labels[members]]
            done = (epoch * len(batches) + number) / (n_epochs * len(batches))
            rate = _FLOOR_RATE + (_PEAK_RATE - _FLOOR_RATE) * (1 + math.cos(math.pi * done)) / 2
            p = network.meet(inputs[members], onehot, rate)
            total[members] += (p * onehot).sum(axis=1) - (p * (1 - onehot)).max(axis=1)
        ctx.progress((epoch + 1) / n_epochs, f"epoch {epoch + 1} of {n_epochs}")
    return total / n_epochs
