"""Work in threads, with answers in the order of the items, whatever the number of threads."""

from __future__ import annotations

import mmap
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, TypeVar, cast

import numpy as np
from numpy.typing import NDArray

Item = TypeVar("Item")
Answer = TypeVar("Answer")

_RELEASED = 64  # answers, between which mapped pages pile up


def in_order(
    work: Callable[[Item], Answer], items: Iterable[Item], workers: int, mapped: Iterable[NDArray[Any]] = ()
) -> Iterator[Answer]:
    """Yield `work(item)` for each item, in their order, computed by `workers` threads.

    Matrix products use one thread each meanwhile, so that no digit depends on `workers`.  At most 2 * workers answers
    wait to be taken, which bounds the memory.  mapped: arrays that the work reads or writes; where they are mapped from
    files, their pages are let go now and then.
    """
    from threadpoolctl import threadpool_limits

    waiting: deque[Future[Answer]] = deque()
    arrays = tuple(mapped)
    with threadpool_limits(limits=1), ThreadPoolExecutor(max(1, workers)) as pool:
        try:
            for number, item in enumerate(items):
                if number % _RELEASED == _RELEASED - 1:
                    release(*arrays)
                waiting.append(pool.submit(work, item))
                if len(waiting) >= 2 * max(1, workers):
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()


def release(*arrays: NDArray[Any]) -> None:
    """Let go of the pages of arrays that are mapped from files: they stay in the cache of the system, or on disk, and
    no longer count as memory of this process.  Private copies of a file (mode "c") would lose what was written."""
    for array in arrays:
        owner: Any = array
        while owner is not None and not isinstance(owner, np.memmap):
            owner = getattr(owner, "base", None)
        if owner is not None and owner.mode != "c" and hasattr(mmap, "MADV_DONTNEED"):
            cast(Any, owner)._mmap.madvise(mmap.MADV_DONTNEED)
