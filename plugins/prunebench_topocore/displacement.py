"""How far each point of a class moves while the persistence of its cloud is increased."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from prunebench import DataError

from .assignment import Assigner
from .cloud import cloud
from .density import codensity, codensity_gradient
from .loss import evaluate
from .measure import COMPLEXES, Measure

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

_FLAT = 2.0**-20  # a few roundings of single precision
_STILL = 1e-10  # learning rates: what the rounding of a gradient that is zero can make of a step
_DECIMALS = 12  # of the longest way: moves that differ by less are equal, on every processor


@dataclass(frozen=True)
class Optimisation:
    """The parameters of the displacement; names as in the scorer's spec."""

    complex: str
    loss: str
    optimiser: str
    learning_rate: float
    steps: int
    bandwidth: float


def loss_and_gradient(
    x: Floats, how: Optimisation, counts: Ints | None = None, key: Ints | None = None, assigner: Assigner | None = None
) -> tuple[float, Floats]:
    """Return the loss of a cloud float64 [n, 2] and its gradient, through lengths and through the codensity.

    counts: int64 [n], how many samples are at each point; one each where it is left out.
    key: int64 [n], which of equal codensities comes first; as they are given where it is left out.
    assigner: that of the step before, to be faster.
    """
    g = codensity(x, how.bandwidth, counts)
    measure = COMPLEXES[how.complex](x, g, key)
    value, slope, masses = evaluate(how.loss, measure.points(x, g), measure.weights, assigner)
    on_vertices: Floats = np.zeros(len(x))
    np.add.at(on_vertices, measure.vertices, slope[:, 1])
    gradient = _through_lengths(x, measure, slope[:, 0])
    if on_vertices.any():
        gradient += codensity_gradient(x, g, on_vertices, how.bandwidth, counts)
    return value / masses, gradient / masses


def _through_lengths(x: Floats, measure: Measure, slope: Floats) -> Floats:
    gradient = np.zeros_like(x)
    # Each edge once: the slopes of its masses may cancel, and whole numbers do so without a rest.
    codes, number = np.unique(measure.edges @ np.array([len(x), 1]), return_inverse=True)
    u, v = np.divmod(codes, len(x))
    ends = x[u] - x[v]
    lengths = np.hypot(ends[:, 0], ends[:, 1])
    share = measure.scale * np.bincount(number, slope, len(codes))
    pull = ends * np.divide(share, lengths, out=np.zeros_like(lengths), where=lengths > 0)[:, None]
    np.add.at(gradient, u, pull)
    np.add.at(gradient, v, -pull)
    return gradient


def displacement(
    points: Floats, how: Optimisation, rng: np.random.Generator, check: Callable[[], None] = lambda: None
) -> Floats:
    """Return the distance float64 [n] that each point of a class float64 [n, 2] has moved after all steps.

    Points that coincide are one point with more weight in the density, and move together.  rng decides which of equal
    codensities comes first.  Points on a line do not move.  check: called between steps, may raise.  Raises DataError
    where the steps grow without bound.
    """
    given = cloud(points)
    start, moved = given.points, np.zeros_like(given.points)
    key = rng.permutation(len(start))
    if len(start) >= 4 and not is_flat(start):
        step = _adam(how) if how.optimiser == "adam" else _sgd(how)
        assigner = Assigner()
        for _ in range(how.steps):
            check()
            _, gradient = loss_and_gradient(start + moved, how, given.counts, key, assigner)
            moved += step(gradient)
            if not np.isfinite(moved).all():
                raise DataError("the persistence optimisation diverges", "set a smaller learning_rate, or fewer steps")
    return _settled(np.hypot(*moved.T), _STILL * how.learning_rate)[given.place]


def _settled(lengths: Floats, still: float) -> Floats:
    """Return lengths float64 [n] with 0 for what is not a move, and equal where only rounding tells them apart."""
    longest = float(lengths.max(initial=0.0))
    if longest <= still:
        return np.zeros_like(lengths)
    result: Floats = np.round(np.where(lengths > still, lengths, 0.0) / longest, _DECIMALS) * longest
    return result


def is_flat(x: Floats) -> bool:
    """Tell whether points float64 [n, 2] lie on a line, up to what single precision leaves of their coordinates.

    The tolerance is 2^-20 of a point's own distance from the middle, and at least of the usual distance, so that one
    point far away does not make a line of the others.
    """
    centred = x - np.median(x, axis=0)
    reach = np.hypot(*centred.T)
    farthest = float(reach.max(initial=0.0))
    if farthest == 0.0:
        return True
    along = np.linalg.svd(centred / farthest, full_matrices=False)[2][0]
    beside = np.abs(centred[:, 0] * along[1] - centred[:, 1] * along[0])
    return bool((beside <= _FLAT * np.maximum(reach, np.median(reach))).all())


def _sgd(how: Optimisation) -> Callable[[Floats], Floats]:
    return lambda gradient: -how.learning_rate * gradient


def _adam(how: Optimisation) -> Callable[[Floats], Floats]:
    """Return Adam's update rule with its usual decays .9 and .999 (Kingma and Ba 2015)."""
    state: dict[str, Floats | float] = {"mean": 0.0, "square": 0.0, "count": 0.0}

    def update(gradient: Floats) -> Floats:
        state["count"] = float(state["count"]) + 1.0
        state["mean"] = 0.9 * state["mean"] + 0.1 * gradient
        state["square"] = 0.999 * state["square"] + 0.001 * gradient**2
        mean = state["mean"] / (1.0 - 0.9 ** float(state["count"]))
        square = state["square"] / (1.0 - 0.999 ** float(state["count"]))
        result: Floats = -how.learning_rate * mean / (np.sqrt(square) + 1e-8)
        return result

    return update
