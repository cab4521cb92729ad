"""Balanced sampling from a hierarchy of clusters: the budget is levelled out at every node."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]


def level_out(sizes: Ints, total: int, rng: np.random.Generator) -> Ints:
    """Share min(total, sum(sizes)) as evenly as the sizes int64 [k] allow: min(size, x), for one x.

    What is left over, less than 1 for each of those larger than x, goes to random ones of them.
    Source: Vo et al. 2024, section 3.4.
    """
    low, high = 0, int(sizes.max(initial=0))
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if int(np.minimum(sizes, middle).sum()) <= total else (low, middle - 1)
    quotas = np.minimum(sizes, low)
    larger = np.flatnonzero(sizes > low)
    left = min(total - int(quotas.sum()), len(larger))
    quotas[rng.choice(larger, left, replace=False)] += 1
    return quotas


def share(parents: Sequence[Ints], total: int, rng: np.random.Generator) -> Ints:
    """Return how many samples each of the lowest clusters gives, int64 [k], with sum min(total, n).

    parents: the cluster of every sample, the cluster of every such cluster, and so on, none of them empty.
    """
    weights = [np.bincount(parents[0])]
    for above in parents[1:]:
        sizes = np.zeros(int(above.max()) + 1, dtype=np.int64)
        np.add.at(sizes, above, weights[-1])
        weights.append(sizes)
    quotas = level_out(weights[-1], total, rng)
    for below, above in zip(weights[-2::-1], parents[:0:-1], strict=True):
        shares = np.zeros_like(below)
        for node, children in enumerate(members_of(above)):
            shares[children] = level_out(below[children], int(quotas[node]), rng)
        quotas = shares
    return quotas


def draw(labels: Ints, quotas: Ints, rng: np.random.Generator, distance: NDArray[np.float64] | None = None) -> Ints:
    """Return `quotas[c]` samples of each cluster c: at random, or the smallest of `distance` float64 [n]."""
    shuffled = rng.permutation(len(labels))
    if distance is not None:
        shuffled = shuffled[np.argsort(distance[shuffled], kind="stable")]
    groups = members_of(labels[shuffled])
    chosen = [group[:quota] for group, quota in zip(groups, quotas, strict=True)]
    picked: Ints = shuffled[np.concatenate(chosen)].astype(np.int64)
    return picked


def members_of(labels: Ints) -> list[Ints]:
    """Return the indices of each of the clusters 0..k-1 in `labels` int64 [n], ascending."""
    return np.split(np.argsort(labels, kind="stable"), np.cumsum(np.bincount(labels))[:-1])
