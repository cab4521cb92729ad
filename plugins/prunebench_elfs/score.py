"""ELFS (Zheng et al., ICLR 2025): how hard pseudo-labels, clusters of the embeddings, are to learn."""

from __future__ import annotations

from typing import cast

import numpy as np
from numpy.typing import NDArray

from prunebench import DataError, ScoreContext
from prunebench.toolbox import within_range
from prunebench_elfs.heads import Shape
from prunebench_elfs.temi import Recipe, temi_clusters


def pseudo_labels(ctx: ScoreContext) -> NDArray[np.int64]:
    """Return the TEMI cluster int64 [n] of every sample, numbered from 0 without gaps.  Labels are never read.

    Features enter at their own scale, as in the released code, but for one that single precision cannot square.
    Source: Adaloglou et al. 2023, with the settings of Zheng et al. 2025.  Raises DataError for features that are
    not finite, Diverged for a loss that is not.
    """
    features = np.ascontiguousarray(ctx.features, dtype=np.float32)
    bad = int((~np.isfinite(features).all(axis=1)).sum())
    if bad:
        raise DataError(f"features of {bad} samples are not finite", "check the backbone and its weights")
    clusters = cast(int, ctx.params["clusters"]) or max(1, ctx.n_classes)
    if len(features) < 2 or clusters < 2:
        return np.zeros(len(features), dtype=np.int64)
    n_epochs = cast(int, ctx.params["epochs"])

    def after_epoch(epoch: int) -> None:
        ctx.check_deadline()
        ctx.progress(epoch / n_epochs, f"cluster heads, epoch {epoch} of {n_epochs}")

    found = temi_clusters(
        within_range(features), _shape(ctx, features.shape[1], clusters), _recipe(ctx), ctx.rng, ctx.device, after_epoch
    )
    return np.unique(found.labels, return_inverse=True)[1].astype(np.int64).reshape(-1)


def _shape(ctx: ScoreContext, inputs: int, clusters: int) -> Shape:
    heads, hidden, bottleneck = (cast(int, ctx.params[name]) for name in ("heads", "hidden", "bottleneck"))
    return Shape(heads=heads, inputs=inputs, hidden=hidden, bottleneck=bottleneck, clusters=clusters)


def _recipe(ctx: ScoreContext) -> Recipe:
    def whole(name: str) -> int:
        return cast(int, ctx.params[name])

    def real(name: str) -> float:
        return cast(float, ctx.params[name])

    return Recipe(
        neighbours=whole("neighbours"),
        epochs=whole("epochs"),
        warmup_epochs=whole("warmup_epochs"),
        batch_size=whole("batch_size"),
        learning_rate=real("learning_rate"),
        beta=real("beta"),
        teacher_momentum=real("teacher_momentum"),
    )


def elfs(ctx: ScoreContext) -> NDArray[np.float64]:
    """Return minus the area under the margin of the pseudo-labels, float64 [n] in [-1, 1]: hard samples highest.

    The margin p_y - max of the other p is averaged over the epochs of the run that learnt the pseudo-labels.
    Source: Zheng et al. 2025; Pleiss et al. 2020.  Raises DataError for unusable dynamics.
    """
    dynamics, labels = ctx.dynamics, ctx.pseudo_labels
    if dynamics.ndim != 3 or dynamics.shape[1] != ctx.n or dynamics.shape[2] <= labels.max():
        raise DataError(
            f"training dynamics have shape {dynamics.shape}, not (epochs, {ctx.n}, more than {labels.max()})",
            "record them again with these pseudo-labels",
        )
    rows, total = np.arange(ctx.n), np.zeros(ctx.n)
    for epoch in dynamics:
        ctx.check_deadline()
        if not np.isfinite(epoch).all():
            raise DataError("training dynamics are not finite", "the recorded run may have diverged")
        others = epoch.astype(np.float64)
        own = others[rows, labels]
        others[rows, labels] = 0.0  # as no probability is below it; a single class has no other
        total += own - others.max(axis=1)
    return -total / len(dynamics)
