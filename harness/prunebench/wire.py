"""A declared spec with its origin as JSON, so that another process can use it without discovering it."""

from collections.abc import Mapping
from dataclasses import asdict, replace
from typing import Any

import msgspec

from prunebench.discovery.installed import installed_plugins
from prunebench.plugins import KINDS, Entry, Origin
from prunebench.specs import Param, ParamValue, PluginSpec

CHECKED: Mapping[str, type[PluginSpec]] = {spec.kind: spec for spec in KINDS.values()}


def to_json(entry: Entry[Any]) -> dict[str, Any]:
    """Return JSON-able values from which `from_json` makes the same entry."""
    plain = msgspec.to_builtins(vars(entry.spec), enc_hook=dict)  # sets become lists, and read-only mappings dicts
    return {"kind": entry.spec.kind, "spec": plain, "origin": asdict(entry.origin)}


def from_json(value: Mapping[str, Any]) -> Entry[Any]:
    """Return the entry that `to_json` described."""
    given, params = dict(value["spec"]), value["spec"]["params"].items()
    given["params"] = {name: Param(**{**one, "choices": tuple(one["choices"])}) for name, one in params}
    given |= {"needs": frozenset(given["needs"])} if "needs" in given else {}
    return Entry(CHECKED[value["kind"]](**given), Origin(**value["origin"]))


def entry_of(spec: PluginSpec) -> Entry[Any]:
    """Return an entry for a spec as a hook returns it; its origin is the installed distribution, if there is one."""
    package = spec.load.partition(":")[0].partition(".")[0]
    for point, origin in installed_plugins()[0]:
        if point.module.partition(".")[0] == package:
            return Entry(spec, origin)
    return Entry(spec, Origin(package, package, spec.version or "local"))


def with_defaults(entry: Entry[Any], values: Mapping[str, ParamValue]) -> Entry[Any]:
    """Return the entry with other defaults, say smaller ones for a quick look; raises UsageError as the spec does."""
    resolved = entry.spec.resolve_params(values)
    params = {name: replace(param, default=resolved[name]) for name, param in entry.spec.params.items()}
    return Entry(replace(entry.spec, params=params), entry.origin)
