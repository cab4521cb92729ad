"""What the files of a suite hold: the content of its data and of its weights, looked at before anything is planned."""

from collections.abc import Iterable
from pathlib import Path

from prunebench.contexts import Dataset
from prunebench.plugins import Catalogue
from prunebench.registry import DatasetEntry, Weights
from prunebench.stages.data import check_fingerprint, fingerprint, load_dataset
from prunebench.stages.embed import find_weights


def load_registered(entry: DatasetEntry, catalogue: Catalogue, roots: Iterable[str]) -> Dataset:
    """Load and validate a data set of the registry, whatever its content."""
    plugin = catalogue.dataset(entry.spec)
    return load_dataset(plugin, plugin.spec.resolve_params(entry.params), tuple(map(Path, roots)))


def identify_dataset(entry: DatasetEntry, catalogue: Catalogue, roots: Iterable[str]) -> str:
    """Load a registered data set, check its content against the registry, and return its fingerprint.  Raises DataError
    (DatasetMissing, FingerprintMismatch) with what to do about it."""
    found = fingerprint(load_registered(entry, catalogue, roots))
    check_fingerprint(entry.name, entry.fingerprint, found)
    return found


def identify_weights(weights: Iterable[Weights], roots: Iterable[str]) -> dict[str, str]:
    """Find the files of weights, check them against the registry, and return the SHA-256 of each by name.  Raises
    WeightsMissing where a file is not found, or is not the registered one."""
    folders, wanted = tuple(map(Path, roots)), {(one.file, one.sha256) for one in weights if one.source == "file"}
    return {file: find_weights(file, expected, folders)[1] for file, expected in sorted(wanted)}
