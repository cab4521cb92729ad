"""How far two architectures rank the methods alike, beside what seed noise leaves of a perfect agreement."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from itertools import combinations
from typing import Literal

import numpy as np

from prunebench.stats.moderated import EQUAL_DECIMALS, Floats, variance_prior
from prunebench.stats.spreads import residual_variances

MIN_METHODS = 5
MIN_SEEDS = 2
MIN_CEILING = 0.1  # below it a ratio to the ceiling divides by noise
MAX_SPLITS = 100
DRAWS = 1000
WINDOW = 100  # draws whose true agreement is taken as one
Statistic = Literal["tau", "rho"]


@dataclass(frozen=True)
class RankAgreement:
    """How far two architectures rank the methods alike.
    value: the statistic between the means over all seeds, which seed noise pulls towards 0.  low, high: 95 %
    interval of the statistic between the true means of these methods, free of seed noise.  ceiling_a, ceiling_b:
    the statistic expected between two independent runs of one architecture with as many seeds as the value has.
    ceiling: what `value` would be if the true rankings were equal.  ratio: the agreement free of seed noise,
    1 for equal true rankings on average; above 1 by chance alone.  reason: why a number is None, starting with
    "insufficient" when there is nothing to print."""

    n_methods: int
    n_seeds: int
    value: float | None = None
    low: float | None = None
    high: float | None = None
    ceiling_a: float | None = None
    ceiling_b: float | None = None
    ceiling: float | None = None
    ratio: float | None = None
    reason: str = ""


def rank_statistic(a: Floats, b: Floats, statistic: Statistic) -> Floats:
    """Return Kendall's tau-b or Spearman's rho of the last axes [..., m], ties averaged; NaN if constant."""
    a, b = np.round(a, EQUAL_DECIMALS), np.round(b, EQUAL_DECIMALS)
    signs = [np.sign(values[..., :, None] - values[..., None, :]) for values in (a, b)]
    # The sum of the signs of a row is twice its centred average rank.  Both statistics are cosines.
    one, two = (pairs if statistic == "tau" else pairs.sum(axis=-1, keepdims=True) for pairs in signs)
    product, scale = (one * two).sum((-2, -1)), (one * one).sum((-2, -1)) * (two * two).sum((-2, -1))
    with np.errstate(invalid="ignore", divide="ignore"):
        cosine: Floats = product / np.sqrt(scale)
    return np.clip(cosine, -1.0, 1.0)


def _latent(value: Floats, statistic: Statistic) -> Floats:
    """Return the correlation of the normal pair whose tau or rho is `value` (Greiner 1909; Pearson 1907)."""
    latent: Floats = np.sin(np.pi / 2 * value) if statistic == "tau" else 2 * np.sin(np.pi / 6 * value)
    return latent


def _observable(latent: float, statistic: Statistic) -> float:
    """Return the tau or rho of a latent correlation, continued beyond 1 by the same curve turned about (1, 1)."""
    size = 2 - max(2 - abs(latent), 0.0)
    inside = min(size, 2 - size)
    value = 2 / math.pi * math.asin(inside) if statistic == "tau" else 6 / math.pi * math.asin(inside / 2)
    return math.copysign(value if size <= 1 else 2 - value, latent)


def _halves(values: Floats) -> tuple[Floats, Floats]:
    """Return the means over one half of the seeds, and over the other, [splits, m], for each split in two."""
    n_seeds = values.shape[1]
    half = n_seeds // 2
    if math.comb(n_seeds, half) <= MAX_SPLITS:
        chosen = [c for c in combinations(range(n_seeds), half) if n_seeds % 2 or 0 in c]
    else:
        rng = np.random.default_rng(0)
        chosen = [tuple(rng.permutation(n_seeds)[:half].tolist()) for _ in range(MAX_SPLITS)]
    first = np.array([np.isin(range(n_seeds), seeds) for seeds in chosen], dtype=np.float64)
    return first @ values.T / half, (1 - first) @ values.T / (n_seeds - half)


def lengthened(latent: float, n_seeds: int) -> float:
    """Return the correlation of two runs of `n_seeds` from that of runs of its halves (Spearman 1910; Brown 1910).
    For n / 2 and n / 2 seeds this is the Spearman-Brown formula 2 r / (1 + r); an odd number has unequal halves,
    whose correlation is 1 / sqrt((1 + q / k) (1 + q / l)) with q the noise of one seed over the signal."""
    k, l_ = n_seeds // 2, n_seeds - n_seeds // 2
    mean, product = (k + l_) / 2, float(k * l_)
    noise = -mean + math.sqrt(mean**2 - product * (1 - 1 / latent**2))
    return 1 / (1 + noise / n_seeds)


def _half_agreements(a: Floats, b: Floats, statistic: Statistic) -> Floats:
    """Return the mean agreement of halves of the seeds within `a`, within `b`, and across [3], 0 where undefined.
    Across are one half of the seeds of `a` and the other half of `b`, which share no noise."""
    (a_one, a_two), (b_one, b_two) = _halves(a), _halves(b)
    pairs = [(a_one, a_two), (b_one, b_two), (np.vstack([a_one, a_two]), np.vstack([b_two, b_one]))]
    found = [rank_statistic(one, two, statistic) for one, two in pairs]
    return np.array([np.nanmean(values) if (~np.isnan(values)).any() else 0.0 for values in found])


def _ratio(a: Floats, b: Floats, statistic: Statistic) -> float | None:
    """Return the agreement across halves over that within, as latent correlations, turned back; None by noise."""
    found = _half_agreements(a, b, statistic)
    if found[:2].min() < MIN_CEILING:
        return None
    latent = _latent(found, statistic)
    return _observable(float(latent[2] / math.sqrt(latent[0] * latent[1])), statistic)


def ceilings_and_ratio(a: Floats, b: Floats, statistic: Statistic) -> tuple[float | None, float | None, float | None]:
    """Return the ceilings of both architectures for as many seeds as the value has, and the ratio.
    Noise scales the latent correlation of a normal pair, not tau: both formulas hold there, and the results are turned
    back.  The ratio of a few methods leans up, since it divides by what is itself noisy: the jackknife over methods
    (Quenouille 1956) takes that off.  It also takes off what sampling of methods would add, but these are all of them.
    That part is the larger the less the rankings agree, so the correction has the latent agreement as its weight."""
    latent = _latent(_half_agreements(a, b, statistic)[:2], statistic).tolist()
    ceilings = [_observable(lengthened(r, a.shape[1]), statistic) if r > 0 else None for r in latent]
    ratio, m = _ratio(a, b, statistic), len(a)
    if ratio is not None:
        without = [_ratio(np.delete(a, row, 0), np.delete(b, row, 0), statistic) for row in range(m)]
        known = [value for value in without if value is not None]
        bias = (m - 1) * (math.fsum(known) / len(known) - ratio) if known else math.nan
        ratio = ratio - float(_latent(np.array(min(abs(ratio), 1.0)), statistic)) * bias if known else None
    return ceilings[0], ceilings[1], ratio


def _between_variance(means: Floats, squared_errors: Floats) -> tuple[float, float]:
    """Return the variance of the true means and their weighted mean (Paule and Mandel 1982), by bisection."""
    low, high = 0.0, float(means.var(ddof=1)) * 10
    for _ in range(60):
        middle = (low + high) / 2
        weights = 1 / (middle + squared_errors)
        centre = float(weights @ means / weights.sum())
        above = float(weights @ (means - centre) ** 2) > len(means) - 1
        low, high = (middle, high) if above else (low, middle)
    return high, centre


def _resampler(values: Floats) -> Callable[[Floats, Floats], Floats]:
    """Return a function from normal scores and normal noise [draws, m] to observed means of such an architecture.
    True means follow the observed ones, drawn together until their variance is free of noise; noise is that of
    the method of that rank."""
    from scipy.special import ndtri

    m, n_seeds = values.shape
    raw, df = residual_variances(values), np.full(m, n_seeds - 1.0)
    prior = variance_prior(raw, df)
    weight = prior.df if prior else 0.0
    # Towards the mean variance, since it is the sum of the noise that blurs a ranking.
    squared_errors = np.maximum((weight * raw.mean() + df * raw) / (weight + df) / n_seeds, 1e-24)
    means = values.mean(axis=1)
    between, centre = _between_variance(means, squared_errors)
    true = centre + np.sqrt(between / (between + squared_errors)) * (means - centre)
    order = np.argsort(true, kind="stable")
    true, errors = true[order], np.sqrt(squared_errors[order])
    scores = ndtri((np.arange(m) + 0.625) / (m + 0.25))
    tails = float(true.std()) * (5 - scores[-1])
    knots, heights = np.r_[-5.0, scores, 5.0], np.r_[true[0] - tails, true, true[-1] + tails]

    def observed(latent: Floats, noise: Floats) -> Floats:
        ranks = latent.argsort(axis=1).argsort(axis=1)
        drawn: Floats = np.interp(latent, knots, heights) + errors[ranks] * noise
        return drawn

    return observed


def _shared_noise(a: Floats, b: Floats) -> float:
    """Return the correlation over seeds of the noise of one method on two architectures."""
    rows = []
    for values in (a, b):
        residuals = values - values.mean(axis=1, keepdims=True)
        residuals = residuals - np.median(residuals, axis=0)
        size = np.sqrt((residuals**2).sum(axis=1, keepdims=True))
        rows.append(np.divide(residuals, size, out=np.zeros_like(residuals), where=size > 0))
    return float(np.clip((rows[0] * rows[1]).sum(axis=1).mean(), -1, 1))


def true_interval(a: Floats, b: Floats, value: float, statistic: Statistic) -> tuple[float, float]:
    """Return the 95 % interval of the statistic between the true means of these methods, by test inversion.
    Pairs of architectures like these are drawn, with every true agreement from -1 to 1 and both ends; a true
    agreement is in the interval if the observed value is not among the outer 5 % of those that it gives."""
    rng = np.random.default_rng(0)
    tau = rng.uniform(-1, 1, DRAWS)
    tau[:WINDOW], tau[WINDOW : 2 * WINDOW] = 1, -1
    shape = DRAWS, len(a)
    latent = np.sin(np.pi / 2 * tau)[:, None]
    one = rng.normal(size=shape)
    two = latent * one + np.sqrt(1 - latent**2) * np.where(np.abs(latent) == 1, 0.0, rng.normal(size=shape))
    shared = _shared_noise(a, b)
    noise_a = rng.normal(size=shape)
    noise_b = shared * noise_a + math.sqrt(1 - shared**2) * rng.normal(size=shape)
    observed = rank_statistic(_resampler(a)(one, noise_a), _resampler(b)(two, noise_b), statistic)
    true = rank_statistic(one, two, statistic)
    order = np.argsort(true, kind="stable")
    true, observed = np.round(true[order], EQUAL_DECIMALS), observed[order]
    accepted = [value]
    for start in range(0, DRAWS - WINDOW + 1, WINDOW // 10):
        low, high = np.quantile(observed[start : start + WINDOW], [0.025, 0.975])
        lowest, highest = start == 0, start == DRAWS - WINDOW  # a value beyond what these give speaks for them
        if (lowest or low - 1e-9 <= value) and (highest or value <= high + 1e-9):
            at_end = lowest or highest
            accepted.append(float(true[-1 if start else 0] if at_end else true[start + WINDOW // 2]))
    return min(accepted), max(accepted)


def rank_agreement(a: Floats, b: Floats, statistic: Statistic) -> RankAgreement:
    """Return the agreement of two architectures over methods, beside its noise ceiling.
    a, b: accuracy float64 [methods, seeds], rows and columns alike, no holes.  Refuses, with reason
    "insufficient", fewer than 5 methods or 2 seeds: so short a ranking is mostly noise."""
    n_methods, n_seeds = a.shape
    lacking = [f"{n_methods} methods, {MIN_METHODS} are needed"] if n_methods < MIN_METHODS else []
    lacking += [f"{n_seeds} seeds, {MIN_SEEDS} are needed"] if n_seeds < MIN_SEEDS else []
    if lacking:
        return RankAgreement(n_methods, n_seeds, reason="insufficient: " + "; ".join(lacking))
    value = float(rank_statistic(a.mean(axis=1), b.mean(axis=1), statistic))
    if math.isnan(value):
        return RankAgreement(n_methods, n_seeds, reason="all methods have the same accuracy")
    low, high = true_interval(a, b, value, statistic)
    ceiling_a, ceiling_b, ratio = ceilings_and_ratio(a, b, statistic)
    ceiling = None
    if ceiling_a is not None and ceiling_b is not None:
        latent = _latent(np.array([ceiling_a, ceiling_b]), statistic)
        ceiling = _observable(math.sqrt(float(latent.prod())), statistic)
    reason = "" if ratio is not None else f"the agreement between halves of the seeds is below {MIN_CEILING}"
    return RankAgreement(n_methods, n_seeds, value, low, high, ceiling_a, ceiling_b, ceiling, ratio, reason)
