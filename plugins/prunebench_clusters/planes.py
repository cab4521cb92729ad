"""Nearest samples in planes of two features, by sweeps along the first of them (compiled).

Loops over slices, without branches, are compiled to instructions for several points at once.
"""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Singles = NDArray[np.float32]
Ints = NDArray[np.int64]
Places = NDArray[np.int32]
Flags = NDArray[np.uint8]

_SAMPLE = 1024
_CHUNK = 256
_WORD = 8  # flags that are looked at together


@njit(cache=True, nogil=True)
def score_plane_runs(
    columns: Singles,
    order: Places,
    first: int,
    seconds: Ints,
    points: Floats,
    neighbours: int,
    exponent: int,
    scores: Floats,
) -> int:
    """Add coverage minus redundancy of draws that share their first dimension to `scores` float64 [n].

    columns: float32 [d, n].  order: int32 [n], the samples sorted by column `first`.  seconds: int64 [m],
    ascending, the other dimension of each draw.  points: float64 [m, 2].
    Returns the number of draws whose nearest sample has a duplicate in its plane.
    """
    n, m, ties = len(order), len(seconds), 0
    k = min(neighbours, n - 1)
    x, y = columns[first][order], np.empty(n, np.float32)
    distance, place, inside = np.empty(n), np.empty(n + 1, np.int32), np.zeros(n + 2 * _WORD, np.uint8)
    size = min(n, _SAMPLE)
    sampled = np.arange(size) * n // size
    start = 0
    while start < m:
        end = start
        while end < m and seconds[end] == seconds[start]:
            end += 1
        column = columns[seconds[start]]
        for i in range(n):
            y[i] = column[order[i]]
        sample_x, sample_y = x[sampled], y[sampled]
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
            if k > 0:
                found = _candidates(x, y, sample_x, sample_y, hits[j], k, inside, distance, place)
                ties += count * _penalise(distance[:found], place[:found], order, k, count, exponent, scores)
            j += count
        start = end
    return ties


@njit(cache=True, nogil=True)
def _nearest(x: Singles, y: Singles, order: Places, a: float, b: float) -> int:
    """Return the place of the point nearest to (a, b) in L1, of equal ones that of the lowest `order`."""
    n = len(x)
    left = right = int(np.searchsorted(x, a))
    best, found = np.inf, -1
    while left > 0 or right < n:
        gap_left = a - x[left - 1] if left > 0 else np.inf
        gap_right = x[right] - a if right < n else np.inf
        if min(gap_left, gap_right) > best:
            break
        if gap_left <= gap_right:
            low, high = max(0, left - _CHUNK), left
            left = low
        else:
            low, high = right, min(n, right + _CHUNK)
            right = high
        least = _least(x[low:high], y[low:high], a, b)
        if least <= best:
            for i in range(low, high):
                d = abs(x[i] - a) + abs(y[i] - b)
                if d == least and (d < best or order[i] < order[found]):
                    best, found = d, i
    return found


@njit(cache=True, nogil=True, fastmath={"nnan", "nsz"})
def _least(x: Singles, y: Singles, a: float, b: float) -> float:
    """Return the least distance of the points to (a, b)."""
    least = np.inf
    for i in range(len(x)):
        least = min(least, abs(x[i] - a) + abs(y[i] - b))
    return least


@njit(cache=True, nogil=True)
def _penalise(distance: Floats, place: Places, order: Places, k: int, count: int, exponent: int, scores: Floats) -> int:
    """Take `count` from the k nearest of the candidates; return 1 where one of them is a duplicate.

    distance, place: of the candidates, [k or more]; distance is overwritten.
    """
    limit = np.inf if len(distance) == k else np.partition(distance, k - 1)[k - 1]
    lowest = distance.min()
    if lowest == 0.0:
        limit = 0.0
    weight = _weights(distance, lowest, limit, exponent)
    total = 0.0
    for c in range(len(weight)):
        total += weight[c]
    for c in range(len(weight)):
        if weight[c] > 0.0:
            scores[order[place[c]]] -= count * weight[c] / total
    return 1 if lowest == 0.0 else 0


@njit(cache=True, nogil=True)
def _weights(distance: Floats, lowest: float, limit: float, exponent: int) -> Floats:
    """Return (lowest / distance) ** exponent by squares, 1 where both are 0, and 0 beyond the limit."""
    weight, power = np.empty(len(distance)), distance
    for c in range(len(distance)):
        within = 1.0 if distance[c] <= limit else 0.0
        weight[c] = within
        power[c] = lowest / distance[c] if lowest > 0.0 else 1.0
    while exponent > 0:
        if exponent & 1:
            for c in range(len(weight)):
                weight[c] *= power[c]
        for c in range(len(power)):
            power[c] *= power[c]
        exponent >>= 1
    return weight


@njit(cache=True, nogil=True)
def _candidates(
    x: Singles,
    y: Singles,
    sample_x: Singles,
    sample_y: Singles,
    hit: int,
    k: int,
    inside: Flags,
    distance: Floats,
    place: Places,
) -> int:
    """Put all points within a radius that holds at least k others into `distance` and `place`; return how many.

    The radius is a quantile of the distances to a sample of the points, a larger one where it proves too small.
    inside: uint8 [n + 16], room for flags.
    """
    a, b, size = np.float64(x[hit]), np.float64(y[hit]), len(sample_x)
    sample = np.empty(size)
    for i in range(size):
        sample[i] = abs(sample_x[i] - a) + abs(sample_y[i] - b)
    expected = size * k / len(x)
    rank = int(expected + 2.0 * np.sqrt(expected) + 1.0)
    while True:
        radius = np.partition(sample, rank)[rank] if rank < size else np.inf
        # the borders of the sweep are rounded outwards, the comparison of the distance is the one that counts
        low = np.searchsorted(x, np.nextafter(a - radius, -np.inf))
        high = np.searchsorted(x, np.nextafter(a + radius, np.inf), side="right")
        _mark(x[low:high], y[low:high], a, b, radius, inside)
        inside[hit - low] = 0
        inside[high - low : high - low + _WORD] = 0
        found = _gather(inside, high - low, place)
        if found >= k:
            for c in range(found):
                place[c] += low
                at = place[c]
                distance[c] = abs(x[at] - a) + abs(y[at] - b)
            return found
        rank *= 2


@njit(cache=True, nogil=True)
def _mark(x: Singles, y: Singles, a: float, b: float, radius: float, inside: Flags) -> None:
    """Flag the points that are at most `radius` from (a, b)."""
    flags = inside[: len(x)]
    for i in range(len(x)):
        flags[i] = abs(x[i] - a) + abs(y[i] - b) <= radius


@njit(cache=True, nogil=True)
def _gather(inside: Flags, size: int, place: Places) -> int:
    """Put the numbers of the flags that are set into `place`; return how many; most words of flags have none."""
    words, found = inside[: len(inside) // _WORD * _WORD].view(np.uint64), 0
    for word in range((size + _WORD - 1) // _WORD):
        if words[word]:
            for i in range(_WORD * word, _WORD * word + _WORD):
                # written always, and kept by advancing: no branch to predict
                place[found] = i
                found += inside[i]
    return found
