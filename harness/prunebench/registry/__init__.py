"""registry.toml: what is official, how it is read, and how it is kept."""

from prunebench.registry.fields import with_noise, without_noise
from prunebench.registry.governance import Trust, expected_failures, not_installed, trust_in
from prunebench.registry.model import DatasetEntry, Listing, Method, Recipe, Registry, Suite
from prunebench.registry.networks import Network, Weights
from prunebench.registry.reader import find_registry, load_registry, registry_for_own_data

__all__ = ["DatasetEntry", "Listing", "Method", "Network", "Recipe", "Registry", "Suite", "Trust", "Weights",
           "expected_failures", "find_registry", "load_registry", "not_installed", "registry_for_own_data",
           "trust_in", "with_noise", "without_noise"]  # fmt: skip
