"""Zero-shot coreset selection (Griffin et al., ZCore, 2024)."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import cast

import numpy as np
from numpy.typing import NDArray

from prunebench import ScoreContext, Scores
from prunebench.toolbox import min_max
from prunebench_clusters.kmeans import finite_features
from prunebench_clusters.planes import score_plane_runs

_TILE = 8  # dimensions that share a pass over the others: a column is read from memory once for all of them
_BLOCKS = 16  # at the least, so that processors share few dimensions; sums do not depend on the number of threads

Floats = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Draws:
    """Random points in random planes: dimensions int64 [m, 2], ascending in a row, points float64 [m, 2].

    Rows are sorted by the tile of their first dimension, by the second, and by the first, so that draws in one plane
    lie side by side, and planes of a tile with the same second dimension, too.
    """

    dimensions: NDArray[np.int64]
    points: Floats


def zcore(ctx: ScoreContext) -> Scores:
    """Return coverage minus redundancy float64 [n], scaled to 0..1.

    Each draw adds 1 to the sample nearest to it in its plane (L1), and takes 1 from the neighbours of that
    sample there, in proportion to distance to the power of -`exponent`; samples at distance 0 from it, if
    any, share the 1 alone.  Of samples equally near to a draw, the first in a random order counts.
    The result does not depend on the number of threads.  Source: Griffin et al. 2024, algorithm 1.
    Raises DataError for features that are not finite.
    """
    features = finite_features(ctx)
    start = ctx.rng.random(ctx.n) if ctx.params["random_start"] else np.zeros(ctx.n)
    shuffled = ctx.rng.permutation(ctx.n)
    columns = np.ascontiguousarray(features[shuffled].T)
    if len(columns) == 1:  # a plane needs two dimensions
        columns = np.concatenate([columns, np.zeros_like(columns)])
    draws = draw_points(columns, cast(int, ctx.params["draws"]), ctx.rng)
    scores, ties = _accumulate(ctx, columns, draws)
    values = start
    values[shuffled] += scores
    return Scores(values=min_max(values), diagnostics={"draws_at_duplicates": ties})


def draw_points(columns: NDArray[np.float32], n_draws: int, rng: np.random.Generator) -> Draws:
    """Draw planes uniformly, and in each a point from triangular(min, median, max) of its two dimensions.

    columns: float32 [d, n] with d > 1.
    """
    n_dimensions = len(columns)
    first = rng.integers(n_dimensions, size=n_draws)
    second = rng.integers(n_dimensions - 1, size=n_draws)
    second += second >= first
    plane = np.sort(np.stack([first, second], axis=1), axis=1)
    plane = plane[np.lexsort((plane[:, 0], plane[:, 1], plane[:, 0] // _TILE))]
    low, high = columns.min(axis=1).astype(np.float64), columns.max(axis=1).astype(np.float64)
    middle = np.array([np.median(column.astype(np.float64)) for column in columns])
    points = triangular(rng.random((n_draws, 2)), low[plane], middle[plane], high[plane])
    return Draws(dimensions=plane, points=points)


def triangular(uniform: Floats, low: Floats, mode: Floats, high: Floats) -> Floats:
    """Return the quantiles of the triangular distribution at `uniform` in 0..1; `low` where low = high."""
    width = high - low
    rising = low + np.sqrt(uniform * width * (mode - low))
    falling = high - np.sqrt((1.0 - uniform) * width * (high - mode))
    return np.where(uniform * width < mode - low, rising, falling)


def _accumulate(ctx: ScoreContext, columns: NDArray[np.float32], draws: Draws) -> tuple[Floats, float]:
    """Return the sum of all draws float64 [n], and the fraction of them whose sample has a duplicate."""
    n_draws, tile = len(draws.points), draws.dimensions[:, 0] // _TILE
    starts = np.flatnonzero(np.diff(tile, prepend=-1))
    edges = np.unique([*starts, *np.linspace(0, n_draws, min(_BLOCKS, n_draws) + 1).astype(int)])

    def block(number: int) -> tuple[Floats, int]:
        rows = slice(edges[number], edges[number + 1])
        return _block(
            columns,
            draws.dimensions[rows],
            draws.points[rows],
            cast(int, ctx.params["neighbours"]),
            cast(int, ctx.params["exponent"]),
        )

    total, ties = np.zeros(ctx.n), 0
    with ThreadPoolExecutor(max(1, ctx.threads)) as pool:
        pending = [pool.submit(block, number) for number in range(len(edges) - 1)]
        try:
            for number, future in enumerate(pending):
                scores, at_duplicates = future.result()
                total += scores
                ties += at_duplicates
                ctx.check_deadline()
                ctx.progress((number + 1) / len(pending), "")
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    return total, ties / n_draws


def _block(
    columns: NDArray[np.float32],
    dimensions: NDArray[np.int64],
    points: Floats,
    neighbours: int,
    exponent: int,
) -> tuple[Floats, int]:
    scores = np.zeros(columns.shape[1])
    firsts, which = np.unique(dimensions[:, 0], return_inverse=True)
    orders = np.stack([_ascending(columns[first]) for first in firsts])
    seconds = dimensions[:, 1].copy()
    ties = score_plane_runs(columns, firsts, orders, which, seconds, points, neighbours, exponent, scores)
    return scores, ties


def _ascending(column: NDArray[np.float32]) -> NDArray[np.int32]:
    """Return the stable order int32 [n] of float32 [n], by sorting whole numbers, which takes less than half as long.

    The bits of a float, with the sign turned or all of them where it is negative, ascend as the floats do.
    """
    bits = (column + np.float32(0)).view(np.uint32)  # -0 becomes 0
    bits = np.where(bits >> 31, ~bits, bits | np.uint32(1 << 31))
    keys = (bits.astype(np.uint64) << np.uint64(32)) | np.arange(len(column), dtype=np.uint64)
    keys.sort()
    return keys.astype(np.uint32).view(np.int32)
