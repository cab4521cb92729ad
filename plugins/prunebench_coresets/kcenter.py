"""k-Center Greedy (Gonzalez 1985; Sener and Savarese, ICLR 2018): always the sample farthest from all picks."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from prunebench import ScoreContext, Scores
from prunebench.toolbox import squared_distances
from prunebench_coresets.groups import Floats, Ints, completed, require_finite, scores_of, undetermined

_ROWS = 512
_CANDIDATES = 1024


def k_center(ctx: ScoreContext) -> Scores:
    """Score float64 [n], positive for the picks in each class (or the whole set), earliest highest.

    Diagnostics: `radius`, the largest distance of a sample to the nearest pick (of its class), and `undetermined`,
    the number of picks that copy an earlier one, with a caveat where there are any.  Raises DataError for features
    that are not finite.
    """
    features, radii, copies = ctx.features, [0.0], [0]
    require_finite(features, "features")
    turn = ctx.rng.permutation(ctx.n)  # a uniform draw: it belongs to the place of a sample, not to its content

    def greedy(members: Ints, quota: int) -> Ints:
        cloud = Cloud(features=features, members=members)
        first = int(np.argmin(turn[members] if ctx.params["first"] == "random" else cloud.squared_from_mean()))
        picks, nearest = farthest_first(cloud, quota, first, ctx.check_deadline)
        copies.append(quota - len(picks) if quota < len(members) else 0)
        if quota:
            radii.append(float(np.sqrt(max(0.0, float(nearest.max())))))
        return completed(picks, nearest)

    values = scores_of(ctx, greedy, str(ctx.params["scope"]))
    return Scores(
        values=values,
        diagnostics={"radius": max(radii), "undetermined": sum(copies)},
        caveat=undetermined(sum(copies), ctx.n_keep, "copies of earlier picks"),
    )


@dataclass(frozen=True, kw_only=True)
class Cloud:
    """Rows `members` (int64 [m]) of `features` [n, d], read block by block: nothing is copied."""

    features: NDArray[Any]
    members: Ints

    def rows(self, chosen: Ints | slice) -> NDArray[Any]:
        """Return the rows [k, d] at these positions."""
        rows: NDArray[Any] = self.features[self.members[chosen]]
        return rows

    def squared_from_mean(self) -> Floats:
        """Return the squared distance float64 [m] of each row to the mean."""
        parts = [self.rows(block) for block in _blocks(len(self.members))]
        mean = np.sum([part.sum(axis=0, dtype=np.float64) for part in parts], axis=0) / len(self.members)
        squared: Floats = np.concatenate([np.square(part - mean).sum(axis=1) for part in parts])
        return squared


def _blocks(size: int) -> list[slice]:
    return [slice(start, start + _ROWS) for start in range(0, size, _ROWS)]


def farthest_first(
    cloud: Cloud, n_picks: int, first: int, check: Callable[[], None] = lambda: None
) -> tuple[Ints, Floats]:
    """Return picks int64 [k] and the squared distance float64 [m] to the nearest of them, -1 for picks.

    Each pick is the farthest from all before it; k is `n_picks`, or less where all other samples are copies of picks.
    The running minimum is exact for a few candidates alone until the best of them is no longer farther than every
    other sample once was; only then do all samples meet the new picks, as one matrix product: O(m * n_picks * d) at
    the speed of BLAS, O(m) memory.
    """
    nearest = np.full(len(cloud.members), np.inf)
    picks = np.empty(n_picks, dtype=np.int64)
    done = 0
    while done < n_picks and (done == 0 or nearest.max() > 0):
        check()
        new = _next_picks(cloud, nearest, n_picks - done) if done else np.array([first])
        picks[done : done + len(new)] = new
        done += len(new)
        _meet(cloud, nearest, new)
    return picks[:done], nearest


def _next_picks(cloud: Cloud, nearest: Floats, limit: int) -> Ints:
    size = min(_CANDIDATES, len(nearest) - 1)
    ranked = np.argpartition(nearest, len(nearest) - size - 1)
    candidates = np.sort(ranked[-size:])
    barrier = nearest[ranked[-size - 1]]
    rows, own = cloud.rows(candidates), nearest[candidates]
    between = squared_distances(rows, rows)
    picks: list[int] = []
    while len(picks) < limit:
        best = int(np.argmax(own))
        if own[best] <= 0 or (picks and own[best] < barrier):
            break
        picks.append(int(candidates[best]))
        np.minimum(own, between[best], out=own)
        own[best] = -1.0
    return np.array(picks, dtype=np.int64)


def _meet(cloud: Cloud, nearest: Floats, picks: Ints) -> None:
    """Lower `nearest` (float64 [m], in place) to the distance to `picks`, and mark these with -1."""
    pick_rows = cloud.rows(picks)
    for block in _blocks(len(nearest)):
        squared = squared_distances(cloud.rows(block), pick_rows)
        np.minimum(nearest[block], squared.min(axis=1), out=nearest[block])
    nearest[picks] = -1.0
