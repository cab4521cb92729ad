"""GLISTER (Killamsetty et al., AAAI 2021): samples whose gradients agree with that of the held-out loss."""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

import numpy as np

from prunebench import ScoreContext, Scores
from prunebench_coresets.groups import Floats, Ints, best_of, completed, require_finite, scores_of
from prunebench_coresets.kernels import (
    Factors,
    gradient_factors,
    require_finite_gradients,
    softmax,
    softmax_twice,
)
from prunebench_coresets.moved import by_agreement, moved, noise_of


@dataclass(frozen=True, kw_only=True)
class Step:
    """The virtual training step: its size, over the sum or the mean of the picked gradients, of which loss."""

    eta: float
    mean: bool
    twice: bool


def glister(ctx: ScoreContext) -> Scores:
    """Score float64 [n], positive for the picks in each class, earliest highest.

    The held-out set is the class itself, as nothing else may be looked at.  Diagnostics in mode paper: `moved`,
    the share of picks that the updates changed, with a caveat where that is hardly any.  Raises DataError for
    evidence that is not finite.
    """
    require_finite_gradients(ctx)
    require_finite(ctx.logits, "logits")
    params = ctx.params
    release, static = params["mode"] == "release", np.zeros(ctx.n, dtype=np.bool_)
    step = Step(eta=cast(float, params["eta"]), mean=params["step"] == "mean", twice=params["softmax"] == "twice")

    def greedy(members: Ints, quota: int) -> Ints:
        gradients = gradient_factors(ctx, members)
        order = by_agreement(gradients)
        if release:
            return order
        static[members[order[:quota]]] = True
        onehot = np.eye(gradients.left.shape[1])[ctx.labels[members]]
        return glister_order(gradients, ctx.logits[members].astype(np.float64), onehot, quota, step)

    values = scores_of(ctx, greedy)
    if release:
        return Scores(values=values)
    diagnostics, caveat = moved(ctx, values, static)
    return Scores(values=values, diagnostics=diagnostics, caveat=caveat)


def glister_order(gradients: Factors, logits: Floats, onehot: Floats, n_picks: int, step: Step) -> Ints:
    """Return an order int64 [m], `n_picks` greedy picks first, then by the last gain.

    The gain of i is <g_i, v>, where v is the mean gradient after the step logits - eta * (z, 1) G^T along the
    gradients G of the picks so far.  gradients: factors [m, c] and (z, 1) [m, d + 1].  logits, onehot: float64
    [m, c].  O(n_picks * m * c * d).
    """
    right, open_ = gradients.right, np.ones(len(logits), dtype=np.bool_)
    stepped, picks = np.zeros_like(logits), np.empty(n_picks, dtype=np.int64)
    held_out = gradients.mean()
    for t in range(n_picks):
        gain = gradients.against(held_out).astype(np.float64)
        pick = best_of(np.where(open_, gain, -np.inf), noise_of(gradients, held_out))
        picks[t], open_[pick] = pick, False
        stepped += np.outer(right @ right[pick], gradients.left[pick])
        reached = softmax(logits - step.eta * (stepped / (t + 1) if step.mean else stepped))
        residual = softmax_twice(reached, onehot) if step.twice else reached - onehot
        held_out = Factors(left=residual, right=right).mean()
    return completed(picks, gradients.against(held_out))
