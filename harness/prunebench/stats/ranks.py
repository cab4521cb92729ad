"""Ranks that never contradict the means: methods that seeds cannot tell apart share one."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from prunebench.errors import DataError
from prunebench.stats.levels import levels
from prunebench.stats.moderated import EQUAL_DECIMALS, MIN_ROWS, Floats, holm, p_values
from prunebench.stats.spreads import residual_variances, spread_posterior, tail, variance_draws, without_seed_effects

FOR_PAIRS = 0.1  # of the familywise level; the tests against groups, which are fewer and see more, have the rest


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


@dataclass(frozen=True)
class _Noise:
    """What seeds leave open of the means of a table of methods, from the best down."""

    values: Floats  # [m, seeds], NaN for holes
    grid: Floats  # [k], of log standard deviations
    posterior: Floats  # [m, k], how probable each is for each method
    familywise: float

    @cached_property
    def draws(self) -> Floats:
        """What the variance of each method may be [m, draws]."""
        return variance_draws(self.grid, self.posterior)

    @cached_property
    def shared(self) -> Floats:
        """How many seeds two methods share [m, m]; on the diagonal, how many each has."""
        known = (~np.isnan(self.values)).astype(np.float64)
        return known @ known.T

    def pairs(self) -> NDArray[np.bool_]:
        """Return whether the column is significantly worse than the row [m, m], all pairs tested together."""
        known, filled = ~np.isnan(self.values), np.nan_to_num(self.values)
        counts = np.maximum(self.shared, 1)
        gaps = (filled @ known.T - known @ filled.T) / counts  # row less column, over shared seeds
        found = np.ones_like(gaps)
        for row, own in enumerate(self.draws, 1):
            found[row - 1, row:] = tail(gaps[row - 1, row:], (own + self.draws[row:]) / counts[row - 1, row:, None])
        level = FOR_PAIRS * self.familywise / len(gaps) / (len(gaps) - 1)
        worse: NDArray[np.bool_] = (self.shared > 1) & (found <= level)
        return worse

    @cached_property
    def levels(self) -> Floats:
        """At which level each method is tested against a group [m].  One part of m + 1 is for the head of the table: a
        best method that stands out opens a group as well."""
        level = (1 - FOR_PAIRS) * self.familywise * len(self.values) / (len(self.values) + 1)
        return levels(self.grid, self.posterior, self.shared.diagonal(), level)

    @cached_property
    def adjusted(self) -> Floats:
        found: Floats = np.nanmean(without_seed_effects(self.values), axis=1)
        return found

    def opens(self, first: int, stop: int, row: int) -> bool:
        """Return whether a method is significantly worse than the mean of those from `first` to `stop`."""
        group = first + np.flatnonzero(self.shared[first:stop, row] > 1)
        if not len(group):
            return False
        squared = self.draws / self.shared.diagonal()[:, None]
        weights = (1 / squared[group]).mean(axis=1)
        weights /= weights.sum()
        gap = weights @ self.adjusted[group] - self.adjusted[row]
        error = squared[row] + weights**2 @ squared[group]
        return bool(tail(gap[None], error[None]) <= self.levels[row])


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
    rejected = holm(p_values(means, variances, n), familywise)
    worse = np.zeros((len(values), len(values)), dtype=np.bool_)
    worse[first, second], worse[second, first] = rejected & (means > 0), rejected & (means < 0)
    return worse


def ranks(table: Mapping[str, Mapping[int, float]], familywise: float = 0.05) -> dict[str, Rank]:
    """Return the rank of each method from its accuracy by seed; a better mean never has a worse rank.
    table: accuracy by seed of each method, at least one seed each.  A deterministic method has the same value at
    each seed: give it at each seed, so that it is paired.  From the best mean down, a new group opens at the first
    method that is significantly worse than a method of the group, or than all of the group together, whose mean is
    known better; a noisy head hides nothing below it.  Pairs and groups share the level `familywise`.
    From 5 methods that vary on, spreads are learned from the table; below, pairs alone have paired t tests with Holm's
    correction.  Methods that share fewer than 2 seeds cannot be told apart.  Equal means share a rank.  Raises
    DataError for a method without values, or with values that are not finite."""
    if not table:
        return {}
    names, means, values = _matrix(table)
    variances, noise = residual_variances(values), None
    if (variances > 0).sum() >= MIN_ROWS:
        noise = _Noise(values, *spread_posterior(variances, (~np.isnan(values)).sum(axis=1) - 1.0, power=2), familywise)
    worse = (noise.pairs() if noise else _worse_among_few(values, familywise)) & (means[:, None] > means)
    starts = np.flatnonzero(np.concatenate([[True], means[1:] < means[:-1]])).tolist()
    rank, first = np.ones(len(names), dtype=np.int64), 0
    for start, stop in zip(starts, [*starts[1:], len(names)], strict=True):
        together = noise is not None and any(noise.opens(first, start, row) for row in range(start, stop))
        if worse[first:start, start:stop].any() or together:
            first = start
        rank[start:stop] = first + 1
    low, high = 1 + worse.sum(axis=0), len(names) - worse.sum(axis=1)
    return {name: Rank(*map(int, row)) for name, row in zip(names, np.stack([rank, low, high], 1), strict=True)}
