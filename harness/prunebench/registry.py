"""registry.toml: what is official. One frozen object a table; cross-references are checked when it is read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation
from importlib import resources
from pathlib import Path
from typing import Any

from prunebench.contexts import Arch
from prunebench.errors import SchemaTooNew, UsageError, did_you_mean
from prunebench.toml_table import Table, read_toml

SCHEMA = 1
NETWORK_KEYS = (
    "image_size",
    "mean",
    "std",
    "interpolation",
    "kwargs",
    "weights",
    "control",
    "provider",
    "model",
    "timm",
)


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
    text: str = field(repr=False, default="")

    def suite(self, name: str) -> Suite:
        """Return the suite `name`; raises UsageError with the nearest name."""
        if name not in self.suites:
            raise UsageError(f"no suite is named {name!r} in {self.file.name}", did_you_mean(name, self.suites))
        return self.suites[name]

    def method(self, name: str) -> Method:
        """Return the method `name`; a plain scorer name is a method with that scorer's defaults."""
        return self.methods.get(name, Method(name, name, {}, "", {}))


def find_registry(given: Path | None = None) -> Path:
    """Return the file named, else ./registry.toml, else the one that ships with prunebench."""
    if given is not None:
        return given
    if (here := Path("registry.toml")).is_file():
        return here
    packaged = Path(str(resources.files("prunebench"))) / "registry.toml"
    return packaged if packaged.is_file() else packaged.parents[2] / "registry.toml"


def load_registry(given: Path | None = None) -> Registry:
    """Read and check the registry; RegistryError names the dotted key and the line."""
    top = read_toml(find_registry(given))
    top.only(("schema", "protocol", "dataset", "backbone", "arch", "recipe", "method", "suite"))
    schema = top.get("schema", int)
    if schema > SCHEMA:
        raise SchemaTooNew(f"{top.file.name} has schema {schema}, this prunebench reads {SCHEMA}", "update prunebench")
    networks = {**_tables(top, "backbone", _network), **_tables(top, "arch", _network)}
    for name in top.child("arch").values:
        if name in top.child("backbone").values:
            top.child("arch").fail(name, "is also the name of a backbone", "give the two different names")
    registry = Registry(
        file=top.file,
        protocol=top.get("protocol", str),
        datasets=_tables(top, "dataset", _dataset),
        networks=networks,
        recipes=_tables(top, "recipe", _recipe),
        methods=_tables(top, "method", _method),
        suites=_tables(top, "suite", _suite),
        text=top.text,
    )
    _check_references(top, registry)
    return registry


def _tables(top: Table, kind: str, read: Any) -> dict[str, Any]:
    parent = top.child(kind)
    return {name: read(name, parent.child(name)) for name in parent.values}


def _dataset(name: str, table: Table) -> DatasetEntry:
    table.only(("spec", "params", "fingerprint", "licence"))
    return DatasetEntry(
        name=name,
        spec=table.get("spec", str, name),
        params=table.get("params", dict, {}),
        fingerprint=table.get("fingerprint", str, ""),
        licence=table.get("licence", str, ""),
    )


def _network(name: str, table: Table) -> Network:
    table.only(NETWORK_KEYS)
    if "timm" in table.values:
        provider, model = "timm", table.get("timm", str)
    else:
        provider, model = table.get("provider", str), table.get("model", str)
    size = table.get("image_size", int, 0)
    arch = Arch(
        name=name,
        provider=provider,
        model=model,
        image_size=size or None,
        mean=table.numbers("mean"),
        std=table.numbers("std"),
        interpolation=table.get("interpolation", str, ""),
        kwargs=table.get("kwargs", dict, {}),
    )
    return Network(arch, _weights(table), table.get("control", bool, False))


def _weights(table: Table) -> Weights:
    value = table.values.get("weights", "random")
    if isinstance(value, str):
        if value not in ("hub", "random"):
            table.fail(
                "weights", f"unknown source {value!r}", 'write "hub", "random", {file=..., sha256=...} or {train=...}'
            )
        return Weights(value)
    weights = table.child("weights")
    weights.only(("file", "sha256", "train"))
    if "train" in weights.values:
        return Weights("trained", recipe=weights.get("train", str))
    return Weights("file", file=weights.get("file", str), sha256=weights.get("sha256", str))


def _recipe(name: str, table: Table) -> Recipe:
    table.only(("learner", "params", "tolerance"))
    return Recipe(name, table.get("learner", str), table.get("params", dict, {}), table.get("tolerance", float, 0.02))


def _method(name: str, table: Table) -> Method:
    table.only(("scorer", "params", "selector", "selector_params"))
    return Method(
        name,
        table.get("scorer", str),
        table.get("params", dict, {}),
        table.get("selector", str, ""),
        table.get("selector_params", dict, {}),
    )


def _pair(table: Table) -> tuple[str, str]:
    table.only(("arch", "recipe"))
    return table.get("arch", str), table.get("recipe", str)


def _suite(name: str, table: Table) -> Suite:
    table.only(
        ("summary", "dataset", "methods", "baseline", "unpruned", "backbones", "projectors", "training",
         "pruning_rates", "seeds", "proxy", "agreement")
    )  # fmt: skip
    rates = table.strings("pruning_rates")
    for rate in rates:
        _check_rate(table, rate)
    agreement = table.child("agreement")
    agreement.only(("methods", "projectors", "backbones"))
    methods, backbones = table.strings("methods"), table.strings("backbones", ())
    projectors = table.strings("projectors", ())
    return Suite(
        name=name,
        summary=table.get("summary", str, ""),
        dataset=table.get("dataset", str),
        methods=methods,
        baseline=table.get("baseline", str, ""),
        unpruned=table.get("unpruned", str, ""),
        backbones=backbones,
        projectors=projectors,
        training=tuple(_pair(row) for row in table.children("training")),
        pruning_rates=rates,
        seeds=table.get("seeds", int),
        proxy=_pair(table.child("proxy")) if "proxy" in table.values else None,
        agreement_methods=agreement.strings("methods", methods),
        agreement_projectors=agreement.strings("projectors", projectors),
        agreement_backbones=agreement.strings("backbones", backbones),
    )


def _check_rate(table: Table, rate: str) -> None:
    try:
        fits = 0 <= Decimal(rate) < 1
    except InvalidOperation:
        fits = False
    if not fits:
        table.fail(
            "pruning_rates", f"{rate!r} is not in [0, 1)", 'write fractions as strings, such as "0.9" to keep 10 %'
        )


def _check_references(top: Table, registry: Registry) -> None:
    for name, network in registry.networks.items():
        if network.weights.recipe and network.weights.recipe not in registry.recipes:
            kind = "backbone" if name in top.child("backbone").values else "arch"
            _unknown(top.child(kind).child(name), "weights", network.weights.recipe, "recipe", registry.recipes)
    for suite in registry.suites.values():
        _check_suite(top.child("suite").child(suite.name), suite, registry)


def _check_suite(table: Table, suite: Suite, registry: Registry) -> None:
    if suite.dataset not in registry.datasets:
        _unknown(table, "dataset", suite.dataset, "dataset", registry.datasets)
    for backbone in (*suite.backbones, *suite.agreement_backbones):
        if backbone not in registry.networks:
            _unknown(table, "backbones", backbone, "backbone", registry.networks)
    for key, pairs in (("training", suite.training), ("proxy", (suite.proxy,) if suite.proxy else ())):
        for arch, recipe in pairs:
            if arch not in registry.networks:
                _unknown(table, key, arch, "arch or backbone", registry.networks)
            if recipe not in registry.recipes:
                _unknown(table, key, recipe, "recipe", registry.recipes)
    if suite.seeds < 1:
        table.fail("seeds", f"expected at least 1, got {suite.seeds}")
    if suite.baseline and suite.baseline not in suite.methods:
        table.fail("baseline", f"{suite.baseline!r} is not among the methods", "add it to methods")


def _unknown(table: Table, key: str, name: str, kind: str, known: Mapping[str, Any]) -> None:
    table.fail(key, f"no {kind} is named {name!r}", did_you_mean(name, known))
