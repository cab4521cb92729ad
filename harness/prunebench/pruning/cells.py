"""Which samples are compared with which: all with all, within a class, or within clusters of a sample."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from prunebench.errors import DataError
from prunebench.pruning.parallel import in_order

Floats = NDArray[np.float32]
Ints = NDArray[np.int64]

BLOCK_ROWS = 2048
_CLUSTER_ROWS = 1024  # on average; the work within clusters grows with it, that of the assignment falls
_SAMPLE_PER_CLUSTER = 48
_ITERATIONS = 6


@dataclass(frozen=True, kw_only=True)
class Cell:
    """Rows `queries` int64 [q] that are compared with rows `base` int64 [b], each in the order that decides ties."""

    queries: Ints
    base: Ints


def checked(features: NDArray[np.floating], what: str = "the features") -> Floats:
    """Return features as float32 [n, d], not copied where they are that; raises DataError for what is not finite."""
    if features.ndim != 2 or not features.shape[1] or not np.issubdtype(features.dtype, np.floating):
        text = f"{what} are {features.dtype} {list(features.shape)}, not floating [samples, dimensions]"
        raise DataError(text, "give one row per sample, and one column per dimension")
    with np.errstate(over="ignore"):
        rows = np.ascontiguousarray(features, dtype=np.float32).view(np.ndarray)
    step = max(1, (1 << 22) // rows.shape[1])

    def faults(start: int) -> Ints:
        return start + np.flatnonzero(~np.isfinite(rows[start : start + step]).all(axis=1))

    bad = list(in_order(faults, range(0, len(rows), step), 1, [rows]))
    if count := sum(map(len, bad)):
        text = f"{what} of {count} of {len(rows)} samples are not finite (NaN or infinite), first in row"
        first = int(np.concatenate(bad)[0])
        raise DataError(f"{text} {first}", "leave these samples out, or embed them again in single precision")
    return rows


def inverse(order: Ints, n: int) -> Ints:
    """Return the place of each row in `order`, int64 [n]; n for those that are not in it."""
    rank = np.full(n, n, dtype=np.int64)
    rank[order] = np.arange(len(order))
    return rank


def check_cosine(cosine: float) -> None:
    """Raise DataError for a cosine that cannot mean near-duplicates."""
    if not 0 < cosine <= 1:
        raise DataError(f"a cosine of {cosine:g} makes no near-duplicate", "give one above 0 and up to 1, such as 0.95")


def unit(rows: Floats) -> Floats:
    """Return rows float32 [m, d] at length 1, whatever their magnitude; a row of zeros stays."""
    wide = rows.astype(np.float64)
    lengths = np.sqrt(np.einsum("md,md->m", wide, wide))
    lengths[lengths == 0] = 1
    wide /= lengths[:, None]
    return wide.astype(np.float32)


def blocks(members: Ints, size: int = BLOCK_ROWS) -> Iterator[Ints]:
    """Yield `members` in parts of at most `size`."""
    for start in range(0, len(members), size):
        yield members[start : start + size]


def class_cells(query_labels: Ints, query_order: Ints, base_labels: Ints, base_order: Ints) -> list[Cell]:
    """Return one cell per class that has queries; labels below 0 are compared with nobody."""
    queries, base = _by_label(query_labels, query_order), _by_label(base_labels, base_order)
    nobody = np.empty(0, dtype=np.int64)
    return [Cell(queries=rows, base=base.get(label, nobody)) for label, rows in queries.items() if label >= 0]


def _by_label(labels: Ints, order: Ints) -> dict[int, Ints]:
    """Return the samples of each label, in the given order."""
    grouped = order[np.argsort(labels[order], kind="stable")]
    values, starts = np.unique(labels[grouped], return_index=True)
    return dict(zip(values.tolist(), np.split(grouped, starts[1:]), strict=True))


def cluster_cells(
    queries: Floats,
    query_order: Ints,
    base: Floats,
    base_order: Ints,
    *,
    probes: int,
    seed: int,
    workers: int,
    progress: Callable[[float, str], None],
) -> list[Cell]:
    """Return one cell per cluster: the base rows that are nearest to its centre, and the queries to which it is among
    the `probes` nearest.  The centres are those of spherical k-means on a seeded sample of the base (Dhillon and
    Modha, 2001), about one per 1,024 rows, so that the work within clusters grows with n."""
    centres = _centres(base, base_order, seed, workers, lambda part: progress(0.5 * part, "clusters"))
    nearest = _assign(base, base_order, centres, 1, workers)
    progress(0.75, "clusters")
    wanted = nearest if queries is base and probes == 1 else _assign(queries, query_order, centres, probes, workers)
    progress(1.0, "clusters")
    of_base = _by_label(nearest.ravel(), np.arange(len(base_order)))
    flat = _by_label(wanted.ravel(), np.arange(wanted.size))
    return [
        Cell(queries=query_order[flat[cluster] // wanted.shape[1]], base=base_order[members])
        for cluster, members in of_base.items()
        if cluster in flat
    ]


def _centres(rows: Floats, order: Ints, seed: int, workers: int, progress: Callable[[float], None]) -> Floats:
    """Return unit centres float32 [c, d] by a few rounds of spherical k-means on a sample."""
    from scipy.sparse import csr_matrix

    count = max(1, round(len(order) / _CLUSTER_ROWS))
    chosen = order[np.random.default_rng(seed).permutation(len(order))[: count * _SAMPLE_PER_CLUSTER]]
    sample = np.concatenate([unit(rows[part]) for part in blocks(chosen)])
    centres, places = sample[:count], np.arange(len(sample))
    for step in range(_ITERATIONS):
        nearest = _assign(sample, places, centres, 1, workers).ravel()
        members = csr_matrix((np.ones(len(sample), np.float32), (nearest, places)), shape=(count, len(sample)))
        sums = members @ sample
        # an empty cluster stays where it was
        centres = np.where(np.bincount(nearest, minlength=count)[:, None] > 0, unit(sums), centres)
        progress((step + 1) / _ITERATIONS)
    return centres


def _assign(rows: Floats, order: Ints, centres: Floats, count: int, workers: int) -> Ints:
    """Return the `count` nearest centres of each row of `order`, int64 [len(order), count], the nearest first."""
    from prunebench.pruning.kernels import keep_best

    count = min(count, len(centres))

    def nearest(members: Ints) -> Ints:
        best = np.full((len(members), count), -np.inf, dtype=np.float32)
        places = np.full((len(members), count), -1, dtype=np.int64)
        keep_best(unit(rows[members]) @ centres.T, np.full(len(members), -1), 0, best, places)
        return places

    found = list(in_order(nearest, blocks(order), workers, [rows]))
    return np.concatenate(found or [np.empty((0, count), dtype=np.int64)])
