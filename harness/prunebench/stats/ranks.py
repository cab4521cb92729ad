"""Ranks that never contradict the means: methods that seeds cannot tell apart share one."""

import math
from collections.abc import Mapping
from functools import cache, lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from prunebench.errors import DataError
from prunebench.stats.moderated import EQUAL_DECIMALS, MIN_ROWS, Floats, holm, moderate, p_values
from prunebench.stats.resampled import t_quantile

PAIR_LEVEL = 0.4  # of the nominal familywise level, by simulation: a prior from ten methods is itself uncertain


NODES = 160  # of each quadrature


class Rank(NamedTuple):
    """The place of a method among the methods of its table.
    rank: 1 + the number of methods in better groups.  low, high: the ranks that the significant differences
    leave open, from 1 + the number of significantly better methods to the number of methods less those that are
    significantly worse, and the method's own place."""

    rank: int
    low: int
    high: int


def _matrix(table: Mapping[str, Mapping[int, float]]) -> tuple[list[str], Floats, Floats]:
    """Return names from the best mean down, rounded means [m], and values [m, seeds] with NaN for holes."""
    seeds = sorted(set().union(*table.values()))
    largest = max((abs(value) for values in table.values() for value in values.values()), default=0.0) or 1.0
    if not math.isfinite(largest) or not all(table.values()):
        raise DataError("a method without a finite accuracy was to be ranked", "leave incomplete methods out")
    scaled = {name: {seed: value / largest for seed, value in values.items()} for name, values in table.items()}
    means = {name: round(math.fsum(values.values()) / len(values), EQUAL_DECIMALS) for name, values in scaled.items()}
    names = sorted(table, key=lambda name: (-means[name], name))
    rows = [[scaled[name].get(seed, math.nan) for seed in seeds] for name in names]
    return names, np.array([means[name] for name in names]), np.array(rows, dtype=np.float64)


def residual_variances(values: Floats) -> Floats:
    """Return the variance of each method [m] once the effect of the seed is taken off, from values [m, seeds].
    The effect of a seed is the median over methods of what they differ from their own means there: it moves all
    methods alike and decides no rank, and a median is not moved by one method with a huge spread.  NaN for holes."""
    residuals = values - np.nanmean(values, axis=1, keepdims=True)
    residuals = residuals - np.nanmedian(residuals, axis=0)
    residuals = residuals - np.nanmean(residuals, axis=1, keepdims=True)
    variances: Floats = np.nansum(residuals**2, axis=1) / np.maximum((~np.isnan(values)).sum(axis=1) - 1, 1)
    return np.where(variances > 10.0 ** (-2 * EQUAL_DECIMALS), variances, 0.0)


@lru_cache(maxsize=256)
def critical_t(n_methods: int, df: float, familywise: float) -> float:
    """Return the critical value of the largest t of all pairs: that of the studentized range (Tukey 1953).
    scipy's studentized_range.ppf to 7 digits, in a hundredth of the time: by Gauss-Legendre quadrature over the normal
    deviate of the largest and over the root of the mean square."""
    from scipy.optimize import brentq
    from scipy.special import chdtri, gammaln, ndtr

    nodes, weights = _quadrature()
    low, high = (math.sqrt(chdtri(df, tail) / df) for tail in (1 - 1e-14, 1e-14))
    roots, deviates = (low + high + (high - low) * nodes) / 2, 9 * nodes
    logs = (df / 2) * math.log(df / 2) - gammaln(df / 2) + (df - 1) * np.log(roots) - df / 2 * roots**2
    densities = weights * (high - low) * np.exp(logs)
    normal = n_methods * 9 * weights * np.exp(-(deviates**2) / 2) / math.sqrt(2 * math.pi)

    level, at_deviates = 1 - PAIR_LEVEL * familywise, ndtr(deviates)

    def excess(log_t: float) -> float:
        below = at_deviates - ndtr(deviates - math.sqrt(2) * math.exp(log_t) * roots[:, None])
        return float(densities @ (below ** (n_methods - 1) @ normal)) - level

    # Between the value for one pair and Bonferroni's for all of them; the margin is for the quadrature.
    pairs = n_methods * (n_methods - 1) / 2
    least, most = (t_quantile(df, 1 - (1 - level) / tests) for tests in (1, pairs))
    return math.exp(brentq(excess, math.log(0.9 * least), math.log(1.1 * most), xtol=1e-10))


@cache
def _quadrature() -> tuple[Floats, Floats]:
    """Return nodes and weights of Gauss-Legendre quadrature over -1..1, both float64 [NODES]."""
    nodes, weights = np.polynomial.legendre.leggauss(NODES)
    return nodes, weights


def _worse_among_many(values: Floats, familywise: float) -> NDArray[np.bool_]:
    """Return whether the column is significantly worse than the row [m, m]: all pairs, by moderated variances."""
    known = (~np.isnan(values)).astype(np.float64)
    filled = np.where(np.isnan(values), 0.0, values)
    shared = known @ known.T
    gaps = (filled @ known.T - known @ filled.T) / np.maximum(shared, 1)  # row less column, over shared seeds
    own = known.sum(axis=1) - 1
    variances, df = moderate(residual_variances(values), own)
    errors = np.sqrt((variances[:, None] + variances) / np.maximum(shared, 1))
    tested = (shared > 1) & (errors > 0)
    least = float(df[own > 0].min()) if (own > 0).any() else 1.0
    worse: NDArray[np.bool_] = tested & (gaps > critical_t(len(values), round(least, 1), familywise) * errors)
    return worse


def _worse_among_few(values: Floats, familywise: float) -> NDArray[np.bool_]:
    """Return whether the column is significantly worse than the row [m, m]: plain paired t tests, Holm's correction.
    A difference that never varies is given the mean variance of those that do."""
    first, second = np.triu_indices(len(values), 1)
    gaps = np.round(values[first] - values[second], EQUAL_DECIMALS)
    known = ~np.isnan(gaps)
    n = np.maximum(known.sum(axis=1).astype(np.float64), 1)
    means = np.where(known, gaps, 0).sum(axis=1) / n
    variances = (np.where(known, gaps - means[:, None], 0) ** 2).sum(axis=1) / np.maximum(n - 1, 1)
    varies = variances > 10.0 ** (-2 * EQUAL_DECIMALS)
    variances[~varies] = variances[varies].mean() if varies.any() else 0.0
    rejected = holm(p_values(means, variances, n, moderated=False), familywise)
    worse = np.zeros((len(values), len(values)), dtype=np.bool_)
    worse[first, second], worse[second, first] = rejected & (means > 0), rejected & (means < 0)
    return worse


def ranks(table: Mapping[str, Mapping[int, float]], familywise: float = 0.05) -> dict[str, Rank]:
    """Return the rank of each method from its accuracy by seed; a better mean never has a worse rank.
    table: accuracy by seed of each method, at least one seed each.  A deterministic method has the same value at
    each seed: give it at each seed, so that it is paired.  From the best mean down, a new group opens at the first
    method that is significantly worse than a method of the group, so that no two methods of a group differ
    significantly, and a noisy head hides nothing below it.  All pairs are tested together: the chance of any wrong
    difference in a table is at most `familywise`.  From 5 methods that vary on, spreads are moderated over the table
    and the critical value is that of the studentized range; below, paired t tests have Holm's correction.  Methods that
    share fewer than 2 seeds cannot be told apart.  Equal means share a rank.  Raises DataError for a method without
    values, or with values that are not finite."""
    if not table:
        return {}
    names, means, values = _matrix(table)
    test = _worse_among_many if (residual_variances(values) > 0).sum() >= MIN_ROWS else _worse_among_few
    worse = test(values, familywise) & (means[:, None] > means)
    starts = np.flatnonzero(np.concatenate([[True], means[1:] < means[:-1]])).tolist()
    rank, first = np.ones(len(names), dtype=np.int64), 0
    for start, stop in zip(starts, [*starts[1:], len(names)], strict=True):
        if worse[first:start, start:stop].any():
            first = start
        rank[start:stop] = first + 1
    low, high = 1 + worse.sum(axis=0), len(names) - worse.sum(axis=1)
    return {name: Rank(*map(int, row)) for name, row in zip(names, np.stack([rank, low, high], 1), strict=True)}
