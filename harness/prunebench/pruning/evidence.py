"""What methods may read of a person's own data, in the place of the artefacts that a suite computes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from prunebench.contexts import Dataset, Split
from prunebench.errors import UsageError
from prunebench.specs import ScorerSpec

_BLOCK_ROWS = 1 << 14
FROM_LABELS = frozenset({"labels", "logits", "gradients", "dynamics"})


class Given(Mapping[str, NDArray[Any]]):
    """The arrays of an artefact that are at hand, or made when they are first read."""

    def __init__(self, **makers: Callable[[], NDArray[Any]]) -> None:
        self._makers, self._made = makers, dict[str, NDArray[Any]]()

    def __getitem__(self, name: str) -> NDArray[Any]:
        if name not in self._made:
            self._made[name] = self._makers[name]()
        return self._made[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._makers)

    def __len__(self) -> int:
        return len(self._makers)


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """Features float32 [n, d] of the samples that are left, with their classes.

    labels: int64 [n], all 0 where nothing is known.  labelled: "labels", "clusters" or "" says where they come from.
    ties: in which order equal samples go before each other, int64 [n], None for that of the rows: of the ids, so that
    the order of a file decides nothing."""

    features: NDArray[np.float32]
    labels: NDArray[np.int64]
    class_names: tuple[str, ...]
    labelled: str = "labels"
    ties: NDArray[np.int64] | None = None

    @property
    def order(self) -> NDArray[np.int64]:
        """The order in which equal samples go before each other, int64 [n]."""
        return np.arange(len(self)) if self.ties is None else self.ties

    def __len__(self) -> int:
        return len(self.labels)

    @cached_property
    def fingerprint(self) -> str:
        """The content of features and labels, 32 hexadecimal digits: the key of all that is computed from them."""
        from hashlib import blake2b

        state = blake2b(
            f"{self.features.dtype.str}{self.features.shape}{len(self.class_names)}".encode(), digest_size=16
        )
        for start in range(0, len(self), _BLOCK_ROWS):
            state.update(np.ascontiguousarray(self.features[start : start + _BLOCK_ROWS]).data)
        state.update(np.ascontiguousarray(self.labels).data)
        return state.hexdigest()

    @cached_property
    def dataset(self) -> Dataset:
        """The samples as the stages take them: no pixels, and no test part."""
        none = np.empty(0, dtype=np.int64)
        train = Split(images=None, labels=self.labels, ids=tuple(map(str, range(len(self)))))
        return Dataset(
            name="own data", train=train, test=Split(images=None, labels=none, ids=()), class_names=self.class_names
        )

    def take(self, rows: NDArray[np.int64]) -> Evidence:
        """Return the evidence of some rows, with the classes that are left."""
        present, labels = np.unique(self.labels[rows], return_inverse=True)
        names = tuple(self.class_names[label] for label in present)
        kept, ties = np.ascontiguousarray(self.features[rows]), None
        if self.ties is not None:
            rank = np.empty(len(self), dtype=np.int64)
            rank[self.ties] = np.arange(len(self))
            ties = np.argsort(rank[rows])
        return Evidence(
            features=kept, labels=labels.astype(np.int64), class_names=names, labelled=self.labelled, ties=ties
        )


def check_reads_no_pixels(spec: ScorerSpec) -> None:
    """Raise UsageError for a method that reads pixels: pictures of people have no common size."""
    if "pixels" in spec.needs:
        text = f"{spec.name} reads pixels of one size, and your own data give features"
        raise UsageError(text, "choose a method that reads features: see `prunebench list scorers`")


def check_reads_labels(spec: ScorerSpec, labelled: bool) -> None:
    """Raise UsageError for a method that reads labels, or what a head learns from them, of data without any."""
    reads = sorted(FROM_LABELS & spec.needs)
    if reads and not labelled:
        needs = "labels" if reads == ["labels"] else f"{' and '.join(reads)}, which a head learns from labels"
        hint = "give --labels FILE, --clusters K for pseudo-classes (1 takes all samples as one class), or a method"
        hint += " without labels, such as those that `prunebench list scorers` shows to read features alone"
        raise UsageError(f"{spec.name} reads {needs}, and the data have no labels", hint)


def check_applies(spec: ScorerSpec, evidence: Evidence) -> None:
    """Raise UsageError for a method that reads what these data do not have."""
    check_reads_labels(spec, bool(evidence.labelled))
    if (FROM_LABELS - {"labels"}) & spec.needs and "labels" not in spec.needs and len(evidence.class_names) < 2:
        raise UsageError(f"{spec.name} reads class predictions, and there is one class", "choose another method")
