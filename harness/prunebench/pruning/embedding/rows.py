"""Rows of features by picture and network: in shards while they are computed, in one mapped file when they are used."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import numpy as np
from numpy.typing import NDArray

from prunebench.artefact_files import DATA, META
from prunebench.keys import digest
from prunebench.pruning.remembered import create_mapped
from prunebench.store import Artefact, Store, map_safetensors

Place = tuple[str, int]  # the key of a shard, and the row in it
Arrays = dict[str, NDArray[np.float32]]


@dataclass(frozen=True)
class Rows:
    """The rows of one network in a store.  A shard is published whole or not at all, and checked when it is read."""

    store: Store
    network: str

    @property
    def _stage(self) -> str:
        return f"pictures/{self.network}"

    def publish(
        self, pictures: Sequence[str], arrays: Mapping[str, NDArray[np.float32]], notes: Mapping[str, Sequence[str]]
    ) -> None:
        """Store a shard: arrays [m, ...] of the pictures with these digests, and what was noted of some of them."""
        key = digest([self.network, *pictures])
        with self.store.lock(key):
            self.store.publish(self._stage, key, arrays, {"pictures": list(pictures), "notes": dict(notes)})

    def find(self, wanted: Collection[str]) -> dict[str, Place]:
        """Return where the rows of pictures are, for those that have one in a shard that is not damaged."""
        found: dict[str, Place] = {}
        remaining = set(wanted)
        for file in sorted((self.store.root / self._stage).glob(f"*/*/{META}")) if remaining else ():
            key = file.parent.name
            meta = self.store.meta(self._stage, key)
            here = {one: (key, row) for row, one in enumerate(meta["pictures"]) if one in remaining} if meta else {}
            if here and self.store.read(self._stage, key) is not None:
                found |= here
                remaining -= here.keys()
        return found

    def joined(self, pictures: Sequence[str]) -> Artefact | None:
        """Return the arrays of exactly these pictures in this order, if they were joined before; their shards are in
        use with them, as a folder that grows needs them."""
        found = self.store.read("picture-features", self._joined_key(pictures))
        for shard in found.meta.get("shards", ()) if found else ():
            self.store.has(self._stage, shard)
        return found

    def join(self, pictures: Sequence[str], places: Mapping[str, Place]) -> Artefact:
        """Copy the rows of pictures, in their order and one shard at a time, into one file, and return it mapped."""
        order = sorted(range(len(pictures)), key=lambda position: places[pictures[position]])
        key, target, notes = self._joined_key(pictures), Arrays(), dict[str, Sequence[str]]()
        facts = {"network": self.network, "shards": sorted({shard for shard, _ in places.values()}), "notes": notes}
        with self.store.publishing("picture-features", key, facts) as scratch:
            for shard, group in groupby(order, key=lambda position: places[pictures[position]][0]):
                positions = list(group)
                arrays, noted = self._shard(shard)
                notes |= {one: noted[one] for one in (pictures[position] for position in positions) if one in noted}
                target = target or create_mapped(
                    scratch / DATA, {name: (len(pictures), array.shape[1]) for name, array in arrays.items()}
                )
                for name, array in arrays.items():
                    target[name][positions] = array[[places[pictures[position]][1] for position in positions]]
            for array in target.values():
                array.flush()  # type: ignore[attr-defined]
        joined = self.joined(pictures)
        assert joined is not None, "it was published just now"
        return joined

    def _shard(self, key: str) -> tuple[Mapping[str, NDArray[Any]], Mapping[str, Sequence[str]]]:
        meta = self.store.meta(self._stage, key) or {}
        return map_safetensors(self.store.folder(self._stage, key) / DATA), meta.get("notes", {})

    def _joined_key(self, pictures: Sequence[str]) -> str:
        return digest([self.network, *pictures])
