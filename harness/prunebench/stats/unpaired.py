"""The difference of two means that share no seed, such as ours and one that a paper prints."""

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from prunebench.stats.moderated import Interval, moderate, sample_variance


class Sample(NamedTuple):
    """A mean over `n` observations, their variance, and its degrees of freedom; 0 where the variance is not known."""

    mean: float
    variance: float
    df: float
    n: int


def samples(table: Mapping[str, Sequence[float]]) -> dict[str, Sample]:
    """Return the mean of each method of a table with its moderated variance; one observation has no variance."""
    spreads = np.array([(sample_variance(row), len(row) - 1.0) for row in table.values()]).reshape(-1, 2)
    variances, df = moderate(spreads[:, 0], spreads[:, 1])
    return {
        name: Sample(math.fsum(row) / len(row), variance, freedom if variance > 0 else 0.0, len(row))
        for (name, row), variance, freedom in zip(table.items(), variances.tolist(), df.tolist(), strict=True)
    }


def difference(a: Sample, b: Sample, level: float = 0.95) -> Interval:
    """Return a - b with its interval by Welch's t, where the variance of a is known; `n` is that of a.
    b counts as exact where its variance is not known.  Source: Welch 1947, Biometrika 34."""
    from scipy.special import stdtrit  # a third of a second to import

    mean = a.mean - b.mean
    if a.df == 0:
        return Interval(mean, None, None, a.n)
    parts = [(one.variance / one.n, one.df) for one in (a, b) if one.df > 0]
    error = sum(squared for squared, _ in parts)
    df = error**2 / sum(squared**2 / freedom for squared, freedom in parts)
    half = float(stdtrit(df, 0.5 + level / 2)) * math.sqrt(error)
    return Interval(mean, mean - half, mean + half, a.n)


def spread_ratio(a: float, n_a: int, b: float, n_b: int, level: float = 0.95) -> Interval:
    """Return the ratio of two standard deviations of `n_a` and `n_b` independent values with its interval by the F
    distribution, which is exact for normal values; `n` is the lesser of the two."""
    from scipy.special import fdtri

    low, high = (math.sqrt(float(fdtri(n_b - 1, n_a - 1, 0.5 + side * level / 2))) for side in (-1, 1))
    return Interval(a / b, a / b * low, a / b * high, min(n_a, n_b))
