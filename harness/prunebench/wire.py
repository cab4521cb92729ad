"""A declared spec with its origin as JSON, so that another process can use it without discovering it."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Mapping
from dataclasses import asdict, fields, replace
from typing import Any

from prunebench.plugins import GROUP, KINDS, Entry, Origin
from prunebench.specs import Param, ParamValue, PluginSpec

CHECKED: Mapping[str, type[PluginSpec]] = {spec.kind: spec for spec in KINDS.values()}


def to_json(entry: Entry[Any]) -> dict[str, Any]:
    """Return JSON-able values from which `from_json` makes the same entry."""
    values = {item.name: getattr(entry.spec, item.name) for item in fields(entry.spec)}
    values["params"] = {name: asdict(param) for name, param in entry.spec.params.items()}
    for name, value in values.items():
        values[name] = sorted(value) if isinstance(value, frozenset) else value
        values[name] = dict(value) if isinstance(value, Mapping) else values[name]
    return {"kind": entry.spec.kind, "spec": values, "origin": asdict(entry.origin)}


def from_json(value: Mapping[str, Any]) -> Entry[Any]:
    """Return the entry that `to_json` described."""
    given = dict(value["spec"])
    params = {name: {**param, "choices": tuple(param["choices"])} for name, param in given["params"].items()}
    given["params"] = {name: Param(**param) for name, param in params.items()}
    if "needs" in given:
        given["needs"] = frozenset(given["needs"])
    return Entry(CHECKED[value["kind"]](**given), Origin(**value["origin"]))


def entry_of(spec: PluginSpec) -> Entry[Any]:
    """Return an entry for a spec as a hook returns it; its origin is the installed distribution, if there is one."""
    package = spec.load.partition(":")[0].partition(".")[0]
    for point in importlib.metadata.entry_points(group=GROUP):
        if point.value.partition(":")[0].partition(".")[0] == package and point.dist is not None:
            return Entry(spec, Origin(point.name, point.dist.name, point.dist.version))
    return Entry(spec, Origin(package, package, spec.version or "local"))


def with_defaults(entry: Entry[Any], values: Mapping[str, ParamValue]) -> Entry[Any]:
    """Return the entry with other defaults, say smaller ones for a quick look; raises UsageError as the spec does."""
    resolved = entry.spec.resolve_params(values)
    params = {name: replace(param, default=resolved[name]) for name, param in entry.spec.params.items()}
    return Entry(replace(entry.spec, params=params), entry.origin)
