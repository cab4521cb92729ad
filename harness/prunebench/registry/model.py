"""What registry.toml says, one frozen object a table."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from prunebench.contexts import Arch
from prunebench.errors import UsageError, did_you_mean
from prunebench.registry.listing import Listing


@dataclass(frozen=True)
class DatasetEntry:
    """A data set: the plugin's spec, its parameters, and the content that is expected."""

    name: str
    spec: str
    params: Mapping[str, Any]
    fingerprint: str
    licence: str


@dataclass(frozen=True)
class Weights:
    """Where the weights of a network come from: hub, file (checked by sha256), trained here, or random."""

    source: str
    file: str = ""
    sha256: str = ""
    recipe: str = ""


@dataclass(frozen=True)
class Network:
    """A backbone or training architecture; `control` marks one that is on the board only as a control."""

    arch: Arch
    weights: Weights
    control: bool = False


@dataclass(frozen=True)
class Recipe:
    """How to train: a learner with its parameters; `tolerance` is the accuracy by which repeats may differ."""

    name: str
    learner: str
    params: Mapping[str, Any]
    tolerance: float


@dataclass(frozen=True)
class Method:
    """A row of the board: a scorer with parameters, and the selector that picks from its scores."""

    name: str
    scorer: str
    params: Mapping[str, Any]
    selector: str
    selector_params: Mapping[str, Any]
    caveat: str = ""


@dataclass(frozen=True)
class Suite:
    """A grid: methods x backbones x projectors x budgets x training x seeds on one data set."""

    name: str
    summary: str
    dataset: str
    methods: tuple[str, ...]
    baseline: str
    unpruned: str
    backbones: tuple[str, ...]
    projectors: tuple[str, ...]
    training: tuple[tuple[str, str], ...]
    pruning_rates: tuple[str, ...]
    seeds: int
    proxy: tuple[str, str] | None
    agreement_methods: tuple[str, ...]
    agreement_projectors: tuple[str, ...]
    agreement_backbones: tuple[str, ...]
    proxy_seeds: int = 1
    backbone_seeds: int = 1


@dataclass(frozen=True)
class Registry:
    """All tables of registry.toml by name."""

    file: Path
    protocol: str
    datasets: Mapping[str, DatasetEntry]
    networks: Mapping[str, Network]
    recipes: Mapping[str, Recipe]
    methods: Mapping[str, Method]
    suites: Mapping[str, Suite]
    plugins: Mapping[str, Listing] = field(default_factory=dict)
    text: str = field(repr=False, default="")

    def suite(self, name: str) -> Suite:
        """Return the suite `name`; raises UsageError with the nearest name."""
        if name not in self.suites:
            raise UsageError(f"no suite is named {name!r} in {self.file.name}", did_you_mean(name, self.suites))
        return self.suites[name]

    def method(self, name: str) -> Method:
        """Return the method `name`; a plain scorer name is a method with that scorer's defaults."""
        return self.methods.get(name, Method(name, name, {}, "", {}))
