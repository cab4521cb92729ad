"""Losses on a signed measure and their gradients with respect to the grades of its masses."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from prunebench import DataError

from .assignment import Assigner

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

_FARTHEST = 1e150  # of which the square is a number, too


def norm_l1(points: Floats, weights: Ints) -> tuple[float, Floats]:
    """Return the sum of l1 norms, positive minus negative, and its gradient float64 [m, 2], which is whole.

    Minimising it maximises a lower bound of the l1 transport between the two parts (Kantorovich duality).
    points: float64 [m, 2]; weights: int64 [m].
    """
    gradient: Floats = weights[:, None].astype(np.float64) * np.sign(points)
    return float(weights @ np.abs(points).sum(axis=1)), gradient


def transport(points: Floats, weights: Ints, cost: str, assigner: Assigner | None = None) -> tuple[float, Floats]:
    """Return minus the exact optimal transport cost between the two parts, and its gradient with the plan fixed.

    points: float64 [m, 2]; weights: int64 [m], of sum 0; gradient: float64 [m, 2].  cost: "l1", "l2" or "sqeuclidean".
    assigner: that of a measure that was much like this one, to be faster.  Masses are whole, so an assignment of unit
    masses is a best plan.  Raises DataError for points so far apart that their costs are not finite.
    """
    up, down = (np.repeat(np.arange(len(weights)), np.maximum(signed, 0)) for signed in (weights, -weights))
    if not (np.ptp(points, axis=0) < _FARTHEST).all():
        raise DataError("points of the projection are too far apart for transport costs", "look at the projector")
    chosen = down[(assigner or Assigner()).assign(points[up], points[down], cost)]
    difference = points[up] - points[chosen]
    costs = _costs(difference, cost)
    step = _cost_gradient(difference, costs, cost)
    gradient = np.zeros_like(points)
    np.add.at(gradient, up, -step)
    np.add.at(gradient, chosen, step)
    return -float(costs.sum()), gradient


def _costs(difference: Floats, cost: str) -> Floats:
    parts: Floats = np.abs(difference) if cost == "l1" else difference**2
    total: Floats = parts[:, 0] + parts[:, 1]
    return np.sqrt(total) if cost == "l2" else total


def _cost_gradient(difference: Floats, costs: Floats, cost: str) -> Floats:
    if cost == "l1":
        return np.sign(difference)
    if cost == "sqeuclidean":
        return 2.0 * difference
    return np.divide(difference, costs[:, None], out=np.zeros_like(difference), where=costs[:, None] > 0)


def evaluate(name: str, points: Floats, weights: Ints, assigner: Assigner | None = None) -> tuple[float, Floats, int]:
    """Return the loss of that name, its gradient, and the number to divide both by; an empty measure has loss 0.

    norm_l1 is divided by the number of unit masses.  It is done last: sums of whole numbers cancel without a rest.
    """
    if len(weights) == 0:
        return 0.0, np.zeros_like(points), 1
    if name == "norm_l1":
        return *norm_l1(points, weights), int(np.abs(weights).sum())
    return *transport(points, weights, name, assigner), 1
