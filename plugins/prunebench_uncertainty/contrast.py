"""CAL (Margatina et al., EMNLP 2021): near in features, far apart in predictions."""

from __future__ import annotations

from typing import cast

import numpy as np
from numpy.typing import NDArray
from scipy.special import log_softmax
from sklearn.neighbors import NearestNeighbors

from prunebench import ScoreContext
from prunebench.toolbox import content_order
from prunebench_uncertainty.evidence import blocks, groups, require_finite


def cal(ctx: ScoreContext) -> NDArray[np.float64]:
    """Return the mean divergence float64 [n] between a sample's prediction and its nearest neighbours'.

    Non-negative in paper mode, where the most contrastive samples come first; negated in release mode.
    Neighbours are Euclidean, without the sample itself; fewer than `k` others are all used, and a sample
    without any contrasts with nothing (0).  Neighbours at equal distance are chosen by the seed and the content of
    the samples, never by the order of the file.  Raises DataError for features or logits that are not finite.
    """
    features = ctx.features
    require_finite(features, "features")
    require_finite(ctx.logits, "logits")
    log_p: NDArray[np.float64] = log_softmax(ctx.logits.astype(np.float64), axis=1)
    ordered, values = content_order(ctx.rng, features, ctx.logits), np.zeros(ctx.n)
    whole = ctx.params["graph_scope"] == "global"
    for members in [ordered] if whole else groups(ctx.labels, ordered, ctx.n_classes):
        ctx.check_deadline()
        if len(members) > 1:
            neighbours = _nearest(features[members], cast(int, ctx.params["k"]))
            values[members] = _contrast(log_p[members], neighbours, symmetric=ctx.params["divergence"] == "symmetric")
    return -values if ctx.params["mode"] == "release" else values


def _nearest(features: NDArray[np.float32], k: int) -> NDArray[np.int64]:
    """Return the rows int64 [m, k] nearest to each of m > 1 rows, itself left out; chunked, never m x m."""
    # the search expands squares: centring keeps its digits
    points = features.astype(np.float64)
    points -= points.mean(axis=0)
    search = NearestNeighbors(n_neighbors=min(k, len(points) - 1), algorithm="brute").fit(points)
    found: NDArray[np.int64] = search.kneighbors(return_distance=False).astype(np.int64)
    return found


def _contrast(log_p: NDArray[np.float64], neighbours: NDArray[np.int64], *, symmetric: bool) -> NDArray[np.float64]:
    """Return the mean over neighbours of (KL(q||p) + KL(p||q)) / 2, or of KL(q||p), float64 [m].

    log_p: float64 [m, c], finite, so that probabilities that underflow to 0 need no clipping.
    """
    p, mean = np.exp(log_p), np.empty(len(log_p))
    for rows in blocks(len(log_p), neighbours.shape[1] * log_p.shape[1]):
        near = neighbours[rows]
        log_ratio = log_p[near] - log_p[rows, None]
        weight = (p[near] - p[rows, None]) / 2 if symmetric else p[near]
        mean[rows] = (weight * log_ratio).sum(axis=2).mean(axis=1)
    return mean
