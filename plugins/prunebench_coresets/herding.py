"""Herding (Welling, ICML 2009): samples whose running mean follows the mean of the class."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from prunebench import ScoreContext
from prunebench_coresets.groups import ROUNDING, Floats, Ints, best_of, completed, require_finite, scores_of


def herding(ctx: ScoreContext) -> Floats:
    """Return float64 [n], positive for the picks of herding in each class (or the whole set), earliest highest.

    Raises DataError for features that are not finite.
    """
    features, farthest = ctx.features, ctx.params["mode"] == "release"
    require_finite(features, "features")
    return scores_of(
        ctx,
        lambda members, quota: herding_order(features[members], quota, farthest=farthest),
        str(ctx.params["scope"]),
    )


def herding_order(points: NDArray[Any], n_picks: int, *, farthest: bool = False) -> Ints:
    """Return an order int64 [m]: `n_picks` greedy picks, then the others by their distance to the last target.

    Pick t + 1 minimises ||(t + 1) mu - S - x|| over the rest, where S is the sum of the picks (`farthest`:
    maximises, as in DeepCore's code); ties go to the lower position.  points: [m, d].  O(n_picks * m * d).
    """
    centred = points - points.mean(axis=0, dtype=np.float64)
    squared = np.square(centred).sum(axis=1)
    sign, longest = -1.0 + 2.0 * farthest, float(np.sqrt(squared.max()))
    total, picks = np.zeros(centred.shape[1]), np.empty(n_picks, dtype=np.int64)
    # (t + 1) mu - S - x is minus the sum of the centred picks and x: no large numbers to subtract
    preference = sign * squared
    open_ = np.ones(len(points), dtype=np.bool_)
    for t in range(n_picks):
        tolerance = ROUNDING * longest * (longest + float(np.linalg.norm(total)))
        pick = best_of(np.where(open_, preference, -np.inf), tolerance)
        picks[t], open_[pick] = pick, False
        total += centred[pick]
        preference = sign * (squared + 2.0 * (centred @ total))
    return completed(picks, preference)
