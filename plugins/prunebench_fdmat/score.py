"""FDMat (Xiao et al., AAAI 2024)."""

from __future__ import annotations

from typing import cast

import numpy as np
from numpy.typing import NDArray

from prunebench import DataError, NotApplicable, ScoreContext, Scores
from prunebench_fdmat.transport import sinkhorn

_OFFSET = 1e-6
_ROWS = 4096
_ROW_ERROR = 0.01


def fdmat(ctx: ScoreContext) -> Scores:
    """Return minus the squared norm float64 [n] of each sample's row of (plan * cost); cheapest first.

    Costs are squared distances from the samples to the class means after `transformed`; the plan carries 1
    from every sample and the class size into every class.  A score belongs to the sample in the same row of
    the features; the released code instead returns places in an array regrouped by class, rounds scores to
    integers where classes are balanced, and leaves the last n mod c costs at 0.
    Source: Xiao et al. 2024, section 3.  Raises DataError for features that are not finite.
    """
    params = ctx.params
    bad = int((~np.isfinite(ctx.features).all(axis=1)).sum())
    if bad:
        raise DataError(f"features of {bad} samples are not finite", "check the backbone and its weights")
    negative = float((ctx.features < 0).mean()) if ctx.features.size else 0.0
    if negative and params["negative"] == "refuse":
        raise NotApplicable(
            f"a fraction of {negative:.2g} of the features is negative, and their power is not defined",
            "use a backbone whose features follow a ReLU, or negative = signed",
        )
    ctx.check_deadline()
    cost, sizes = class_costs(transformed(ctx.features, cast(float, params["power"])), ctx.labels)
    ctx.check_deadline()
    plan = sinkhorn(
        cost,
        sizes,
        cast(float, params["regularisation"]),
        cast(int, params["iterations"]),
        cast(float, params["tolerance"]),
    )
    return Scores(
        values=-np.square(plan.mass * cost).sum(axis=1),
        diagnostics={
            "iterations": plan.iterations,
            "row_error": plan.row_error,
            "negative_features": negative,
        },
        caveat="; ".join(_caveats(negative, plan.row_error)),
    )


def _caveats(negative: float, row_error: float) -> list[str]:
    """Return why the scores are not those of the paper's setting; a plan may stop short of its row sums."""
    caveats = ["signed power of negative features"] if negative else []
    return caveats + (["transport plan has not converged"] if row_error > _ROW_ERROR else [])


def transformed(features: NDArray[np.floating], power: float) -> NDArray[np.float64]:
    """Return features float64 [n, d] after the power, minus their mean, over the norm before centring.

    Negative values keep their sign.  Source: Xiao et al. 2024, section 3.2; the norm of the uncentred row is
    the released code's.
    """
    result = np.empty(features.shape)
    for start in range(0, len(features), _ROWS):
        rows = features[start : start + _ROWS].astype(np.float64)
        result[start : start + _ROWS] = np.where(rows < 0, -1.0, 1.0) * (np.abs(rows) + _OFFSET) ** power
    norms = np.sqrt(np.einsum("nd,nd->n", result, result))
    result -= result.mean(axis=0)
    result /= norms[:, None]
    return result


def class_costs(
    points: NDArray[np.float64], labels: NDArray[np.int64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return squared distances float64 [n, c] from points [n, d] to the class means, and the class sizes [c].

    Only classes with samples have a column, in the order of their labels.
    """
    _, column, sizes = np.unique(labels, return_inverse=True, return_counts=True)
    groups = np.argsort(column, kind="stable")
    starts = np.cumsum(sizes) - sizes
    means = np.stack([points[groups[s : s + m]].mean(axis=0) for s, m in zip(starts, sizes, strict=True)])
    cost = points @ means.T
    cost *= -2.0
    cost += np.einsum("nd,nd->n", points, points)[:, None]
    cost += np.einsum("cd,cd->c", means, means)
    return np.maximum(cost, 0.0, out=cost), sizes.astype(np.float64)
