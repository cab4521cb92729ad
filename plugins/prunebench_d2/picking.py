"""The picks of D2: the highest value first, taking from its neighbours what it told them (compiled)."""

from __future__ import annotations

import heapq

import numpy as np
from numba import njit
from numpy.typing import NDArray

from prunebench_d2.graph import Graph


def pick_order(
    values: NDArray[np.float64], graph: Graph, weights: NDArray[np.float64], *, clip: bool = False
) -> NDArray[np.int64]:
    """Return all indices int64 [n] in the order in which they are picked, ties to the lowest index.

    Each pick i lowers its neighbours j by weights[ij] * value_i (by nothing where value_i < 0 and `clip`).
    values: float64 [n].  weights: float64 [edges of `graph`].  A heap with lazy updates: an entry counts
    only while it holds the present value, and every change pushes a new one; O((n + edges) log n).
    Source: Maharana et al. 2024, section 3.3.
    """
    order: NDArray[np.int64] = _picks(
        np.array(values, dtype=np.float64),
        graph.starts.astype(np.int64),
        graph.neighbours.astype(np.int64),
        np.ascontiguousarray(weights, dtype=np.float64),
        clip,
    )
    return order


@njit(cache=True, nogil=True)
def _picks(
    value: NDArray[np.float64],
    starts: NDArray[np.int64],
    neighbours: NDArray[np.int64],
    weights: NDArray[np.float64],
    clip: bool,
) -> NDArray[np.int64]:
    n = len(value)
    order, done = np.empty(n, np.int64), 0
    picked = np.zeros(n, np.bool_)
    heap = [(-value[i], i) for i in range(n)]
    heapq.heapify(heap)
    while done < n:
        negative, i = heapq.heappop(heap)
        if picked[i] or -negative != value[i]:
            continue
        picked[i] = True
        order[done] = i
        done += 1
        sent = max(value[i], 0.0) if clip else value[i]
        for edge in range(starts[i], starts[i + 1]):
            j = neighbours[edge]
            if not picked[j]:
                value[j] -= weights[edge] * sent
                heapq.heappush(heap, (-value[j], j))
    return order
