"""How many tests share one level: by the spreads of the methods, so that most worse methods are found."""

import math

import numpy as np

from prunebench.stats.moderated import Floats

WANTED = 4 * math.sqrt(2)  # how much worse a method to find is, in usual standard errors of a mean
TO_ALL_ALIKE = 0.2  # share of the level, so that no method is out of reach
GAPS = np.concatenate([np.arange(0, 12, 0.05), 12 * 1.05 ** np.arange(80)])  # in usual standard errors of a mean


def levels(grid: Floats, posterior: Floats, n: Floats, level: float) -> Floats:
    """Return at which level each method is tested against many others [m]; they add up to `level`.
    grid, posterior: log standard deviations [k] and how probable they are [m, k]; n: observations of each mean [m].
    A method is found to be worse from one likelihood ratio on, the same for all: that of being worse by WANTED, to
    being equal (Neyman and Pearson).  A method whose spread would hide such a difference has little of the level.
    Levels depend on spreads alone, which say nothing of the means where all are equal, so that tests hold together as
    they do with Bonferroni's equal levels.  Source: Genovese, Roeder and Wasserman 2006."""
    from scipy.special import ndtr

    usual = math.exp((posterior @ grid - np.log(n) / 2).mean())

    def chances(worse_by: float) -> Floats:
        """Return how probable a gap between two of GAPS is [m, len(GAPS) - 1]."""
        above = np.empty((len(n), len(GAPS)))
        for count in np.unique(n):
            tails = ndtr((worse_by - GAPS) * usual * math.sqrt(count) / np.exp(grid)[:, None])
            above[n == count] = posterior[n == count] @ tails
        return -np.diff(above, axis=1)

    equal = chances(0.0)
    ratios = np.divide(chances(WANTED), equal, out=np.full_like(equal, np.inf), where=equal > 0)
    ratios = np.maximum.accumulate(ratios, axis=1)
    order = np.argsort(-ratios, axis=None, kind="stable")
    last = order[min(int((equal.ravel()[order].cumsum() <= level).sum()), len(order) - 1)]
    found = np.where(ratios >= ratios.ravel()[last], equal, 0.0).sum(axis=1)
    shares: Floats = (1 - TO_ALL_ALIKE) * found / found.sum() + TO_ALL_ALIKE / len(found)
    return level * shares
