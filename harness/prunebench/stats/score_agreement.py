"""Agreement of two scores of the same samples, and its mean over pairs of backbones."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from prunebench.errors import DataError
from prunebench.stats.moderated import Floats, sample_variance
from prunebench.stats.resampled import t_quantile


@dataclass(frozen=True)
class ScoreAgreement:
    """Agreement of two score vectors of the same `n` samples; None where undefined, with the `reason`."""

    within_class_spearman: float | None
    pooled_spearman: float | None
    pearson: float | None
    n: int
    reason: str = ""


def average_ranks(values: Floats) -> Floats:
    """Return ranks float64 [n] from 1, ties averaged (as scipy.stats.rankdata, without its import)."""
    _, places, counts = np.unique(values, return_inverse=True, return_counts=True)
    ranks: Floats = (np.cumsum(counts) - (counts - 1) / 2)[places]
    return ranks


def classes_of(labels: NDArray[np.int64]) -> list[NDArray[np.int64]]:
    """Return the rows of each class that has some, int64 each, in their order."""
    order = np.argsort(labels, kind="stable")
    return np.split(order, np.flatnonzero(np.diff(labels[order])) + 1) if len(order) else []


def pearson(a: Floats, b: Floats) -> float | None:
    """Return Pearson's correlation, or None for a vector that is constant, not finite, or shorter than 2."""
    if len(a) < 2 or a.min() == a.max() or b.min() == b.max() or not np.isfinite([a, b]).all():
        return None
    # Scaled first: the squares of tiny scores would underflow, and those of huge ones overflow.
    a, b = a / np.abs(a).max(), b / np.abs(b).max()
    a, b = a - a.mean(), b - b.mean()
    return float(np.clip(a @ b / math.sqrt((a @ a) * (b @ b)), -1.0, 1.0))


def _spearman(a: Floats, b: Floats) -> float | None:
    return pearson(average_ranks(a), average_ranks(b))


def score_agreement(a: NDArray[np.generic], b: NDArray[np.generic], labels: NDArray[np.int64]) -> ScoreAgreement:
    """Return how far two scores of the same samples agree.
    a, b: real [n], labels: int64 [n].  within_class_spearman: mean over classes of Spearman's rho within the
    class, blind to any monotone rescaling; classes in which rho is undefined (one sample, or constant scores)
    are left out and counted in the reason.  Raises DataError for NaN or unequal lengths."""
    if not len(a) == len(b) == len(labels):
        raise DataError(f"{len(a)} and {len(b)} scores for {len(labels)} labels", "compare the same samples")
    x, y = np.asarray(a, dtype=np.float64), np.asarray(b, dtype=np.float64)
    if np.isnan(x).any() or np.isnan(y).any():
        raise DataError("scores contain NaN", "a score has to be a number for every sample")
    within = [_spearman(x[rows], y[rows]) for rows in classes_of(labels)]
    defined = [rho for rho in within if rho is not None]
    pooled, plain = _spearman(x, y), pearson(x, y)
    reasons = []
    if missing := len(within) - len(defined):
        reasons.append(f"undefined in {missing} of {len(within)} classes (constant scores or one sample)")
    if pooled is None:
        reasons.append("pooled Spearman undefined (constant scores or one sample)")
    elif plain is None:
        reasons.append("Pearson undefined (infinite scores)")
    mean = math.fsum(defined) / len(defined) if defined else None
    return ScoreAgreement(mean, pooled, plain, len(x), "; ".join(reasons))


@dataclass(frozen=True)
class MeanAgreement:
    """The mean agreement of scores over pairs of backbones, with its 95 % interval over seeds.
    value, low, high and the counts are all of the same observations.  n_pairs: pairs of score vectors averaged.
    n_seeds: independent observations behind the interval.  low and high are None, with the `reason`, where seeds
    do not vary; value is None where no seed has all pairs."""

    value: float | None
    low: float | None
    high: float | None
    n_pairs: int
    n_seeds: int
    reason: str = ""


Seed = int | tuple[int, int]


def _influences(runs: Mapping[Seed, float]) -> list[float]:
    """Return one value per seed whose mean is the mean of the runs, and whose spread tells that of the mean.
    One run per seed counts as it is.  The n (n - 1) / 2 pairs of n seeds share seeds and are not independent:
    the jackknife's pseudo-values, which leave out one seed at a time, are n numbers worth n seeds."""
    pairs = {run: value for run, value in runs.items() if isinstance(run, tuple)}
    if not pairs:
        return [runs[run] for run in sorted(runs, key=str)]
    seeds = {seed for pair in pairs for seed in pair}
    without = [[value for pair, value in pairs.items() if seed not in pair] for seed in sorted(seeds)]
    if not all(without):
        return []
    total = len(seeds) * math.fsum(pairs.values()) / len(pairs)
    return [total - (len(seeds) - 1) * math.fsum(rest) / len(rest) for rest in without]


def mean_agreement(
    observations: Mapping[tuple[str, str], Mapping[Seed, float]], bounds: tuple[float, float] = (-1.0, 1.0)
) -> MeanAgreement:
    """Return the mean agreement over pairs of backbones, from the runs at which all pairs are known.
    observations: for each pair of backbones, the value at each seed, or at each pair of seeds of one backbone.
    Distinct observations only: what is repeated with equal keys is one.  The pairs of one seed share backbones
    and are not independent, so the seed is the unit of the interval, a plain t clipped to the bounds.  Pairs of seeds
    are worth as many observations as there are seeds.  No interval for one seed, or where nothing varied."""
    shared = set.intersection(*map(set, observations.values())) if observations else set()
    if not shared:
        return MeanAgreement(None, None, None, 0, 0, "insufficient: no seed has a value for every pair")
    means = {run: math.fsum(values[run] for values in observations.values()) / len(observations) for run in shared}
    value = math.fsum(means.values()) / len(means)
    n_pairs = len(shared) * len(observations)
    n_seeds = len({seed for run in shared for seed in (run if isinstance(run, tuple) else (run,))})
    influences = _influences(means)
    variance = sample_variance(influences)
    if variance == 0:
        reason = "too few seeds for an interval" if n_seeds < 2 or not influences else "all observations are equal"
        return MeanAgreement(value, None, None, n_pairs, n_seeds, reason)
    half = t_quantile(len(influences) - 1, 0.95) * math.sqrt(variance / len(influences))
    return MeanAgreement(value, max(bounds[0], value - half), min(bounds[1], value + half), n_pairs, n_seeds)
