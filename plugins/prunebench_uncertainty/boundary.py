"""DeepFool (Moosavi-Dezfooli et al., CVPR 2016) on the last layer: distance to the nearest decision boundary."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.distance import cdist

from prunebench import NotApplicable, ScoreContext, Scores
from prunebench_uncertainty.evidence import blocks, require_finite

_FLAT = 1e-5  # of the widest direction: narrower ones are rounding of float32
_PARALLEL = 1e-6  # of the largest ||w_k - w_j||: two classes nearer than that have no boundary between them
_LOOSEST = 0.05  # a larger standard error of the slopes leaves the distances undetermined


@dataclass(frozen=True, kw_only=True)
class Head:
    """A linear head recovered from what it maps: logits = slopes' z + a constant.

    slopes: float64 [d, c], zero in directions in which the features do not vary.  rank: number of directions
    in which they do.  residual: root mean square error as a fraction of the spread of the logits.
    slope_error: standard error of a difference of two classes' slopes, as a fraction of the median one.
    """

    slopes: NDArray[np.float64]
    rank: int
    residual: float
    slope_error: float


def deepfool_last_layer(ctx: ScoreContext) -> Scores:
    """Return minus the distance float64 [n] <= 0 from the features to the nearest decision boundary.

    distance = min_{j != k} (f_k - f_j) / ||w_k - w_j||_2 with k the predicted class, in units of the features.
    DeepFool itself perturbs pixels, linearises the whole network and iterates; from the features on one step
    is exact, because the last layer is linear, but a near boundary need not be near in the image.
    The weights are recovered by least squares from features and logits; a direction in which no feature
    varies is outside the space of the distance.
    Raises NotApplicable where the logits are not linear in the features, where there are too few samples to
    tell, or where there is no boundary; DataError for features or logits that are not finite.
    """
    features, logits = ctx.features, ctx.logits
    require_finite(features, "features")
    require_finite(logits, "logits")
    head = recover_head(features, logits)
    _require_linear(head, ctx.n, cast(float, ctx.params["tolerance"]))
    gaps = cdist(head.slopes.T, head.slopes.T)
    if gaps.max() <= _PARALLEL * np.abs(head.slopes).max():
        raise NotApplicable("no decision boundary: there is one class, or the features do not tell classes apart")
    return Scores(
        values=-_distance(ctx, logits, gaps),
        diagnostics={"rank": head.rank, "residual": head.residual, "slope_error": head.slope_error},
    )


def recover_head(features: NDArray[np.floating[Any]], logits: NDArray[np.floating[Any]]) -> Head:
    """Return the least-squares linear head from features [n, d] to logits [n, c], of minimum norm.

    Memory grows with d * d, beside the input.
    """
    (n, d), c = features.shape, logits.shape[1]
    z_mean, f_mean = features.mean(axis=0, dtype=np.float64), logits.mean(axis=0, dtype=np.float64)
    scatter, cross = np.zeros((d, d)), np.zeros((d, c))
    for rows in blocks(n, d + c):
        z = features[rows] - z_mean
        scatter += z.T @ z
        cross += z.T @ (logits[rows] - f_mean)
    widths, directions = np.linalg.eigh(scatter)
    varies = (widths > _FLAT**2 * widths[-1]) & (widths > 0)
    rank, basis = int(varies.sum()), directions[:, varies]
    slopes = basis @ ((basis.T @ cross) / widths[varies, None])
    squared_error = squared_logits = 0.0
    for rows in blocks(n, d + c):
        f = logits[rows] - f_mean
        squared_error += float(np.square(f - (features[rows] - z_mean) @ slopes).sum())
        squared_logits += float(np.square(f).sum())
    variance = squared_error / (c * max(1, n - rank - 1))
    differences = cdist(slopes.T, slopes.T)[np.triu_indices(c, 1)]
    size = float(np.median(differences)) if c > 1 else 0.0
    return Head(
        slopes=slopes,
        rank=rank,
        residual=float(np.sqrt(squared_error / squared_logits)) if squared_logits else 0.0,
        slope_error=float(np.sqrt(2 * variance * (1 / widths[varies]).sum()) / size) if size else 0.0,
    )


def _require_linear(head: Head, n: int, tolerance: float) -> None:
    if n <= head.rank + 1:
        raise NotApplicable(
            f"{n} samples whose features span {head.rank} dimensions fit any head: its weights are undetermined",
            "use more samples than feature dimensions",
        )
    if head.residual > tolerance:
        raise NotApplicable(
            f"the logits are not linear in the features: a fraction {head.residual:.2g} of their spread is left",
            "the backbone's head has more than one linear layer after the penultimate features",
        )
    if head.slope_error > _LOOSEST:
        raise NotApplicable(
            f"the weights of the head are known to a fraction of {head.slope_error:.2g} alone",
            "use more samples, or features and logits of full precision",
        )


def _distance(ctx: ScoreContext, logits: NDArray[np.floating[Any]], gaps: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the distance float64 [n] to the nearest boundary; gaps: ||w_k - w_j||, float64 [c, c]."""
    nearest, meets = np.empty(len(logits)), gaps > _PARALLEL * gaps.max()
    for rows in blocks(len(logits), logits.shape[1]):
        ctx.check_deadline()
        f = logits[rows].astype(np.float64)
        k = f.argmax(axis=1)
        lead = f.max(axis=1, keepdims=True) - f
        far = np.full_like(lead, np.inf)
        nearest[rows] = np.divide(lead, gaps[k], out=far, where=meets[k]).min(axis=1)
    return nearest
