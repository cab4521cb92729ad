"""Work in threads, with answers in the order of the items, whatever the number of threads."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

Item = TypeVar("Item")
Answer = TypeVar("Answer")


def in_order(work: Callable[[Item], Answer], items: Iterable[Item], workers: int) -> Iterator[Answer]:
    """Yield `work(item)` for each item, in their order, computed by `workers` threads.

    Matrix products use one thread each meanwhile, so that no digit depends on `workers`.  At most 2 * workers answers
    wait to be taken, which bounds the memory.
    """
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

    waiting: deque[Future[Answer]] = deque()
    with threadpool_limits(limits=1), ThreadPoolExecutor(max(1, workers)) as pool:
        try:
            for item in items:
                waiting.append(pool.submit(work, item))
                if len(waiting) >= 2 * max(1, workers):
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()
