"""k-Center Greedy (Gonzalez 1985; Sener and Savarese, ICLR 2018): always the sample farthest from all picks."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from prunebench import ScoreContext, Scores
from prunebench_coresets.groups import Ints, completed, require_finite, scores_of

Floats32 = NDArray[np.float32]

_ROWS = 2048
_CANDIDATES = 1024


def k_center(ctx: ScoreContext) -> Scores:
    """Score float64 [n], positive for the picks in each class (or the whole set), earliest highest.

    Diagnostics: `radius`, the largest distance of a sample to the nearest pick (of its class).  Raises
    DataError for features that are not finite.
    """
    features, radii = ctx.features, [0.0]
    require_finite(features, "features")

    def greedy(members: Ints, quota: int) -> Ints:
        cloud = Cloud.of(features, members)
        # members come shuffled: the first of them is a uniform draw
        first = 0 if ctx.params["first"] == "random" else int(np.argmin(cloud.squared))
        picks, nearest = farthest_first(cloud, quota, first, ctx.check_deadline)
        if quota:
            radii.append(float(np.sqrt(max(0.0, float(nearest.max())))))
        return completed(picks, nearest)

    return Scores(values=scores_of(ctx, greedy, str(ctx.params["scope"])), diagnostics={"radius": max(radii)})


@dataclass(frozen=True, kw_only=True)
class Cloud:
    """Rows `members` of `features`, centred on demand: squared distances keep their digits, nothing is copied.

    features: [n, d].  members: int64 [m].  centre: float32 [d].  squared: float32 [m], centred squared norms.
    """

    features: NDArray[Any]
    members: Ints
    centre: Floats32
    squared: Floats32

    @classmethod
    def of(cls, features: NDArray[Any], members: Ints) -> Cloud:
        """Measure the mean and the norms, block by block."""
        spans = [members[start : start + _ROWS] for start in range(0, len(members), _ROWS)]
        total = np.sum([features[span].sum(axis=0, dtype=np.float64) for span in spans], axis=0)
        centre = (total / len(members)).astype(np.float32)
        squared = [np.square(features[span] - centre, dtype=np.float64).sum(axis=1) for span in spans]
        return cls(
            features=features, members=members, centre=centre, squared=np.concatenate(squared).astype(np.float32)
        )

    def rows(self, chosen: Ints | slice) -> Floats32:
        """Return the centred rows float32 [k, d]."""
        centred: Floats32 = (self.features[self.members[chosen]] - self.centre).astype(np.float32, copy=False)
        return centred

    def distances(self, chosen: Ints | slice, rows: Floats32, others: Ints, other_rows: Floats32) -> Floats32:
        """Return squared distances float32 [k, l] between two sets of positions and their centred rows."""
        squared: Floats32 = rows @ other_rows.T
        squared *= -2.0
        squared += self.squared[chosen][:, None]
        squared += self.squared[others][None]
        np.maximum(squared, 0.0, out=squared)
        return squared


def farthest_first(
    cloud: Cloud, n_picks: int, first: int, check: Callable[[], None] = lambda: None
) -> tuple[Ints, Floats32]:
    """Return picks int64 [n_picks] and the squared distance float32 [m] to the nearest of them, -1 for picks.

    Each pick is the farthest from all before it.  The running minimum is exact for a few candidates alone
    until the best of them is no longer farther than every other sample once was; only then do all samples
    meet the new picks, as one matrix product: O(m * n_picks * d) at the speed of BLAS, O(m) memory.
    """
    nearest = np.full(len(cloud.members), np.inf, dtype=np.float32)
    picks = np.empty(n_picks, dtype=np.int64)
    done = 0
    while done < n_picks:
        check()
        new = _next_picks(cloud, nearest, n_picks - done) if done else np.array([first])
        picks[done : done + len(new)] = new
        done += len(new)
        _meet(cloud, nearest, new)
    return picks, nearest


def _next_picks(cloud: Cloud, nearest: Floats32, limit: int) -> Ints:
    size = min(_CANDIDATES, len(nearest) - 1)
    ranked = np.argpartition(nearest, len(nearest) - size - 1)
    candidates = np.sort(ranked[-size:])
    barrier = nearest[ranked[-size - 1]]
    rows, own = cloud.rows(candidates), nearest[candidates]
    between = cloud.distances(candidates, rows, candidates, rows)
    picks: list[int] = []
    while len(picks) < limit:
        best = int(np.argmax(own))
        if picks and own[best] < max(barrier, 0.0):
            break
        picks.append(int(candidates[best]))
        np.minimum(own, between[best], out=own)
        own[best] = -1.0
    return np.array(picks, dtype=np.int64)


def _meet(cloud: Cloud, nearest: Floats32, picks: Ints) -> None:
    """Lower `nearest` (float32 [m], in place) to the distance to `picks`, and mark these with -1."""
    pick_rows = cloud.rows(picks)
    for start in range(0, len(nearest), _ROWS):
        block = slice(start, start + _ROWS)
        squared = cloud.distances(block, cloud.rows(block), picks, pick_rows)
        np.minimum(nearest[block], squared.min(axis=1), out=nearest[block])
    nearest[picks] = -1.0
