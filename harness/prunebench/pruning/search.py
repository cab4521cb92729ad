"""How neighbours over all classes are searched: all pairs, near clusters, or by an index of another library."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from contextlib import contextmanager
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from prunebench.contexts import silent
from prunebench.errors import UsageError, did_you_mean
from prunebench.pruning.cells import blocks, unit
from prunebench.pruning.parallel import in_order

if TYPE_CHECKING:
    from collections.abc import Iterator

Search = Literal["auto", "exact", "clusters", "pynndescent", "faiss"]
SEARCHES: tuple[str, ...] = get_args(Search)
INSTALL = {"faiss": "pip install 'prunebench[faiss]'", "pynndescent": "pip install pynndescent"}
FEWEST_ROWS = 256  # below, no index is made: all pairs are compared at once
_BLOCK_ROWS = 8192
_LIST_ROWS = 256  # of an inverted list at least: below 39, faiss warns that its centres are poor
_LISTS_PER_ROOT, _PROBES = 4, 24  # 4 sqrt(n) lists, as faiss advises, of which so many are searched

Floats = NDArray[np.float32]
Ints = NDArray[np.int64]
Progress = Callable[[float, str], None]


def check_search(search: str) -> None:
    """Raise UsageError for a search that is unknown, or whose library is not installed."""
    if search not in SEARCHES:
        raise UsageError(f"no search is named {search!r}", did_you_mean(search, SEARCHES))
    if search in INSTALL and find_spec(search) is None:
        raise UsageError(f"the search by {search} needs the package {search}", INSTALL[search])


def candidates(
    search: str, queries: Floats, query_order: Ints, base: Floats, base_order: Ints, k: int, *, seed: int, workers: int,
    progress: Progress = silent,
) -> Iterator[tuple[Ints, Ints]]:  # fmt: skip
    """Yield rows of queries int64 [b] with their about `k` nearest by cosine, int64 [b, k], places in `base_order`, -1
    for none.

    search: "pynndescent" or "faiss", which copies the base into memory.  The candidates do not depend on `workers`."""
    rows = np.concatenate([*in_order(lambda part: unit(base[part]), blocks(base_order), workers, [base])])
    size = min(k, len(rows))
    progress(0.0, f"{search}: index")
    with (_faiss if search == "faiss" else _pynndescent)(rows, size, seed, workers) as find:
        done = 0
        for part in blocks(query_order, _BLOCK_ROWS):
            yield part, find(unit(queries[part]))
            done += len(part)
            progress(0.5 + 0.5 * done / len(query_order), f"{search}: neighbours")


@contextmanager
def _faiss(rows: Floats, k: int, seed: int, workers: int) -> Iterator[Callable[[Floats], Ints]]:
    """Yield a search in inverted lists (Jegou, Douze and Schmid, 2011)."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of the types that swig makes
        import faiss
    before = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(workers)
    try:
        lists = max(1, min(round(_LISTS_PER_ROOT * len(rows) ** 0.5), len(rows) // _LIST_ROWS))
        index = faiss.IndexIVFFlat(faiss.IndexFlatIP(rows.shape[1]), rows.shape[1], lists, faiss.METRIC_INNER_PRODUCT)
        index.cp.seed, index.cp.spherical, index.nprobe = seed + 1, True, min(_PROBES, lists)
        index.train(rows)
        index.add(rows)
        yield lambda some: np.asarray(index.search(some, k)[1], dtype=np.int64)
    finally:
        faiss.omp_set_num_threads(before)


@contextmanager
def _pynndescent(rows: Floats, k: int, seed: int, workers: int) -> Iterator[Callable[[Floats], Ints]]:
    """Yield a search in a graph of neighbours (Dong, Moses and Li, 2011); by one thread, to be the same for any."""
    import numba
    import pynndescent

    before = numba.get_num_threads()
    numba.set_num_threads(1)
    try:
        index: Any = pynndescent.NNDescent(rows, metric="dot", n_neighbors=max(k, 15), random_state=seed, n_jobs=1)
        index.prepare()
        yield lambda some: np.asarray(index.query(some, k=k)[0], dtype=np.int64)
    finally:
        numba.set_num_threads(before)
