"""What a proof trains on and what it judges: folds, and the parts of the training folds."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from prunebench.errors import DataError
from prunebench.pruning.choose import nested_order

Ints = NDArray[np.int64]
Floats = NDArray[np.float32]
Choose = Callable[[Ints, Mapping[str, int], int], Mapping[str, Ints]]
Arm = tuple[str, str]  # what it is, and its budget

BEYOND = "twice"
EVERYTHING, NO_COPIES = ("everything", ""), ("without duplicates", "")


@dataclass(frozen=True, kw_only=True)
class Judged:
    """Samples that take part.  rows: int64 [n], sorted, of all.  features: standardised.  units: int64 [n], equal
    for samples that are held out together.  copies: bool [n], on which only "everything" may train."""

    rows: Ints
    features: Floats
    labels: Ints
    units: Ints
    copies: NDArray[np.bool_]
    n_classes: int


def sample(labels: Ints, copy_of: Ints | None, at_most: int | None, seed: int) -> Ints:
    """Return the rows that take part, sorted: all, or so many that are no copies, by class, with their copies."""
    n = len(labels)
    heads = np.arange(n) if copy_of is None else np.flatnonzero(copy_of < 0)
    if at_most is None or at_most >= len(heads):
        return np.arange(n)
    order = np.random.default_rng([seed, 1]).permutation(len(heads))
    taken = heads[nested_order(order, labels[heads])[:at_most]]
    return np.sort(taken if copy_of is None else np.union1d(taken, np.flatnonzero(np.isin(copy_of, taken))))


def units_of(group: Ints | None, copy_of: Ints | None, n: int) -> Ints:
    """Return a number for each sample, equal for those that are held out together."""
    unit = np.arange(n)
    if copy_of is not None:
        unit = np.where(copy_of >= 0, copy_of, unit)
    return unit if group is None else np.where(group >= 0, n + group, unit)


def splits(
    data: Judged, kept: Mapping[str, Ints], folds: int, repeats: int, seed: int, restricted: bool
) -> Iterator[tuple[Ints, Ints]]:
    """Yield the rows to train on and the rows to judge: classes, and what is kept, are spread evenly over folds."""
    _, first, place = np.unique(data.units, return_index=True, return_inverse=True)
    stratum = np.zeros(len(data.labels), dtype=np.int64)
    for rows in kept.values() if restricted else ():
        stratum[rows] += 1
    for repeat in range(repeats):
        drawn = np.random.default_rng([seed, 2, repeat]).permutation(len(first))
        fold = np.empty(len(first), dtype=np.int64)
        fold[np.lexsort((drawn, stratum[first], data.labels[first]))] = np.arange(len(first)) % folds
        own = fold[place]
        for held in range(folds):
            yield np.flatnonzero(own != held), np.flatnonzero((own == held) & ~data.copies)


@dataclass(frozen=True)
class Arms:
    """The parts of training folds that probes are trained on."""

    data: Judged
    kept: Mapping[str, Ints]
    choose: Choose | None
    by_class: bool
    draws: int
    seed: int

    def of(self, train: Ints, number: int) -> dict[Arm, list[Ints]]:
        """Return the parts of each arm, by what it is and its budget."""
        pool = train[~self.data.copies[train]]
        arms = {EVERYTHING: [train]}
        if self.data.copies.any():
            arms[NO_COPIES] = [pool]
        rng = np.random.default_rng([self.seed, 3, number])
        for keep, rows in self._chosen(pool, self.seed + number).items():
            arms["kept", keep] = [rows]
            if keep != BEYOND:
                arms["random", keep] = [self._random(pool, len(rows), rng) for _ in range(self.draws)]
        return arms

    def validation(self, train: Ints) -> Ints:
        """Return a fifth of the samples to train on, by class, by which penalties are chosen."""
        pool = train[~self.data.copies[train]]
        order = np.random.default_rng([self.seed, 4]).permutation(len(pool))
        return pool[nested_order(order, self.data.labels[pool])[: -(-len(pool) // 5)]]

    def _chosen(self, pool: Ints, seed: int) -> Mapping[str, Ints]:
        if self.choose is None:
            return {keep: np.intersect1d(rows, pool) for keep, rows in self.kept.items()}
        whole = int((~self.data.copies).sum())
        counts = {keep: max(1, round(len(rows) * len(pool) / whole)) for keep, rows in self.kept.items()}
        if BEYOND not in counts and 2 * max(counts.values()) < len(pool):
            counts[BEYOND] = 2 * max(counts.values())
        chosen = self.choose(self.data.rows[pool], counts, seed)
        return {keep: self._checked(pool, keep, chosen[keep]) for keep in counts}

    def _checked(self, pool: Ints, keep: str, rows: Ints) -> Ints:
        """Return the places of rows of all samples among those that take part."""
        place = np.minimum(np.searchsorted(self.data.rows, rows), len(self.data.rows) - 1)
        if not np.array_equal(self.data.rows[place], rows) or len(np.setdiff1d(place, pool)) or not len(rows):
            raise DataError(f"keep {keep}: the selection has samples that are held out, or none",
                            "choose among the rows that are given")  # fmt: skip
        return place

    def _random(self, pool: Ints, size: int, rng: np.random.Generator) -> Ints:
        order = nested_order(rng.permutation(len(pool)), self.data.labels[pool] if self.by_class else None)
        return pool[order[:size]]
