"""Intervals of means over resampled splits of one data set, which share most of what they train on."""

import math
from collections.abc import Sequence
from functools import lru_cache

from prunebench.stats.moderated import Interval, sample_variance


@lru_cache(maxsize=4096)
def t_quantile(df: float, level: float) -> float:
    """Return the half width of a central interval of Student's t, in standard errors."""
    from scipy.special import stdtrit  # a third of a second to import

    return float(stdtrit(df, 0.5 + level / 2))


def corrected_interval(values: Sequence[float], folds: int, samples: int, level: float = 0.95) -> Interval:
    """Return the mean over splits with the interval of the corrected resampled t (Nadeau and Bengio 2003).

    values: accuracies or paired differences, one for each of J splits, whose training parts overlap: the variance of
    the mean is (1 / J + 1 / (folds - 1)) s^2 in place of s^2 / J.  samples: that were judged in a repeat; s is taken as
    at least that of one sample among them judged otherwise, so that no interval has width 0."""
    count, mean = len(values), math.fsum(values) / len(values)
    if count < 2:
        return Interval(mean, None, None, count)
    variance = max(sample_variance(values), folds / samples**2)
    half = t_quantile(count - 1, level) * math.sqrt((1 / count + 1 / (folds - 1)) * variance)
    return Interval(mean, mean - half, mean + half, count)
