"""Ranks that never contradict the means: methods that seeds cannot tell apart share one."""

from __future__ import annotations

import math
from collections.abc import Mapping
from itertools import combinations
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from prunebench.errors import DataError
from prunebench.stats.moderated import EQUAL_DECIMALS, MIN_ROWS, Floats, holm, moderate, sample_variance

DRAWS = 4000  # the 95 % point of the largest t is then exact to .35 % of the distribution
CHUNK = 500


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


def _differences(values: Floats) -> tuple[Floats, Floats]:
    """Return mean paired differences (column less row) [m, m] over shared seeds, and the number of those [m, m]."""
    known = ~np.isnan(values)
    filled = np.where(known, values, 0.0)
    shared = known.astype(np.float64) @ known.T
    sums = known @ filled.T - filled @ known.T
    with np.errstate(invalid="ignore"):
        return np.where(shared > 0, sums / np.maximum(shared, 1), np.nan), shared


def residual_spread(values: Floats) -> tuple[Floats, Floats]:
    """Return the moderated variance of each method once the effect of the seed is taken off, and its df, both [m].

    values: float64 [methods, seeds], NaN for holes.  The effect of a seed is the median over methods of what they
    differ from their own means there: it moves all methods alike and decides no rank.  The median, since one
    method with a huge spread would pass it on to all others by a mean.
    """
    residuals = values - np.nanmean(values, axis=1, keepdims=True)
    residuals = residuals - np.nanmedian(residuals, axis=0, keepdims=True)
    rows = [row[~np.isnan(row)].tolist() for row in residuals]
    return moderate(np.array([sample_variance(row) for row in rows]), np.array([len(row) - 1.0 for row in rows]))


def largest_t_quantile(variances: Floats, df: Floats, counts: Floats, familywise: float) -> float:
    """Return the critical value of the largest t of all pairs where all means are equal, by seeded simulation.

    variances, df, counts: float64 [m], positive; moderated variances, their degrees of freedom, the number of
    seeds.  The studentized range for unequal spreads: the true variances are drawn given the estimated ones.
    """
    rng = np.random.default_rng(0)
    squared_errors = variances / counts
    scale = np.sqrt(squared_errors[:, None] + squared_errors)
    largest = []
    for _ in range(0, DRAWS, CHUNK):
        spread = np.sqrt(squared_errors * df / rng.chisquare(df, size=(CHUNK, len(df))))
        means = spread * rng.normal(size=spread.shape)
        largest.append((np.abs(means[:, :, None] - means[:, None, :]) / scale).max(axis=(1, 2)))
    return float(np.quantile(np.concatenate(largest), 1 - familywise))


def _worse_among_many(values: Floats, familywise: float) -> NDArray[np.bool_]:
    """Return whether the column is significantly worse than the row [m, m], spreads moderated over methods."""
    differences, shared = _differences(values)
    variances, df = residual_spread(values)
    sound = (variances > 0) & (df > 0)
    worse = np.zeros(differences.shape, dtype=np.bool_)
    if sound.sum() < 2:
        return worse
    counts = (~np.isnan(values)).sum(axis=1).astype(np.float64)
    critical = largest_t_quantile(variances[sound], df[sound], counts[sound], familywise)
    pairs = np.outer(sound, sound) & (shared >= 2)
    errors = np.sqrt((variances[:, None] + variances) / np.maximum(shared, 1))
    worse[pairs] = differences[pairs] < -critical * errors[pairs]
    return worse


def _worse_among_few(values: Floats, familywise: float) -> NDArray[np.bool_]:
    """Return whether the column is significantly worse than the row [m, m], by Holm over plain paired t tests."""
    from scipy.special import stdtr

    differences, _ = _differences(values)
    p_values = {}
    for a, b in combinations(range(len(values)), 2):
        paired = values[b] - values[a]
        paired = paired[~np.isnan(paired)]
        variance = sample_variance(np.round(paired, EQUAL_DECIMALS).tolist())
        if variance > 0:
            t = abs(differences[a, b]) / math.sqrt(variance / len(paired))
            p_values[f"{a} {b}"] = 2 * float(stdtr(len(paired) - 1, -t))
    worse = np.zeros(differences.shape, dtype=np.bool_)
    for pair in holm(p_values, familywise):
        a, b = map(int, pair.split())
        worse[a, b], worse[b, a] = differences[a, b] < 0, differences[a, b] > 0
    return worse


def ranks(table: Mapping[str, Mapping[int, float]], familywise: float = 0.05) -> dict[str, Rank]:
    """Return the rank of each method from its accuracy by seed; a better mean never has a worse rank.

    table: accuracy by seed of each method, at least one seed each.  A deterministic method has the same value at
    each seed: give it at each seed, so that it is paired.  From the best mean down, a new group opens at the first
    method that is significantly worse than the head of the group.  All pairs are tested together: the chance of
    any wrong difference in a table is at most `familywise`.  Tests are paired by seed.  From 5 methods on, the
    spread of a method is moderated over the table and the critical value is that of the largest t of all pairs;
    below, plain paired t tests with Holm's correction.  Methods that share fewer than 2 seeds, or whose
    difference never varies, cannot be told apart.  Equal means share a rank.  Raises DataError for a method
    without values, or with values that are not finite.
    """
    if not table:
        return {}
    names, means, values = _matrix(table)
    test = _worse_among_many if len(names) >= MIN_ROWS else _worse_among_few
    worse = test(values, familywise) & (means[:, None] > means)
    blocks = np.flatnonzero(np.concatenate([[True], means[1:] < means[:-1]])).tolist()
    rank, head = np.ones(len(names), dtype=np.int64), slice(0, 0)
    for start, stop in zip(blocks, [*blocks[1:], len(names)], strict=True):
        if start == 0 or worse[head, start:stop].all():
            head = slice(start, stop)
        rank[start:stop] = head.start + 1
    low = np.minimum(1 + worse.sum(axis=0), rank)
    high = len(names) - worse.sum(axis=1)
    return {name: Rank(*map(int, row)) for name, row in zip(names, np.stack([rank, low, high], 1), strict=True)}
