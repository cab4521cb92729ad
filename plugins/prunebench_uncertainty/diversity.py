"""Contextual diversity (Agarwal et al., ECCV 2020): k-centre greedy on softmax outputs."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.special import log_softmax

from prunebench import ScoreContext
from prunebench.toolbox import class_quotas
from prunebench_uncertainty.evidence import require_finite

_SMALLEST = 1e-12  # probabilities below count as this, or one zero would be infinitely far from everything


def contextual_diversity(ctx: ScoreContext) -> NDArray[np.int64]:
    """Return an order int64 [n] whose first `n_keep` samples are the greedy k-centres of the predictions.

    Distance: (KL(p||q) + KL(q||p)) / 2 of probabilities clipped at 1e-12.  The first centre is uniform, each
    next one is the farthest from its nearest centre, with class-proportional budgets where `per_class`.  The
    rest follows by that distance, farthest first.  Ties are decided by the seed.  Memory grows with n * c.
    Raises DataError for logits that are not finite.
    """
    require_finite(ctx.logits, "logits")
    log_p = np.maximum(log_softmax(ctx.logits.astype(np.float64), axis=1), np.log(_SMALLEST))
    shuffled = ctx.rng.permutation(ctx.n).astype(np.int64)
    if not ctx.params["per_class"]:
        return shuffled[_centres(ctx, log_p[shuffled], ctx.n_keep)]
    labels, place = ctx.labels[shuffled], np.empty(ctx.n)
    for label, quota in enumerate(class_quotas(ctx.labels, ctx.n_classes, ctx.n_keep)):
        members = shuffled[labels == label]
        if len(members):
            order = members[_centres(ctx, log_p[members], int(quota))]
            # Below 0 for the picks; classes take turns, so that their numbers decide nothing.
            place[order] = (np.arange(len(members)) - quota) / len(members)
    return shuffled[np.argsort(place[shuffled], kind="stable")]


def _centres(ctx: ScoreContext, log_p: NDArray[np.float64], budget: int) -> NDArray[np.int64]:
    """Return all of 0..m-1, first the `budget` greedy centres of log_p (float64 [m, c]) from row 0 on."""
    p, picks = np.exp(log_p), np.empty(budget, dtype=np.int64)
    nearest = np.full(len(p), np.inf)
    for step in range(budget):
        ctx.check_deadline()
        pick = int(nearest.argmax())
        picks[step] = pick
        np.minimum(nearest, _divergence(p, log_p, pick), out=nearest)
        nearest[pick] = -np.inf  # and stays there
    others = np.argsort(-nearest, kind="stable")[: len(p) - budget]
    return np.concatenate([picks, others])


def _divergence(p: NDArray[np.float64], log_p: NDArray[np.float64], centre: int) -> NDArray[np.float64]:
    """Return the symmetric KL divergence float64 [m] of every row to row `centre`."""
    # every term is (a - b)(log a - log b) >= 0: no cancellation, and a duplicate is at exactly 0
    divergence: NDArray[np.float64] = np.einsum("ij,ij->i", p - p[centre], log_p - log_p[centre]) / 2
    return divergence
