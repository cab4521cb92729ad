"""Gains over the baseline: paired by seed, with spreads that are learned from the whole table."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from prunebench.stats.moderated import EQUAL_DECIMALS, MIN_ROWS, Floats, Interval, holm, p_values, spreads
from prunebench.stats.spreads import half_widths, residual_variances, spread_posterior, tail, variance_draws

Accuracies = Mapping[int, float]  # by seed


@dataclass(frozen=True)
class Gain(Interval):
    """The mean paired difference to the reference over the `n` seeds that both have, with its interval.
    p: two-sided p value, None where there is no interval.  significant: whether it stays below .05 after Holm's
    correction for the number of methods in the table."""

    p: float | None
    significant: bool


def _squared_errors(table: Mapping[str, Accuracies], reference: Accuracies, n: Floats) -> Floats | None:
    """Return draws of the squared error of each difference [m, draws]; None with fewer than 5 spreads to learn from."""
    seeds = sorted(set(reference).union(*table.values()))
    values = np.array([[row.get(seed, math.nan) for seed in seeds] for row in (reference, *table.values())])
    variances = residual_variances(values)
    if (variances > 0).sum() < MIN_ROWS:
        return None
    draws = variance_draws(*spread_posterior(variances, (~np.isnan(values)).sum(axis=1) - 1.0))
    found: Floats = (draws[0] + draws[1:]) / n[:, None]
    return found


def gains(table: Mapping[str, Accuracies], reference: Accuracies, level: float = 0.95) -> dict[str, Gain]:
    """Return the mean paired difference of each method of a table to the reference, with its interval.
    table: accuracy by seed of each method, without the reference; reference: accuracy by seed.  Only seeds that
    both have count, and a method that shares none is left out.  Average over scoring backbones first: the seed is
    the unit, since the backbones of one seed share their training seed and their reference.  The variance is that of
    the method plus that of the reference, which all differences share, once the effect of the seed is taken off; plain
    paired t where fewer than 5 of them vary, without an interval for a difference that never does."""
    from scipy.special import stdtrit  # a third of a second to import

    rows = {name: values for name, values in sorted(table.items()) if values.keys() & reference.keys()}
    if not rows:
        return {}
    differences = {
        name: [round(row[seed] - reference[seed], EQUAL_DECIMALS) for seed in sorted(row.keys() & reference.keys())]
        for name, row in rows.items()
    }
    variances, df = spreads(differences.values())
    n, means = df + 1, np.array([math.fsum(row) / len(row) for row in differences.values()])
    squared = _squared_errors(rows, reference, n)
    if squared is None:
        p = p_values(means, variances, n)
        halves = np.nan_to_num(stdtrit(df, 0.5 + level / 2) * np.sqrt(variances / n))
    else:
        p = np.where(df > 0, 2 * tail(np.abs(means), squared), np.nan)
        halves = np.where(df > 0, half_widths(squared, level), 0.0)
    numbers = zip(
        rows, means.tolist(), halves.tolist(), n.tolist(), p.tolist(), holm(p, 1 - level).tolist(), strict=True
    )
    return {
        name: Gain(mean, mean - half, mean + half, int(count), chance, better)
        if half > 0
        else Gain(mean, None, None, int(count), None, False)
        for name, mean, half, count, chance, better in numbers
    }
