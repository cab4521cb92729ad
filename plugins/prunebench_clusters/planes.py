"""Nearest samples in planes of two features, by sweeps along the first of them (compiled)."""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

_SAMPLE = 1024


@njit(cache=True, nogil=True)
def score_plane_runs(
    columns: NDArray[np.float32],
    order: Ints,
    first: int,
    seconds: Ints,
    points: Floats,
    neighbours: int,
    exponent: int,
    scores: Floats,
) -> int:
    """Add coverage minus redundancy of draws that share their first dimension to `scores` float64 [n].

    columns: float32 [d, n].  order: int64 [n], the samples sorted by column `first`.  seconds: int64 [m],
    ascending, the other dimension of each draw.  points: float64 [m, 2].
    Returns the number of draws whose nearest sample has a duplicate in its plane.
    """
    n, m, ties = len(order), len(seconds), 0
    x, y = np.empty(n), np.empty(n)
    distance, place = np.empty(n), np.empty(n, np.int64)
    for i in range(n):
        x[i] = columns[first, order[i]]
    start = 0
    while start < m:
        end = start
        while end < m and seconds[end] == seconds[start]:
            end += 1
        for i in range(n):
            y[i] = columns[seconds[start], order[i]]
        hits = np.empty(end - start, np.int64)
        for j in range(start, end):
            hits[j - start] = _nearest(x, y, order, points[j, 0], points[j, 1])
        hits.sort()
        # draws that hit the same sample of a plane have the same neighbours
        j = 0
        while j < len(hits):
            count = 1
            while j + count < len(hits) and hits[j + count] == hits[j]:
                count += 1
            scores[order[hits[j]]] += count
            ties += count * _penalise(x, y, order, hits[j], count, neighbours, exponent, distance, place, scores)
            j += count
        start = end
    return ties


@njit(cache=True, nogil=True)
def _nearest(x: Floats, y: Floats, order: Ints, a: float, b: float) -> int:
    """Return the place of the point nearest to (a, b) in L1, of equal ones that of the lowest `order`."""
    n = len(x)
    right = int(np.searchsorted(x, a))
    left = right - 1
    best, found = np.inf, -1
    while left >= 0 or right < n:
        gap_left = a - x[left] if left >= 0 else np.inf
        gap_right = x[right] - a if right < n else np.inf
        if gap_left <= gap_right:
            i, gap = left, gap_left
            left -= 1
        else:
            i, gap = right, gap_right
            right += 1
        if gap > best:
            break
        d = gap + abs(y[i] - b)
        if d < best or (d == best and order[i] < order[found]):
            best, found = d, i
    return found


@njit(cache=True, nogil=True)
def _penalise(
    x: Floats,
    y: Floats,
    order: Ints,
    hit: int,
    count: int,
    neighbours: int,
    exponent: int,
    distance: Floats,
    place: Ints,
    scores: Floats,
) -> int:
    """Take `count` from the neighbours of the point at `hit`; return 1 where one of them is a duplicate."""
    k = min(neighbours, len(x) - 1)
    if k == 0:
        return 0
    found = _candidates(x, y, hit, k, distance, place)
    limit = np.inf if found == k else np.partition(distance[:found], k - 1)[k - 1]
    lowest = distance[:found].min()
    if lowest == 0.0:
        limit = 0.0
    total = 0.0
    for c in range(found):
        if distance[c] <= limit:
            distance[c] = (lowest / distance[c]) ** exponent if lowest > 0.0 else 1.0
            total += distance[c]
        else:
            distance[c] = 0.0
    for c in range(found):
        if distance[c] > 0.0:
            scores[order[place[c]]] -= count * distance[c] / total
    return 1 if lowest == 0.0 else 0


@njit(cache=True, nogil=True)
def _candidates(x: Floats, y: Floats, hit: int, k: int, distance: Floats, place: Ints) -> int:
    """Put all points within a radius that holds at least k others into `distance` and `place`; return how many.

    The radius is a quantile of the distances to a sample of the points, a larger one where it proves too small.
    """
    n, a, b = len(x), x[hit], y[hit]
    size = min(n, _SAMPLE)
    sample = np.empty(size)
    for i in range(size):
        s = i * n // size
        sample[i] = abs(x[s] - a) + abs(y[s] - b)
    expected = size * k / n
    rank = int(expected + 2.0 * np.sqrt(expected) + 1.0)
    while True:
        radius = np.partition(sample, rank)[rank] if rank < size else np.inf
        # the borders of the sweep are rounded outwards, the comparison below is the one that counts
        low = np.searchsorted(x, np.nextafter(a - radius, -np.inf))
        high = np.searchsorted(x, np.nextafter(a + radius, np.inf), side="right")
        found = 0
        for i in range(low, high):
            d = abs(x[i] - a) + abs(y[i] - b)
            # written always, and kept by advancing: no branch to predict
            distance[found] = d
            place[found] = i
            found += (d <= radius) & (i != hit)
        if found >= k:
            return found
        rank *= 2
