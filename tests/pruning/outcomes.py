"""What came of prunings that nobody ran: real pictures and features, and a choice by hand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from prunebench.pruning.evidence import Evidence
from prunebench.pruning.flow import Outcome
from prunebench.pruning.ledger import Findings, make_ledger
from prunebench.pruning.likeness import Likeness
from prunebench.pruning.neighbours import nearest_kept
from prunebench.pruning.scoring import Scored
from prunebench.pruning.selecting import Kept
from prunebench.pruning.source import Skipped, Source
from prunebench.store import Store

MANIFEST: Mapping[str, Any] = {
    "schema": 1, "versions": {"prunebench": "0.1.0", "numpy": "2.0"}, "network": {"model": "some_net"}, "keep": ["0.1"],
    "data": {"title": "my photos", "reading": {"labels": "labels.csv", "split": None}, "classes": list("abc")},
    "method": {"scorer": {"name": "some-method", "params": {"k": 5, "deep": True, "kind": "a b"}}, "seed": 3},
    "choice": {"selector": "top", "params": {}, "balance": "class", "drop_duplicates": None, "protected": []},
}  # fmt: skip


@dataclass(frozen=True)
class Drawings:
    """Pictures of one colour each, with a bar whose place differs; those in `broken` cannot be decoded any more."""

    n: int
    broken: frozenset[int] = frozenset()
    size: tuple[int, int] = (90, 60)

    def __len__(self) -> int:
        return self.n

    def picture(self, index: int) -> Image.Image:
        if index in self.broken:
            raise ValueError("the file is gone")
        image = Image.new("RGB", self.size, (37 * index % 256, 91 * index % 256, 200))
        image.paste((255, 255, 0), (index % 80, 0, index % 80 + 9, 59))
        return image

    def digest(self, index: int) -> str:
        return f"{index:032x}"

    def locator(self, index: int) -> Mapping[str, Any]:
        return {}


def outcome(
    n: int = 60,
    n_classes: int = 3,
    keep: Mapping[str, int] | None = None,
    *,
    pictures: Drawings | None = None,
    names: Sequence[str] = (),
    ids: Sequence[str] = (),
    title: str = "my photos",
    skipped: Sequence[Skipped] = (),
    notes: Sequence[str] = (),
    leaks: Mapping[int, tuple[str, float]] | None = None,
    removed: bool = False,
) -> Outcome:
    """Return what came of keeping the first rows; without classes where `n_classes` is 0.  The rows 0 to 4 are one
    group of near-duplicates, of which all but the first are `removed` or none, and the label of row 7 is doubted."""
    rng = np.random.default_rng(0)
    labels = np.arange(n) % max(n_classes, 1)
    features = (rng.normal(size=(max(n_classes, 1), 16))[labels] * 2 + rng.normal(size=(n, 16))).astype(np.float32)
    given = tuple(names) or tuple(f"class {number}" for number in range(n_classes))
    source = Source(
        title=title, ids=tuple(ids) or tuple(f"id-{row}.jpg" for row in range(n)), features=features,
        labels=labels if n_classes else None, class_names=given, pictures=pictures, skipped=tuple(skipped),
    )  # fmt: skip
    rows = np.flatnonzero((np.arange(n) == 0) | (np.arange(n) > 4)) if removed else np.arange(n)
    none = np.zeros(len(rows), dtype=np.bool_)
    scored = Scored(
        scores=np.linspace(1, 0, len(rows)),
        excluded=none,
        extra=none,
        refill=None,
        caveat="",
        diagnostics={},
        seconds=0.0,
    )
    kept = {
        name: Kept(rows=np.arange(count), order=np.arange(len(rows)), scored=scored)
        for name, count in (keep or {"0.1": max(1, n // 10)}).items()
    }
    first = next(iter(kept.values()))
    near = nearest_kept(features, rows[first.rows])
    dropped = ~np.isin(np.arange(n), rows[first.rows])
    findings = Findings(
        group=np.where(np.arange(n) < 5, 0, -1), copy_of=np.where(np.isin(np.arange(n), rows), -1, 0),
        neighbour=np.where(dropped, near.indices[:, 0], -1), cosine=near.similarities[:, 0],
        suspected=np.where(np.arange(n) == 7, (labels + 1) % n_classes, -1) if n_classes > 1 else None,
        votes=np.full(n, 0.8, dtype=np.float32) if n_classes > 1 else None,
        leaks=leaks,
    )  # fmt: skip
    ledger = make_ledger(source, rows, kept, first.reasons(none), findings, given, source.labels if n_classes else None)
    evidence = Evidence(features=features, labels=labels, class_names=given or ("all",))
    return Outcome(
        source=source, whole=evidence, evidence=evidence, found=findings, rows=rows, kept=kept, ledger=ledger,
        nested=True, notes=tuple(notes), like=Likeness(Store(Path("unused")), evidence),
    )  # fmt: skip
