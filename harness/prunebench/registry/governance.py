"""The registry against what is installed: names that exist, versions in their ranges, checks that are real."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from prunebench.errors import Fault, PrunebenchError, did_you_mean
from prunebench.plugins import Catalogue
from prunebench.registry.model import Listing, Registry
from prunebench.registry.toml_lines import Key, Source


class Installed(NamedTuple):
    """What is installed of one table [plugin.NAME]: "ok", "not installed", "own environment", or "wrong"."""

    listing: Listing
    status: str
    version: str
    faults: tuple[Fault, ...]


def installed_plugins(registry: Registry, catalogue: Catalogue) -> list[Installed]:
    """Return what is installed of each plugin that has a table, in the order of the file."""
    found, source = [], Source(registry.file, registry.text)
    for listing in registry.plugins.values():
        version, key = _installed_version(listing.dist), ("plugin", listing.name)
        broken = list(_unknown_checks(listing))
        if version and not listing.environment:
            broken += _mismatches(listing, catalogue, version)
        status = "own environment" if listing.environment else "ok" if version else "not installed"
        faults = tuple(source.fault((*key, *below), reason, hint) for below, reason, hint in broken)
        found.append(Installed(listing, "wrong" if faults else status, version, faults))
    return found


def _installed_version(distribution: str) -> str:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version(distribution)
    except PackageNotFoundError:
        return ""


def _unknown_checks(listing: Listing) -> Iterator[tuple[Key, str, str]]:
    if not listing.expected_failures:
        return
    from prunebench.testing.checks import checks_for
    from prunebench.wire import CHECKED

    known = [check.name for check in checks_for(listing.kind)] if listing.kind in CHECKED else []
    for name in listing.expected_failures:
        if name not in known:
            yield ("expected_failures", name), f"no check of a {listing.kind}", did_you_mean(name, known)


def _mismatches(listing: Listing, catalogue: Catalogue, version: str) -> Iterator[tuple[Key, str, str]]:
    if not listing.covers(version):
        hint = "install a version in the range, or change the range"
        yield ("version",), f"{listing.dist} {version} is installed, the range is {listing.version!r}", hint
    entries = catalogue.entries[f"{listing.kind}s"]
    if listing.name not in entries:
        names = [name for name, entry in entries.items() if entry.origin.distribution == listing.dist]
        failed = [f for f in catalogue.failures if f.origin.distribution == listing.dist]
        hint = f"it did not load: {failed[0].error}" if failed else did_you_mean(listing.name, names)
        yield (), f"{listing.dist} {version} declares no {listing.kind} of this name", hint
    elif (origin := entries[listing.name].origin).distribution != listing.dist:
        yield ("dist",), f"{listing.kind} {listing.name!r} is declared by {origin}", "correct it, or uninstall one"


def unknown_plugins(registry: Registry, catalogue: Catalogue) -> Iterator[Fault]:
    """Yield a fault for each plugin that a table names and that is neither installed nor listed, or refuses."""
    source = Source(registry.file, registry.text)
    for key, kind, name, params in _uses(registry, source):
        try:
            catalogue.get(f"{kind}s", name).spec.resolve_params(params)
        except PrunebenchError as error:
            listing = registry.plugins.get(name)
            absent = listing is not None and (listing.environment or not _installed_version(listing.dist))
            if listing is None or listing.kind != kind or not absent:
                yield source.fault(key, error.message, error.hint)


def _uses(registry: Registry, source: Source) -> Iterator[tuple[Key, str, str, Mapping[str, Any]]]:
    """Yield where the registry names a plugin: the key, the plugin's kind, its name and its parameters."""
    for dataset in registry.datasets.values():
        yield ("dataset", dataset.name, "spec"), "dataset", dataset.spec, dataset.params
    for name, network in registry.networks.items():
        table = "backbone" if ("backbone", name) in source.lines else "arch"
        yield (table, name, "provider"), "backbone", network.arch.provider, {}
    for recipe in registry.recipes.values():
        yield ("recipe", recipe.name, "learner"), "learner", recipe.learner, recipe.params
    for method in registry.methods.values():
        yield ("method", method.name, "scorer"), "scorer", method.scorer, method.params
        if method.selector:
            yield ("method", method.name, "selector"), "selector", method.selector, method.selector_params
    for name, table in source.parse().get("suite", {}).items():
        if (unpruned := table.get("unpruned")) and unpruned not in registry.methods:
            yield ("suite", name, "unpruned"), "scorer", unpruned, {}
        for *below, axis in (["methods"], ["projectors"], ["agreement", "methods"], ["agreement", "projectors"]):
            part = table.get("agreement", {}) if below else table
            for place, plugin in enumerate(part.get(axis, ())):
                if axis == "projectors" or plugin not in registry.methods:
                    kind = "projector" if axis == "projectors" else "scorer"
                    yield ("suite", name, *below, axis, place), kind, plugin, {}
