"""Gaussian kernel density of a class and its gradient, in linear memory; every pair is visited once."""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


# Sums may be reordered, which lets the loops over j use vector instructions: the same order on the same machine.
_FAST = {"reassoc", "contract", "nsz"}


@njit(cache=True, nogil=True, fastmath=_FAST, inline="always")
def _exp(t: float) -> float:
    """Return exp(t) for t <= 0 to 1e-12, relative; 0 below -40, where it is less than 4e-18.

    The series of t / 256 to the ninth power, squared eight times: no branch and no table, so that it vectorises.
    """
    r = max(t, -40.0) * (1 / 256)
    series = 1 / 5040 + r * (1 / 40320 + r * (1 / 362880))
    series = 1 / 24 + r * (1 / 120 + r * (1 / 720 + r * series))
    series = 1.0 + r * (1.0 + r * (1 / 2 + r * (1 / 6 + r * series)))
    for _ in range(8):
        series *= series
    return series if t > -40.0 else 0.0


@njit(cache=True, nogil=True, fastmath=_FAST)
def _kernel_sums(x0: Floats, x1: Floats, counts: Floats, bandwidth: float) -> Floats:
    sums = counts.copy()
    scale = -0.5 / (bandwidth * bandwidth)
    for i in range(len(x0)):
        total = 0.0
        for j in range(i):
            d0, d1 = x0[i] - x0[j], x1[i] - x1[j]
            k = _exp(scale * (d0 * d0 + d1 * d1))
            total += counts[j] * k
            sums[j] += counts[i] * k
        sums[i] += total
    return sums


@njit(cache=True, nogil=True, fastmath=_FAST)
def _codensity_gradient(
    x0: Floats, x1: Floats, counts: Floats, shares: Floats, bandwidth: float
) -> tuple[Floats, Floats]:
    along0, along1 = np.zeros(len(x0)), np.zeros(len(x0))
    scale = -0.5 / (bandwidth * bandwidth)
    for i in range(len(x0)):
        total0, total1 = 0.0, 0.0
        for j in range(i):
            d0, d1 = x0[i] - x0[j], x1[i] - x1[j]
            k = _exp(scale * (d0 * d0 + d1 * d1)) * (shares[i] * counts[j] + shares[j] * counts[i])
            total0 += k * d0
            total1 += k * d1
            along0[j] -= k * d0
            along1[j] -= k * d1
        along0[i] += total0
        along1[i] += total1
    return -2.0 * scale * along0, -2.0 * scale * along1


def kernel_sums(x: Floats, bandwidth: float, counts: Ints | None = None) -> Floats:
    """Return the sum of the kernel over all samples at each point float64 [n, 2], self term of 1 included.

    counts: int64 [n], how many samples are at each point; one each where it is left out.
    """
    x0, x1 = np.ascontiguousarray(x.T)
    result: Floats = _kernel_sums(x0, x1, _weights(x, counts), bandwidth)
    return result


def codensity(x: Floats, bandwidth: float, counts: Ints | None = None) -> Floats:
    """Return minus the log density float64 [n] at the points float64 [n, 2] themselves, self term included.

    Rounded to 13 decimals, so that equal densities stay equal whatever the order of summation.
    """
    n = float(_weights(x, counts).sum())
    sums = kernel_sums(x, bandwidth, counts)
    result: Floats = np.round(np.log(n * 2.0 * np.pi * bandwidth**2) - np.log(sums), 13)
    return result


def density(x: Floats, bandwidth: float, counts: Ints | None = None) -> Floats:
    """Return the kernel density float64 [n], the exponential of minus the codensity."""
    return np.exp(-codensity(x, bandwidth, counts))


def codensity_gradient(
    x: Floats, codensities: Floats, weights: Floats, bandwidth: float, counts: Ints | None = None
) -> Floats:
    """Return the gradient float64 [n, 2] of sum(weights * codensity) with respect to the points.

    codensities: float64 [n], those of the points.
    """
    masses = _weights(x, counts)
    sums = np.exp(-codensities) * (float(masses.sum()) * 2.0 * np.pi * bandwidth**2)
    x0, x1 = np.ascontiguousarray(x.T)
    return np.stack(_codensity_gradient(x0, x1, masses, weights / sums, bandwidth), axis=1)


def _weights(x: Floats, counts: Ints | None) -> Floats:
    return np.ones(len(x)) if counts is None else counts.astype(np.float64)
