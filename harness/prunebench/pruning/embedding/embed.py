"""Features of all pictures: what is stored is read, the rest is computed and stored shard by shard."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from prunebench.contexts import silent
from prunebench.devices import cores
from prunebench.errors import DataError
from prunebench.keys import digest
from prunebench.pruning.embedding.compute import UNREADABLE, Batch, batches, in_order, reason
from prunebench.pruning.embedding.network import Network
from prunebench.pruning.embedding.rows import Rows
from prunebench.pruning.source import Pictures
from prunebench.store import Store

SHARD, SHARD_SECONDS = 512, 30.0  # what an interruption can cost at most: that many rows, and about that long
Progress = Callable[[float, str], None]
Unread = dict[str, str]  # why pictures have no row, by their digests


@dataclass(frozen=True, kw_only=True)
class Embedded:
    """Rows of the pictures that could be read, in their order.
    features: float32 [m, d] and logits: float32 [m, c] of the network's own head, None without one; read-only, mapped
    into memory.  positions: int64 [m], which pictures these are.  skipped: position to reason for the others.
    notes: what the decoder noted of pictures, by position.  computed: how many rows were not stored before.  facts:
    JSON for a manifest: model, weights with their SHA-256, preprocessing, versions."""

    features: NDArray[np.float32]
    logits: NDArray[np.float32] | None
    positions: NDArray[np.int64]
    skipped: Mapping[int, str]
    notes: Mapping[int, Sequence[str]]
    computed: int
    facts: Mapping[str, Any]


def embed(
    pictures: Pictures, network: Network, *, cache: Path, workers: int | None = None, progress: Progress = silent,
    by: Callable[..., Unread] | None = None,
) -> Embedded:  # fmt: skip
    """Return the features of pictures, and compute only those that the cache does not hold for this network.

    workers: threads that decode and compute, by default one per core that this process may use; the result does not
    depend on it.  by: what computes the rows, as `compute` does.  Pictures of equal content are computed once.  An
    interruption loses at most the rows of the last 30 seconds.  Raises DataError where no picture can be read,
    StoreError where the cache cannot be written.
    """
    count = workers or cores()
    digests, skipped = _identities(pictures, count)
    rows = Rows(Store(cache), network.key)
    computed = 0
    with rows.store.lock("embed-" + digest([network.key, *digests.values()])):
        joined = rows.joined([*digests.values()]) if digests else None
        if joined is None:
            places = rows.find({*digests.values()})
            first = {one: position for position, one in reversed(digests.items()) if one not in places}
            missing = sorted(first.values())
            do = by or compute
            unread = do(pictures, missing, network, rows, digests, count, progress) if missing else {}
            computed = len(missing) - len(unread)
            places |= rows.find(first.keys() - unread.keys())
            skipped |= {position: unread[one] for position, one in digests.items() if one in unread}
            digests = {position: one for position, one in digests.items() if one not in unread}
            if not digests:
                raise _nothing(skipped)
            kept = [*digests.values()]
            joined = rows.joined(kept) or rows.join(kept, places)
    noted = joined.meta.get("notes", {})
    progress(1.0, f"{computed:,} pictures embedded, {len(digests) - computed:,} were there")
    return Embedded(
        features=joined.arrays["features"], logits=joined.arrays.get("logits"), computed=computed, facts=network.facts,
        positions=np.fromiter(digests, np.int64, len(digests)), skipped=dict(sorted(skipped.items())),
        notes={at: noted[one] for at, one in digests.items() if one in noted},
    )  # fmt: skip


def _identities(pictures: Pictures, workers: int) -> tuple[dict[int, str], dict[int, str]]:
    """Return position to digest, in order, and position to reason for pictures whose content cannot be had."""

    def identities(part: range) -> list[tuple[int, str, str]]:
        found = []
        for position in part:
            try:
                found.append((position, pictures.digest(position), ""))
            except UNREADABLE as error:
                found.append((position, "", reason(error)))
        return found

    n = len(pictures)
    parts = (range(begin, min(begin + 64, n)) for begin in range(0, n, 64))
    every = [one for part in in_order(identities, parts, workers) for one in part]
    return {at: one for at, one, why in every if not why}, {at: why for at, _, why in every if why}


def compute(
    pictures: Pictures, missing: Sequence[int], network: Network, rows: Rows, digests: Mapping[int, str], workers: int,
    progress: Progress,
) -> Unread:  # fmt: skip
    """Compute and store the rows of the pictures at `missing`; return digest to reason for those that have none."""
    unread: dict[str, str] = {}
    shard, done, title = _Shard(rows, digests), 0, network.facts.get("model", "network")
    with closing(batches(pictures, missing, network.ready, workers)) as found:
        try:
            for batch in found:
                unread |= {digests[position]: why for position, why in batch.skipped.items()}
                shard.add(batch)
                done += len(batch.positions) + len(batch.skipped)
                progress(done / len(missing), f"{title}: {done:,} of {len(missing):,} pictures")
        finally:
            shard.publish()  # an interruption keeps what is done
    return unread


@dataclass
class _Shard:
    """Rows that are computed and not yet stored."""

    rows: Rows
    digests: Mapping[int, str]
    waiting: list[Batch] = field(default_factory=list)
    since: float = field(default_factory=time.monotonic)

    def add(self, batch: Batch) -> None:
        """Take a batch; publish when there are enough rows, or when they were long in the making."""
        self.waiting += [batch] if batch.positions else []
        n = sum(len(one.positions) for one in self.waiting)
        if n >= SHARD or time.monotonic() - self.since > SHARD_SECONDS:
            self.publish()

    def publish(self) -> None:
        """Store what waits."""
        if self.waiting:
            arrays = {"features": np.concatenate([batch.features for batch in self.waiting])}
            logits = [batch.logits for batch in self.waiting if batch.logits is not None]
            arrays |= {"logits": np.concatenate(logits)} if logits else {}
            notes = {self.digests[one]: found for batch in self.waiting for one, found in batch.notes.items()}
            self.rows.publish([self.digests[one] for batch in self.waiting for one in batch.positions], arrays, notes)
        self.waiting, self.since = [], time.monotonic()


def _nothing(skipped: Mapping[int, str]) -> DataError:
    reasons = list(dict.fromkeys(skipped.values()))
    text = f"none of the {len(skipped):,} pictures could be read: {'; '.join(reasons[:3])}"
    return DataError(text if skipped else "there are no pictures", "check the folder, and open one of them by hand")
