"""What is checked before any work starts: the content of the data, and the files of weights."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from prunebench.plugins import Catalogue
from prunebench.registry import DatasetEntry, Weights
from prunebench.stages.data import check_fingerprint, fingerprint, load_dataset
from prunebench.stages.embed import find_weights


def identify_dataset(entry: DatasetEntry, catalogue: Catalogue, roots: Iterable[str]) -> str:
    """Load a registered data set, check its content against the registry, and return its fingerprint.

    Raises DataError (DatasetMissing, FingerprintMismatch) with what to do about it.
    """
    plugin = catalogue.dataset(entry.spec)
    loaded = load_dataset(plugin, plugin.spec.resolve_params(entry.params), tuple(map(Path, roots)))
    found = fingerprint(loaded)
    check_fingerprint(entry.name, entry.fingerprint, found)
    return found


def identify_weights(weights: Iterable[Weights], roots: Iterable[str]) -> dict[str, str]:
    """Find the files of weights, check them against the registry, and return the SHA-256 of each by name.

    Raises WeightsMissing where a file is not found, or is not the registered one.
    """
    folders = tuple(map(Path, roots))
    wanted = {(one.file, one.sha256) for one in weights if one.source == "file"}
    return {file: find_weights(file, expected, folders)[1] for file, expected in sorted(wanted)}
