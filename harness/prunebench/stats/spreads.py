"""How much each method of a table varies from seed to seed, learned from all of its methods together."""

import math

import numpy as np

from prunebench.stats.moderated import EQUAL_DECIMALS, Floats

DRAWS = 2000
STEP = 0.15  # of the grid of log standard deviations
USUAL_WIDTH = 0.6  # standard deviation of log standard deviations, by which the tables in results/ are 0 to 1.3


def without_seed_effects(values: Floats) -> Floats:
    """Return values [m, seeds] less the effect of each seed; NaN for holes.
    The effect of a seed is the median over methods of what they differ from their own means there: it moves all
    methods alike and decides no rank, and a median is not moved by one method with a huge spread."""
    effects: Floats = np.nanmedian(values - np.nanmean(values, axis=1, keepdims=True), axis=0)
    return values - effects


def residual_variances(values: Floats) -> Floats:
    """Return the variance of each method [m] once the effect of the seed is taken off, from values [m, seeds]."""
    residuals = without_seed_effects(values)
    residuals = residuals - np.nanmean(residuals, axis=1, keepdims=True)
    # One in m degrees of freedom goes to the effects of the seeds.
    free = max(1 - 1 / len(values), 0.5) * np.maximum((~np.isnan(values)).sum(axis=1) - 1, 1)
    variances: Floats = np.nansum(residuals**2, axis=1) / free
    return np.where(variances > 10.0 ** (-2 * EQUAL_DECIMALS), variances, 0.0)


def spread_posterior(variances: Floats, df: Floats, power: int = 0) -> tuple[Floats, Floats]:
    """Return a grid of log standard deviations [k], and how probable each is for each method [m, k].
    variances, df: float64 [m], as measured, with their degrees of freedom; one without a spread says nothing of it.
    Standard deviations of methods are taken as log-normal about a common one (Hwang and Liu 2010), whose centre and
    width are known no better than the table tells: it is over all of them.  Smyth's prior has heavier tails, which
    costs power far out, where a correction for many tests looks.  power: the prior of the width w is
    w^power exp(-(w / USUAL_WIDTH)^2 / 2); 2 for tests that look that far out, where a width that is taken for too
    small does most harm.  Needs a method with a spread."""
    from scipy.special import polygamma

    known = (variances > 0) & (df > 0)
    half = df[known] / 2
    logs = (np.log(variances[known]) - polygamma(0, half) + np.log(half)) / 2
    least, most = min(logs.min() - 1.5, logs.mean() - 4.5), max(logs.max() + 1.5, logs.mean() + 4.5)
    grid = np.arange(least, most, STEP)
    likelihood = np.ones((len(variances), len(grid)))
    rows = -df[known, None] * (grid + variances[known, None] / 2 * np.exp(-2 * grid))
    likelihood[known] = np.exp(rows - rows.max(axis=1, keepdims=True))
    widths, centres = (axis.ravel() for axis in np.meshgrid(np.arange(0.05, 1.6, 0.1), np.arange(-1.5, 1.6, STEP)))
    priors = np.exp(-(((grid - logs.mean() - centres[:, None]) / widths[:, None]) ** 2) / 2)
    priors /= priors.sum(axis=1, keepdims=True)
    marginal = np.maximum(likelihood @ priors.T, 1e-300)
    weights = np.log(marginal).sum(axis=0) + power * np.log(widths) - (widths / USUAL_WIDTH) ** 2 / 2
    found = likelihood * ((np.exp(weights - weights.max()) / marginal) @ priors)
    return grid, found / found.sum(axis=1, keepdims=True)


def variance_draws(grid: Floats, posterior: Floats) -> Floats:
    """Return what the variance of each method may be, equally probable draws [m, DRAWS], independent over methods.
    grid, posterior: those of `spread_posterior`."""
    middles = posterior.cumsum(axis=1) - posterior / 2
    return np.exp([2 * np.interp(_strata(at), row, grid) for at, row in enumerate(middles)])


def _strata(row: int) -> Floats:
    """Return the middles of DRAWS equal parts of [0, 1] in an order that differs from row to row, the same everywhere:
    that of 32-bit hashes of their numbers, which the page of the board computes, too."""
    keys = np.arange(row * DRAWS, (row + 1) * DRAWS, dtype=np.uint32)
    for shift, factor in ((16, 0x7FEB352D), (15, 0x846CA68B)):
        keys = (keys ^ (keys >> np.uint32(shift))) * np.uint32(factor)
    order = (keys ^ (keys >> np.uint32(16))).argsort(kind="stable")
    found: Floats = (order + 0.5) / DRAWS
    return found


def tail(gaps: Floats, squared_errors: Floats) -> Floats:
    """Return how probable noise makes a gap this large or larger [m]; gaps [m], draws of squared errors [m, DRAWS]."""
    from scipy.special import ndtr

    found: Floats = ndtr(-gaps[:, None] / np.sqrt(squared_errors)).mean(axis=1)
    return found


def half_widths(squared_errors: Floats, level: float) -> Floats:
    """Return half the width of central intervals [m] from draws of squared errors [m, draws], by Newton's method from
    where one mean error would have it.  The tail is convex above 0, so that a step may fall short, and none that
    follows goes too far."""
    from scipy.special import ndtri

    found: Floats = ndtri((1 + level) / 2) * np.sqrt(squared_errors.mean(axis=1))
    for _ in range(50):
        densities = np.exp(-(found[:, None] ** 2) / squared_errors / 2) / np.sqrt(2 * math.pi * squared_errors)
        steps = (tail(found, squared_errors) - (1 - level) / 2) / densities.mean(axis=1)
        found = np.maximum(found + steps, 0.0)
        if (np.abs(steps) <= 1e-12 * found).all():
            break
    return found
