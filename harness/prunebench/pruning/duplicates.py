"""Groups of near-duplicates over all classes, and which member stands for which."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from prunebench.contexts import silent
from prunebench.pruning.cells import (
    BLOCK_ROWS,
    Cell,
    blocks,
    check_cosine,
    checked,
    cluster_cells,
    inverse,
    unit,
)  # fmt: skip
from prunebench.pruning.neighbours import Floats, Ints, Progress, nearest
from prunebench.pruning.parallel import in_order, release
from prunebench.pruning.search import FEWEST_ROWS, INSTALL, Search, candidates, check_search

_EXACT_ROWS = 20_000
_PROBES = 3
_RECALL_ROWS = 2048
_RECALL_NEAREST = 16
_NEAREST = 17  # of each row in an index, itself among them: groups that are larger hang together by their members


@dataclass(frozen=True, kw_only=True)
class Duplicates:
    """Near-duplicates: samples that are joined by pairs whose cosine is `cosine` or more.

    groups: int64 [n], numbered by their representatives in the given order, -1 for a sample that is alone.
    representatives: int64 [g], the first of each group.  copy_of: int64 [n], the sample that stays in its place, itself
    for one that stays; every copy is at `cosine` or more from it, which a chain of pairs alone does not say.
    cosines: float32 [n], with that sample.  recall: of `pairs` true pairs of a sample of the data, the share that is
    in one group; 1 for an exact search, NaN where the sample has no pair."""

    cosine: float
    groups: Ints
    representatives: Ints
    copy_of: Ints
    cosines: Floats
    exact: bool
    recall: float
    pairs: int


def near_duplicates(
    features: NDArray[np.floating],
    cosine: float = 0.95,
    *,
    order: Ints | None = None,
    search: Search = "auto",
    seed: int = 0,
    workers: int = 2,
    progress: Progress = silent,
) -> Duplicates:
    """Return the groups of near-duplicates among features floating [n, d].

    order: int64 [n], best first: the first of a group stands for it; that of the rows by default.  search: "exact"
    compares all pairs, "clusters" those within the clusters in which samples lie, "pynndescent" and "faiss" the nearest
    of an index, and the recall is measured against all pairs of a sample; "auto" is exact for up to 20,000 distinct
    samples, then clusters.  Equal rows are one before any search; rows of zeros have no direction and are nobody's
    duplicates.  Raises DataError for features that are not finite, UsageError for a library that is not installed.
    """
    check_cosine(cosine)
    check_search(search)
    rows = checked(features)
    order = np.arange(len(rows)) if order is None else np.asarray(order, dtype=np.int64)
    first, directed = _first_of_equal(rows, order), np.asarray(rows.any(axis=1))
    release(rows)
    distinct = order[(first[order] == order) & directed[order]]
    if search == "auto":
        search = "exact" if len(distinct) <= _EXACT_ROWS else "clusters"
    exact = search == "exact" or len(distinct) < (FEWEST_ROWS if search in INSTALL else 2)
    copies = np.flatnonzero((first != np.arange(len(rows))) & directed)
    edges = [np.stack([copies, first[copies]], axis=1)]
    whole = 1.0 if exact else 0.75
    edges += _found(
        rows, distinct, cosine, "exact" if exact else search, seed, workers,
        lambda part, text: progress(whole * part, text),
    )  # fmt: skip
    groups, members, starts = _components(np.concatenate(edges), order)
    copy_of, cosines = np.arange(len(rows)), np.ones(len(rows), dtype=np.float32)
    from prunebench.pruning.kernels import lead

    lead(rows, members, starts, cosine, copy_of, cosines)
    recall, pairs = (
        (1.0, 0)
        if exact
        else _recall(rows, groups, order, cosine, seed, workers, lambda part, text: progress(0.75 + 0.25 * part, text))
    )
    progress(1.0, "near-duplicates")
    return Duplicates(
        cosine=cosine, groups=groups, representatives=members[starts[:-1]], copy_of=copy_of, cosines=cosines,
        exact=exact, recall=recall, pairs=pairs,
    )  # fmt: skip


def _first_of_equal(rows: Floats, order: Ints) -> Ints:
    """Return for each row the first in `order` that is equal to it, itself where there is none."""
    from prunebench.pruning.kernels import row_hashes

    def block(part: Ints) -> NDArray[np.uint64]:
        return row_hashes((rows[part] + np.float32(0)).view(np.uint32))

    parts = list(in_order(block, blocks(order), 1, [rows]))
    hashes = np.concatenate(parts) if parts else np.empty(0, dtype=np.uint64)
    sorted_rows = order[np.argsort(hashes, kind="stable")]
    same = np.diff(np.sort(hashes)) == 0
    for at in np.flatnonzero(same):  # two rows may share a hash by chance
        same[at] = np.array_equal(rows[sorted_rows[at]], rows[sorted_rows[at + 1]])
    head = np.maximum.accumulate(np.where(np.concatenate([[True], ~same])[: len(order)], np.arange(len(order)), 0))
    first = np.arange(len(rows))
    first[sorted_rows] = sorted_rows[head]
    return first


def _found(
    rows: Floats, distinct: Ints, cosine: float, search: Search, seed: int, workers: int, progress: Progress
) -> Iterator[Ints]:
    """Yield pairs int64 [e, 2] of distinct rows that join all near-duplicates that a search finds."""
    if search in INSTALL:
        return _indexed(rows, distinct, cosine, search, seed, workers, progress)
    if search == "exact":
        return _edges(rows, [Cell(queries=distinct, base=distinct)], cosine, workers, progress)
    cells = cluster_cells(
        rows, distinct, rows, distinct, probes=_PROBES, seed=seed, workers=workers,
        progress=lambda part, text: progress(0.5 * part, text),
    )  # fmt: skip
    return _edges(rows, cells, cosine, workers, lambda part, text: progress(0.5 + 0.5 * part, text))


def _indexed(
    rows: Floats, distinct: Ints, cosine: float, search: Search, seed: int, workers: int, progress: Progress
) -> Iterator[Ints]:
    """Yield each row with those of its nearest in an index that are similar enough."""
    from prunebench.pruning.kernels import refine

    for queries, places in candidates(
        search, rows, distinct, rows, distinct, _NEAREST, seed=seed, workers=workers, progress=progress
    ):
        places = np.take_along_axis(places, np.argsort(places < 0, axis=1, kind="stable"), axis=1)
        near = refine(rows, queries, rows, distinct, places, False) >= np.float32(cosine)
        pairs = np.stack([np.repeat(queries, near.sum(axis=1)), distinct[places[near]]], axis=1)
        yield pairs[pairs[:, 0] != pairs[:, 1]]


def _edges(rows: Floats, cells: Sequence[Cell], cosine: float, workers: int, progress: Progress) -> Iterator[Ints]:
    """Yield pairs int64 [e, 2] that join what is within each block of a cell; fewer than it has rows."""
    from prunebench.pruning.kernels import join

    def block(cell: Cell) -> tuple[Ints, int]:
        samples, nodes = np.unique(np.concatenate([cell.queries, cell.base]), return_inverse=True)
        parent = np.arange(len(samples))
        left, n_queries = unit(rows[cell.queries]), len(cell.queries)
        for start in range(0, len(cell.base), BLOCK_ROWS):
            columns = cell.base[start : start + BLOCK_ROWS]
            own = np.concatenate([nodes[:n_queries], nodes[n_queries + start : n_queries + start + len(columns)]])
            join(left @ unit(rows[columns]).T, rows, cell.queries, columns, own, cosine, parent)
        child = np.flatnonzero(parent != np.arange(len(samples)))
        return np.stack([samples[child], samples[parent[child]]], axis=1), n_queries * len(cell.base)

    tasks = list(_tasks(cells))
    total, done = max(1, sum(len(task.queries) * len(task.base) for task in tasks)), 0
    for edges, pairs in in_order(block, tasks, workers, [rows]):
        done += pairs
        progress(done / total, "near-duplicates")
        yield edges


def _tasks(cells: Sequence[Cell]) -> Iterator[Cell]:
    """Yield the cells by blocks of queries; where all are compared with all, each pair once."""
    for cell in cells:
        for start in range(0, len(cell.queries), BLOCK_ROWS):
            base = cell.base[start:] if cell.queries is cell.base else cell.base
            yield Cell(queries=cell.queries[start : start + BLOCK_ROWS], base=base)


def _components(edges: Ints, order: Ints) -> tuple[Ints, Ints, Ints]:
    """Return the group of each sample int64 [n], and the members of the groups with where each starts, in `order`."""
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import connected_components

    n = len(order)
    graph = coo_matrix((np.ones(len(edges), dtype=np.int8), (edges[:, 0], edges[:, 1])), shape=(n, n))
    component = connected_components(graph, directed=False)[1].astype(np.int64) if n else np.empty(0, dtype=np.int64)
    rank = inverse(order, n)
    first = np.full(n, n, dtype=np.int64)
    np.minimum.at(first, component, rank)
    several = np.bincount(component, minlength=n)[component] > 1
    groups = np.full(n, -1, dtype=np.int64)
    _, groups[several] = np.unique(first[component[several]], return_inverse=True)
    inside = order[several[order]]
    members = inside[np.argsort(groups[inside], kind="stable")]
    starts = np.searchsorted(groups[members], np.arange(groups.max(initial=-1) + 2))
    return groups, members, starts


def _recall(
    rows: Floats, groups: Ints, order: Ints, cosine: float, seed: int, workers: int, progress: Progress
) -> tuple[float, int]:
    """Return the share of the true pairs of a sample that is in one group, and how many there are."""
    sample = order[np.sort(np.random.default_rng(seed).permutation(len(order))[:_RECALL_ROWS])]
    size = _RECALL_NEAREST + 1
    truth = nearest(rows[sample], rows, size, search="exact", order=order, workers=workers, progress=progress)
    true = (truth.similarities >= np.float32(cosine)) & (truth.indices != sample[:, None])
    together = (groups[truth.indices] == groups[sample, None]) & (groups[sample, None] >= 0)
    pairs = int(true.sum())
    return float((true & together).sum() / pairs) if pairs else float("nan"), pairs
