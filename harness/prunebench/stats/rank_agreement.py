"""How far two architectures rank the methods alike, beside what seed noise leaves of a perfect agreement."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np

from prunebench.stats.moderated import EQUAL_DECIMALS, Floats

MIN_METHODS = 5
MIN_SEEDS = 2
MIN_CEILING = 0.1  # below it a ratio to the ceiling divides by noise
MAX_SPLITS = 500
Statistic = Literal["tau", "rho"]


@dataclass(frozen=True)
class RankAgreement:
    """How far two architectures rank the methods alike.

    value: the statistic between the means over all seeds, which seed noise pulls towards 0.  low, high: 95 %
    interval of the statistic between the true means of these methods, free of seed noise.  ceiling_a, ceiling_b:
    the statistic expected between two independent runs of one architecture with as many seeds as the value has.
    ceiling: what `value` would be if the true rankings were equal.  ratio: the agreement free of seed noise,
    1 for equal true rankings; above 1 by chance alone.  reason: why a number is None, starting with
    "insufficient" when there is nothing to print.
    """

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


def _signs(values: Floats) -> Floats:
    """Return the sign of every pairwise difference, [..., m] to [..., m, m]."""
    rounded = np.round(values, EQUAL_DECIMALS)
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
    return RankAgreement(n_methods, n_seeds, value)
