"""What a reader is asked, beside the data."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from prunebench.contexts import silent
from prunebench.errors import DataError
from prunebench.pictures import printable


@dataclass(frozen=True, kw_only=True)
class Options:
    """labels: a csv file, or one label for each sample, or None.  ids: one for each sample, or None.  split: which of
    several splits to read; "." says that a folder has none.  cache: where digests and converted features are kept, or
    None.  progress: is told a fraction and a text."""

    labels: Path | Sequence[Any] | None = None
    ids: Sequence[str] | None = None
    split: str | None = None
    cache: Path | None = None
    progress: Callable[[float, str], None] = silent

    def without_splits(self, title: str) -> None:
        """Raise DataError where a split was asked for of data that have none."""
        if self.split not in (None, "."):
            raise DataError(f"{title} has no splits, and {self.split!r} was asked for", "leave the split out")

    def without_ids(self, title: str) -> None:
        """Raise DataError where ids were given for data that have names of their own."""
        if self.ids is not None:
            raise DataError(f"{title}: the names of its pictures are their ids", "leave the ids out")

    def settings(self) -> dict[str, Any]:
        """Return what decides the result as JSON; places are left out, so that a copy of the data is read alike."""
        labels = printable(self.labels.name) if isinstance(self.labels, Path) else self.labels is not None
        return {"labels": labels or None, "split": self.split}
