"""The picks of D2: the highest value first, taking from its neighbours what it told them."""

from __future__ import annotations

import heapq

import numpy as np
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
    value: list[float] = values.tolist()
    starts, neighbours, weight = graph.starts.tolist(), graph.neighbours.tolist(), weights.tolist()
    heap = [(-v, i) for i, v in enumerate(value)]
    heapq.heapify(heap)
    picked = [False] * len(value)
    order: list[int] = []
    while heap:
        negative, i = heapq.heappop(heap)
        if picked[i] or -negative != value[i]:
            continue
        picked[i] = True
        order.append(i)
        sent = max(value[i], 0.0) if clip else value[i]
        for edge in range(starts[i], starts[i + 1]):
            j = neighbours[edge]
            if not picked[j]:
                value[j] -= weight[edge] * sent
                heapq.heappush(heap, (-value[j], j))
    return np.array(order, dtype=np.int64)
