"""Intervals by leaving one out: a number over pairs of backbones has as many observations as there are backbones."""

import math
from collections.abc import Callable, Collection, Sequence

from prunebench.stats.moderated import EQUAL_DECIMALS, Interval
from prunebench.stats.resampled import t_quantile


def jackknife(
    statistic: Callable[[str | None], float | None], strata: Sequence[Collection[str]], level: float = 0.95
) -> Interval | None:
    """Return a statistic with its interval, or None where it is not defined.
    statistic: takes the name of what is left out, or None for nothing.  strata: the names of what was sampled, by the
    group that each was sampled from.  The variance of one group of n names is (n - 1) / n times the sum of squares of
    the n values without one of them (Tukey 1958); groups add up, with the degrees of freedom of Welch and
    Satterthwaite.  For a mean of independent values this is Student's t.  low and high are None where a group has one
    name, where a value is not defined without one of them, or where nothing varied.  `n` counts the names."""
    value, n = statistic(None), sum(map(len, strata))
    if value is None:
        return None
    parts = []
    for names in strata:
        without = [found for name in sorted(names) if (found := statistic(name)) is not None]
        if len(without) < max(2, len(names)):
            return Interval(value, None, None, n)
        centre = math.fsum(without) / len(without)
        squares = math.fsum(round(one - centre, EQUAL_DECIMALS) ** 2 for one in without)
        parts.append(((len(without) - 1) / len(without) * squares, len(without) - 1))
    error = math.fsum(variance for variance, _ in parts)
    if error == 0:
        return Interval(value, None, None, n)
    df = error**2 / math.fsum(variance**2 / freedom for variance, freedom in parts)
    half = t_quantile(df, level) * math.sqrt(error)
    return Interval(value, value - half, value + half, n)
