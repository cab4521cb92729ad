"""Which samples are scored, where they are in the plane, and how a term is brought to [0, 1] within a class."""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

from prunebench import DataError, NotApplicable, ScoreContext
from prunebench.toolbox import min_max, misclassified

from .cloud import cloud
from .density import density

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]
Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Samples:
    """Points float64 [n, 2], samples that are left out, bool [n], and the order in which they return, float64 [n]."""

    points: Floats
    excluded: Flags
    refill: Floats

    def members(self, labels: Ints, label: int) -> Ints:
        """Return the numbers of the samples of a class that are scored."""
        return np.flatnonzero((labels == label) & ~self.excluded)


def samples(ctx: ScoreContext) -> Samples:
    """Return the samples of a context, filtered as its parameters say.

    Raises NotApplicable for a projection that is not planar, or that leaves out samples which are to be scored;
    DataError for a projection that is not finite where it should be.
    """
    if ctx.projection.shape[1] != 2:
        raise NotApplicable(
            f"a planar projection is needed, this one has {ctx.projection.shape[1]} dimensions",
            "choose one with 2, such as umap",
        )
    wrong, log_probability = misclassified(ctx.logits, ctx.labels)
    only_classified = ctx.params["projected"] == "classified"
    if only_classified and not ctx.params["filter_misclassified"]:
        raise NotApplicable(
            'filter_misclassified = false scores samples that projected = "classified" leaves out of the projection',
            'set projected = "all" as well',
        )
    points = np.asarray(ctx.projection, dtype=np.float64)
    expected = ~wrong if only_classified else np.ones(ctx.n, dtype=np.bool_)
    if bad := int((~np.isfinite(points).all(axis=1) & expected).sum()):
        raise DataError(
            f"the projection of {bad} of {int(expected.sum())} samples is not finite",
            "look at the backbone and the projector",
        )
    excluded = wrong if ctx.params["filter_misclassified"] else np.zeros(ctx.n, dtype=np.bool_)
    return Samples(points, excluded, log_probability)


def typicality(ctx: ScoreContext, points: Floats) -> Floats:
    """Return the density of one class at its points float64 [m, 2], in [0, 1], turned round where rarity is wanted."""
    places = cloud(points)
    dense = density(places.points, cast(float, ctx.params["bandwidth"]), places.counts)
    scaled = scale(ctx, dense[places.place])
    return 1.0 - scaled if ctx.params["density_direction"] == "rarity" else scaled


def scale(ctx: ScoreContext, values: Floats) -> Floats:
    """Return a term of one class in [0, 1], linearly or by rank; 0 where all are equal."""
    if ctx.params["normalise"] == "min_max":
        return min_max(values)
    if len(values) < 2 or float(np.ptp(values)) == 0.0:
        return np.zeros(len(values))
    ranks: Floats = (rankdata(values) - 1.0) / (len(values) - 1.0)
    return ranks
