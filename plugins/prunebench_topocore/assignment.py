"""The exact assignment of points to as many others in the plane, without a matrix of costs.

Shortest augmenting paths from prices that are nearly right (Jonker and Volgenant 1987).  The cost of a pair is computed
where it is needed, in loops over all columns that a processor does several at a time, so memory is linear.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numba import njit
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

_KINDS = {"l1": 0, "l2": 1, "sqeuclidean": 2}
_LARGER = 16.0  # prices so much larger than all costs come from other points, and would take digits from the costs


@dataclass
class Assigner:
    """Solves assignments one after another; where they differ little, the prices of the last make the next one short.

    A price is a function of the place: the lowest cost of getting there from a row of the last assignment, less the
    price of that row.  What it is decides how long a solution takes, and which of equally good ones is found.
    """

    places: Floats = field(default_factory=lambda: np.zeros((2, 0)))
    prices: Floats = field(default_factory=lambda: np.zeros(0))

    def assign(self, rows: Floats, columns: Floats, cost: str) -> Ints:
        """Return the column int64 [n] of each row, so that the sum of costs is least.

        rows, columns: float64 [n, 2], finite.  cost: "l1", "l2" or "sqeuclidean".
        """
        x, y, kind = np.ascontiguousarray(rows.T), np.ascontiguousarray(columns.T), _KINDS[cost]
        height, width = np.ptp(np.concatenate([x, y], axis=1), axis=1)
        prices = _lowest_costs(self.places, self.prices, y, kind)
        if len(self.prices) == 0 or np.ptp(prices) > _LARGER * _cost(height, width, kind):
            prices = _lowest_costs(x, np.zeros(len(rows)), y, kind)
        chosen, self.prices = _solve(x, y, prices - prices.max(), kind)
        self.places = x
        return chosen


@njit(cache=True, nogil=True, inline="always")
def _cost(d0: float, d1: float, kind: int) -> float:
    if kind == 0:
        return abs(d0) + abs(d1)
    square = d0 * d0 + d1 * d1
    return np.sqrt(square) if kind == 1 else square


@njit(cache=True, nogil=True)
def _lowest_costs(x: Floats, prices: Floats, y: Floats, kind: int) -> Floats:
    """Return for each column the lowest cost from a row less the price of that row."""
    y0, y1, lowest = y[0], y[1], np.full(y.shape[1], np.inf)
    for i in range(x.shape[1]):
        for j in range(len(lowest)):
            found = _cost(x[0, i] - y0[j], x[1, i] - y1[j], kind) - prices[i]
            lowest[j] = found if found < lowest[j] else lowest[j]
    return lowest


@njit(cache=True, nogil=True)
def _solve(x: Floats, y: Floats, v: Floats, kind: int) -> tuple[Ints, Floats]:
    """Return the column of each row, and the prices of the rows; those of the columns, v, are changed."""
    owner, chosen, waiting = _bids(x, y, v, kind)
    u = np.zeros(len(v))
    for i in range(len(v)):
        if chosen[i] >= 0:
            u[i] = _cost(x[0, i] - y[0, chosen[i]], x[1, i] - y[1, chosen[i]], kind) - v[chosen[i]]
    for i in waiting:
        _augment(i, x, y, kind, u, v, owner, chosen)
    return chosen, u


@njit(cache=True, nogil=True)
def _bids(x: Floats, y: Floats, v: Floats, kind: int) -> tuple[Ints, Ints, Ints]:
    """Return the row of each column and the column of each row, -1 for none, and the rows without one.

    Each row takes its best column, if that is free.  Then the others bid: a row takes its best column, of which the
    price falls so far that the second best is as good, and the row that had it bids next.
    """
    n = len(v)
    owner, chosen, waiting = np.full(n, -1), np.full(n, -1), np.empty(n, dtype=np.int64)
    reduced, spare, count, left = np.empty(n), np.empty(n), 0, 0
    for i in range(n):
        _reduced(x[0, i], x[1, i], y, v, kind, reduced)
        j = _first(reduced, _lowest(reduced, spare))
        if owner[j] < 0:
            owner[j], chosen[i] = i, j
        else:
            waiting[count] = i
            count += 1
    k, bids = 0, 0
    while k < count:
        i = waiting[k]
        k, bids = k + 1, bids + 1
        _reduced(x[0, i], x[1, i], y, v, kind, reduced)
        best = _lowest(reduced, spare)
        j = _first(reduced, best)
        reduced[j] = np.inf
        second = _lowest(reduced, spare)
        if best == second and owner[j] >= 0:
            j = _first(reduced, second)
        former = owner[j]
        v[j] -= second - best
        owner[j], chosen[i] = i, j
        if former >= 0:
            chosen[former] = -1
            if best < second and bids < 4 * n:  # rounding can make rows bid in turns for a very long time
                k -= 1
                waiting[k] = former
            else:
                waiting[left] = former
                left += 1
    return owner, chosen, waiting[:left]


@njit(cache=True, nogil=True)
def _augment(start: int, x: Floats, y: Floats, kind: int, u: Floats, v: Floats, owner: Ints, chosen: Ints) -> None:
    """Give the row `start` a column, along a shortest path of reduced costs to a column that is free."""
    n = len(v)
    level, before, spare, unseen = np.full(n, np.inf), np.full(n, -1), np.empty(n), v.copy()
    seen, depths, free, count = np.empty(n, dtype=np.int64), np.empty(n), np.flatnonzero(owner < 0), 0
    row, depth = start, 0.0
    while True:
        _relax(x[0, row], x[1, row], depth - u[row], row, y, unseen, kind, level, before)
        depth = _lowest(level, spare)
        column = _free_at(level, free, depth)
        if column >= 0:
            break
        column = _first(level, depth)
        seen[count], depths[count] = column, depth
        count += 1
        level[column], unseen[column] = np.inf, -np.inf
        row = owner[column]
    u[start] += depth
    for k in range(count):
        u[owner[seen[k]]] += depth - depths[k]
        v[seen[k]] -= depth - depths[k]
    while True:
        row = before[column]
        owner[column] = row
        column, chosen[row] = chosen[row], column
        if row == start:
            return


@njit(cache=True, nogil=True)
def _free_at(level: Floats, free: Ints, depth: float) -> int:
    for column in free:
        if level[column] == depth:
            return int(column)
    return -1


# The loops below have no branches and no sums, so compilers make vector instructions of them, with the same results.


@njit(cache=True, nogil=True)
def _reduced(x0: float, x1: float, y: Floats, v: Floats, kind: int, out: Floats) -> None:
    y0, y1 = y[0], y[1]
    for j in range(len(out)):
        out[j] = _cost(x0 - y0[j], x1 - y1[j], kind) - v[j]


@njit(cache=True, nogil=True)
def _relax(
    x0: float, x1: float, depth: float, row: int, y: Floats, v: Floats, kind: int, level: Floats, before: Ints
) -> None:
    """Lower the levels of columns to which the path over this row is shorter, and note the row there."""
    y0, y1 = y[0], y[1]
    for j in range(len(level)):
        found = _cost(x0 - y0[j], x1 - y1[j], kind) - v[j] + depth
        shorter = found < level[j]
        level[j] = found if shorter else level[j]
        before[j] = row if shorter else before[j]


@njit(cache=True, nogil=True)
def _lowest(values: Floats, spare: Floats) -> float:
    """Return the smallest value, by folding: a running minimum would wait for itself at each step."""
    size, held = len(values), values
    while size > 16:
        half = (size + 1) // 2
        _lower(held[:half], held[size - half : size], spare[:half])
        size, held = half, spare
    lowest = held[0]
    for j in range(1, size):
        lowest = min(lowest, held[j])
    return float(lowest)


@njit(cache=True, nogil=True)
def _lower(a: Floats, b: Floats, out: Floats) -> None:
    for j in range(len(out)):
        out[j] = a[j] if a[j] < b[j] else b[j]


@njit(cache=True, nogil=True)
def _first(values: Floats, wanted: float) -> int:
    j = 0
    while values[j] != wanted:
        j += 1
    return j
