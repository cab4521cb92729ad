"""What follows from features and labels alone is computed once, and read from the store after that."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from prunebench.keys import digest
from prunebench.pruning.evidence import Evidence
from prunebench.store import Artefact, Store

STAGE = "own-data"


def remembered(
    store: Store, evidence: Evidence, config: Mapping[str, Any], make: Callable[[], Mapping[str, NDArray[Any]]]
) -> Mapping[str, NDArray[Any]]:
    """Return arrays that follow from features and labels alone, from the store where they were made before."""
    return _known(store, evidence, config, lambda key: store.publish(STAGE, key, make(), {})).arrays


def written(
    store: Store, evidence: Evidence, config: Mapping[str, Any], write: Callable[[Path], Mapping[str, Any]]
) -> Artefact:
    """Return what is too large to be held in memory, as `remembered` does.  write: writes safetensors files into a
    folder and returns facts, JSON-able."""

    def publish(key: str) -> None:
        facts: dict[str, Any] = {}
        with store.publishing(STAGE, key, facts) as scratch:
            facts |= write(scratch)

    return _known(store, evidence, config, publish)


def _known(
    store: Store, evidence: Evidence, config: Mapping[str, Any], publish: Callable[[str], None]
) -> Artefact:  # fmt: skip
    key = digest({"evidence": evidence.fingerprint, **config})
    with store.lock(key):
        if (known := store.read(STAGE, key)) is None:
            publish(key)
            known = store.read(STAGE, key)
    assert known is not None, "it was published just now"
    return known


def create_mapped(path: Path, shapes: Mapping[str, tuple[int, int]]) -> dict[str, NDArray[np.float32]]:
    """Make a safetensors file of float32 arrays on disk, and map them to be written."""
    header, end = dict[str, Any](), 0
    for name, shape in shapes.items():
        begin, end = end, end + 4 * shape[0] * shape[1]
        header[name] = {"dtype": "F32", "shape": list(shape), "data_offsets": [begin, end]}
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with path.open("wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        start = file.tell()
        file.truncate(start + end)
        if hasattr(os, "posix_fallocate"):  # a full disk is an error here, and would be a crash in mapped memory
            file.flush()
            os.posix_fallocate(file.fileno(), 0, start + end)
    return {
        name: np.memmap(path, np.float32, "r+", start + header[name]["data_offsets"][0], shape)
        for name, shape in shapes.items()
    }
