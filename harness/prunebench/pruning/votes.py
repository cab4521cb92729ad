"""What the neighbours of each sample say of its label."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from prunebench.pruning.cells import Floats, Ints, blocks


@dataclass(frozen=True, kw_only=True)
class Votes:
    """What the neighbours of each sample say of its label.

    voted: int64 [n], the class with most votes, that of the nearest where several have as many; -1 without a voter.
    share: float32 [n], its part of the votes.  voters: int64 [n].  suspected: bool [n], where more than half of the
    votes go to one class that is not the label."""

    voted: Ints
    share: Floats
    voters: Ints
    suspected: NDArray[np.bool_]


def label_votes(indices: Ints, labels: Ints, groups: Ints | None = None) -> Votes:
    """Let the neighbours of each sample vote for its class (Wilson's editing, 1972).

    indices: int64 [n, k], neighbours over all classes, nearest first, -1 for none.  labels: int64 [n], below 0 for
    none.  groups: int64 [n] of near-duplicates, -1 for none: those of the sample itself have no vote, as a copy
    repeats the error, and of another group only the nearest has one.
    """
    groups = np.full(len(labels), -1, dtype=np.int64) if groups is None else groups
    voted, voters = np.full(len(labels), -1, dtype=np.int64), np.zeros(len(labels), dtype=np.int64)
    share = np.zeros(len(labels), dtype=np.float32)
    for rows in blocks(np.arange(len(labels)), 8192):
        near = indices[rows]
        classes = np.where(near >= 0, labels[near], -1)
        group = np.where(near >= 0, groups[near], -1)
        repeated = np.tril(group[:, :, None] == group[:, None, :], -1).any(axis=2) | (group == groups[rows, None])
        valid = (classes >= 0) & ~(repeated & (group >= 0))
        votes = ((classes[:, :, None] == classes[:, None, :]) & valid[:, None, :]).sum(axis=2) * valid
        winner = votes.argmax(axis=1)
        top = votes[np.arange(len(rows)), winner]
        voters[rows] = valid.sum(axis=1)
        voted[rows] = np.where(top > 0, classes[np.arange(len(rows)), winner], -1)
        share[rows] = top / np.maximum(1, voters[rows])
    suspected = (share > 0.5) & (voted != labels) & (labels >= 0)
    return Votes(voted=voted, share=share, voters=voters, suspected=suspected)
