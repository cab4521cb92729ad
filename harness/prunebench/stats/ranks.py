"""Ranks that never contradict the means: methods that seeds cannot tell apart share one."""

from __future__ import annotations

import math
from collections.abc import Mapping
from itertools import combinations
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from prunebench.errors import DataError
from prunebench.stats.moderated import (
    EQUAL_DECIMALS,
    MIN_ROWS,
    Floats,
    Prior,
    holm,
    log_variance_draws,
    moderate,
    sample_variance,
    variance_prior,
)

DRAWS = 2000  # the 95 % point of the largest t is then exact to .5 % of the distribution
CHUNK = 250
CALIBRATION = 0.5  # of the nominal level: what the plug-in prior costs at 10 methods, by simulation


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


def residual_variances(values: Floats) -> Floats:
    """Return the variance of each method once the effect of the seed is taken off, [..., m, seeds] to [..., m].

    The effect of a seed is the median over methods of what they differ from their own means there: it moves all
    methods alike and decides no rank.  The median, since one method with a huge spread would pass it on to all
    others by a mean.  NaN for holes; 0 for a method with one seed, and for rounding noise.
    """
    holes = bool(np.isnan(values).any())  # what steps over NaN is several times slower
    mean, median = (np.nanmean, np.nanmedian) if holes else (np.mean, np.median)
    residuals = values - mean(values, axis=-1, keepdims=True)
    residuals = residuals - median(residuals, axis=-2, keepdims=True)
    residuals = residuals - mean(residuals, axis=-1, keepdims=True)
    df = (~np.isnan(values)).sum(axis=-1) - 1
    variances: Floats = np.nansum(residuals**2, axis=-1) / np.maximum(df, 1)
    return np.where((df > 0) & (variances > 10.0 ** (-2 * EQUAL_DECIMALS)), variances, 0.0)


def _largest_t(means: Floats, squared_errors: Floats) -> Floats:
    """Return the largest t of all pairs, [..., m] to [...]."""
    gaps = np.abs(means[..., :, None] - means[..., None, :])
    largest: Floats = (gaps / np.sqrt(squared_errors[..., :, None] + squared_errors[..., None, :])).max(axis=(-2, -1))
    return largest


def critical_t(values: Floats, familywise: float) -> float:
    """Return the critical value of the largest t of all pairs, from seeded tables in which all means are equal.

    values: float64 [m, seeds] with NaN for holes, at least 2 seeds in each row.  The studentized
    range for unequal spreads: tables are drawn with log-normal spreads, as unequal as those of this table may be
    (their excess is itself drawn, since few rows tell it poorly), and go through the same estimates as the table,
    the seed's effect and the shrinkage included.
    """
    df = (~np.isnan(values)).sum(axis=1) - 1.0
    variances = residual_variances(values)
    prior = variance_prior(variances, df) or Prior(0.0, 0.0)
    varied = variances > 0
    centre, excess = log_variance_draws(variances[varied], df[varied], DRAWS)
    rng = np.random.default_rng(1)
    largest = []
    for start in range(0, DRAWS, CHUNK):
        spread = np.exp((centre + np.sqrt(excess[start : start + CHUNK, None]) * rng.normal(size=(CHUNK, len(df)))) / 2)
        drawn = spread[:, :, None] * rng.normal(size=(CHUNK, *values.shape)) + 0 * values
        squared_errors = (prior.df * prior.variance + df * residual_variances(drawn)) / (prior.df + df) / (df + 1)
        largest.append(_largest_t(np.nanmean(drawn, axis=-1), squared_errors))
    return float(np.quantile(np.concatenate(largest), 1 - CALIBRATION * familywise))


def _worse_among_many(values: Floats, familywise: float) -> NDArray[np.bool_]:
    """Return whether the column is significantly worse than the row [m, m], spreads moderated over methods."""
    df = (~np.isnan(values)).sum(axis=1) - 1.0
    raw = residual_variances(values)
    if (raw > 0).sum() < MIN_ROWS:
        return _worse_among_few(values, familywise)
    differences, shared = _differences(values)
    variances, _ = moderate(raw, df)
    errors = np.sqrt((variances[:, None] + variances) / np.maximum(shared, 1))
    pairs = (shared > 1) & np.outer(df > 0, df > 0)
    worse = np.zeros(differences.shape, dtype=np.bool_)
    worse[pairs] = differences[pairs] < -critical_t(values[df > 0], familywise) * errors[pairs]
    return worse


def _worse_among_few(values: Floats, familywise: float) -> NDArray[np.bool_]:
    """Return whether the column is significantly worse than the row [m, m], by Holm over plain paired t tests.

    A difference that never varies is given the mean variance of those that do.
    """
    from scipy.special import stdtr

    differences, shared = _differences(values)
    pairs = [(a, b) for a, b in combinations(range(len(values)), 2) if shared[a, b] > 1]
    gaps = {(a, b): np.round(values[b] - values[a], EQUAL_DECIMALS) for a, b in pairs}
    spreads = {pair: sample_variance(gap[~np.isnan(gap)].tolist()) for pair, gap in gaps.items()}
    varied = [spread for spread in spreads.values() if spread > 0]
    worse = np.zeros(differences.shape, dtype=np.bool_)
    if not varied:
        return worse
    mean, p_values = math.fsum(sorted(varied)) / len(varied), {}
    for (a, b), spread in spreads.items():
        t = abs(differences[a, b]) / math.sqrt((spread or mean) / shared[a, b])
        p_values[f"{a} {b}"] = 2 * float(stdtr(shared[a, b] - 1, -t))
    for pair in holm(p_values, familywise):
        a, b = map(int, pair.split())
        worse[a, b], worse[b, a] = differences[a, b] < 0, differences[a, b] > 0
    return worse


def ranks(table: Mapping[str, Mapping[int, float]], familywise: float = 0.05) -> dict[str, Rank]:
    """Return the rank of each method from its accuracy by seed; a better mean never has a worse rank.

    table: accuracy by seed of each method, at least one seed each.  A deterministic method has the same value at
    each seed: give it at each seed, so that it is paired.  From the best mean down, a new group opens at the first
    method that is significantly worse than a method of the group, so that no two methods of a group differ
    significantly, and a noisy head hides nothing below it.  All pairs are tested together: the chance of any wrong
    difference in a table is at most `familywise`.  Tests are paired by seed.  From 5 methods with a spread on, the
    spread of a method is moderated over the table and the critical value is that of the largest t of all pairs;
    below, plain paired t tests with Holm's correction.  Methods that share fewer than 2 seeds cannot be told
    apart, nor can two whose difference never varies in a table that says nothing of the noise.  Equal means share
    a rank.  Raises DataError for a method without values, or with values that are not finite.
    """
    if not table:
        return {}
    names, means, values = _matrix(table)
    test = _worse_among_many if len(names) >= MIN_ROWS else _worse_among_few
    worse = test(values, familywise) & (means[:, None] > means)
    starts = np.flatnonzero(np.concatenate([[True], means[1:] < means[:-1]])).tolist()
    rank, first = np.ones(len(names), dtype=np.int64), 0
    for start, stop in zip(starts, [*starts[1:], len(names)], strict=True):
        if worse[first:start, start:stop].any():
            first = start
        rank[start:stop] = first + 1
    low, high = 1 + worse.sum(axis=0), len(names) - worse.sum(axis=1)
    return {name: Rank(*map(int, row)) for name, row in zip(names, np.stack([rank, low, high], 1), strict=True)}
