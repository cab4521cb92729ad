"""TopoScore: displacement and density of every sample within its class."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

from prunebench import DataError, NotApplicable, ScoreContext, Scores
from prunebench.toolbox import min_max, misclassified

from .density import density
from .displacement import Optimisation, displacement

Floats = NDArray[np.float64]


def score(ctx: ScoreContext) -> Scores:
    """Return alpha * displacement + beta * density, each scaled to [0, 1] within its class.

    Reads projection float32 [n, 2], logits [n, classes] and labels.  Diagnostics: the fraction of points that never
    moved, and how many were filtered out.  Raises NotApplicable for a projection that is not planar, DataError for
    a projection or logits that are not finite.
    """
    points = np.asarray(ctx.projection, dtype=np.float64)
    if points.shape[1] != 2:
        raise NotApplicable(
            f"a planar projection is needed, this one has {points.shape[1]} dimensions",
            "choose one with 2, such as umap",
        )
    if not np.isfinite(points).all():
        raise DataError("the projection is not finite", "look at the backbone and the projector")
    excluded, refill = _filter(ctx)
    values, unmoved, kept = np.zeros(ctx.n), 0, 0
    classes = [np.flatnonzero((ctx.labels == label) & ~excluded) for label in np.unique(ctx.labels)]
    classes = [members for members in classes if len(members)]
    # A generator a class: the result does not depend on the order in which threads finish.
    work = [(points[members], rng) for members, rng in zip(classes, ctx.rng.spawn(len(classes)), strict=True)]
    with ThreadPoolExecutor(max(1, ctx.threads)) as pool:
        terms = pool.map(lambda given: _class_terms(ctx, *given), work)
        for number, (members, (moved, dense)) in enumerate(zip(classes, terms, strict=True)):
            values[members] = _combined(ctx, moved, dense)
            unmoved += int((moved == 0).sum())
            kept += len(members)
            ctx.progress((number + 1) / len(classes), "persistence by class")
    diagnostics = {"fraction_unmoved": unmoved / max(kept, 1), "n_filtered": int(excluded.sum())}
    return Scores(values=values, excluded=excluded, refill=refill, diagnostics=diagnostics)


def _filter(ctx: ScoreContext) -> tuple[NDArray[np.bool_], Floats]:
    """Return which samples the backbone misclassifies, and minus their loss: the order in which they return."""
    wrong, log_probability = misclassified(ctx.logits, ctx.labels)
    if not ctx.params["filter_misclassified"]:
        wrong = np.zeros(ctx.n, dtype=np.bool_)
    return wrong, log_probability


def _class_terms(ctx: ScoreContext, points: Floats, rng: np.random.Generator) -> tuple[Floats, Floats]:
    params = cast("dict[str, Any]", ctx.params)
    fields = ("complex", "loss", "optimiser", "learning_rate", "steps", "bandwidth")
    how = Optimisation(**{name: params[name] for name in fields})
    moved = np.zeros(len(points))
    if params["alpha"] > 0:
        for chunk in _chunks(len(points), int(params["max_class_points"]), rng):
            moved[chunk] = displacement(points[chunk], how, rng, ctx.check_deadline)
    return moved, density(points, how.bandwidth)


def _chunks(n: int, limit: int, rng: np.random.Generator) -> list[NDArray[np.int64]]:
    if limit == 0 or n <= limit:
        return [np.arange(n)]
    return [np.sort(part) for part in np.array_split(rng.permutation(n), -(-n // limit))]


def _combined(ctx: ScoreContext, moved: Floats, dense: Floats) -> Floats:
    params = cast("dict[str, Any]", ctx.params)
    scale = min_max if params["normalise"] == "min_max" else _ranked
    typical = scale(dense)
    if params["density_direction"] == "rarity":
        typical = 1.0 - typical
    return float(params["alpha"]) * scale(moved) + float(params["beta"]) * typical


def _ranked(values: Floats) -> Floats:
    if len(values) < 2 or float(np.ptp(values)) == 0.0:
        return np.zeros(len(values))
    ranks: Floats = (rankdata(values) - 1.0) / (len(values) - 1.0)
    return ranks
