"""How far each point of a class moves while the persistence of its cloud is increased."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .complexes import QhullError, general_position, is_flat
from .density import codensity, codensity_gradient
from .loss import evaluate
from .measure import COMPLEXES

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Optimisation:
    """The parameters of the displacement; names as in the scorer's spec."""

    complex: str
    loss: str
    optimiser: str
    learning_rate: float
    steps: int
    bandwidth: float


def loss_and_gradient(x: Floats, how: Optimisation) -> tuple[float, Floats]:
    """Return the loss of a cloud float64 [n, 2] and its gradient, through lengths and through the codensity."""
    g = codensity(x, how.bandwidth)
    measure = COMPLEXES[how.complex](x, g)
    value, slope = evaluate(how.loss, measure.points(x, g), measure.weights)
    gradient = np.zeros_like(x)
    if len(measure.weights) == 0:
        return value, gradient
    u, v = measure.edges.T
    ends = x[u] - x[v]
    lengths = np.hypot(ends[:, 0], ends[:, 1])[:, None]
    unit = np.divide(ends, lengths, out=np.zeros_like(ends), where=lengths > 0)
    pull = measure.scale * slope[:, :1] * unit
    np.add.at(gradient, u, pull)
    np.add.at(gradient, v, -pull)
    on_vertices: Floats = np.zeros(len(x))
    np.add.at(on_vertices, measure.vertices, slope[:, 1])
    gradient += codensity_gradient(x, g, on_vertices, how.bandwidth)
    return value, gradient


def displacement(
    points: Floats, how: Optimisation, rng: np.random.Generator, check: Callable[[], None] = lambda: None
) -> Floats:
    """Return the distance float64 [n] that each point of a class float64 [n, 2] has moved after all steps.

    A class of fewer than four points, or without extent, does not move.  check: called between steps, may raise.
    """
    start = general_position(points, rng)
    if start is None or how.steps == 0:
        return np.zeros(len(points))
    x, step = start.copy(), _adam(how) if how.optimiser == "adam" else _sgd(how)
    for _ in range(how.steps):
        check()
        try:
            _, gradient = loss_and_gradient(x, how)
        except QhullError:
            if not is_flat(x):
                raise
            break  # a line has no triangles, and no loops to be born
        x = x + step(gradient)
    moved: Floats = np.hypot(*(x - start).T)
    return moved


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
