"""Losses on a signed measure and their gradients with respect to the grades of its masses."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


def norm_l1(points: Floats, weights: Ints) -> tuple[float, Floats]:
    """Return the sum of l1 norms, positive minus negative, and its gradient float64 [m, 2], which is whole.

    Minimising it maximises a lower bound of the l1 transport between the two parts (Kantorovich duality).
    points: float64 [m, 2]; weights: int64 [m].
    """
    gradient: Floats = weights[:, None].astype(np.float64) * np.sign(points)
    return float(weights @ np.abs(points).sum(axis=1)), gradient


def transport(points: Floats, weights: Ints, cost: str) -> tuple[float, Floats]:
    """Return minus the exact optimal transport cost between the two parts, and its gradient with the plan fixed.

    points: float64 [m, 2]; weights: int64 [m], of sum 0; gradient: float64 [m, 2].  cost: "l1", "l2" or "sqeuclidean".
    Masses are whole, so an assignment of unit masses is a best plan; memory is the square of their number.
    """
    from scipy.optimize import linear_sum_assignment
    from scipy.spatial.distance import cdist

    up, down = (np.repeat(np.arange(len(weights)), np.maximum(signed, 0)) for signed in (weights, -weights))
    metrics: Mapping[str, Literal["cityblock", "euclidean", "sqeuclidean"]] = {
        "l1": "cityblock",
        "l2": "euclidean",
        "sqeuclidean": "sqeuclidean",
    }
    costs = cdist(points[up], points[down], metrics[cost])
    i, j = linear_sum_assignment(costs)
    step = _cost_gradient(points[up[i]] - points[down[j]], costs[i, j], cost)
    gradient = np.zeros_like(points)
    np.add.at(gradient, up[i], -step)
    np.add.at(gradient, down[j], step)
    return -float(costs[i, j].sum()), gradient


def _cost_gradient(difference: Floats, costs: Floats, cost: str) -> Floats:
    if cost == "l1":
        return np.sign(difference)
    if cost == "sqeuclidean":
        return 2.0 * difference
    return np.divide(difference, costs[:, None], out=np.zeros_like(difference), where=costs[:, None] > 0)


def evaluate(name: str, points: Floats, weights: Ints) -> tuple[float, Floats, int]:
    """Return the loss of that name, its gradient, and the number to divide both by; an empty measure has loss 0.

    norm_l1 is divided by the number of unit masses.  It is done last: sums of whole numbers cancel without a rest.
    """
    if len(weights) == 0:
        return 0.0, np.zeros_like(points), 1
    if name == "norm_l1":
        return *norm_l1(points, weights), int(np.abs(weights).sum())
    return *transport(points, weights, name), 1
