"""Rounds over the cells, support samples, and the order in which both use up a budget."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from prunebench_echo.graph import Cells


@dataclass(frozen=True, kw_only=True)
class Places:
    """Where each sample stands.

    rounds: int64 [n] from 1, the round that picks it.  turns: int64 [n], the place of its cell in a round.
    support: int64 [n], 1 for the farthest of its cell from the mean image, 2 for the next; 0 = no support.
    """

    rounds: NDArray[np.int64]
    turns: NDArray[np.int64]
    support: NDArray[np.int64]

    def picks(self) -> NDArray[np.int64]:
        """Return all samples int64 [n] in the order of the rounds, supports ignored."""
        return np.lexsort((self.turns, self.rounds)).astype(np.int64)

    def with_supports(self) -> NDArray[np.int64]:
        """Return all samples int64 [n]; a cell is followed by its supports when first visited."""
        early = (self.support > 0) & (self.rounds > 1)
        rounds = np.where(early, 1, self.rounds)
        return np.lexsort((np.where(early, self.support, 0), self.turns, rounds)).astype(np.int64)


def place_samples(
    embedded: NDArray[np.float64],
    pixels: NDArray[np.uint8],
    cells: Cells,
    order: NDArray[np.int64],
    n_supports: int,
    rng: np.random.Generator,
) -> Places:
    """Return round, turn and support rank of each sample.

    Within a cell the r-th round takes the r-th nearest to the centroid in the embedding (the r-th highest
    sampling probability of the paper, for any temperature); equal distances are drawn at random.
    """
    turns = np.empty(len(order), dtype=np.int64)
    turns[order] = np.arange(len(order))
    offsets = np.linalg.norm(embedded - cells.centroids[cells.of], axis=1)
    spread = distances_to_cell_mean(pixels, cells)
    tie = rng.permutation(len(embedded))
    rounds = 1 + _rank_in_cell(cells.of, offsets, tie)
    support = 1 + _rank_in_cell(cells.of, -spread, tie)
    support[support > n_supports] = 0
    return Places(rounds=rounds, turns=turns[cells.of], support=support)


def distances_to_cell_mean(pixels: NDArray[np.uint8], cells: Cells, rows: int = 4096) -> NDArray[np.float64]:
    """Return the distance float64 [n] of each image (uint8 [n, d], fractions of 1) from its cell's mean image."""
    grouped = np.argsort(cells.of, kind="stable")
    distances = np.empty(len(pixels))
    for members in np.split(grouped, np.cumsum(cells.populations)[:-1]):
        mean = sum(pixels[members[i : i + rows]].sum(axis=0, dtype=np.int64) for i in range(0, len(members), rows))
        for start in range(0, len(members), rows):
            part = members[start : start + rows]
            distances[part] = np.linalg.norm(pixels[part] - mean / len(members), axis=1) / 255
    return distances


def _rank_in_cell(cell: NDArray[np.int64], key: NDArray[np.float64], tie: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the rank int64 [n] from 0 of each sample in its cell, lowest key first.

    Keys are compared to 9 decimals: in a cell of two both samples are equally far from the mean, and
    rounding errors must not decide between them.
    """
    order = np.lexsort((tie, np.round(key, 9), cell))
    sizes = np.bincount(cell)
    ranks = np.empty(len(cell), dtype=np.int64)
    ranks[order] = np.arange(len(cell)) - (np.cumsum(sizes) - sizes)[cell[order]]
    return ranks
