"""How well picks serve all samples: gains from rows of similarity, of which ever less has to be kept."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from prunebench_coresets.groups import Floats, Ints
from prunebench_coresets.kernels import Rows, blocks

_MOST_KEPT = 2**24  # similarities, 12 bytes each: 200 MB
_PROBED = 256
_FIRST = 4  # the first picks leave most pairs in play


@dataclass(frozen=True, kw_only=True)
class Kept:
    """Similarities of each sample to those that it would serve better than any pick does.

    Sample e has the entries starts[e]..starts[e + 1] of others (int32) and similarity (float64).
    """

    starts: Ints
    others: NDArray[np.int32]
    similarity: Floats

    def of(self, chosen: Ints) -> tuple[Ints, Ints]:
        """Return the places of the entries of `chosen`, int64 [e], and how many each has, int64 [len(chosen)]."""
        counts = self.starts[chosen + 1] - self.starts[chosen]
        offsets = np.repeat(self.starts[chosen] - (np.cumsum(counts) - counts), counts)
        return offsets + np.arange(counts.sum()), counts

    def gains(self, chosen: Ints, best: Floats) -> Floats:
        """Return the sum of what is above `best` (float64 [m]), float64 [len(chosen)]."""
        places, counts = self.of(chosen)
        above = np.maximum(self.similarity[places] - best[self.others[places]], 0.0)
        owner = np.repeat(np.arange(len(chosen)), counts)
        total: Floats = np.bincount(owner, above, minlength=len(chosen)).astype(np.float64)
        return total

    def above(self, best: Floats) -> Kept:
        """Return what is still above `best`."""
        left = np.flatnonzero(self.similarity > best[self.others])
        return Kept(
            starts=np.searchsorted(left, self.starts), others=self.others[left], similarity=self.similarity[left]
        )


class Coverage:
    """The similarity of each sample to the nearest pick: `best` float64 [m], and that pick: `serving` int64 [m].

    rows: positions to rows of the symmetric similarity [k, size].  empty: the similarity to no pick.
    A sample gains only from those that it serves better than the picks do, which every pick makes fewer: as soon as
    all such pairs fit into 200 MB they are kept, and no row is computed again.  A class of 5,000 fits after a few
    picks; a larger one computes rows again for some more.
    """

    def __init__(self, rows: Rows, size: int, empty: float) -> None:
        self.best = np.full(size, empty, dtype=np.float64)
        self.serving = np.full(size, -1, dtype=np.int64)
        self._rows, self._size = rows, size
        self._kept: Kept | None = None
        self._picks = 0

    def gains(self, chosen: Ints) -> Floats:
        """Return by how much each of `chosen` would raise the sum of `best`, float64 [len(chosen)]."""
        if self._kept is not None:
            return self._kept.gains(chosen, self.best)
        above = self._rows(chosen) - self.best
        np.maximum(above, 0.0, out=above)
        total: Floats = above.sum(axis=1, dtype=np.float64)
        return total

    def accept(self, pick: int) -> None:
        """Let `pick` serve the samples that it is nearer to than any earlier one, and itself."""
        if self._kept is None:
            others, similarity = np.arange(self._size), self._rows(np.array([pick]))[0].astype(np.float64)
        else:
            places, _ = self._kept.of(np.array([pick]))
            others, similarity = self._kept.others[places].astype(np.int64), self._kept.similarity[places]
        nearer = (similarity > self.best[others]) | (self.serving[others] < 0)
        self.serving[others[nearer]] = pick
        self.serving[pick] = pick
        self.best[others] = np.maximum(self.best[others], similarity)
        self._picks += 1
        if self._picks >= _FIRST and self._picks & (self._picks - 1) == 0:  # each power of two: a few times
            self._refresh()

    def _refresh(self) -> None:
        if self._kept is not None:
            self._kept = self._kept.above(self.best)
        elif (expected := 1.1 * self._expected()) < _MOST_KEPT:
            self._kept = self._collected(int(expected) + self._size)

    def _expected(self) -> float:
        probe = np.linspace(0, self._size - 1, min(_PROBED, self._size)).astype(np.int64)
        return float((self._rows(probe) > self.best).mean()) * self._size**2

    def _collected(self, capacity: int) -> Kept | None:
        """Return all entries above `best`, or None where they are more than `capacity`."""
        others, similarity = np.empty(capacity, dtype=np.int32), np.empty(capacity)
        counts, done = np.zeros(self._size, dtype=np.int64), 0
        for block in blocks(self._size):
            rows = self._rows(block)
            above = rows > self.best
            counts[block] = above.sum(axis=1)
            end = done + int(counts[block].sum())
            if end > capacity:
                return None
            others[done:end], similarity[done:end] = np.nonzero(above)[1], rows[above]
            done = end
        starts = np.concatenate([[0], np.cumsum(counts)])
        return Kept(starts=starts, others=others[:done], similarity=similarity[:done])
