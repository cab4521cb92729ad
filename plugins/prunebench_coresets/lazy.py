"""Lazy greedy maximisation (Minoux 1978) and the facility-location function."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from prunebench_coresets.coverage import Coverage
from prunebench_coresets.groups import ROUNDING, Floats, Ints, best_of
from prunebench_coresets.kernels import Rows, blocks

_FIRST_BATCH, _LAST_BATCH = 8, 256


@dataclass(frozen=True, kw_only=True)
class Facilities:
    """Picks int64 [k] of facility location, and the pick int64 [m] that is nearest to each sample (-1: no picks).

    priority: float64 [m], higher where a sample would gain more after all picks; ties by the rule of the picks.
    exhausted: how many of the picks gained nothing, as those before them serve every sample perfectly.
    """

    picks: Ints
    priority: Floats
    serving: Ints
    exhausted: int


def facility_location(rows: Rows, size: int, n_picks: int, empty: float = 0.0, span: float = 1.0) -> Facilities:
    """Maximise f(A) = sum_i max(empty, max_{a in A} s_ia) greedily.

    rows: positions to rows of the symmetric similarity s [k, size].  empty: the similarity to no pick at all,
    a lower bound of s.  span: the size of usual differences of s, which says what is rounding.  Equal to naive
    greedy, where ties go to the sample of the highest gain as first pick, then to the lowest position.
    Samples at equal distance stay with the earlier pick, and a pick serves itself.
    """
    coverage, tolerance = Coverage(rows, size, empty), ROUNDING * span * size
    initial = np.concatenate([coverage.gains(block) for block in blocks(size)])
    picks, _, exhausted = lazy_greedy(initial, n_picks, coverage.gains, coverage.accept, tolerance)
    # what lazy greedy knows of the others dates from different steps: no order to rank them by
    left = np.concatenate([coverage.gains(block) for block in blocks(size)])
    ascending = np.lexsort((-np.arange(size), _rounded(initial, tolerance), _rounded(left, tolerance)))
    priority = np.empty(size)
    priority[ascending] = np.arange(size)
    return Facilities(picks=picks, priority=priority, serving=coverage.serving, exhausted=exhausted)


def _rounded(gains: Floats, tolerance: float) -> Floats:
    return np.rint(gains / tolerance) if tolerance else gains


def lazy_greedy(
    initial: Floats,
    n_picks: int,
    gains: Callable[[Ints], Floats],
    accept: Callable[[int], None],
    tolerance: float = 0.0,
) -> tuple[Ints, Floats, int]:
    """Return picks int64 [n_picks], the last known gains float64 [m] (-inf for picks), and how many gained nothing.

    Gains are non-negative and never grow, so an old gain bounds the present one: only those that could win are
    computed again, in batches that double within a step.  initial: gains float64 [m] before any pick, which
    also decide ties within `tolerance`.  gains: present gains of positions.  accept: tells of a pick.
    """
    bound, exhausted = initial.copy(), 0
    fresh = np.ones(len(bound), dtype=np.bool_)
    picks = np.empty(n_picks, dtype=np.int64)
    for t in range(n_picks):
        batch = _FIRST_BATCH
        while len(stale := _contenders(bound, fresh, tolerance, batch)):
            bound[stale] = gains(stale)
            fresh[stale] = True
            batch = min(2 * batch, _LAST_BATCH)
        pick = best_of(bound, tolerance, initial, tolerance)
        exhausted += bool(bound[pick] <= tolerance)
        picks[t] = pick
        accept(pick)
        bound[pick] = -np.inf
        # what was next to nothing ties with nothing: no need to look again
        fresh = bound <= tolerance
    return picks, bound, exhausted


def _contenders(bound: Floats, fresh: NDArray[np.bool_], tolerance: float, count: int) -> Ints:
    """Return at most `count` stale positions, highest bounds first, that the best fresh one does not rule out."""
    known = float(bound.max(where=fresh, initial=-np.inf))
    stale = np.flatnonzero(~fresh & (bound >= known - tolerance))
    if count < len(stale):
        stale = stale[np.argpartition(bound[stale], -count)[-count:]]
    return stale.astype(np.int64)
