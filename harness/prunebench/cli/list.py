"""prunebench list."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from prunebench.cli.options import catalogue, json_option, registry_option
from prunebench.cli.text import columns, definitions, wrapped
from prunebench.describe import allowed, assigned, plugin_facts
from prunebench.errors import UsageError, did_you_mean
from prunebench.plugins import Catalogue, Entry
from prunebench.registry import Listing, Method, Registry, Weights, load_registry, standing

KINDS = {
    "suites": "what `prunebench run` takes",
    "methods": "what --scorer and --with take: scorers, and those of registry.toml with other parameters",
    "networks": "what --backbone and --arch take, from registry.toml",
    "recipes": "how networks are trained, from registry.toml",
    "scorers": "plugins that score samples",
    "selectors": "plugins that pick samples from scores",
    "projectors": "plugins that map features to a few dimensions",
    "datasets": "plugins that read data",
    "backbones": "plugins that provide networks",
    "learners": "plugins that train",
    "executors": "plugins that say where tasks run",
    "metrics": "plugins that add columns to the board",
}
SUITE_FACTS = (
    "dataset", "methods", "baseline", "unpruned", "backbones", "projectors", "pruning_rates", "seeds", "training",
    "proxy", "backbone_seeds", "proxy_seeds",
)  # fmt: skip
Row = dict[str, Any]
Tables = Mapping[str, list[Row]]


@click.command()
@click.argument("what", required=False, metavar="[KIND|NAME]")
@registry_option
@json_option
def command(what: str | None, registry_file: Path | None, as_json: bool) -> None:
    """List what there is: all of it, one kind, or all that is known of one name.

    KIND is suites, methods, networks, recipes, scorers, selectors, projectors, datasets, backbones, learners, executors
    or metrics. NAME is a name of any kind, such as a method; write scorer:NAME where two kinds share it.

    A plugin that runs in an environment of its own is listed with the range of versions that the registry names;
    nothing is installed.
    """
    found, registry = catalogue(), load_registry(registry_file)
    tables = {kind: _rows(kind, found, registry) for kind in KINDS}
    kind = next((kind for kind in KINDS if what in (kind, kind.removesuffix("s"))), None)
    if what and not kind:
        _show(_described(what, tables, found, registry), as_json)
    elif as_json:
        failures = [
            {"plugin": f.origin.entry_point, "distribution": f.origin.distribution, "version": f.origin.version,
             "error": f.error, "hint": f.hint}
            for f in found.failures
        ]  # fmt: skip
        click.echo(json.dumps({**({kind: tables[kind]} if kind else tables), "failures": failures}, indent=1))
    else:
        # Every scorer is a method, too.
        _print({kind: tables[kind]} if kind else {name: rows for name, rows in tables.items() if name != "scorers"})


def _rows(kind: str, found: Catalogue, registry: Registry) -> list[Row]:
    if kind == "suites":
        return [
            {"name": s.name, "summary": s.summary, "dataset": s.dataset, "methods": list(s.methods)}
            for s in registry.suites.values()
        ]
    if kind == "networks":
        return [
            {"name": name, "summary": f"{n.arch.model} of {n.arch.provider}, weights: {_weights(n.weights)}"}
            for name, n in registry.networks.items()
        ]
    if kind == "recipes":
        return [{"name": name, "summary": r.learner + assigned(r.params)} for name, r in registry.recipes.items()]
    if kind == "methods":
        rows = {row["name"]: row for row in _rows("scorers", found, registry)}
        rows |= {m.name: {"name": m.name, "summary": _method(m), "scorer": m.scorer} for m in registry.methods.values()}
        return [rows[name] for name in sorted(rows)]
    plugins = [_installed_row(entry, registry) for entry in found.entries[kind].values()]
    plugins += [_listed_row(listing) for listing in registry.plugins.values() if _is_elsewhere(listing, kind, found)]
    return sorted(plugins, key=lambda row: str(row["name"]))


def _weights(weights: Weights) -> str:
    return f"trained by {weights.recipe}" if weights.recipe else weights.file or weights.source


def _method(method: Method) -> str:
    selector = f", picked by {method.selector}{assigned(method.selector_params)}" if method.selector else ""
    return f"{method.scorer}{assigned(method.params)}{selector}"


def _installed_row(entry: Entry[Any], registry: Registry) -> Row:
    spec, origin = entry.spec, entry.origin
    tier = standing(registry.plugins, spec.kind, spec.name, origin.distribution, origin.version).tier
    return {
        "name": spec.name, "summary": spec.summary, "distribution": origin.distribution, "version": origin.version,
        "tier": tier, "paper": spec.paper, "params": {name: param.default for name, param in spec.params.items()},
        "environment": [],
    }  # fmt: skip


def _is_elsewhere(listing: Listing, kind: str, found: Catalogue) -> bool:
    if not listing.environment or f"{listing.kind}s" != kind:
        return False
    here = found.entries[kind].get(listing.name)
    return here is None or not listing.is_met_by(here.origin)


def _listed_row(listing: Listing) -> Row:
    """Return what the registry knows of a plugin that is not here; its parameters are known where it is installed."""
    summary = f"Runs in an environment of its own: {', '.join(listing.environment)}."
    return {
        "name": listing.name, "summary": summary, "distribution": listing.dist, "version": listing.version,
        "tier": listing.tier, "paper": listing.paper, "params": None, "environment": list(listing.environment),
    }  # fmt: skip


def _described(what: str, tables: Tables, found: Catalogue, registry: Registry) -> list[Row]:
    """Return all that is known of a name, one row for each kind that has it; UsageError where none has."""
    wanted, _, name = what.rpartition(":")
    rows = [
        {"kind": kind.removesuffix("s"), **row, **_details(kind, row["name"], found, registry)}
        for kind, table in tables.items()
        for row in table
        if row["name"] == name and wanted in ("", kind, kind.removesuffix("s"))
        if kind != "methods" or "scorer" in row
    ]
    if not rows:
        names = {row["name"] for table in tables.values() for row in table}
        near = did_you_mean(name, {*KINDS, *names})
        hint = f"kinds: {', '.join(KINDS)}; `prunebench list` shows all names" if near.startswith("known") else near
        raise UsageError(f"no kind and nothing else is named {what!r}", hint)
    return rows


def _details(kind: str, name: str, found: Catalogue, registry: Registry) -> Row:
    if kind == "suites":
        suite = registry.suites[name]
        facts = {fact.replace("_", " "): _text(getattr(suite, fact)) for fact in SUITE_FACTS}
        return {"facts": {**facts, "proxy": " by ".join(suite.proxy or ())}}
    method = registry.methods[name] if kind == "methods" else None
    entry = found.entries.get("scorers" if method else kind, {}).get(method.scorer if method else name)
    facts = plugin_facts(entry.spec) if entry else {}
    if method:
        own = {"selector": method.selector + assigned(method.selector_params)} if method.selector else {}
        default = f"those of {method.scorer}{assigned(method.params)}"
        return {"facts": {**facts, **own, "parameters": default, "caveat": method.caveat}}
    params = {
        key: {"default": p.default, "allowed": allowed(p), "doc": p.doc, "source": p.source}
        for key, p in (entry.spec.params.items() if entry else ())
    }
    return {"facts": facts, "params": params, "differences": entry.spec.differences if entry else ""}


def _text(value: Any) -> str:
    if isinstance(value, tuple):  # of names, or of pairs of a network and its recipe
        return ", ".join(" by ".join(one) if isinstance(one, tuple) else one for one in value)
    return str(value or "")


def _show(rows: list[Row], as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps(rows, indent=1))
        return
    width = columns()
    for row in rows:
        facts = {"plugin": _source(row), "paper": row.get("paper", ""), **row["facts"]}
        params = (row.get("params") or {}).items()
        lines = [click.style(f"{row['kind']} {row['name']}", bold=True), wrapped(row["summary"], width)]
        lines += definitions([(name, text) for name, text in facts.items() if text], width)
        lines += ["parameters:"] if params else []
        lines += definitions([(f"{key} = {p['default']}", f"{p['doc']} ({p['allowed']})") for key, p in params], width)
        if row.get("differences"):
            lines += ["where paper and code differ:", wrapped(row["differences"], width, "  ")]
        click.echo("\n".join(lines) + "\n")


def _source(row: Row) -> str:
    return f"{row['distribution']} {row['version']}, {row['tier']}" if "distribution" in row else ""


def _print(tables: Tables) -> None:
    for kind, rows in tables.items():
        if rows:
            title = wrapped(KINDS[kind], columns(), f"{kind}: ").replace(kind, click.style(kind, bold=True), 1)
            shown = definitions([(row["name"], row["summary"] + _others(row)) for row in rows], columns())
            click.echo("\n".join([title, *shown, ""]))


def _others(row: Row) -> str:
    return f" [{_source(row)}]" if row.get("distribution", "prunebench") != "prunebench" else ""
