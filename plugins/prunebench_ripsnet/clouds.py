"""Random clouds of samples: partitions to score in, and clouds to train on."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from prunebench.toolbox import apportion

SMALLEST_POOL = 3


@dataclass(frozen=True, kw_only=True)
class CloudGroup:
    """Clouds of one size.

    members: int64 [c, m], sample indices.  scored: bool [c, m], False for samples that only fill a cloud up.
    """

    members: NDArray[np.int64]
    scored: NDArray[np.bool_]

    def only(self, targets: NDArray[np.int64]) -> CloudGroup:
        """Return the clouds that score any of `targets` (int64 [t]), scoring these alone."""
        wanted = self.scored & np.isin(self.members, targets)
        kept = wanted.any(axis=1)
        return replace(self, members=self.members[kept], scored=wanted[kept])


def sample_pools(labels: NDArray[np.int64], n_classes: int, *, by_class: bool) -> list[NDArray[np.int64]]:
    """Return the sets int64 [n_p] that clouds are drawn from: the classes, or everything.

    Sets of fewer than 3 samples are left out, as a cloud without one of 2 has no diagram.
    """
    pools = [np.flatnonzero(labels == label) for label in range(n_classes)] if by_class else [np.arange(len(labels))]
    return [pool for pool in pools if len(pool) >= SMALLEST_POOL]


def partitions(pools: list[NDArray[np.int64]], size: int, repeats: int, rng: np.random.Generator) -> list[CloudGroup]:
    """Cut every pool `repeats` times at random into clouds of min(size, pool) samples.

    Each partition scores each sample once.  A last cloud that falls short is filled up with other samples
    of the pool, so that all clouds have the size that the network was trained on.
    """
    found: dict[int, list[CloudGroup]] = {}
    for pool in pools:
        width = min(size, len(pool))
        found.setdefault(width, []).extend(_partition(pool, width, rng) for _ in range(repeats))
    return [
        CloudGroup(
            members=np.concatenate([group.members for group in groups]),
            scored=np.concatenate([group.scored for group in groups]),
        )
        for groups in found.values()
    ]


def training_clouds(
    pools: list[NDArray[np.int64]], size: int, count: int, rng: np.random.Generator
) -> NDArray[np.int64]:
    """Return `count` clouds int64 [count, size], in random order, short ones padded with -1 at their end.

    Pools get clouds in proportion to their sizes, from random passes over the pool.  A cloud is full or lacks
    one sample with equal odds: both occur when one sample is left out.
    """
    sizes = np.array([len(pool) for pool in pools], dtype=np.int64)
    shares = apportion(count, sizes * count)  # the factor: a pool may give more clouds than it has samples
    clouds = [_passes(pool, min(size, len(pool)), int(share), rng) for pool, share in zip(pools, shares, strict=True)]
    padded = np.full((sum(map(len, clouds)), max(cloud.shape[1] for cloud in clouds)), -1, dtype=np.int64)
    start = 0
    for cloud in clouds:
        short = rng.random(len(cloud)) < 0.5
        cloud[short, -1] = -1
        padded[start : start + len(cloud), : cloud.shape[1]] = cloud
        start += len(cloud)
    return padded[rng.permutation(len(padded))]


def _partition(pool: NDArray[np.int64], width: int, rng: np.random.Generator) -> CloudGroup:
    order = rng.permutation(pool)
    full, rest = divmod(len(order), width)
    if rest:
        order = np.concatenate([order, rng.choice(order[: full * width], width - rest, replace=False)])
    scored = np.arange(len(order)) < len(pool)
    return CloudGroup(members=order.reshape(-1, width), scored=scored.reshape(-1, width))


def _passes(pool: NDArray[np.int64], width: int, count: int, rng: np.random.Generator) -> NDArray[np.int64]:
    per_pass = len(pool) // width
    clouds = [np.empty((0, width), dtype=np.int64)]
    for _ in range(-(-count // per_pass)):
        clouds.append(rng.permutation(pool)[: per_pass * width].reshape(per_pass, width))
    return np.concatenate(clouds)[:count]
