"""Moderated t (Smyth 2004): the spread of each row of a table is shrunk towards what the table has in common."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from prunebench.errors import DataError

MIN_ROWS = 5  # rows with a spread of their own, below which the table teaches nothing about the spread
MIN_OBSERVATIONS = 2
PRIOR_DRAWS = 400
MAX_EXCESS = 40.0  # spreads that differ by a factor of 20 at one standard deviation: more overflows
EQUAL_DECIMALS = 12  # equal numbers stay equal whatever the order of summation

Floats = NDArray[np.float64]


class Prior(NamedTuple):
    """What a table says of a variance before its own row is read: worth `df` observations of size `variance`."""

    df: float
    variance: float


@dataclass(frozen=True)
class Interval:
    """A mean over `n` observations with its interval.

    `low` and `high` are None with fewer than 2 observations, and where nothing varied: no interval has width 0.
    """

    mean: float
    low: float | None
    high: float | None
    n: int

    @property
    def half_width(self) -> float | None:
        return None if self.low is None or self.high is None else (self.high - self.low) / 2


@dataclass(frozen=True)
class Gain:
    """A mean paired difference to the reference over the `n` seeds that both have, with its 95 % interval.

    p: two-sided p value of the moderated t test, None where there is no interval.  significant: whether it
    stays below .05 after Holm's correction for the number of methods in the table.
    """

    mean: float
    low: float | None
    high: float | None
    n: int
    p: float | None
    significant: bool


def t_quantile(df: float, level: float) -> float:
    """Return the half width of a central interval of Student's t, in standard errors."""
    from scipy.special import stdtrit  # a third of a second to import

    return float(stdtrit(df, 0.5 + level / 2))


def sample_variance(values: Sequence[float]) -> float:
    """Return the variance with n - 1 in the denominator: 0 for one value, and for values equal to 12 digits."""
    if len(values) < MIN_OBSERVATIONS:
        return 0.0
    scale = max(map(abs, values)) or 1.0
    centre = math.fsum(value / scale for value in values) / len(values)
    deviations = [value / scale - centre for value in values]
    if max(map(abs, deviations)) < 10.0**-EQUAL_DECIMALS:
        return 0.0
    return math.fsum(deviation**2 for deviation in deviations) / (len(values) - 1) * scale**2


def _trigamma_inverse(value: Floats) -> Floats:
    """Return x with trigamma(x) = value > 0, by Newton's method on 1/trigamma, which is nearly linear."""
    from scipy.special import polygamma

    x = 0.5 + 1 / value
    for _ in range(20):
        trigamma = polygamma(1, x)
        x = x + trigamma * (1 - trigamma / value) / polygamma(2, x)
    return x


def _log_variances(variances: Floats, df: Floats) -> tuple[Floats, Floats, float]:
    """Return log variances without their sampling bias, half their df, and the sampling variance they have."""
    from scipy.special import polygamma

    half = df / 2
    return np.log(variances) - polygamma(0, half) + np.log(half), half, float(polygamma(1, half).mean())


def variance_prior(variances: Floats, df: Floats) -> Prior | None:
    """Return the prior of a table's variances by the moments of their logarithms.

    variances, df: float64 [rows], sample variances and their degrees of freedom.  Rows without a spread (one
    observation, or observations that are all equal) say nothing of the spread of others and are left out.  The
    degrees of freedom are capped at those of the whole table, which stand for "all spreads are equal".  None
    with fewer than 5 rows.  Source: Smyth 2004, section 6.2.
    """
    used = (variances > 0) & (df > 0)
    if used.sum() < MIN_ROWS:
        return None
    logs, _, sampling = _log_variances(variances[used], df[used])
    most, excess = float(df[used].sum()), float(logs.var(ddof=1)) - sampling
    if excess <= 0:
        return Prior(most, float(variances[used] @ df[used]) / most)
    prior_df, variance = _scaled_f(float(logs.mean()), np.array([excess]), most)
    return Prior(float(prior_df[0]), float(variance[0]))


def _scaled_f(centre: float, excess: Floats, most: float) -> tuple[Floats, Floats]:
    """Return the df, at most `most`, and the size of inverse chi squares with these moments of their logarithms."""
    from scipy.special import polygamma

    half = np.minimum(_trigamma_inverse(np.maximum(excess, 1e-4)), most / 2)
    return 2 * half, np.exp(centre + polygamma(0, half) - np.log(half))


def log_variance_draws(variances: Floats, df: Floats, draws: int) -> tuple[float, Floats]:
    """Return the mean of the true log variances, and seeded draws [draws] of how much they vary about it.

    variances, df: float64 [rows], positive.  The variance of the log variances over rows is a scaled chi square,
    with fewer degrees of freedom than rows since logarithms of few squares have long tails.
    """
    from scipy.special import polygamma

    logs, half, sampling = _log_variances(variances, df)
    kurtosis = float(polygamma(3, half).mean()) / sampling**2
    freedom = 2 / (2 / (len(logs) - 1) + kurtosis / len(logs))
    spread = float(logs.var(ddof=1)) * freedom / np.random.default_rng(0).chisquare(freedom, draws)
    return float(logs.mean()), np.clip(spread - sampling, 0.0, MAX_EXCESS)


def moderate(variances: Floats, df: Floats) -> tuple[Floats, Floats]:
    """Return the shrunk variances and their degrees of freedom, both float64 [rows].

    (d0 s0^2 + d s^2) / (d0 + d) with d0 + d degrees of freedom; as given where a table has fewer than 5 rows
    with a spread.  Rows with d = 0 keep 0 degrees of freedom: the spread of others is no observation of theirs.
    """
    prior = variance_prior(variances, df)
    if prior is None:
        return variances, df
    total = np.where(df > 0, df + prior.df, 0.0)
    shrunk = (prior.df * prior.variance + df * variances) / (prior.df + df)
    return np.where(df > 0, shrunk, 0.0), total


def _intervals(rows: Sequence[Sequence[float]], level: float) -> list[Interval]:
    variances, df = moderate(*_spreads(rows))
    intervals = []
    for row, variance, freedom in zip(rows, variances.tolist(), df.tolist(), strict=True):
        mean = math.fsum(row) / len(row)
        half = t_quantile(freedom, level) * math.sqrt(variance / len(row)) if variance > 0 else None
        low, high = (None, None) if half is None else (mean - half, mean + half)
        intervals.append(Interval(mean, low, high, len(row)))
    return intervals


def _spreads(rows: Sequence[Sequence[float]]) -> tuple[Floats, Floats]:
    return np.array([sample_variance(row) for row in rows]), np.array([len(row) - 1.0 for row in rows])


def _p_values(rows: Sequence[Sequence[float]]) -> list[float | None]:
    """Return the two-sided p value of each mean against 0, None where there is no spread to compare it with.

    Averaged over what the prior may be: far in the tail, where a correction for many methods looks, the best
    guess of a prior from ten rows promises too much.
    """
    from scipy.special import stdtr

    variances, df = _spreads(rows)
    varied = (variances > 0) & (df > 0)
    prior_df, prior = np.zeros(1), np.zeros(1)
    if varied.sum() >= MIN_ROWS:
        centre, excess = log_variance_draws(variances[varied], df[varied], PRIOR_DRAWS)
        prior_df, prior = _scaled_f(centre, excess, float(df[varied].sum()))
    found: list[float | None] = []
    for row, variance, freedom in zip(rows, variances.tolist(), df.tolist(), strict=True):
        shrunk = (prior_df * prior + freedom * variance) / np.maximum(prior_df + freedom, 1e-300)
        if freedom == 0 or (shrunk <= 0).any():
            found.append(None)
            continue
        t = abs(math.fsum(row) / len(row)) / np.sqrt(shrunk / len(row))
        found.append(2 * float(stdtr(prior_df + freedom, -t).mean()))
    return found


def mean_intervals(table: Mapping[str, Sequence[float]], level: float = 0.95) -> dict[str, Interval]:
    """Return the mean of each method of a table with its moderated t interval.

    table: the distinct observations of each method, at least one; what is repeated with equal keys is one
    observation.  The numbers of observations may differ.  A method with a single observation has no interval:
    that the others vary says nothing of whether it does, since it may be deterministic.  The plain t interval
    where fewer than 5 methods have a spread.  Raises DataError for a method without observations.
    """
    for name, values in table.items():
        if not len(values):
            raise DataError(f"{name} has no observations to average", "leave methods without an accuracy out")
    names = sorted(table)
    intervals = _intervals([table[name] for name in names], level)
    return dict(zip(names, intervals, strict=True))


def holm(p_values: Mapping[str, float], familywise: float = 0.05) -> set[str]:
    """Return the names whose hypotheses Holm's procedure rejects at a familywise error rate."""
    rejected: set[str] = set()
    for name in sorted(p_values, key=lambda name: (p_values[name], name)):
        if p_values[name] > familywise / (len(p_values) - len(rejected)):
            break
        rejected.add(name)
    return rejected


def gains(
    table: Mapping[str, Mapping[int, float]], reference: Mapping[int, float], level: float = 0.95
) -> dict[str, Gain]:
    """Return the mean paired difference of each method of a table to the reference, moderated over the table.

    table: accuracy by seed of each method, without the reference; reference: accuracy by seed.  Only seeds that
    both have count, and a method that shares none is left out.  Average over scoring backbones first: the seed is
    the unit, since the backbones of one seed share their training seed and their reference.
    """
    differences = {
        name: [
            round(values[seed] - reference[seed], EQUAL_DECIMALS) for seed in sorted(values.keys() & reference.keys())
        ]
        for name, values in table.items()
    }
    names = sorted(name for name, row in differences.items() if row)
    rows = [differences[name] for name in names]
    tested = {name: p for name, p in zip(names, _p_values(rows), strict=True) if p is not None}
    better = holm(tested, 1 - level)
    return {
        name: Gain(found.mean, found.low, found.high, found.n, tested.get(name), name in better)
        for name, found in zip(names, _intervals(rows, level), strict=True)
    }
