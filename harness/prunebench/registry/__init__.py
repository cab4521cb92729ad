"""registry.toml: what is official, how it is read, and how it is kept."""

from prunebench.registry.governance import Standing, elsewhere, expected_failures, standing
from prunebench.registry.model import (
    DatasetEntry,
    Listing,
    Method,
    Network,
    Recipe,
    Registry,
    Suite,
    Weights,
    with_noise,
    without_noise,
)  # fmt: skip
from prunebench.registry.reader import find_registry, load_registry

__all__ = ["DatasetEntry", "Listing", "Method", "Network", "Recipe", "Registry", "Standing", "Suite", "Weights",
           "elsewhere", "expected_failures", "find_registry", "load_registry", "standing", "with_noise",
           "without_noise"]  # fmt: skip
