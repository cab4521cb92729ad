"""Moderated t (Smyth 2004): the spread of each row of a table is shrunk towards what the table has in common."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from prunebench.errors import DataError

MIN_ROWS = 5  # rows with a spread of their own, below which the table teaches nothing about the spread
EQUAL_DECIMALS = 12  # equal numbers stay equal whatever the order of summation

Floats = NDArray[np.float64]


class Prior(NamedTuple):
    """What a table says of a variance before its own row is read: worth `df` observations of size `variance`."""

    df: float
    variance: float


@dataclass(frozen=True)
class Interval:
    """A mean over `n` observations with its interval.
    `low` and `high` are None with fewer than 2 observations, and where nothing varied: no interval has width 0."""

    mean: float
    low: float | None
    high: float | None
    n: int

    @property
    def half_width(self) -> float | None:
        return None if self.low is None or self.high is None else (self.high - self.low) / 2


def sample_variance(values: Sequence[float]) -> float:
    """Return the variance with n - 1 in the denominator: 0 for one value, and for values equal to 12 digits."""
    if len(values) < 2:
        return 0.0
    scale = max(map(abs, values)) or 1.0
    centre = math.fsum(value / scale for value in values) / len(values)
    deviations = [value / scale - centre for value in values]
    if max(map(abs, deviations)) < 10.0**-EQUAL_DECIMALS:
        return 0.0
    return math.fsum(deviation**2 for deviation in deviations) / (len(values) - 1) * scale**2


def _trigamma_inverse(value: float) -> float:
    """Return x with trigamma(x) = value > 0, by Newton's method on 1/trigamma, which is nearly linear."""
    from scipy.special import polygamma

    x = 0.5 + 1 / value
    for _ in range(20):
        trigamma = float(polygamma(1, x))
        x += trigamma * (1 - trigamma / value) / float(polygamma(2, x))
    return x


def variance_prior(variances: Floats, df: Floats) -> Prior | None:
    """Return the prior of a table's variances by the moments of their logarithms.
    variances, df: float64 [rows], sample variances and their degrees of freedom.  Rows without a spread (one
    observation, or observations that are all equal) say nothing of the spread of others and are left out.  The
    degrees of freedom are capped at those of the whole table, which stand for "all spreads are equal".  None
    with fewer than 5 rows.  Source: Smyth 2004, section 6.2."""
    from scipy.special import polygamma

    used = (variances > 0) & (df > 0)
    if used.sum() < MIN_ROWS:
        return None
    half, most = df[used] / 2, float(df[used].sum())
    logs = np.log(variances[used]) - polygamma(0, half) + np.log(half)
    excess = float(logs.var(ddof=1) - polygamma(1, half).mean())
    if excess <= 0:
        return Prior(most, float(variances[used] @ df[used]) / most)
    own = min(_trigamma_inverse(excess), most / 2)
    return Prior(2 * own, float(np.exp(logs.mean() + polygamma(0, own) - np.log(own))))


def moderate(variances: Floats, df: Floats) -> tuple[Floats, Floats]:
    """Return the shrunk variances and their degrees of freedom, both float64 [rows].
    (d0 s0^2 + d s^2) / (d0 + d) with d0 + d degrees of freedom; as given where a table has fewer than 5 rows
    with a spread.  Rows with d = 0 keep 0 degrees of freedom: the spread of others is no observation of theirs."""
    prior = variance_prior(variances, df)
    if prior is None:
        return variances, df
    total = np.where(df > 0, df + prior.df, 0.0)
    shrunk = (prior.df * prior.variance + df * variances) / (prior.df + df)
    return np.where(df > 0, shrunk, 0.0), total


def spreads(rows: Iterable[Sequence[float]]) -> tuple[Floats, Floats]:
    """Return the sample variances and their degrees of freedom, both float64 [rows]."""
    spreads = np.array([(sample_variance(row), len(row) - 1.0) for row in rows]).reshape(-1, 2)
    return spreads[:, 0], spreads[:, 1]


def p_values(means: Floats, variances: Floats, n: Floats) -> Floats:
    """Return two-sided p values of means of `n` values against 0, all float64 [rows]; NaN without a spread.
    variances: sample variances."""
    from scipy.special import stdtr

    found = np.full(len(means), np.nan)
    known = (variances > 0) & (n > 1)
    found[known] = 2 * stdtr(n[known] - 1, -np.abs(means[known]) / np.sqrt(variances[known] / n[known]))
    return found


def mean_intervals(table: Mapping[str, Sequence[float]], level: float = 0.95) -> dict[str, Interval]:
    """Return the mean of each method of a table with its moderated t interval.
    table: the distinct observations of each method, at least one; what is repeated with equal keys is one
    observation.  The numbers of observations may differ.  A method with a single observation has no interval:
    that the others vary says nothing of whether it does, since it may be deterministic.  The plain t interval
    where fewer than 5 methods have a spread.  Raises DataError for a method without observations."""
    from scipy.special import stdtrit  # a third of a second to import

    for name, values in table.items():
        if not len(values):
            raise DataError(f"{name} has no observations to average", "leave methods without an accuracy out")
    rows = dict(sorted(table.items()))
    variances, df = moderate(*spreads(rows.values()))
    halves = stdtrit(df, 0.5 + level / 2) * np.sqrt(variances / [len(row) for row in rows.values()])
    found = {}
    for (name, row), half in zip(rows.items(), halves.tolist(), strict=True):
        mean = math.fsum(row) / len(row)
        low, high = (mean - half, mean + half) if half > 0 else (None, None)
        found[name] = Interval(mean, low, high, len(row))
    return found


def holm(found: Floats, familywise: float) -> NDArray[np.bool_]:
    """Return which hypotheses Holm's procedure rejects at a familywise error rate, bool [tests]; NaN is never one."""
    order = np.argsort(found, kind="stable")  # NaN last
    tested = int((~np.isnan(found)).sum())
    passed = found[order[:tested]] <= familywise / (tested - np.arange(tested))
    rejected = np.zeros(len(found), dtype=np.bool_)
    rejected[order[: tested if passed.all() else int(np.argmin(passed))]] = True
    return rejected
