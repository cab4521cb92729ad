"""Moderate coreset (Xia et al., ICLR 2023)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

from prunebench import DataError, ScoreContext


def moderate(ctx: ScoreContext) -> NDArray[np.float64]:
    """Return how near each sample's distance to its class centre is to the median distance, float64 [n].

    The highest B scores are the centred window of B ranks (`window` = rank) or the B distances nearest to
    the median (value), within a class or over all samples (`scope`).  Both ends of a window score alike, so
    where B cannot be centred the last sample is drawn.  Source: Xia et al. 2023, section 3; the rank window
    is the released code's.  Raises DataError for features that are not finite.
    """
    distance, features, use_mean = np.zeros(ctx.n), ctx.features, ctx.params["center"] == "mean"
    groups = [np.flatnonzero(ctx.labels == label) for label in range(ctx.n_classes)]
    for members in groups:
        if len(members):
            distance[members] = _centre_distance(features[members].astype(np.float64), use_mean)
    if ctx.params["scope"] == "global":
        groups = [np.arange(ctx.n)]
    scores = np.zeros(ctx.n)
    for members in groups:
        if len(members):
            scores[members] = -_off_centre(distance[members], by_rank=ctx.params["window"] == "rank")
    return scores


def _centre_distance(group: NDArray[np.float64], use_mean: bool) -> NDArray[np.float64]:
    if not np.isfinite(group).all():
        raise DataError("the features contain values that are not finite", "check the backbone and its weights")
    centre = group.mean(axis=0) if use_mean else np.median(group, axis=0)
    distance: NDArray[np.float64] = np.linalg.norm(group - centre, axis=1)
    return distance


def _off_centre(distance: NDArray[np.float64], *, by_rank: bool) -> NDArray[np.float64]:
    """Return the distance of each entry from the median, in ranks (equal entries share a rank) or in value."""
    if not by_rank:
        return np.abs(distance - np.median(distance))
    return np.abs(rankdata(distance) - (len(distance) + 1) / 2)
