"""The two questions of a planar triangulation, answered exactly for points with whole coordinates up to 2^50.

Differences of such coordinates are exact in double precision.  A determinant is first computed as usual; where its
rounding error could change the sign, it is computed once more as an exact sum (Shewchuk 1997).
"""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

Floats = NDArray[np.float64]

_SPLITTER = 134217729.0  # 2^27 + 1: cuts a double into two halves of 26 bits
_TURN_ERROR = 4e-16  # relative to the sum of absolute terms: Shewchuk's bound is 3.4e-16
_CIRCLE_ERROR = 1.2e-15  # the same for the circle: 1.12e-15


@njit(cache=True, nogil=True)
def _product(a: float, b: float) -> tuple[float, float]:
    """Return the rounded product and what rounding took from it (Dekker 1971)."""
    product = a * b
    cut = _SPLITTER * a
    a_high = cut - (cut - a)
    cut = _SPLITTER * b
    b_high = cut - (cut - b)
    a_low, b_low = a - a_high, b - b_high
    return product, a_low * b_low - (((product - a_high * b_high) - a_low * b_high) - a_high * b_low)


@njit(cache=True, nogil=True)
def turn(x: Floats, a: int, b: int, c: int) -> float:
    """Return a number with the sign of the area of the triangle a b c: positive when it turns left."""
    u0, u1, v0, v1 = x[b, 0] - x[a, 0], x[b, 1] - x[a, 1], x[c, 0] - x[a, 0], x[c, 1] - x[a, 1]
    left, right = u0 * v1, u1 * v0
    if abs(left - right) > _TURN_ERROR * (abs(left) + abs(right)):
        return float(left - right)
    left_high, left_low = _product(u0, v1)
    right_high, right_low = _product(u1, v0)
    # Rounding keeps the order, so the rounded products decide unless they are equal.
    return float(left_high - right_high if left_high != right_high else left_low - right_low)


@njit(cache=True, nogil=True)
def in_circle(x: Floats, a: int, b: int, c: int, p: int) -> float:
    """Return a positive number when p is inside the circle through a, b, c, which turn left; 0 when it is on it."""
    ax, ay = x[a, 0] - x[p, 0], x[a, 1] - x[p, 1]
    bx, by = x[b, 0] - x[p, 0], x[b, 1] - x[p, 1]
    cx, cy = x[c, 0] - x[p, 0], x[c, 1] - x[p, 1]
    a2, b2, c2 = ax * ax + ay * ay, bx * bx + by * by, cx * cx + cy * cy
    found = a2 * (bx * cy - by * cx) + b2 * (cx * ay - cy * ax) + c2 * (ax * by - ay * bx)
    size = a2 * (abs(bx * cy) + abs(by * cx)) + b2 * (abs(cx * ay) + abs(cy * ax)) + c2 * (abs(ax * by) + abs(ay * bx))
    if abs(found) > _CIRCLE_ERROR * size:
        return float(found)
    return _exact_in_circle(ax, ay, bx, by, cx, cy)


@njit(cache=True, nogil=True)
def _exact_in_circle(ax: float, ay: float, bx: float, by: float, cx: float, cy: float) -> float:
    """Return the leading part of the determinant, the sum of twelve products of four differences."""
    parts, count = np.empty(128), 0
    for u0, u1, v0, v1, w0, w1 in ((ax, ay, bx, by, cx, cy), (bx, by, cx, cy, ax, ay), (cx, cy, ax, ay, bx, by)):
        for along in (u0, u1):
            square = _product(along, along)
            for first, second in ((v0, w1), (-v1, w0)):
                cross = _product(first, second)
                for s in square:
                    for t in cross:
                        high, low = _product(s, t)
                        count = _added(parts, _added(parts, count, low), high)
    return float(parts[count - 1]) if count > 0 else 0.0


@njit(cache=True, nogil=True)
def _added(parts: Floats, count: int, value: float) -> int:
    """Add a number to an exact sum of `count` parts that do not overlap, the largest last; return the new count."""
    kept = 0
    for k in range(count):
        other = parts[k]
        if abs(value) < abs(other):
            value, other = other, value
        total = value + other
        error = other - (total - value)
        if error != 0.0:
            parts[kept] = error
            kept += 1
        value = total
    if value != 0.0:
        parts[kept] = value
        kept += 1
    return kept
