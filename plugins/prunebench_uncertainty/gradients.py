"""GraNd (Paul et al., NeurIPS 2021): the norm of a sample's gradient, here of the last layer."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from prunebench import ScoreContext
from prunebench_uncertainty.evidence import blocks, require_finite


def grand(ctx: ScoreContext) -> NDArray[np.float64]:
    """Return the L2 norm float64 [n] of each sample's own cross-entropy gradient in the last layer.

    The gradient is the outer product of p - y and (z, 1), so its norm is ||p - y|| sqrt(||z||^2 + 1), without
    the 1 where the bias is left out.  Raises DataError for gradients that are not finite.
    """
    residual, z = ctx.gradients
    require_finite(residual, "gradients")
    require_finite(z, "features")
    bias, norm = float(bool(ctx.params["bias"])), np.empty(ctx.n)
    for rows in blocks(ctx.n, residual.shape[1] + z.shape[1]):
        error = np.square(residual[rows].astype(np.float64)).sum(axis=1)
        size = np.square(z[rows].astype(np.float64)).sum(axis=1)
        norm[rows] = np.sqrt(error * (size + bias))
    return norm
