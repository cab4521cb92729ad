"""Nearest neighbours by blocked matrix products, the kept sample that stands for a dropped one, leaks."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from prunebench.contexts import silent
from prunebench.errors import DataError
from prunebench.pruning.cells import (
    BLOCK_ROWS,
    Cell,
    blocks,
    check_cosine,
    checked,
    class_cells,
    cluster_cells,
    inverse,
    unit,
)  # fmt: skip
from prunebench.pruning.parallel import in_order
from prunebench.pruning.search import FEWEST_ROWS, INSTALL, Search, candidates, check_search

Floats = NDArray[np.float32]
Ints = NDArray[np.int64]
Progress = Callable[[float, str], None]
Metric = Literal["cosine", "euclidean"]

EXACT_PAIRS = 4_000_000_000  # about half a minute on two cores at 512 dimensions
_SPARE = 4  # candidates beyond k, as single precision may order nearly equal ones wrongly
_PROBES = 8
_RECALL_ROWS = 1024


@dataclass(frozen=True, kw_only=True)
class Neighbours:
    """The k nearest of each query, the nearest first.

    indices: int64 [n, k] into the base, -1 where there are fewer than k.  similarities: float32 [n, k], cosines, or
    minus the Euclidean distances; -inf where there is none.  exact: whether all pairs were compared.  recall: the share
    of the true neighbours that was found, 1 for an exact search, measured on a sample otherwise."""

    indices: Ints
    similarities: Floats
    recall: float = 1.0
    exact: bool = True


def id_order(ids: Sequence[str]) -> Ints:
    """Return the samples sorted by id, int64 [n]: an `order` that does not depend on that of the file."""
    return np.array(sorted(range(len(ids)), key=ids.__getitem__), dtype=np.int64)


def nearest(
    queries: NDArray[np.floating],
    base: NDArray[np.floating] | None = None,
    k: int = 15,
    *,
    labels: Ints | None = None,
    base_labels: Ints | None = None,
    among: Ints | None = None,
    metric: Metric = "cosine",
    order: Ints | None = None,
    search: Search = "auto",
    seed: int = 0,
    workers: int = 2,
    progress: Progress = silent,
) -> Neighbours:
    """Return the k nearest rows of the base for each query.

    queries: floating [n, d], base: floating [m, d], may be mapped into memory; None for the queries themselves, of
    which no row is its own neighbour.  labels int64 [n], base_labels int64 [m]: search within the class only; below 0
    a row is in none.  among: rows of the base that may be neighbours, int64.  order: int64 [m], rows of the base; of
    equal similarities the first in it wins; that of the rows by default.  search: "exact" compares all pairs;
    "clusters" looks near the clusters in which a query lies, "pynndescent" and "faiss" in an index, and the recall is
    measured; "auto" is exact up to four billion pairs, then clusters.  With labels, all pairs of a class are compared.
    The answer does not depend on `workers`.  A row of zeros is at cosine 0 from all.
    Raises DataError for features that are not finite and for shapes that do not fit, UsageError for a library that is
    not installed.
    """
    check_search(search)
    left = checked(queries)
    right = left if base is None else checked(base, "the features of the base")
    _fit(left, right, labels, base_labels if base is not None else labels, k)
    own = base is None and among is None
    base_order = np.arange(len(right)) if order is None else np.asarray(order, dtype=np.int64)
    query_order = base_order if base is None else np.arange(len(left))
    if among is not None:
        allowed = np.zeros(len(right), dtype=np.bool_)
        allowed[among] = True
        base_order = base_order[allowed[base_order]]
    found = _Search(left, right, k, own, metric, inverse(base_order, len(right)), workers)
    if labels is not None:
        right_labels = labels if base_labels is None else base_labels
        return found.within(class_cells(labels, query_order, right_labels, base_order), progress)
    if search == "auto":
        few = metric == "euclidean" or len(query_order) * len(base_order) <= EXACT_PAIRS
        search = "exact" if few else "clusters"
    if search in INSTALL and len(base_order) < FEWEST_ROWS and metric != "euclidean":
        search = "exact"
    if search == "exact" or not len(base_order) or not len(query_order):
        return found.within([Cell(queries=query_order, base=base_order)], progress)
    if metric == "euclidean":
        raise DataError(f"the search by {search} is for cosines", 'say search="exact", or metric="cosine"')
    if search in INSTALL:
        near = found.indexed(search, query_order, base_order, seed, lambda part, text: progress(0.8 * part, text))
    else:
        cells = cluster_cells(
            left, query_order, right, base_order, probes=_PROBES, seed=seed, workers=workers,
            progress=lambda part, text: progress(0.3 * part, text),
        )  # fmt: skip
        near = found.within(cells, lambda part, text: progress(0.3 + 0.5 * part, text))
    sample = np.sort(np.random.default_rng(seed).permutation(len(query_order))[:_RECALL_ROWS])
    cell = Cell(queries=query_order[sample], base=base_order)
    truth = found.within([cell], lambda part, text: progress(0.8 + 0.2 * part, text))
    recall = _recall(near.indices[cell.queries], truth.indices[cell.queries])
    return Neighbours(indices=near.indices, similarities=near.similarities, recall=recall, exact=False)


def _fit(left: Floats, right: Floats, labels: Ints | None, base_labels: Ints | None, k: int) -> None:
    """Raise DataError unless the arguments of `nearest` belong together."""
    if k < 1:
        raise DataError(f"k is {k}", "ask for one neighbour or more")
    if left.shape[1] != right.shape[1]:
        text = f"the queries have {left.shape[1]} dimensions and the base has {right.shape[1]}"
        raise DataError(text, "embed both with the same network")
    if (labels is None) != (base_labels is None):
        raise DataError("labels are given for one of queries and base", "give both, or neither")
    for rows, given in ((left, labels), (right, base_labels)):
        if given is not None and len(given) != len(rows):
            raise DataError(f"there are {len(given)} labels for {len(rows)} samples", "give one label per sample")


def _recall(found: Ints, truth: Ints) -> float:
    """Return the share of the entries of `truth` that are in the same row of `found`."""
    hits = ((truth[:, :, None] == found[:, None, :]).any(axis=2) & (truth >= 0)).sum()
    return float(hits / max(1, (truth >= 0).sum()))


@dataclass(frozen=True)
class _Search:
    """A search in cells; `own` leaves a row out of its own neighbours, `rank` int64 [m] decides between equal ones."""

    queries: Floats
    base: Floats
    k: int
    own: bool
    metric: Metric
    rank: Ints
    workers: int

    def within(self, cells: Sequence[Cell], progress: Progress) -> Neighbours:
        """Return the nearest over all cells in which a row is a query; the base rows of its cells are distinct."""
        from prunebench.pruning.kernels import merge

        best = np.full((len(self.queries), self.k), -np.inf)
        indices = np.full((len(self.queries), self.k), -1, dtype=np.int64)
        total, done = max(1, sum(len(cell.queries) * len(cell.base) for cell in cells)), 0
        mapped = self.queries, self.base
        for rows, values, found, pairs in in_order(self._block, self._tasks(cells), self.workers, mapped):
            merge(values, found, self.rank, best, indices, rows)
            done += pairs
            progress(done / total, "neighbours")
        return Neighbours(indices=indices, similarities=best.astype(np.float32))

    def indexed(self, search: Search, query_order: Ints, base_order: Ints, seed: int, progress: Progress) -> Neighbours:
        """Find neighbours by the index of another library, and order them by similarities that are computed anew."""
        from prunebench.pruning.kernels import refine

        best = np.full((len(self.queries), self.k), -np.inf, dtype=np.float32)
        indices = np.full((len(self.queries), self.k), -1, dtype=np.int64)
        for queries, places in candidates(
            search, self.queries, query_order, self.base, base_order, self.k + _SPARE + self.own, seed=seed,
            workers=self.workers, progress=progress,
        ):  # fmt: skip
            if self.own:
                places[base_order[places] == queries[:, None]] = -1
            places = np.take_along_axis(places, np.argsort(places < 0, axis=1, kind="stable"), axis=1)
            values = refine(self.queries, queries, self.base, base_order, places, False)
            width = min(self.k, places.shape[1])
            best[queries, :width] = values[:, :width]
            indices[queries, :width] = np.where(places >= 0, base_order[places], -1)[:, :width]
        return Neighbours(indices=indices, similarities=best)

    def _tasks(self, cells: Sequence[Cell]) -> Iterator[Cell]:
        for cell in cells:
            for part in blocks(cell.queries):
                yield Cell(queries=part, base=cell.base)

    def _block(self, cell: Cell) -> tuple[Ints, NDArray[np.float64], Ints, int]:
        """Return the queries of one block, the similarities and indices of their nearest, and the number of pairs."""
        from prunebench.pruning.kernels import keep_best, refine

        shape, euclidean = (len(cell.queries), self.k + _SPARE), self.metric == "euclidean"
        kind = np.float64 if euclidean else np.float32
        best, places = np.full(shape, -np.inf, dtype=kind), np.full(shape, -1, dtype=np.int64)
        own = self._own_places(cell)
        centre = _mean(self.base, cell.base) if euclidean else None
        left = _ready(self.queries, cell.queries, centre)
        for start in range(0, len(cell.base), BLOCK_ROWS):
            right = _ready(self.base, cell.base[start : start + BLOCK_ROWS], centre)
            tile = left @ right.T
            if euclidean:
                tile -= np.einsum("bd,bd->b", right, right) / 2
            keep_best(tile, own, start, best, places)
        values = refine(self.queries, cell.queries, self.base, cell.base, places, euclidean)[:, : self.k]
        places = places[:, : self.k]
        found = np.where(places >= 0, cell.base[places] if len(cell.base) else -1, -1)
        return cell.queries, values, found, len(cell.queries) * len(cell.base)

    def _own_places(self, cell: Cell) -> Ints:
        """Return where each query stands in the base of its cell, -1 for nowhere; the base is sorted by rank."""
        own = np.full(len(cell.queries), -1, dtype=np.int64)
        if self.own and len(cell.base):
            places = np.searchsorted(self.rank[cell.base], self.rank[cell.queries]).clip(max=len(cell.base) - 1)
            own = np.where(cell.base[places] == cell.queries, places, -1)
        return own


def _mean(rows: Floats, members: Ints) -> NDArray[np.float64]:
    sums = [rows[part].sum(axis=0, dtype=np.float64) for part in blocks(members)]
    centre: NDArray[np.float64] = np.sum(sums, axis=0) / max(1, len(members)) if sums else np.zeros(rows.shape[1])
    return centre


def _ready(rows: Floats, members: Ints, centre: NDArray[np.float64] | None) -> NDArray[np.floating]:
    """Return rows at length 1, or about a centre in double precision, where a distance is a difference of squares."""
    return unit(rows[members]) if centre is None else rows[members] - centre


def nearest_kept(
    features: NDArray[np.floating],
    kept: Ints,
    *,
    labels: Ints | None = None,
    order: Ints | None = None,
    search: Search = "auto",
    workers: int = 2,
    progress: Progress = silent,
) -> Neighbours:
    """Return for every sample the kept one that is most similar by cosine, with k = 1; within the class with labels.

    kept: int64 [m], rows.  A kept sample stands for itself, at cosine 1; where nobody of a class is kept, the index
    is -1.  The rest as in `nearest`.
    """
    found = nearest(
        features, k=1, labels=labels, among=kept, order=order, search=search, workers=workers, progress=progress
    )
    found.indices[kept, 0] = kept
    found.similarities[kept, 0] = 1.0
    return found


@dataclass(frozen=True, kw_only=True)
class Leaks:
    """Pairs of a train row and a reference row that are near-duplicates, by train row, the most similar first.

    train, reference: int64 [p], rows.  cosines: float32 [p].  recall, exact: as in Neighbours."""

    train: Ints
    reference: Ints
    cosines: Floats
    recall: float
    exact: bool


def leaks(
    train: NDArray[np.floating],
    reference: NDArray[np.floating],
    cosine: float = 0.95,
    *,
    k: int = 8,
    search: Search = "auto",
    workers: int = 2,
    progress: Progress = silent,
) -> Leaks:
    """Return the train rows that have a reference row at `cosine` or more, each with its `k` most similar at most."""
    check_cosine(cosine)
    found = nearest(train, reference, k, search=search, workers=workers, progress=progress)
    rows, columns = np.nonzero(found.similarities >= np.float32(cosine))
    near, cosines = found.indices[rows, columns], found.similarities[rows, columns]
    return Leaks(train=rows, reference=near, cosines=cosines, recall=found.recall, exact=found.exact)
