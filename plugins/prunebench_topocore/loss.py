"""Losses on a signed measure and their gradients with respect to the grades of its masses."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


def norm_l1(points: Floats, weights: Ints) -> tuple[float, Floats]:
    """Return (sum of l1 norms, positive minus negative, over the number of unit masses) and its gradient.

    Minimising it maximises a lower bound of the transport between the two parts (Kantorovich duality).
    points: float64 [m, 2]; weights: int64 [m]; gradient: float64 [m, 2].
    """
    total = int(np.abs(weights).sum())
    share = weights / total
    return float(share @ np.abs(points).sum(axis=1)), share[:, None] * np.sign(points)


def transport(points: Floats, weights: Ints, cost: str) -> tuple[float, Floats]:
    """Return minus the exact optimal transport cost between the two parts, and its gradient with the plan fixed.

    cost: "l1", "l2" or "sqeuclidean".  Exact by the network simplex of POT.
    """
    import ot
    from scipy.spatial.distance import cdist

    up, down = np.flatnonzero(weights > 0), np.flatnonzero(weights < 0)
    metrics: Mapping[str, Literal["cityblock", "euclidean", "sqeuclidean"]] = {
        "l1": "cityblock",
        "l2": "euclidean",
        "sqeuclidean": "sqeuclidean",
    }
    costs = cdist(points[up], points[down], metrics[cost])
    plan = ot.emd(weights[up].astype(np.float64), -weights[down].astype(np.float64), costs, numItermax=10**7)
    i, j = np.nonzero(plan)
    mass = plan[i, j]
    step = _cost_gradient(points[up[i]] - points[down[j]], costs[i, j], cost) * mass[:, None]
    gradient = np.zeros_like(points)
    np.add.at(gradient, up[i], -step)
    np.add.at(gradient, down[j], step)
    return -float(mass @ costs[i, j]), gradient


def _cost_gradient(difference: Floats, costs: Floats, cost: str) -> Floats:
    if cost == "l1":
        return np.sign(difference)
    if cost == "sqeuclidean":
        return 2.0 * difference
    return np.divide(difference, costs[:, None], out=np.zeros_like(difference), where=costs[:, None] > 0)


def evaluate(name: str, points: Floats, weights: Ints) -> tuple[float, Floats]:
    """Return the loss of that name and its gradient; an empty measure has loss 0."""
    if len(weights) == 0:
        return 0.0, np.zeros_like(points)
    return norm_l1(points, weights) if name == "norm_l1" else transport(points, weights, name)
