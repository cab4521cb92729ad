"""The density term of TopoScore alone."""

from __future__ import annotations

from typing import cast

import numpy as np

from prunebench import ScoreContext, Scores

from .cloud import cloud
from .density import density
from .samples import samples, typicality


def score(ctx: ScoreContext) -> Scores:
    """Return the density of every sample within its class, scaled to [0, 1].

    Reads projection float32 [n, 2], logits [n, classes] and labels.  Raises NotApplicable for a projection that is
    not planar, DataError for a projection or logits that are not finite.
    """
    given, values = samples(ctx), np.zeros(ctx.n)
    for label, rng in enumerate(ctx.rng.spawn(ctx.n_classes)):
        ctx.check_deadline()
        members = given.members(ctx.labels, label)
        if len(members):
            places = cloud(given.points[members], rng)
            dense = density(places.points, cast(float, ctx.params["bandwidth"]), places.counts)
            values[members] = typicality(ctx, dense[places.place])
    diagnostics = {"n_filtered": int(given.excluded.sum())}
    return Scores(values=values, excluded=given.excluded, refill=given.refill, diagnostics=diagnostics)
