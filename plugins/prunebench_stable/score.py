"""The averaged merge height of every sample, turned into a score."""

from __future__ import annotations

import math
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from prunebench import ScoreContext, Scores
from prunebench.toolbox import min_max

from .merge import merge_heights
from .metric import distances, placement
from .scale import by_rank, classes_of, content_order, filtered, require_finite, settled, shared

Floats = NDArray[np.float64]


def score(ctx: ScoreContext) -> Scores:
    """Return the averaged height at which a sample joins the bulk of its class, scaled to [0, 1] within it.

    Reads features float32 [n, d], logits [n, classes] and labels.  Each class is split `repeats` times at random
    into clouds; in a cloud the height is that of the Rips filtration at which the sample's component first holds
    a share `bulk` of the cloud.  Samples with equal features share their mean height, and a sample alone in its class
    has height 0.  Raises DataError for features or logits that are not finite.
    """
    params = cast("dict[str, Any]", ctx.params)
    require_finite(ctx.features)
    order, row = content_order(ctx.features)
    classes, values = classes_of(order, ctx.labels), np.zeros(ctx.n)
    place = placement(ctx.features, order, classes, str(params["metric"]), float(params["shrinkage"]))
    for number, members in enumerate(classes):
        heights = settled(shared(mean_heights(place(members), ctx), row[members]))
        scaled = min_max(heights) if params["normalise"] == "min_max" else by_rank(heights)
        values[members] = scaled if params["prefer"] == "fringe" else 1.0 - scaled
        ctx.progress((number + 1) / len(classes), "clouds by class")
    excluded, refill = filtered(ctx)
    return Scores(values=values, excluded=excluded, refill=refill, diagnostics={"n_filtered": int(excluded.sum())})


def mean_heights(points: Floats, ctx: ScoreContext) -> Floats:
    """Return the mean merge height of the samples of one class over all its clouds, float64 [m]."""
    params = cast("dict[str, Any]", ctx.params)
    n_clouds = max(1, round(len(points) / int(params["cloud_size"])))
    total = np.zeros(len(points))
    for _ in range(int(params["repeats"])):
        ctx.check_deadline()
        for cloud in np.array_split(ctx.rng.permutation(len(points)), n_clouds):
            bulk = max(2, math.ceil(float(params["bulk"]) * len(cloud)))
            total[cloud] += merge_heights(distances(points[cloud], str(params["metric"])), bulk)
    return total / int(params["repeats"])
