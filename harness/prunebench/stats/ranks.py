"""Ranks that never contradict the means: methods that seeds cannot tell apart share one."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from prunebench.errors import DataError
from prunebench.stats.moderated import EQUAL_DECIMALS, MIN_ROWS, Floats, holm, p_values

PAIR_LEVEL = 0.55  # of the nominal familywise level, by simulation: pairs of ten methods know their prior poorly


class Rank(NamedTuple):
    """The place of a method among the methods of its table.

    rank: 1 + the number of methods in better groups.  low, high: the ranks that the significant differences
    leave open, from 1 + the number of significantly better methods to the number of methods less those that are
    significantly worse, and the method's own place.
    """

    rank: int
    low: int
    high: int


def _matrix(table: Mapping[str, Mapping[int, float]]) -> tuple[list[str], Floats, Floats]:
    """Return names from the best mean down, rounded means [m], and values [m, seeds] with NaN for holes."""
    seeds = sorted(set().union(*table.values()))
    largest = max((abs(value) for values in table.values() for value in values.values()), default=0.0) or 1.0
    if not math.isfinite(largest) or not all(table.values()):
        raise DataError("a method without a finite accuracy was to be ranked", "leave incomplete methods out")
    means = {
        name: round(math.fsum(value / largest for value in values.values()) / len(values), EQUAL_DECIMALS)
        for name, values in table.items()
    }
    names = sorted(table, key=lambda name: (-means[name], name))
    rows = [[table[name].get(seed, math.nan) / largest for seed in seeds] for name in names]
    return names, np.array([means[name] for name in names]), np.array(rows, dtype=np.float64)


def _significantly_worse(values: Floats, familywise: float) -> NDArray[np.bool_]:
    """Return whether the column is significantly worse than the row, bool [m, m].

    Paired t tests of all pairs over shared seeds, their variances moderated over the pairs of a table with at least
    5 methods that vary, with Holm's correction.
    """
    first, second = np.triu_indices(len(values), 1)
    gaps = np.round(values[first] - values[second], EQUAL_DECIMALS)
    known = ~np.isnan(gaps)
    n = known.sum(axis=1).astype(np.float64)
    means = np.where(known, gaps, 0).sum(axis=1) / np.maximum(n, 1)
    squares = np.where(known, gaps - means[:, None], 0) ** 2
    variances = squares.sum(axis=1) / np.maximum(n - 1, 1)
    variances[variances < 10.0 ** (-2 * EQUAL_DECIMALS)] = 0
    varied = (np.nanmax(values, axis=1) > np.nanmin(values, axis=1)).sum()
    found = p_values(means, variances, np.maximum(n, 1), moderated=varied >= MIN_ROWS)
    rejected = holm(found, PAIR_LEVEL * familywise)
    worse = np.zeros((len(values), len(values)), dtype=np.bool_)
    worse[first, second] = rejected & (means > 0)
    worse[second, first] = rejected & (means < 0)
    return worse


def ranks(table: Mapping[str, Mapping[int, float]], familywise: float = 0.05) -> dict[str, Rank]:
    """Return the rank of each method from its accuracy by seed; a better mean never has a worse rank.

    table: accuracy by seed of each method, at least one seed each.  A deterministic method has the same value at
    each seed: give it at each seed, so that it is paired.  From the best mean down, a new group opens at the first
    method that is significantly worse than a method of the group, so that no two methods of a group differ
    significantly, and a noisy head hides nothing below it.  All pairs are tested together: the chance of any wrong
    difference in a table is at most `familywise`.  Methods that share fewer than 2 seeds cannot be told apart.
    Equal means share a rank.  Raises DataError for a method without values, or with values that are not finite.
    """
    if not table:
        return {}
    names, means, values = _matrix(table)
    worse = _significantly_worse(values, familywise) & (means[:, None] > means)
    starts = np.flatnonzero(np.concatenate([[True], means[1:] < means[:-1]])).tolist()
    rank, first = np.ones(len(names), dtype=np.int64), 0
    for start, stop in zip(starts, [*starts[1:], len(names)], strict=True):
        if worse[first:start, start:stop].any():
            first = start
        rank[start:stop] = first + 1
    low, high = 1 + worse.sum(axis=0), len(names) - worse.sum(axis=1)
    return {name: Rank(*map(int, row)) for name, row in zip(names, np.stack([rank, low, high], 1), strict=True)}
