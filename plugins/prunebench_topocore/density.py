"""Gaussian kernel density of a class and its gradient, in linear memory."""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

Floats = NDArray[np.float64]


@njit(cache=True, nogil=True)
def _kernel_sums(x: Floats, bandwidth: float) -> Floats:
    n = len(x)
    sums = np.ones(n)
    scale = -0.5 / (bandwidth * bandwidth)
    for i in range(n):
        for j in range(i):
            d0, d1 = x[i, 0] - x[j, 0], x[i, 1] - x[j, 1]
            k = np.exp(scale * (d0 * d0 + d1 * d1))
            sums[i] += k
            sums[j] += k
    return sums


@njit(cache=True, nogil=True)
def _codensity_gradient(x: Floats, sums: Floats, weights: Floats, bandwidth: float) -> Floats:
    n = len(x)
    gradient = np.zeros((n, 2))
    square = bandwidth * bandwidth
    share = weights / sums
    for i in range(n):
        for j in range(i):
            pull = share[i] + share[j]
            if pull == 0.0:
                continue
            d0, d1 = x[i, 0] - x[j, 0], x[i, 1] - x[j, 1]
            k = np.exp(-0.5 * (d0 * d0 + d1 * d1) / square) * pull / square
            gradient[i, 0] += k * d0
            gradient[i, 1] += k * d1
            gradient[j, 0] -= k * d0
            gradient[j, 1] -= k * d1
    return gradient


def density(x: Floats, bandwidth: float) -> Floats:
    """Return the kernel density float64 [n] at the points float64 [n, 2] themselves, self term included."""
    result: Floats = _kernel_sums(x, bandwidth) / (len(x) * 2.0 * np.pi * bandwidth**2)
    return result


def codensity(x: Floats, bandwidth: float) -> Floats:
    """Return minus the log density float64 [n]."""
    return -np.log(density(x, bandwidth))


def codensity_gradient(x: Floats, weights: Floats, bandwidth: float) -> Floats:
    """Return the gradient float64 [n, 2] of sum(weights * codensity) with respect to the points."""
    gradient: Floats = _codensity_gradient(x, _kernel_sums(x, bandwidth), weights, bandwidth)
    return gradient
