"""How much of what is kept stays the same under another seed or another backbone, beside what chance would give."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from prunebench.errors import UsageError

Ints = NDArray[np.int64]


@dataclass(frozen=True, kw_only=True)
class Overlap:
    """What two selections share, |A and B| over their mean size, and what random ones of these sizes would, 0..1."""

    overlap: float
    chance: float

    @property
    def beyond_chance(self) -> float | None:
        """(overlap - chance) / (1 - chance), 0 = chance and 1 = the same samples (Kuncheva 2007); None where both keep
        everything."""
        return None if self.chance >= 1 else (self.overlap - self.chance) / (1 - self.chance)


@dataclass(frozen=True, kw_only=True)
class Stability:
    """How repeated selections agree.

    overlap: mean over pairs, with that of the pair that agrees least.  chance: of random selections of the same sizes.
    keep_probability: float64 [n], the share of the selections that keep a sample.  deterministic: whether all of them
    are the same."""

    overlap: float
    least: float
    chance: float
    keep_probability: NDArray[np.float64]
    deterministic: bool
    selections: int
    samples: int

    def as_json(self) -> dict[str, Any]:
        """Return all but the probabilities, which stand in the ledger, as JSON-able values."""
        return {
            "overlap": round(self.overlap, 6), "least": round(self.least, 6), "chance": round(self.chance, 6),
            "deterministic": self.deterministic, "selections": self.selections, "samples": self.samples,
        }  # fmt: skip


def overlap(first: Ints, second: Ints, n: int, labels: Ints | None = None) -> Overlap:
    """Return what two selections of n samples share: of two seeds, or of two backbones.

    first, second: rows int64, each once.  labels: int64 [n] where the classes of what is kept are not left to chance;
    then chance is that of random selections with as many samples of each class.  Raises UsageError for a selection
    that is empty or names a row twice."""
    for rows in (first, second):
        if not len(rows) or len(np.unique(rows)) < len(rows) or rows.min() < 0 or rows.max() >= n:
            raise UsageError(f"a selection of {len(rows)} rows of {n}", "give each row from 0 to n - 1 at most once")
    size = (len(first) + len(second)) / 2
    groups = np.zeros(n, dtype=np.int64) if labels is None else labels
    sizes = np.bincount(groups).astype(np.float64)
    shared = np.bincount(groups[first], minlength=len(sizes)) * np.bincount(groups[second], minlength=len(sizes))
    expected = float((shared[sizes > 0] / sizes[sizes > 0]).sum())
    return Overlap(overlap=len(np.intersect1d(first, second)) / size, chance=expected / size)


def stability(choose: Callable[[int], Ints], seeds: Sequence[int], n: int, labels: Ints | None = None) -> Stability:
    """Return how the selections under several seeds agree.

    choose: returns rows int64 for a seed.  labels: as for `overlap`.  Raises UsageError for fewer than two seeds."""
    if len(set(seeds)) < 2:
        raise UsageError(f"stability under {len(set(seeds))} seed", "give two seeds or more")
    return agreement([choose(seed) for seed in seeds], n, labels)


def agreement(chosen: Sequence[Ints], n: int, labels: Ints | None = None) -> Stability:
    """Return how selections that were made agree: two or more, rows int64 of n samples."""
    pairs = [overlap(first, second, n, labels) for first, second in itertools.combinations(chosen, 2)]
    counts = np.zeros(n)
    for rows in chosen:
        counts[rows] += 1
    return Stability(
        overlap=float(np.mean([pair.overlap for pair in pairs])), least=min(pair.overlap for pair in pairs),
        chance=float(np.mean([pair.chance for pair in pairs])), keep_probability=counts / len(chosen),
        deterministic=all(np.array_equal(np.sort(rows), np.sort(chosen[0])) for rows in chosen),
        selections=len(chosen), samples=round(float(np.mean([len(rows) for rows in chosen]))),
    )  # fmt: skip


def stability_text(found: Stability | Mapping[str, Any]) -> str:
    """Return one sentence about it; a mapping is what `as_json` gave."""
    facts = found.as_json() if isinstance(found, Stability) else found
    chance = f"chance would share {facts['chance']:.0%}"
    if facts["deterministic"]:
        return f"Stability: {facts['selections']} seeds keep the same {facts['samples']:,} samples ({chance})."
    shared = f"two seeds share {facts['overlap']:.0%} of the {facts['samples']:,} kept samples on average"
    return f"Stability: {shared}, {facts['least']:.0%} at the least ({chance})."


def backbone_text(name: str, found: Stability) -> str:
    """Return one sentence about how the choice agrees with that on the features of another backbone."""
    same = f"{found.overlap:.0%} of the {found.samples:,} kept samples would be the same"
    return f"With the backbone {name}, {same} (chance would share {found.chance:.0%})."
