"""The registry against what is installed: names that exist, versions in their ranges, checks that are real."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from prunebench.errors import PrunebenchError, RegistryError, did_you_mean
from prunebench.plugins import Catalogue
from prunebench.registry.listing import Listing
from prunebench.registry.model import Registry
from prunebench.registry.toml_table import Table, read_toml


@dataclass(frozen=True)
class Finding:
    """What came of one table [plugin.NAME]: "ok", "not installed", "own environment", or "wrong" with the error."""

    listing: Listing
    status: str
    installed: str = ""
    error: RegistryError | None = None


def plugin_findings(registry: Registry, catalogue: Catalogue) -> list[Finding]:
    """Return one finding a table of a plugin, in the order of the file."""
    top = read_toml(registry.file).child("plugin")
    return [_finding(top.child(name), listing, catalogue) for name, listing in registry.plugins.items()]


def _finding(table: Table, listing: Listing, catalogue: Catalogue) -> Finding:
    version = _installed_version(listing.dist)
    try:
        _check_names_of_checks(table, listing)
        if version and not listing.environment:
            _check_installed(table, listing, catalogue, version)
    except RegistryError as error:
        return Finding(listing, "wrong", version, error)
    if listing.environment:
        return Finding(listing, "own environment")
    return Finding(listing, "ok" if version else "not installed", version)


def _installed_version(distribution: str) -> str:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version(distribution)
    except PackageNotFoundError:
        return ""


def _check_names_of_checks(table: Table, listing: Listing) -> None:
    if not listing.expected_failures:
        return
    from prunebench.testing.checks import checks_for
    from prunebench.wire import CHECKED

    known = [check.name for check in checks_for(listing.kind)] if listing.kind in CHECKED else []
    for name in listing.expected_failures:
        if name not in known:
            table.child("expected_failures").fail(name, f"no check of a {listing.kind}", did_you_mean(name, known))


def _check_installed(table: Table, listing: Listing, catalogue: Catalogue, version: str) -> None:
    if not listing.covers(version):
        hint = "install a version in the range, or change the range"
        table.fail("version", f"{listing.dist} {version} is installed, the range is {listing.version!r}", hint)
    entries = catalogue.entries[f"{listing.kind}s"]
    if listing.name not in entries:
        names = [name for name, entry in entries.items() if entry.origin.distribution == listing.dist]
        failed = [f for f in catalogue.failures if f.origin.distribution == listing.dist]
        hint = f"it did not load: {failed[0].error}" if failed else did_you_mean(listing.name, names)
        table.fail("", f"{listing.dist} {version} declares no {listing.kind} of this name", hint)
    origin = entries[listing.name].origin
    if origin.distribution != listing.dist:
        table.fail("dist", f"{listing.kind} {listing.name!r} is declared by {origin}", "correct it, or uninstall one")


def name_errors(registry: Registry, catalogue: Catalogue) -> list[RegistryError]:
    """Return an error for every plugin that a table names and that is neither installed nor listed, or refuses."""
    top = read_toml(registry.file)
    errors = []
    for table, key, kind, name, params in _uses(top, registry):
        try:
            _check_use(table, key, kind, name, params, registry, catalogue)
        except RegistryError as error:
            errors.append(error)
    return errors


Use = tuple[Table, str, str, str, Mapping[str, Any]]


def _uses(top: Table, registry: Registry) -> Iterator[Use]:
    for dataset in registry.datasets.values():
        yield top.child("dataset").child(dataset.name), "spec", "dataset", dataset.spec, dataset.params
    for name, network in registry.networks.items():
        kind = "backbone" if name in top.child("backbone").values else "arch"
        table = top.child(kind).child(name)
        yield table, "timm" if "timm" in table.values else "provider", "backbone", network.arch.provider, {}
    for recipe in registry.recipes.values():
        yield top.child("recipe").child(recipe.name), "learner", "learner", recipe.learner, recipe.params
    for method in registry.methods.values():
        table = top.child("method").child(method.name)
        yield table, "scorer", "scorer", method.scorer, method.params
        if method.selector:
            yield table, "selector", "selector", method.selector, method.selector_params
    for suite in registry.suites.values():
        table = top.child("suite").child(suite.name)
        for name in dict.fromkeys((*suite.methods, *suite.agreement_methods, suite.unpruned)):
            if name and name not in registry.methods:
                yield table, "methods" if name != suite.unpruned else "unpruned", "scorer", name, {}
        for name in dict.fromkeys((*suite.projectors, *suite.agreement_projectors)):
            yield table, "projectors", "projector", name, {}


def _check_use(
    table: Table, key: str, kind: str, name: str, params: Mapping[str, Any], registry: Registry, catalogue: Catalogue
) -> None:
    try:
        catalogue.get(f"{kind}s", name).spec.resolve_params(params)
    except PrunebenchError as error:
        listing = registry.plugins.get(name)
        elsewhere = listing is not None and (listing.environment or not _installed_version(listing.dist))
        if listing is None or listing.kind != kind or not elsewhere:
            table.fail(key, error.message, error.hint)
