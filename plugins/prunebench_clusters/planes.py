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
_BINS = 256
_WORD = 8  # flags that are looked at together
_ROUNDING = 1 + 1e-6  # more than the error of a distance in single precision


@njit(cache=True, nogil=True)
def score_plane_runs(
    columns: Singles,
    firsts: Ints,
    orders: Places,
    which: Ints,
    seconds: Ints,
    points: Floats,
    neighbours: int,
    exponent: int,
    scores: Floats,
) -> int:
    """Add coverage minus redundancy of draws in planes of some first dimensions to `scores` float64 [n].

    columns: float32 [d, n].  firsts: int64 [f], and orders: int32 [f, n], the samples sorted by the column of each.
    which, seconds: int64 [m], the two dimensions of each draw, the first as its number in `firsts`; draws in one plane
    lie side by side, and so do planes with the same second dimension, whose column then is at hand.
    points: float64 [m, 2].  Returns the number of draws whose nearest sample has a duplicate in its plane.
    """
    n, m, ties = columns.shape[1], len(seconds), 0
    k = min(neighbours, n - 1)
    xs, gained, y = np.empty((len(firsts), n), np.float32), np.zeros((len(firsts), n)), np.empty(n, np.float32)
    for f in range(len(firsts)):
        xs[f] = columns[firsts[f]][orders[f]]
    distance, place, inside = np.empty(n), np.empty(n + 1, np.int32), np.empty(n, np.uint8)
    filled, size = np.empty(n // _WORD + 1, np.int32), min(n, _SAMPLE)
    sampled, start = np.arange(size) * n // size, 0
    while start < m:
        end, f = start, which[start]
        while end < m and seconds[end] == seconds[start] and which[end] == f:
            end += 1
        x, order, column = xs[f], orders[f], columns[seconds[start]]
        for i in range(n):
            y[i] = column[np.uint32(order[i])]
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
            gained[f, hits[j]] += count
            if k > 0:
                found, radius = _candidates(x, y, sample_x, sample_y, hits[j], k, inside, filled, distance, place)
                ties += count * _penalise(distance[:found], place[:found], radius, k, count, exponent, gained[f])
            j += count
        start = end
    for f in range(len(firsts)):
        for i in range(n):
            scores[orders[f, i]] += gained[f, i]
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
def _penalise(distance: Floats, place: Places, radius: float, k: int, count: int, exponent: int, gained: Floats) -> int:
    """Take `count` from the k nearest of the candidates; return 1 where one of them is a duplicate.

    distance, place: of the candidates, at least k of which are within the radius.  gained: float64 [n], by place.
    """
    lowest = _lowest(distance)
    limit = 0.0 if lowest == 0.0 else _smallest(distance, k, radius)
    weight = _weights(distance, lowest, limit, exponent)
    share = count / _sum(weight)
    for c in range(len(weight)):
        gained[np.uint32(place[c])] -= weight[c] * share
    return 1 if lowest == 0.0 else 0


@njit(cache=True, nogil=True, fastmath={"nnan", "nsz"})
def _lowest(values: Floats) -> float:
    """Return the lowest value by four registers, since each comparison waits for the one before."""
    a = b = c = d = np.inf
    whole = len(values) // 4 * 4
    for i in range(0, whole, 4):
        a = min(a, values[i])
        b = min(b, values[i + 1])
        c = min(c, values[i + 2])
        d = min(d, values[i + 3])
    for i in range(whole, len(values)):
        a = min(a, values[i])
    return min(min(a, b), min(c, d))


@njit(cache=True, nogil=True)
def _sum(values: Floats) -> float:
    """Return the sum by four accumulators, since each addition waits for the one before."""
    a, b, c, d, whole = 0.0, 0.0, 0.0, 0.0, len(values) // 4 * 4
    for i in range(0, whole, 4):
        a += values[i]
        b += values[i + 1]
        c += values[i + 2]
        d += values[i + 3]
    for i in range(whole, len(values)):
        a += values[i]
    return (a + b) + (c + d)


@njit(cache=True, nogil=True)
def _smallest(values: Floats, k: int, bound: float) -> float:
    """Return the k-th smallest of the positive values, k of which are at most the bound: by bins, then within one."""
    scale = (_BINS - 1) / bound
    if not 0.0 < scale < np.inf:
        return float(np.partition(values, k - 1)[k - 1])
    number, counts = np.empty(len(values), np.int32), np.zeros(_BINS, np.int32)
    for i in range(len(values)):
        number[i] = min(values[i] * scale, _BINS - 1.0)
    for i in range(len(values)):
        counts[np.uint8(number[i])] += 1
    before, chosen = 0, 0
    while before + counts[chosen] < k:
        before += counts[chosen]
        chosen += 1
    members, found = np.empty(counts[chosen] + 1), 0
    for i in range(len(values)):
        # written always, and kept by advancing: no branch to predict
        members[found] = values[i]
        found += number[i] == chosen
    return float(np.partition(members[:found], k - before - 1)[k - before - 1])


@njit(cache=True, nogil=True, error_model="numpy")
def _weights(distance: Floats, lowest: float, limit: float, exponent: int) -> Floats:
    """Return (lowest / distance) ** exponent by squares, 1 where both are 0, and 0 beyond the limit."""
    weight, power = np.empty(len(distance)), np.empty(len(distance))
    if lowest == 0.0:
        exponent = 0
    for c in range(len(distance)):
        weight[c] = 1.0 if distance[c] <= limit else 0.0
        power[c] = lowest / distance[c]
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
    filled: Places,
    distance: Floats,
    place: Places,
) -> tuple[int, float]:
    """Put all points within a radius that holds at least k others into `distance` and `place`.

    Returns how many, and the radius, which follows from the distances to a sample of the points, and is larger where it
    proves too small.  A few points beyond it may be among them.  inside: uint8 [n], room for flags.
    filled: as of `_gather`.
    """
    a, b, size = x[hit], y[hit], len(sample_x)
    sample = np.empty(size, np.float32)
    _measure(sample_x, sample_y, a, b, sample)
    expected = size * k / len(x)
    rank = int(expected + 2.0 * np.sqrt(expected) + 1.0)
    while True:
        radius = _radius(sample, rank) if rank < size else np.inf
        # single precision and the borders of the sweep are rounded outwards; the distance in double precision counts
        low = np.searchsorted(x, np.float32(a - radius * _ROUNDING))
        high = np.searchsorted(x, np.float32(a + radius * _ROUNDING), side="right")
        _mark(x[low:high], y[low:high], a, b, np.float32(radius * _ROUNDING), inside)
        inside[hit - low] = 0
        found = _gather(inside[: high - low], filled, place)
        if found >= k:
            for c in range(found):
                at = np.uintp(place[c]) + np.uintp(low)
                place[c] = np.int32(at)
                distance[c] = abs(np.float64(x[at]) - a) + abs(np.float64(y[at]) - b)
            if _count(distance[:found], radius) >= k:
                return found, radius
        rank *= 2


@njit(cache=True, nogil=True)
def _measure(x: Singles, y: Singles, a: float, b: float, distance: Singles) -> None:
    """Put the distances of the points to (a, b) into `distance`, all of them in single precision."""
    for i in range(len(x)):
        distance[i] = abs(x[i] - a) + abs(y[i] - b)


@njit(cache=True, nogil=True)
def _radius(sample: Singles, rank: int) -> float:
    """Return a radius within which more than `rank` of the sample are, and not many more, by bisection."""
    low, high = np.float32(0.0), sample.max()
    for _ in range(30):
        middle = low + (high - low) / np.float32(2.0)
        count = _count(sample, middle)
        if count <= rank:
            low = middle
        else:
            high = middle
            if count <= rank + 1 + rank // 16:
                break
    return float(high)


@njit(cache=True, nogil=True)
def _count(values: Floats | Singles, limit: float) -> int:
    count = np.int32(0)
    for i in range(len(values)):
        count += np.int32(values[i] <= limit)
    return int(count)


@njit(cache=True, nogil=True)
def _mark(x: Singles, y: Singles, a: float, b: float, radius: float | np.float32, inside: Flags) -> None:
    """Flag the points that are at most `radius` from (a, b), all of them in single precision."""
    flags = inside[: len(x)]
    for i in range(len(x)):
        flags[i] = abs(x[i] - a) + abs(y[i] - b) <= radius


@njit(cache=True, nogil=True)
def _gather(flags: Flags, filled: Places, place: Places) -> int:
    """Put the numbers of the flags that are set into `place`; return how many.  Many words of flags have none.

    filled: int32 [n / 8], room for the words that have some.
    """
    words = flags[: len(flags) // _WORD * _WORD].view(np.uint64)
    # written always, and kept by advancing: no branch to predict; counters without a sign index without a test
    n_filled, found = np.uintp(0), np.uintp(0)
    for word in range(np.uintp(len(words))):
        filled[n_filled] = np.int32(word)
        n_filled += np.uintp(words[word] != 0)
    for number in range(n_filled):
        start = np.uintp(_WORD) * np.uintp(filled[number])
        for more in range(_WORD):
            place[found] = np.int32(start + np.uintp(more))
            found += np.uintp(flags[start + np.uintp(more)])
    for i in range(np.uintp(len(words) * _WORD), np.uintp(len(flags))):
        place[found] = np.int32(i)
        found += np.uintp(flags[i])
    return int(found)
