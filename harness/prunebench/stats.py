"""The statistics of the board, pure: intervals over seeds, tie groups, agreement with its noise ceiling."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from itertools import combinations, combinations_with_replacement
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from prunebench.errors import DataError, UsageError

MIN_METHODS = 5
MIN_SEEDS = 2
MIN_CEILING = 0.1  # below it a ratio to the ceiling divides by noise
MAX_EXACT_SEEDS = 7  # 1,716 distinct resamples; more seeds are sampled
RESAMPLES = 1000
MAX_SPLITS = 500
TIE_DECIMALS = 12  # equal accuracies stay equal whatever the order of summation

Floats = NDArray[np.float64]
Statistic = Literal["tau", "rho"]


@dataclass(frozen=True)
class Interval:
    """A mean over `n` seeds with its 95 % interval; `low` and `high` are None with fewer than 2 seeds."""

    mean: float
    low: float | None
    high: float | None
    n: int

    @property
    def half_width(self) -> float | None:
        return None if self.low is None or self.high is None else (self.high - self.low) / 2

    @property
    def excludes_zero(self) -> bool:
        return self.low is not None and self.high is not None and (self.low > 0 or self.high < 0)


@dataclass(frozen=True)
class RankAgreement:
    """How far two architectures rank the methods alike.

    value: the statistic between the means over all seeds.  low, high: 95 % bootstrap interval over seeds.
    ceiling_a, ceiling_b: mean statistic between disjoint seed halves within each architecture.
    ratio: value / sqrt(ceiling_a * ceiling_b).  reason: why a number is None, starting with "insufficient"
    when there is nothing to print.
    """

    n_methods: int
    n_seeds: int
    value: float | None = None
    low: float | None = None
    high: float | None = None
    ceiling_a: float | None = None
    ceiling_b: float | None = None
    ratio: float | None = None
    reason: str = ""


@dataclass(frozen=True)
class ScoreAgreement:
    """Agreement of two score vectors of the same `n` samples; None where undefined, with the `reason`."""

    within_class_spearman: float | None
    pooled_spearman: float | None
    pearson: float | None
    n: int
    reason: str = ""


def mean_interval(values: Sequence[float], level: float = 0.95) -> Interval:
    """Return the mean of one value a seed with Student's t interval.

    With the 2 to 5 seeds of a benchmark a percentile bootstrap is far too narrow: the resampled standard
    deviation is sqrt((n-1)/n) of the sample's and the range cannot leave the data, so two seeds give about
    50 % coverage instead of 95 %.  The t interval holds its level for every n >= 2 as long as seed noise is
    near normal, and its width at n = 2 (12.7 standard errors) says what two seeds are worth.  Bounds are
    not clipped to [0, 1].  Raises DataError for no values.
    """
    n = len(values)
    if n == 0:
        raise DataError("a mean over no seeds was asked for", "leave cells without an accuracy out")
    mean = math.fsum(values) / n
    if n < MIN_SEEDS:
        return Interval(mean, None, None, n)
    from scipy.special import stdtrit  # a third of a second to import

    variance = math.fsum((value - mean) ** 2 for value in values) / (n - 1)
    half = float(stdtrit(n - 1, 0.5 + level / 2)) * math.sqrt(variance / n)
    return Interval(mean, mean - half, mean + half, n)


def paired_difference(values: Mapping[int, float], reference: Mapping[int, float]) -> Interval | None:
    """Return the mean difference to `reference` over the seeds that both have, or None without one.

    Both map a seed to an accuracy.  Average over scoring backbones first: the seed is the unit, since the
    backbones of one seed share their training seed and their baseline.
    """
    differences = [values[seed] - reference[seed] for seed in sorted(values.keys() & reference.keys())]
    return mean_interval([round(value, TIE_DECIMALS) for value in differences]) if differences else None


def tie_groups(values: Mapping[str, Mapping[int, float]]) -> dict[str, int]:
    """Return the shared rank of each method from its accuracy by seed.

    The best mean takes rank 1 with every method whose paired interval to it includes 0; the best of the rest
    opens the next group, at 1 + the number of methods above it.  No correction for many comparisons is made.
    Returns nothing when a method shares fewer than 2 seeds with the best: no interval, no rank.
    """
    ranks: dict[str, int] = {}
    means = {name: round(math.fsum(v.values()) / len(v), TIE_DECIMALS) for name, v in values.items() if v}
    left = sorted(means, key=lambda name: (-means[name], name))
    while left:
        best, rank, rest = left[0], len(ranks) + 1, []
        for name in left:
            gap = paired_difference(values[best], values[name])
            if gap is None or gap.low is None:
                return {}
            if gap.excludes_zero:
                rest.append(name)
            else:
                ranks[name] = rank
        left = rest
    return ranks


def _signs(values: Floats) -> Floats:
    """Return the sign of every pairwise difference, [..., m] to [..., m, m]."""
    rounded = np.round(values, TIE_DECIMALS)
    return np.sign(rounded[..., :, None] - rounded[..., None, :])


def _cosine(a: Floats, b: Floats, axes: tuple[int, ...]) -> Floats:
    """Return the cosine of two arrays along `axes`; NaN where one of them is zero."""
    scale = np.sqrt((a * a).sum(axis=axes) * (b * b).sum(axis=axes))
    with np.errstate(invalid="ignore", divide="ignore"):
        cosine: Floats = (a * b).sum(axis=axes) / scale
    return np.clip(cosine, -1.0, 1.0)


def rank_statistic(a: Floats, b: Floats, statistic: Statistic) -> Floats:
    """Return Kendall's tau-b or Spearman's rho of the last axes [..., m], ties averaged; NaN if constant."""
    signs_a, signs_b = _signs(a), _signs(b)
    if statistic == "tau":
        return _cosine(signs_a, signs_b, (-2, -1))
    # The sum of the signs of a row is twice its centred average rank.
    return _cosine(signs_a.sum(axis=-1), signs_b.sum(axis=-1), (-1,))


def _resamples(n_seeds: int) -> tuple[Floats, Floats]:
    """Return the seed weights [r, n_seeds] of the bootstrap resamples and the probability [r] of each."""
    if n_seeds > MAX_EXACT_SEEDS:
        drawn = np.random.default_rng(0).integers(0, n_seeds, size=(RESAMPLES, n_seeds))
        counts = np.stack([np.bincount(row, minlength=n_seeds) for row in drawn])
        return counts / n_seeds, np.full(RESAMPLES, 1 / RESAMPLES)
    rows = [np.bincount(c, minlength=n_seeds) for c in combinations_with_replacement(range(n_seeds), n_seeds)]
    ways = [math.factorial(n_seeds) / math.prod(map(math.factorial, row.tolist())) for row in rows]
    return np.stack(rows) / n_seeds, np.array(ways) / n_seeds**n_seeds


def _quantile(values: Floats, weights: Floats, level: float) -> float:
    order = np.argsort(values, kind="stable")
    reached = np.cumsum(weights[order]) >= level * weights.sum() - 1e-12
    return float(values[order][int(np.argmax(reached))])


def bootstrap_interval(a: Floats, b: Floats, statistic: Statistic, level: float = 0.95) -> tuple[float, float] | None:
    """Return the percentile bootstrap interval over seeds of the rank statistic between two architectures.

    a, b: accuracy float64 [methods, seeds], the same seeds in the same columns.  Seeds are drawn jointly for
    both, since a subset is shared by the architectures.  All distinct resamples are enumerated up to 7 seeds,
    so no random number decides.  Resampling adds noise to noise, and noise lowers a rank correlation: the
    interval leans low.  None when every resample has a constant ranking.
    """
    weights, probability = _resamples(a.shape[1])
    drawn = rank_statistic(weights @ a.T, weights @ b.T, statistic)
    defined = ~np.isnan(drawn)
    if not defined.any():
        return None
    drawn, probability = drawn[defined], probability[defined]
    tail = (1 - level) / 2
    return _quantile(drawn, probability, tail), _quantile(drawn, probability, 1 - tail)


def _half_masks(n_seeds: int) -> NDArray[np.bool_]:
    """Return one half of each split of the seeds in two, bool [splits, n_seeds]."""
    half = n_seeds // 2
    if math.comb(n_seeds, half) <= MAX_SPLITS:
        chosen = [c for c in combinations(range(n_seeds), half) if n_seeds % 2 or 0 in c]
    else:
        rng = np.random.default_rng(0)
        chosen = [tuple(rng.permutation(n_seeds)[:half].tolist()) for _ in range(MAX_SPLITS)]
    masks = np.zeros((len(chosen), n_seeds), dtype=np.bool_)
    for row, seeds in enumerate(chosen):
        masks[row, list(seeds)] = True
    return masks


def noise_ceiling(values: Floats, statistic: Statistic = "tau") -> float | None:
    """Return the mean rank statistic between disjoint halves of the seeds of one architecture.

    values: accuracy float64 [methods, seeds].  Every split into halves is used (500 seeded ones beyond 11
    seeds).  Half the seeds are noisier than all of them, so this is a low estimate of the ceiling.  None with
    fewer than 2 seeds or when every ranking is constant.
    """
    n_seeds = values.shape[1]
    if n_seeds < MIN_SEEDS:
        return None
    first = _half_masks(n_seeds).astype(np.float64)
    second = 1 - first
    between = rank_statistic(
        first @ values.T / first.sum(axis=1, keepdims=True),
        second @ values.T / second.sum(axis=1, keepdims=True),
        statistic,
    )
    defined = between[~np.isnan(between)]
    return float(defined.mean()) if len(defined) else None


def ratio_to_ceiling(value: float | None, ceiling_a: float | None, ceiling_b: float | None) -> float | None:
    """Return value / sqrt(ceiling_a * ceiling_b), or None where a ceiling is unknown or below 0.1."""
    if value is None or ceiling_a is None or ceiling_b is None or min(ceiling_a, ceiling_b) < MIN_CEILING:
        return None
    return value / math.sqrt(ceiling_a * ceiling_b)


def rank_agreement(a: Floats, b: Floats, statistic: Statistic) -> RankAgreement:
    """Return the agreement of two architectures over methods, beside its noise ceiling.

    a, b: accuracy float64 [methods, seeds], rows and columns alike.  Refuses, with reason "insufficient",
    fewer than 5 methods or 2 seeds: so short a ranking is mostly noise.
    """
    n_methods, n_seeds = a.shape
    lacking = [f"{n_methods} methods, {MIN_METHODS} are needed"] if n_methods < MIN_METHODS else []
    lacking += [f"{n_seeds} seeds, {MIN_SEEDS} are needed"] if n_seeds < MIN_SEEDS else []
    if lacking:
        return RankAgreement(n_methods, n_seeds, reason="insufficient: " + "; ".join(lacking))
    value = float(rank_statistic(a.mean(axis=1), b.mean(axis=1), statistic))
    if math.isnan(value):
        return RankAgreement(n_methods, n_seeds, reason="all methods have the same accuracy")
    low, high = bootstrap_interval(a, b, statistic) or (None, None)
    ceilings = noise_ceiling(a, statistic), noise_ceiling(b, statistic)
    ratio = ratio_to_ceiling(value, *ceilings)
    reason = "" if ratio is not None else f"a ceiling is below {MIN_CEILING} or undefined"
    return RankAgreement(n_methods, n_seeds, value, low, high, *ceilings, ratio, reason)


def average_ranks(values: Floats) -> Floats:
    """Return ranks float64 [n] from 1, ties averaged (as scipy.stats.rankdata, without its import)."""
    order = np.argsort(values, kind="stable")
    ordered = values[order]
    starts = np.flatnonzero(np.concatenate([[True], ordered[1:] != ordered[:-1]]))
    ends = np.append(starts[1:], len(values))
    ranks = np.empty(len(values))
    ranks[order] = np.repeat((starts + ends + 1) / 2, ends - starts)
    return ranks


def _pearson(a: Floats, b: Floats) -> float | None:
    """Return Pearson's correlation, or None for a vector that is constant, not finite, or shorter than 2."""
    if len(a) < 2 or a.min() == a.max() or b.min() == b.max() or not np.isfinite([a, b]).all():
        return None
    # Scaled first: the squares of tiny scores would underflow, and those of huge ones overflow.
    a, b = a / np.abs(a).max(), b / np.abs(b).max()
    a, b = a - a.mean(), b - b.mean()
    spread_a, spread_b = np.abs(a).max(), np.abs(b).max()
    if spread_a == 0 or spread_b == 0:
        return None
    return float(_cosine(a / spread_a, b / spread_b, (0,)))


def _spearman(a: Floats, b: Floats) -> float | None:
    return _pearson(average_ranks(a), average_ranks(b)) if len(a) else None


def score_agreement(a: NDArray[np.generic], b: NDArray[np.generic], labels: NDArray[np.int64]) -> ScoreAgreement:
    """Return how far two scores of the same samples agree.

    a, b: real [n], labels: int64 [n].  within_class_spearman: mean over classes of Spearman's rho within the
    class, blind to any monotone rescaling; classes in which rho is undefined (one sample, or constant scores)
    are left out and counted in the reason.  Raises DataError for NaN or unequal lengths.
    """
    if not len(a) == len(b) == len(labels):
        raise DataError(f"{len(a)} and {len(b)} scores for {len(labels)} labels", "compare the same samples")
    x, y = np.asarray(a, dtype=np.float64), np.asarray(b, dtype=np.float64)
    if np.isnan(x).any() or np.isnan(y).any():
        raise DataError("scores contain NaN", "a score has to be a number for every sample")
    order = np.argsort(labels, kind="stable")
    cuts = np.flatnonzero(np.diff(labels[order])) + 1
    members = np.split(order, cuts) if len(order) else []
    within = [_spearman(x[member], y[member]) for member in members]
    defined = [rho for rho in within if rho is not None]
    pooled, pearson = _spearman(x, y), _pearson(x, y) if len(x) else None
    reasons = []
    if len(defined) < len(within):
        missing = len(within) - len(defined)
        reasons.append(f"undefined in {missing} of {len(within)} classes (constant scores or one sample)")
    if pooled is None:
        reasons.append("pooled Spearman undefined (constant scores or one sample)")
    elif pearson is None:
        reasons.append("Pearson undefined (scores are infinite or nearly constant)")
    mean = math.fsum(defined) / len(defined) if defined else None
    return ScoreAgreement(mean, pooled, pearson, len(x), "; ".join(reasons))


def integrated_fidelity(accuracies_by_keep: Mapping[str, float], accuracy_full: float) -> float:
    """Return the Integrated Fidelity Score, the sum over budgets b of w(b) * accuracy(b) / accuracy_full.

    w(b) = exp(-b) / sum of exp(-b).  accuracies_by_keep: kept fraction (decimal string) to accuracy, in the
    unit of `accuracy_full`.  The weights depend on the budgets: compare equal grids only.  Source: ECHO,
    Table I, whose 19 rows fix the weights.  Raises UsageError without a budget or a full accuracy.
    """
    if not accuracies_by_keep or accuracy_full <= 0:
        raise UsageError(
            "the fidelity score needs a budget and the accuracy of the full data set",
            "run the suite's unpruned cells and at least one budget",
        )
    weights = {keep: math.exp(-float(Decimal(keep))) for keep in accuracies_by_keep}
    total = math.fsum(weights[keep] * accuracy for keep, accuracy in accuracies_by_keep.items())
    return total / (accuracy_full * math.fsum(weights.values()))
