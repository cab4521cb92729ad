"""How far a greedy method of gradients departs from the static order that it starts with."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from prunebench import ScoreContext
from prunebench.toolbox import class_quotas
from prunebench_coresets.groups import ROUNDING, Floats, Ints, completed
from prunebench_coresets.kernels import Factors

_HARDLY = 0.01


def by_agreement(gradients: Factors) -> Ints:
    """Return the static order int64 [m]: positions by inner product with the mean gradient, highest first.

    Products that differ by rounding alone tie, and ties go to the lower position.
    """
    mean = gradients.mean()
    return completed(np.empty(0, dtype=np.int64), gradients.against(mean), noise_of(gradients, mean))


def noise_of(gradients: Factors, matrix: NDArray[np.floating]) -> float:
    """Return how far rounding may move the inner products of the gradients with a matrix [c, k]."""
    return ROUNDING * float(np.sqrt(gradients.squared_norms().max())) * float(np.linalg.norm(matrix))


def moved(ctx: ScoreContext, values: Floats, static: NDArray[np.bool_]) -> tuple[dict[str, float], str]:
    """Return diagnostics and caveat: `moved`, the share of picks that updates changed, of all that they could.

    values: float64 [n], positive for the picks.  static: bool [n], the picks of the static order.  The first
    pick of a class is always static, and no more picks can change than the class has other samples.  Both are
    empty where nothing could change.
    """
    quotas = class_quotas(ctx.labels, ctx.n_classes, ctx.n_keep)
    sizes = np.bincount(ctx.labels, minlength=ctx.n_classes)
    possible = int(np.minimum(np.maximum(quotas - 1, 0), sizes - quotas).sum())
    if possible == 0:
        return {}, ""
    share = float(((values > 0) & ~static).sum() / possible)
    if share >= _HARDLY:
        return {"moved": share}, ""
    return {"moved": share}, "its updates hardly change a pick: the order by agreement with the mean gradient"
