"""The density term of TopoScore alone."""

from __future__ import annotations

import numpy as np

from prunebench import ScoreContext, Scores

from .samples import samples, typicality


def score(ctx: ScoreContext) -> Scores:
    """Return the density of every sample within its class, scaled to [0, 1].

    Reads projection float32 [n, 2], logits [n, classes] and labels.  Raises NotApplicable for a projection that is
    not planar, DataError for a projection or logits that are not finite.
    """
    given, values = samples(ctx), np.zeros(ctx.n)
    for label in range(ctx.n_classes):
        ctx.check_deadline()
        members = given.members(ctx.labels, label)
        if len(members):
            values[members] = typicality(ctx, given.points[members])
    diagnostics = {"n_filtered": int(given.excluded.sum())}
    return Scores(values=values, excluded=given.excluded, refill=given.refill, diagnostics=diagnostics)
