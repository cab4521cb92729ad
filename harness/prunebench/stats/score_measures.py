"""Two scores of the same samples beyond their correlation: their distributions, and what they share given others."""

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from prunebench.stats.moderated import Floats
from prunebench.stats.score_agreement import average_ranks, classes_of, pearson

_NOTHING_LEFT = 1e-12  # of the variance of ranks: below it, what is left is rounding


def distribution_distances(a: Floats, b: Floats) -> dict[str, float | None]:
    """Return how far the distributions of two scores are apart, 0 for equal ones; None where a score is constant.

    a, b: finite float64 [n].  wasserstein, kolmogorov_smirnov: of order 1 and the largest difference of the
    distribution functions, both in 0..1, after each score is brought to [0, 1] by its own least and greatest value.
    wasserstein_raw, kolmogorov_smirnov_raw: of the scores as they are, the first in standard deviations of both
    together, 0..2.  Scores that are ranks have equal distributions whatever they rank."""
    from scipy.stats import ks_2samp, wasserstein_distance

    names = ("wasserstein", "kolmogorov_smirnov", "wasserstein_raw", "kolmogorov_smirnov_raw")
    if np.ptp(a) == 0 or np.ptp(b) == 0:
        return dict.fromkeys(names)
    found = list[float]()
    for x, y, unit in [(_min_max(a), _min_max(b), 1.0), (a, b, float(np.concatenate([a, b]).std()))]:
        found += [float(wasserstein_distance(x, y)) / unit, float(ks_2samp(x, y, method="asymp").statistic)]
    return dict(zip(names, found, strict=True))


def _min_max(values: Floats) -> Floats:
    scaled: Floats = (values - values.min()) / np.ptp(values)
    return scaled


def agreement_given(
    a: Floats, b: Floats, given_a: Sequence[Floats], given_b: Sequence[Floats], labels: NDArray[np.int64]
) -> dict[str, float | None]:
    """Return how far two scores agree in what other scores of each side do not say.

    a, b: float64 [n]; given_a, given_b: other scores float64 [n] of each side, such as densities.  Within each class
    the ranks of a score are regressed on those of the others of its side, by least squares.  given: Pearson's
    correlation of the residuals of the two sides.  left_a, left_b: the share of the variance of the ranks that is left.
    All are means over the classes in which they are defined; None where they are in none."""
    found = [
        (_residuals(a[rows], [one[rows] for one in given_a]), _residuals(b[rows], [one[rows] for one in given_b]))
        for rows in classes_of(labels)
    ]
    together = [pearson(x, y) for (x, share_x), (y, share_y) in found if min(share_x, share_y) > _NOTHING_LEFT]
    lefts = [[share for _, share in side if not math.isnan(share)] for side in zip(*found, strict=True)]
    named = {"given": [one for one in together if one is not None], "left_a": lefts[0], "left_b": lefts[1]}
    return {name: math.fsum(values) / len(values) if values else None for name, values in named.items()}


def _residuals(values: Floats, given: Sequence[Floats]) -> tuple[Floats, float]:
    """Return what other ranks leave of the ranks of some values, and the share of their variance; NaN for constants."""
    ranks, *others = (average_ranks(one) - (len(values) + 1) / 2 for one in (values, *given))
    design = np.column_stack(others)
    weights, *_ = np.linalg.lstsq(design, ranks, rcond=None)
    left: Floats = ranks - design @ weights
    total = float(ranks @ ranks)
    return left, float(left @ left) / total if total > 0 else math.nan
