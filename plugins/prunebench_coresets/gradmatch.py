"""GradMatch (Killamsetty et al., ICML 2021): orthogonal matching pursuit of the mean gradient of a class."""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

import numpy as np

from prunebench import ScoreContext, Scores
from prunebench_coresets.groups import Floats, Ints, best_of, completed, factor_space, scores_of, undetermined
from prunebench_coresets.kernels import Factors, gradient_factors, require_finite_gradients
from prunebench_coresets.moved import by_agreement, moved, noise_of

_PATIENCE, _TOLERANCE = 3, 1e-10


@dataclass(frozen=True, kw_only=True)
class Pursuit:
    """Picks int64 [k] with weights float64 [k] >= 0, and the correlation float64 [m] with what is left.

    exhausted: how many picks were made when no correlation was left but rounding.
    """

    picks: Ints
    weights: Floats
    correlation: Floats
    exhausted: int


def gradmatch(ctx: ScoreContext) -> Scores:
    """Score float64 [n], positive for the picks in each class, those of positive weight before the others.

    All but the picks of positive weight are marked as excluded, to return in the order of the scores where a
    class would fall short: the record then counts them as filled.  Diagnostics: `weights`, picks in the order
    of their indices; `moved`, the share of picks that the pursuit changed, with a caveat where that is hardly
    any; `undetermined`, the number of picks made when the mean gradient was already met, with a caveat.  Raises
    DataError for evidence that is not finite, NotApplicable where the factor of a class would exceed 2 GiB.
    """
    require_finite_gradients(ctx)
    ridge, weights = cast(float, ctx.params["ridge"]), np.zeros(ctx.n)
    static, exhausted = np.zeros(ctx.n, dtype=np.bool_), [0]

    def greedy(members: Ints, quota: int) -> Ints:
        gradients = gradient_factors(ctx, members)
        static[members[by_agreement(gradients)[:quota]]] = True
        found = pursue(gradients, quota, ridge)
        weights[members[found.picks]] = found.weights
        exhausted.append(found.exhausted if quota < len(members) else 0)
        used = found.weights > 0
        return completed(np.concatenate([found.picks[used], found.picks[~used]]), found.correlation)

    values = scores_of(ctx, greedy)
    diagnostics, caveat = moved(ctx, values, static)
    spent = undetermined(sum(exhausted), ctx.n_keep, "those before them meet the mean gradient of their class")
    return Scores(
        values=values,
        excluded=weights <= 0,
        refill=values,
        diagnostics={"weights": weights[values > 0].tolist(), "undetermined": sum(exhausted), **diagnostics},
        caveat="; ".join(filter(None, (caveat, spent))),
    )


def pursue(gradients: Factors, n_picks: int, ridge: float) -> Pursuit:
    """Choose picks A one by one for min over w of ||sum_{a in A} w_a g_a - mean g||^2 + ridge ||w||^2.

    Each pick correlates most, with its sign, with the residual of the least squares so far; the weights at the
    end are the non-negative ones.  The ridge adds sqrt(ridge) e_a to each picked gradient, so that one more row
    of a Cholesky factor is one more step of least squares: O(n_picks * m * (d + n_picks)).
    """
    size = len(gradients.left)
    factor = factor_space(n_picks, size)
    mean = gradients.mean()
    correlation, noise = gradients.against(mean).astype(np.float64), noise_of(gradients, mean)
    pivot = gradients.squared_norms() + ridge
    start, picks = correlation.copy(), np.empty(n_picks, dtype=np.int64)
    open_, exhausted = np.ones(size, dtype=np.bool_), 0
    for t in range(n_picks):
        pick = best_of(np.where(open_, correlation, -np.inf), noise)
        exhausted += bool(abs(correlation[pick]) <= noise)
        picks[t], open_[pick] = pick, False
        row = gradients.inner(np.array([pick]))[0] - factor[:t, pick] @ factor[:t]
        row[pick] += ridge
        # a pivot is never below the ridge but for rounding
        root = np.sqrt(max(pivot[pick], ridge))
        factor[t] = row / root
        correlation -= factor[t] * (correlation[pick] / root)
        pivot -= np.square(factor[t])
    chosen = factor[:, picks]
    weights = nonnegative(chosen.T @ chosen, start[picks])
    return Pursuit(picks=picks, weights=weights, correlation=correlation, exhausted=exhausted)


def nonnegative(K: Floats, b: Floats) -> Floats:
    """Return the x >= 0 float64 [k] that minimises x'Kx / 2 - b'x for a positive definite K.

    Block principal pivoting (Kim and Park, SISC 2011), from the signs of the unconstrained solution: all
    variables on the wrong side change sides at once, or the last of them alone where that stops helping.
    """
    if len(b) == 0:
        return b
    x, free = np.zeros_like(b), np.ones(len(b), dtype=np.bool_)
    fewest, patience = len(b) + 1, _PATIENCE
    for _ in range(10 * len(b) + 100):
        x[:] = 0.0
        x[free] = np.linalg.solve(K[np.ix_(free, free)], b[free])
        slack = K @ x - b
        wrong = (free & (x < -_TOLERANCE * np.abs(x).max())) | (~free & (slack < -_TOLERANCE * np.abs(b).max()))
        count = int(wrong.sum())
        if count == 0:
            break
        if count < fewest:
            fewest, patience = count, _PATIENCE
        elif patience:
            patience -= 1
        else:
            wrong[: np.flatnonzero(wrong)[-1]] = False
        free ^= wrong
    return np.maximum(x, 0.0)
