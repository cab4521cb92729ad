"""TopoScore: displacement and density of every sample within its class."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from prunebench import ScoreContext, Scores

from .cloud import Cloud, cloud
from .displacement import Optimisation, displacement
from .samples import samples, scale, typicality

Floats = NDArray[np.float64]


def score(ctx: ScoreContext) -> Scores:
    """Return alpha * displacement + beta * density, each scaled to [0, 1] within its class.

    Reads projection float32 [n, 2], logits [n, classes] and labels.  Diagnostics: the fraction of points that never
    moved, and how many were filtered out.  Raises NotApplicable for a projection that is not planar, DataError for
    a projection or logits that are not finite.
    """
    given, values = samples(ctx), np.zeros(ctx.n)
    unmoved = kept = 0
    # One generator per class: the result does not depend on the order in which threads finish.
    work = [(given.members(ctx.labels, label), rng) for label, rng in enumerate(ctx.rng.spawn(ctx.n_classes))]
    work = [(members, rng) for members, rng in work if len(members)]
    with ThreadPoolExecutor(max(1, ctx.threads)) as pool:
        terms = pool.map(lambda of_class: _class_terms(ctx, given.points[of_class[0]], of_class[1]), work)
        for number, ((members, _), (moved, typical)) in enumerate(zip(work, terms, strict=True)):
            weights = cast("tuple[float, float]", (ctx.params["alpha"], ctx.params["beta"]))
            values[members] = weights[0] * scale(ctx, moved) + weights[1] * typical
            unmoved += int((moved == 0).sum())
            kept += len(members)
            ctx.progress((number + 1) / len(work), "persistence by class")
    diagnostics = {"fraction_unmoved": unmoved / max(kept, 1), "n_filtered": int(given.excluded.sum())}
    return Scores(values=values, excluded=given.excluded, refill=given.refill, diagnostics=diagnostics)


def _class_terms(ctx: ScoreContext, points: Floats, rng: np.random.Generator) -> tuple[Floats, Floats]:
    params = cast("dict[str, Any]", ctx.params)
    fields = ("complex", "loss", "optimiser", "learning_rate", "steps", "bandwidth")
    how = Optimisation(**{name: params[name] for name in fields})
    moved = np.zeros(len(points))
    if params["alpha"] > 0:
        for chunk in _chunks(cloud(points), int(params["max_class_points"]), rng):
            moved[chunk] = displacement(points[chunk], how, rng, ctx.check_deadline)
    return moved, typicality(ctx, points)


def _chunks(places: Cloud, limit: int, rng: np.random.Generator) -> list[NDArray[np.int64]]:
    """Return the numbers of the samples of each chunk; samples at the same place are in the same one."""
    n = len(places.points)
    if limit == 0 or n <= limit:
        return [np.arange(len(places.place))]
    chunk = rng.permutation(n) * -(-n // limit) // n
    return [np.flatnonzero(chunk[places.place] == number) for number in range(-(-n // limit))]
