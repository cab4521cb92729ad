"""registry.toml is found and read; cross-references are checked then."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Any

from prunebench.contexts import Arch
from prunebench.errors import SchemaTooNew, did_you_mean
from prunebench.registry.listing import read_listing
from prunebench.registry.model import DatasetEntry, Method, Network, Recipe, Registry, Suite, Weights
from prunebench.registry.tables import FILE_WEIGHTS, HEADER, NAMED_WEIGHTS, TABLES, TRAINED_WEIGHTS
from prunebench.registry.toml_table import Table, read_toml

SCHEMA = 1


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
    return make_registry(read_toml(find_registry(given)))


def make_registry(top: Table) -> Registry:
    """Return the registry of a file that was read, checked in the same way."""
    if (schema := top.value("schema", HEADER["schema"])) > SCHEMA:
        raise SchemaTooNew(f"{top.file.name} has schema {schema}, this prunebench reads {SCHEMA}", "update prunebench")
    top.only((*HEADER, *TABLES))
    networks = {**_tables(top, "backbone", _network), **_tables(top, "arch", _network)}
    for name in top.child("arch").values:
        if name in top.child("backbone").values:
            top.child("arch").fail(name, "is also the name of a backbone", "give the two different names")
    registry = Registry(
        file=top.file,
        protocol=top.value("protocol", HEADER["protocol"]),
        datasets=_tables(top, "dataset", _dataset),
        networks=networks,
        recipes=_tables(top, "recipe", _recipe),
        methods=_tables(top, "method", _method),
        suites=_tables(top, "suite", _suite),
        plugins=_tables(top, "plugin", read_listing),
        text=top.text,
    )
    _check_references(top, registry)
    return registry


def _tables(top: Table, kind: str, read: Any) -> dict[str, Any]:
    parent = top.child(kind)
    return {name: read(name, parent.child(name)) for name in parent.values}


def _dataset(name: str, table: Table) -> DatasetEntry:
    values = table.read(TABLES["dataset"])
    return DatasetEntry(**{**values, "name": name, "spec": values["spec"] or name})


def _network(name: str, table: Table) -> Network:
    values = table.read(TABLES["backbone"])
    arch = Arch(
        name=name,
        provider="timm" if values["timm"] else values["provider"],
        model=values["timm"] or values["model"],
        image_size=values["image_size"] or None,
        mean=tuple(map(float, values["mean"])),
        std=tuple(map(float, values["std"])),
        interpolation=values["interpolation"],
        kwargs=values["kwargs"],
    )
    return Network(arch, _weights(table, values["weights"]), values["control"])


def _weights(table: Table, value: Any) -> Weights:
    if not isinstance(value, dict):
        return Weights(table.value("weights", NAMED_WEIGHTS) if "weights" in table.values else value)
    weights = table.child("weights")
    if "train" in value:
        return Weights("trained", recipe=weights.read(TRAINED_WEIGHTS)["train"])
    return Weights("file", **weights.read(FILE_WEIGHTS))


def _recipe(name: str, table: Table) -> Recipe:
    return Recipe(name, **table.read(TABLES["recipe"]))


def _method(name: str, table: Table) -> Method:
    return Method(name, **table.read(TABLES["method"]))


def _suite(name: str, table: Table) -> Suite:
    values = table.read(TABLES["suite"])
    agreement = values.pop("agreement")
    for axis, chosen in agreement.items():
        values[f"agreement_{axis}"] = values[axis] if chosen is None else chosen
    values["training"] = [_pair(row) for row in values["training"]]
    values["proxy"] = _pair(values["proxy"]) if values["proxy"] else None
    frozen: dict[str, Any] = {key: tuple(value) if isinstance(value, list) else value for key, value in values.items()}
    return Suite(name=name, **frozen)


def _pair(values: Mapping[str, str]) -> tuple[str, str]:
    return values["arch"], values["recipe"]


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
    if suite.baseline and suite.baseline not in suite.methods:
        table.fail("baseline", f"{suite.baseline!r} is not among the methods", "add it to methods")


def _unknown(table: Table, key: str, name: str, kind: str, known: Mapping[str, Any]) -> None:
    table.fail(key, f"no {kind} is named {name!r}", did_you_mean(name, known))
