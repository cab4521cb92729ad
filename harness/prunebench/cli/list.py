"""prunebench list."""

import json
from collections.abc import Mapping, Sequence
from functools import partial
from operator import itemgetter
from pathlib import Path
from typing import Any

import click

from prunebench.cli.options import catalogue, json_option, registry_option
from prunebench.cli.text import columns, definitions, wrapped
from prunebench.describe import allowed, assigned, plugin_facts
from prunebench.errors import UsageError, did_you_mean
from prunebench.plugins import Catalogue, Entry
from prunebench.registry import (
    Listing,
    Method,
    Network,
    Recipe,
    Registry,
    Suite,
    load_registry,
    not_installed,
    trust_in,
)  # fmt: skip
from prunebench.request import run_alone

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
Row = dict[str, Any]
_NAME = itemgetter("name")


@click.command()
@click.argument("what", required=False, metavar="[KIND|NAME]")
@registry_option
@json_option
def command(what: str | None, registry_file: Path | None, as_json: bool) -> None:
    """List what there is: all of it, one kind, or all that is known of one name.

    KIND is suites, methods, networks, recipes, scorers, selectors, projectors, datasets, backbones, learners, executors
    or metrics. NAME is a name of any kind, such as a method; write scorer:NAME where two kinds share it.

    A plugin that the registry lists with an environment of its own is listed also where it is not installed; its page
    shows the command that runs it."""
    found, registry = catalogue(), load_registry(registry_file)
    tables = _tables(found, registry)
    kind = next((kind for kind in KINDS if what in (kind, kind.removesuffix("s"))), None)
    if what and not kind:
        rows = _named(what, tables)
        click.echo(json.dumps(rows, indent=1) if as_json else "\n\n".join(_page(row, columns()) for row in rows))
    elif as_json:
        failures = [{"plugin": f.origin.entry_point, "distribution": f.origin.distribution, "version": f.origin.version,
                     "error": f.error, "hint": f.hint} for f in found.failures]  # fmt: skip
        click.echo(json.dumps({**({kind: tables[kind]} if kind else tables), "failures": failures}, indent=1))
    else:
        for name in [kind] if kind else [name for name in KINDS if name != "scorers"]:  # every scorer is a method, too
            if tables[name]:
                click.echo(_table(name, tables[name], columns()))


def _tables(found: Catalogue, registry: Registry) -> Mapping[str, list[Row]]:
    """Return all that is known of every name, by kind."""
    plugins = {kind: [_installed(entry, registry) for entry in table.values()] for kind, table in found.entries.items()}
    for (kind, name), error in not_installed(found, registry.plugins, partial(run_alone, "SUITE")).items():
        plugins[f"{kind}s"].append(_listed(registry.plugins[name], error.hint))
    methods = [_method(method, found) for method in registry.methods.values()]
    methods += [row for row in plugins["scorers"] if row["name"] not in registry.methods]
    return {
        "suites": [_suite(suite) for suite in registry.suites.values()],
        "methods": sorted(methods, key=_NAME),
        "networks": [_network(name, network) for name, network in registry.networks.items()],
        "recipes": [_recipe(recipe) for recipe in registry.recipes.values()],
        **{kind: sorted(plugins[kind], key=_NAME) for kind in KINDS if kind in plugins},
    }


def _row(kind: str, name: str, summary: str, facts: Mapping[str, str], **more: Any) -> Row:
    return {"kind": kind, "name": name, "summary": summary, "facts": facts, **more}


def _suite(suite: Suite) -> Row:
    facts = {
        "dataset": suite.dataset, "methods": ", ".join(suite.methods), "baseline": suite.baseline,
        "unpruned": suite.unpruned, "backbones": ", ".join(suite.backbones), "projectors": ", ".join(suite.projectors),
        "pruning rates": ", ".join(map(str, suite.pruning_rates)), "seeds": str(suite.seeds),
        "training": ", ".join(map(str, suite.training)), "proxy": str(suite.proxy or ""),
        "backbone seeds": str(suite.backbone_seeds), "proxy seeds": str(suite.proxy_seeds),
    }  # fmt: skip
    return _row("suite", suite.name, suite.summary, facts, dataset=suite.dataset, methods=suite.methods)


def _recipe(recipe: Recipe) -> dict[str, Any]:
    there = [f"at {rate}{assigned(one.params)}" for rate, one in recipe.at.items()]
    taught = [f"taught by {recipe.teacher}"] if recipe.teacher else []
    return _row("recipe", recipe.name, ", ".join([recipe.learner + assigned(recipe.params), *there, *taught]), {})


def _network(name: str, network: Network) -> Row:
    weights = network.weights
    source = f"trained by {weights.recipe}" if weights.recipe else weights.file or weights.source
    return _row("network", name, f"{network.arch.model} of {network.arch.provider}, weights: {source}", {})


def _method(method: Method, found: Catalogue) -> Row:
    scorer, selector = method.scorer + assigned(method.params), method.selector + assigned(method.selector_params)
    entry = found.entries["scorers"].get(method.scorer)
    facts = {**(plugin_facts(entry.spec) if entry else {}), **({"selector": selector} if method.selector else {})}
    facts |= {"parameters": f"those of {scorer}", **_at_rates(method), "caveat": method.caveat}
    summary = f"{scorer}, picked by {selector}" if method.selector else scorer
    summary += ", with settings of its own at some pruning rates" if method.at else ""
    return _row("method", method.name, summary, facts, scorer=method.scorer)


def _at_rates(method: Method) -> dict[str, str]:
    """Return the parameters that a method has at some pruning rates, by what they are called on its page."""
    rates = {rate: {**there.params, **there.selector_params} for rate, there in method.at.items()}
    return {f"at pruning rate {rate}": assigned(values).strip(" ()") for rate, values in sorted(rates.items())}


def _installed(entry: Entry[Any], registry: Registry) -> Row:
    spec, origin = entry.spec, entry.origin
    tier = trust_in(registry.plugins, spec.kind, spec.name, origin.distribution, origin.version).tier
    source = {"distribution": origin.distribution, "version": origin.version, "tier": tier, "paper": spec.paper}
    params = {name: {"default": p.default, "allowed": allowed(p), "doc": p.doc, "source": p.source}
              for name, p in spec.params.items()}  # fmt: skip
    own = {"environment": [], "params": params, "differences": spec.differences}
    return _row(spec.kind, spec.name, spec.summary, plugin_facts(spec), **source, **own)


def _listed(one: Listing, command: str) -> Row:
    """Return what the registry knows of a plugin that is not here; its parameters are known where it is installed."""
    source = {"distribution": one.dist, "version": one.version, "tier": one.tier, "paper": one.paper}
    summary = f"Runs in an environment of its own: {', '.join(one.environment)}."
    facts = {"run it by": command}
    return _row(one.kind, one.name, summary, facts, **source, environment=list(one.environment), params=None)


def _named(what: str, tables: Mapping[str, list[Row]]) -> list[Row]:
    """Return the rows of a name, one for each kind that has it; UsageError where none has."""
    wanted, _, name = what.rpartition(":")
    every = [row for kind, table in tables.items() for row in table if kind == f"{row['kind']}s"]
    rows = [row for row in every if row["name"] == name and wanted in ("", row["kind"], f"{row['kind']}s")]
    if not rows:
        near = did_you_mean(name, {*KINDS, *map(_NAME, every)})
        hint = f"kinds: {', '.join(KINDS)}; `prunebench list` shows all names" if near.startswith("known") else near
        raise UsageError(f"nothing is named {what!r}", hint)
    return rows


def _page(row: Row, width: int) -> str:
    facts = {"plugin": _source(row), "paper": row.get("paper", ""), **row["facts"]}
    params = (row.get("params") or {}).items()
    explained = [(f"{name} = {param['default']}", f"{param['doc']} ({param['allowed']})") for name, param in params]
    lines = [click.style(f"{row['kind']} {row['name']}", bold=True), wrapped(row["summary"], width)]
    lines += definitions([(name, text) for name, text in facts.items() if text], width)
    lines += ["parameters:", *definitions(explained, width)] if explained else []
    if row.get("differences"):
        lines += ["where paper and code differ:", wrapped(row["differences"], width, "  ")]
    return "\n".join(lines)


def _table(kind: str, rows: Sequence[Row], width: int) -> str:
    title = wrapped(KINDS[kind], width, f"{kind}: ").replace(kind, click.style(kind, bold=True), 1)
    own = [f" [{_source(row)}]" if row.get("distribution", "prunebench") != "prunebench" else "" for row in rows]
    named = [(row["name"], row["summary"] + source) for row, source in zip(rows, own, strict=True)]
    return "\n".join([title, *definitions(named, width), ""])


def _source(row: Row) -> str:
    return f"{row['distribution']} {row['version']}, {row['tier']}" if "distribution" in row else ""
