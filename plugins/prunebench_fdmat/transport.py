"""Entropic optimal transport from samples of mass 1 to classes of given mass."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Plan:
    """A transport plan float64 [n, c], the iterations that it took, and the largest error of a row sum."""

    mass: Floats
    iterations: int
    row_error: float


def sinkhorn(cost: Floats, sizes: Floats, strength: float, iterations: int, tolerance: float) -> Plan:
    """Return the plan between n samples of mass 1 and classes of mass `sizes`, by Sinkhorn's iteration.

    cost: float64 [n, c].  sizes: float64 [c] > 0, with sum n.  strength: lambda of exp(-lambda * cost).
    Column sums are exact, row sums are 1 within about `tolerance`, the change at which the iteration stops.
    Source: Cuturi 2013, algorithm 1.
    """
    # a row of the kernel may be scaled freely: with its largest entry at 1 none of them underflows as a whole
    exponent = -strength * (cost - cost.min(axis=1, keepdims=True))
    plan = _by_scaling(np.exp(exponent), sizes, iterations, tolerance)
    return plan or _by_logarithms(exponent, np.log(sizes), iterations, tolerance)


def _by_scaling(kernel: Floats, sizes: Floats, iterations: int, tolerance: float) -> Plan | None:
    """Iterate on the scaling vectors; None where a class is so far away that its column underflows."""
    done, right = 0, np.ones(kernel.shape[1])
    before = np.full(len(kernel), np.inf)
    while done < iterations:
        done += 1
        left = 1.0 / (kernel @ right)
        column = left @ kernel
        if not (column > 0).all():
            return None
        right = sizes / column
        if not np.isfinite(right).all() or right.min() < np.finfo(np.float64).tiny:
            return None
        rows = left * (kernel @ right)
        if np.abs(rows - before).max() <= tolerance:
            break
        before = rows
    return Plan(mass=left[:, None] * kernel * right, iterations=done, row_error=float(np.abs(rows - 1).max()))


def _by_logarithms(exponent: Floats, log_sizes: Floats, iterations: int, tolerance: float) -> Plan:
    """Iterate on the logarithms of the scaling vectors: slower, for any range of costs."""
    done, right = 0, np.zeros(exponent.shape[1])
    before = np.full(len(exponent), np.inf)
    while done < iterations:
        done += 1
        left = -_log_sum(exponent + right, axis=1)
        right = log_sizes - _log_sum(exponent + left[:, None], axis=0)
        mass = np.exp(exponent + left[:, None] + right)
        rows = mass.sum(axis=1)
        if np.abs(rows - before).max() <= tolerance:
            break
        before = rows
    return Plan(mass=mass, iterations=done, row_error=float(np.abs(rows - 1).max()))


def _log_sum(values: Floats, axis: int) -> Floats:
    highest = values.max(axis=axis, keepdims=True)
    total: Floats = np.log(np.exp(values - highest).sum(axis=axis)) + highest.squeeze(axis)
    return total
