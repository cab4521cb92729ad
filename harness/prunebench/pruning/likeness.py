"""Who is like whom among a person's samples, over all classes or with a reference; computed once, then read."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Any

import numpy as np
from numpy.typing import NDArray

from prunebench.contexts import silent
from prunebench.pruning.duplicates import near_duplicates
from prunebench.pruning.evidence import Evidence
from prunebench.pruning.neighbours import leaks, nearest, nearest_kept
from prunebench.pruning.progress import Progress
from prunebench.pruning.remembered import remembered
from prunebench.pruning.search import Search
from prunebench.store import Store

Arrays = Mapping[str, NDArray[Any]]


@dataclass(frozen=True)
class Likeness:
    """Searches among samples.  search: see `nearest`.  recalls: of each that was not exact, by what was looked for, the
    share that it found of what the exact search finds on a sample; NaN where there was nothing to be found."""

    store: Store
    evidence: Evidence
    search: Search = "auto"
    recalls: dict[str, float] = field(default_factory=dict)

    def duplicates(self, cosine: float, progress: Progress = silent) -> NDArray[np.int64]:
        """Return the group of near-duplicates of each sample, int64 [n], -1 for none."""

        def find() -> dict[str, NDArray[Any]]:
            found = near_duplicates(
                self.evidence.features, cosine, order=self.evidence.order, search=self.search, progress=progress
            )
            return {"groups": found.groups, **_recall(found.recall, found.exact)}

        return self._found("near-duplicates", {"duplicates": cosine}, find)["groups"]

    def neighbours(self, k: int, progress: Progress = silent) -> NDArray[np.int64]:
        """Return the k nearest of each sample, int64 [n, k], the nearest first."""

        def find() -> dict[str, NDArray[Any]]:
            found = nearest(
                self.evidence.features, k=k, order=self.evidence.order, search=self.search, progress=progress
            )
            return {"neighbours": found.indices, **_recall(found.recall, found.exact)}

        return self._found("neighbours", {"neighbours": k}, find)["neighbours"]

    def kept(
        self, kept: NDArray[np.int64], progress: Progress = silent
    ) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """Return the most similar kept sample of each, int64 [n], and its cosine; within the class with labels."""
        labels = self.evidence.labels if self.evidence.labelled else None

        def find() -> dict[str, NDArray[Any]]:
            found = nearest_kept(
                self.evidence.features,
                kept,
                labels=labels,
                order=self.evidence.order,
                search=self.search,
                progress=progress,
            )
            arrays: dict[str, NDArray[Any]] = {"rows": found.indices[:, 0], "cosines": found.similarities[:, 0]}
            return {**arrays, **_recall(found.recall, found.exact)}

        key = {"kept": blake2b(kept.tobytes(), digest_size=16).hexdigest(), "labelled": self.evidence.labelled}
        found = self._found("kept neighbours", key, find)
        return found["rows"], found["cosines"]

    def leaks(self, reference: NDArray[np.float32], cosine: float) -> Arrays:
        """Return `train` int64 [p], rows that nearly equal a row of the reference, the most similar of it, `reference`
        int64 [p], and `cosines`."""
        features = reference.astype(np.float32, copy=False)
        nothing = np.zeros(len(features), dtype=np.int64)
        other = Evidence(features=features, labels=nothing, class_names=("all",), labelled="")

        def find() -> dict[str, NDArray[Any]]:
            found = leaks(self.evidence.features, features, cosine, k=1, search=self.search)
            arrays: dict[str, NDArray[Any]] = {
                "train": found.train,
                "reference": found.reference,
                "cosines": found.cosines,
            }
            return {**arrays, **_recall(found.recall, found.exact)}

        return self._found("copies in the reference", {"reference": other.fingerprint, "cosine": cosine}, find)

    def notes(self) -> tuple[str, ...]:
        """Return what was not searched exactly, in a sentence."""
        told = [f"{share:.1%} of the {what}" for what, share in self.recalls.items() if share == share]
        if not told:
            return ()
        how = {"auto": "near clusters", "clusters": "near clusters"}.get(self.search, f"by {self.search}")
        return (f"the search was {how}: on a sample it found {' and '.join(told)} that the exact search finds",)

    def as_json(self) -> dict[str, Any]:
        """Return the search and its recalls for a manifest."""
        return {
            "search": self.search,
            "recall": {what: round(share, 6) if share == share else None for what, share in self.recalls.items()},
        }

    def _found(self, what: str, config: Mapping[str, Any], make: Callable[[], Arrays]) -> Arrays:
        order = blake2b(self.evidence.order.tobytes(), digest_size=16).hexdigest()
        found = remembered(self.store, self.evidence, {**config, "search": self.search, "order": order}, make)
        if len(found["recall"]):
            self.recalls[what] = float(found["recall"][0])
        return found


def _recall(share: float, exact: bool) -> dict[str, NDArray[Any]]:
    """Return the recall as an array [1], or [0] of an exact search."""
    return {"recall": np.array([] if exact else [share], dtype=np.float64)}
