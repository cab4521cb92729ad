"""Plugins that run in environments of their own: which a suite uses, and the catalogue with them in it."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from prunebench.environments import Environment, make_environment
from prunebench.errors import EnvironmentFailed, UsageError, did_you_mean
from prunebench.plan import Filters, is_chosen
from prunebench.plugins import Catalogue, Entry
from prunebench.registry import Listing, Registry
from prunebench.wire import from_json


def with_environments(
    catalogue: Catalogue,
    registry: Registry,
    suite_name: str,
    filters: Filters,
    cache: Path,
    notice: Callable[[str], None],
) -> tuple[Catalogue, Mapping[str, str]]:
    """Return the catalogue with the plugins of a suite that have environments, and their interpreters by "kind:name".

    filters: what they leave out of the suite needs no environment.  One that is not in the cache is made, after a
    notice. Nothing of such a plugin is imported here.
    Raises EnvironmentFailed.
    """
    entries = {kind: dict(found) for kind, found in catalogue.entries.items()}
    interpreters = {}
    for listing in _used(registry, suite_name, filters):
        notice(f"{listing.kind} {listing.name} runs in an environment of its own: {', '.join(listing.environment)}")
        environment = make_environment(listing.name, listing.environment, cache)
        entries[f"{listing.kind}s"][listing.name] = _declared(listing, environment)
        interpreters[f"{listing.kind}:{listing.name}"] = str(environment.python)
    return replace(catalogue, entries=entries), interpreters


def elsewhere(names: Sequence[str], catalogue: Catalogue, listings: Mapping[str, Listing], cache: Path) -> Path | None:
    """Return the interpreter of a plugin, named "NAME" or "KIND:NAME", that can only be had in its environment.

    None where every name is here, or nobody knows it.  Raises UsageError for such a plugin among other names.
    """
    for name in names:
        kind, _, plain = name.rpartition(":")
        listing = listings.get(plain)
        if listing is None or not listing.environment or kind not in ("", listing.kind):
            continue
        here = catalogue.entries[f"{listing.kind}s"].get(plain)
        if here is None or not listing.is_met_by(here.origin):
            if len(names) > 1:
                raise UsageError(f"{name!r} runs in an environment of its own", "name it alone")
            environment = make_environment(plain, listing.environment, cache)
            _declared(listing, environment)
            return environment.python
    return None


def _used(registry: Registry, suite_name: str, filters: Filters) -> list[Listing]:
    suite = registry.suite(suite_name)
    names = (*suite.methods, suite.unpruned, *suite.agreement_methods, *filters.added)
    methods = [registry.method(name) for name in names]
    used = {
        "scorer": {method.scorer for method in methods if is_chosen(method, filters)},
        "projector": {*suite.projectors, *suite.agreement_projectors},
    }
    return [found for found in registry.plugins.values() if found.environment and found.name in used[found.kind]]


def _declared(listing: Listing, environment: Environment) -> Entry[Any]:
    """Return what the environment declares by the name of the listing, from its distribution and range."""
    written = json.loads(environment.declarations.read_text(encoding="utf-8"))
    mine = [
        entry
        for entry in map(from_json, written["entries"])
        if entry.spec.kind == listing.kind and entry.origin.distribution == listing.dist
    ]
    for entry in mine:
        if entry.spec.name == listing.name:
            if not listing.covers(entry.origin.version):
                raise EnvironmentFailed(
                    f"the environment of plugin {entry.origin} is outside the range {listing.version!r}",
                    f"let version and environment of [plugin.{listing.name}] agree",
                )
            return entry
    errors = [f["error"] for f in written["failures"] if f["origin"]["distribution"] == listing.dist]
    raise EnvironmentFailed(
        f"the environment of plugin {listing.name!r} holds no {listing.kind} of this name from {listing.dist}",
        errors[0] if errors else did_you_mean(listing.name, [entry.spec.name for entry in mine]),
    )
