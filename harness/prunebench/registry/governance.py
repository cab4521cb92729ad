"""The registry against what is installed: how far plugins are trusted, what is wrong with tables, and new ones."""

import contextlib
import json
import shlex
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import date
from functools import reduce
from importlib import metadata
from pathlib import Path
from typing import Any, Literal, NamedTuple

from packaging.version import InvalidVersion, Version

from prunebench.errors import Fault, NotHere, PrunebenchError, RegistryError, UsageError, did_you_mean
from prunebench.plugins import HOST, Catalogue, Entry
from prunebench.records import write_text
from prunebench.registry.fields import Broken, Key
from prunebench.registry.model import Listing, Registry, Tier
from prunebench.registry.reader import load_registry, make_registry
from prunebench.registry.toml_lines import Source, registry_error


class Trust(NamedTuple):
    """How far a plugin is trusted, and what to say about it; `remark` is empty where there is nothing to say."""

    tier: Tier | Literal["unregistered"]
    remark: str = ""


def trust_in(listings: Mapping[str, Listing], kind: str, name: str, dist: str, version: str) -> Trust:
    """Return how far a plugin is trusted, from version `version` of the distribution `dist`."""
    listing = listings.get(name)
    if listing is None or (listing.kind, listing.dist) != (kind, dist):
        return Trust("core") if dist == HOST else Trust("unregistered", f"unregistered ({dist} {version})")
    if listing.tier == "quarantine":  # the board separates remarks by semicolons
        return Trust("quarantine", f"in quarantine: {listing.reason.replace(';', ',')}")
    # A development version of prunebench is below every range, and its own plugins are of that version.
    if dist != HOST and not listing.covers(version):
        return Trust("unregistered", f"unregistered ({dist} {version} is not in the range {listing.version})")
    return Trust(listing.tier)


def expected_failures(listings: Mapping[str, Listing], entry: Entry[Any]) -> Mapping[str, str]:
    """Return the checks that a plugin may fail, with reasons; none unless the table is about its distribution."""
    listing = listings.get(entry.spec.name)
    about = listing and (listing.kind, listing.dist) == (entry.spec.kind, entry.origin.distribution)
    return listing.expected_failures if listing and about else {}


def not_installed(
    catalogue: Catalogue, listings: Mapping[str, Listing], arguments: Callable[[Listing], Sequence[str]]
) -> Mapping[tuple[str, str], NotHere]:
    """Return what to say of listed plugins that have an environment and are not installed here in the range of
    versions, by kind and name: how to run prunebench there.  arguments: of that command, for a plugin."""
    away: dict[tuple[str, str], NotHere] = {}
    for one in (one for one in listings.values() if one.environment):
        entry = catalogue.entries[f"{one.kind}s"].get(one.name)
        if entry is None or entry.origin.distribution != one.dist or not one.covers(entry.origin.version):
            required = [word for text in (f"{one.dist}{one.version}", *one.environment) for word in ("--with", text)]
            command = shlex.join(["uv", "run", *_this_prunebench(), *required, HOST, *arguments(one)])
            text = f"{one.kind} {one.name!r} of {one.dist} {one.version} is not installed here"
            away[one.kind, one.name] = NotHere(text, command)
    return away


def _this_prunebench() -> list[str]:
    """Return the options of `uv run` that give prunebench as it is installed here, by its direct_url.json (PEP 610)."""
    package = metadata.distribution(HOST)
    told = json.loads(package.read_text("direct_url.json") or "{}")
    if told.get("dir_info", {}).get("editable"):
        return ["--with-editable", told["url"]]
    git = told.get("vcs_info")
    place = f"git+{told['url']}@{git['commit_id']}" if git else told.get("url")
    return ["--with", f"{HOST} @ {place}" if place else f"{HOST}=={package.version}"]


def check_registry(file: Path, catalogue: Catalogue) -> tuple[list[dict[str, str]], RegistryError | None]:
    """Return one row per plugin that has a table, in the order of the file, and an error with all that is wrong."""
    try:
        registry = load_registry(file)
    except RegistryError as error:
        return [], error
    source, rows, faults = Source(file, registry.text), [], list(unknown_plugins(registry, catalogue))
    for name, listing in registry.plugins.items():
        version = _metadata(listing.dist).get("Version", "")
        broken = _mismatches(listing, catalogue, version)
        wrong = [source.fault(("plugin", name, *below), reason, hint) for below, reason, hint in broken]
        faults += wrong
        status = "own environment" if listing.environment else "ok" if version else "not installed"
        rows.append({
            "name": name, "kind": listing.kind, "tier": listing.tier, "distribution": listing.dist,
            "range": listing.version, "installed": version, "status": "wrong" if wrong else status,
        })  # fmt: skip
    return rows, registry_error(faults) if faults else None


def _metadata(distribution: str) -> Any:
    with contextlib.suppress(metadata.PackageNotFoundError):
        return metadata.metadata(distribution)
    return {}


def _mismatches(listing: Listing, catalogue: Catalogue, version: str) -> Iterator[Broken]:
    from prunebench.testing.checks import checks_for
    from prunebench.wire import CHECKED

    checks = [check.name for check in checks_for(listing.kind)] if listing.kind in CHECKED else []
    for name in listing.expected_failures.keys() - set(checks):
        yield ("expected_failures", name), f"no check of a {listing.kind}", did_you_mean(name, checks)
    if not version or listing.environment:
        return
    if not listing.covers(version):
        hint = "install a version in the range, or change the range"
        yield ("version",), f"{listing.dist} {version} is installed, the range is {listing.version!r}", hint
    entries = catalogue.entries[f"{listing.kind}s"]
    if listing.name not in entries:
        names = [name for name, entry in entries.items() if entry.origin.distribution == listing.dist]
        failed = [f"it did not load: {f.error}" for f in catalogue.failures if f.origin.distribution == listing.dist]
        hint = failed[0] if failed else did_you_mean(listing.name, names)
        yield (), f"{listing.dist} {version} declares no {listing.kind} of this name", hint
    elif (origin := entries[listing.name].origin).distribution != listing.dist:
        yield ("dist",), f"{listing.kind} {listing.name!r} is declared by {origin}", "correct it, or uninstall one"


def unknown_plugins(registry: Registry, catalogue: Catalogue) -> Iterator[Fault]:
    """Yield a fault for each plugin that a table names and that is neither installed nor listed, and for each parameter
    that a plugin does not take."""
    source = Source(registry.file, registry.text)
    for key, kind, name, (below, params) in _uses(registry, catalogue, source):
        known = registry.plugins.get(name)
        if known and known.kind == kind and (known.environment or not _metadata(known.dist)):
            continue  # it need not be here
        try:
            spec = catalogue.get(f"{kind}s", name).spec
        except PrunebenchError as error:
            if key[2:3] != ("at",):  # else the method has told it already
                yield source.fault(key, error.message, error.hint)
            continue
        for parameter, value in params.items():
            try:
                spec.resolve_params({parameter: value})
            except UsageError as error:
                yield source.fault((*below, parameter), error.message, error.hint)


@contextlib.contextmanager
def all_faults(registry: Registry, catalogue: Catalogue, name: str) -> Iterator[None]:
    """Turn the refusal of a plugin or parameter into one of all that the tables of the suite `name` name, so that
    nobody corrects a file one fault at a time.  What somebody asked for beside the registry is refused as it is."""
    try:
        yield
    except UsageError as error:
        suite = registry.suite(name)
        trained = [part for pair in (*suite.training, suite.proxy) if pair for part in (pair.arch, pair.recipe)]
        tables = {name, suite.dataset, suite.baseline, suite.unpruned, *suite.methods, *suite.backbones, *trained,
                  *suite.agreement.methods, *suite.agreement.backbones}  # fmt: skip
        faults = [one for one in unknown_plugins(registry, catalogue) if one.key.split(".")[1] in tables]
        if len(faults) > 1 and error.message in {fault.reason for fault in faults}:
            together = registry_error(faults)
            raise UsageError(together.message, together.hint) from error
        raise


_Given = tuple[Key, Mapping[str, Any]]  # the key of a table of parameters, and what is in it


def _uses(registry: Registry, catalogue: Catalogue, source: Source) -> Iterator[tuple[Key, str, str, _Given]]:
    """Yield where the registry names a plugin: the key, the plugin's kind, its name and its parameters."""
    tables: Any = source.parse()
    for key in sorted(source.lines, key=lambda key: (len(key), str(key))):
        found = reduce(lambda table, part: table[part], key, tables)
        given = (*key, "params"), found.get("params", {}) if isinstance(found, dict) else {}
        match key:
            case "dataset", str(name):
                yield (*key, "spec"), "dataset", registry.datasets[name].spec, given
            case (("backbone" | "arch"), str(name)):
                yield (*key, "provider"), "backbone", registry.networks[name].arch.provider, ((), {})
            case ("recipe", str(name)) | ("recipe", str(name), "at", _):
                yield (*key, "learner"), "learner", registry.recipes[name].learner, given
            case ("method", str(name)) | ("method", str(name), "at", _):
                method, chosen = registry.methods[name], ((*key, "selector_params"), found.get("selector_params", {}))
                scorer = catalogue.entries["scorers"].get(method.scorer)
                yield (*key, "scorer"), "scorer", method.scorer, given
                if selector := method.selector or (scorer.spec.selector if scorer else ""):
                    yield (*key, "selector"), "selector", selector, chosen
            case ("suite", _, "unpruned") | ("suite", _, *_, "methods", int()):
                if found and found not in registry.methods:
                    yield key, "scorer", found, ((), {})
            case "suite", _, *_, "projectors", int():
                yield key, "projector", found, ((), {})


def new_table(entry: Entry[Any], *, tier: str, maintainer: str, reason: str, version: str, added: date) -> str:
    """Return the TOML text of a table for an installed plugin; UsageError without a maintainer or a needed reason."""
    origin, told = entry.origin, _metadata(entry.origin.distribution)
    authors = [told.get(key) for key in ("Maintainer", "Author", "Maintainer-email", "Author-email")]
    author = next(filter(None, authors), "")
    maintainer = maintainer or author.partition("<")[0].strip(' "') or author  # of "A Name <address>", the name
    if not maintainer:
        raise UsageError(f"the metadata of {origin.distribution} name no maintainer", "say it with --maintainer NAME")
    if tier == "quarantine" and not reason:
        raise UsageError("a quarantine needs a reason", "say it with --reason TEXT")
    version = version or compatible_range(origin.version)
    values = {"kind": entry.spec.kind, "dist": origin.distribution, "version": version, "tier": tier,
              "maintainer": maintainer, "reason": reason}  # fmt: skip
    # A JSON string is a TOML basic string, but for the one control character that JSON lets through.
    lines = [f"{key} = {json.dumps(value, ensure_ascii=False)}\n" for key, value in values.items() if value]
    table = f"[plugin.{entry.spec.name}]\n{''.join(lines)}added = {added.isoformat()}\n"
    return table.replace("\x7f", "\\u007f")


def compatible_range(version: str) -> str:
    """Return the range from a version up to the next that may break: "1.2.3" to ">=1.2.3,<2", "0.3" to ">=0.3,<0.4"."""
    try:
        parsed = Version(version)
    except InvalidVersion as error:
        raise UsageError(f"{version!r} is not a PEP 440 version", "give a range with --range") from error
    return f">={parsed.public},<{parsed.major + 1 if parsed.major else f'0.{parsed.minor + 1}'}"


def add_listing(file: Path, catalogue: Catalogue, name: str, *, tier: str, added: date, **given: str) -> str:
    """Write the table of the plugin "NAME" or "KIND:NAME" at the end of a registry, whole or not at all; return it."""
    entry, registry = _find_entry(catalogue, name), load_registry(file)
    table = new_table(entry, tier=tier, added=added, **given)
    if entry.spec.name in registry.plugins:
        line = Source(file, registry.text).lines["plugin", entry.spec.name]
        raise UsageError(f"{entry.spec.name!r} is in {file.name} already, line {line}", "edit its table there")
    if entry.origin.distribution == HOST and tier != "quarantine":
        hint = "write a table by hand where there is more to say, such as an expected failure"
        raise UsageError(f"{entry.spec.kind} {entry.spec.name!r} ships with prunebench and is registered by that", hint)
    source = Source(file, registry.text.rstrip("\n") + "\n\n" + table)
    make_registry(source)
    write_text(file, source.text, hint="name a file that can be written with --registry FILE")
    return table


def _find_entry(catalogue: Catalogue, name: str) -> Entry[Any]:
    kind, _, plain = name.rpartition(":")
    everything = [entry for entries in catalogue.entries.values() for entry in entries.values()]
    named = [entry for entry in everything if entry.spec.name == plain and kind in ("", entry.spec.kind)]
    if not named:
        raise UsageError(f"no plugin is named {name!r}", did_you_mean(plain, {e.spec.name for e in everything}))
    if len(named) > 1:
        forms = ", ".join(f"{entry.spec.kind}:{plain}" for entry in named)
        raise UsageError(f"{name!r} is the name of {len(named)} plugins", f"say which: {forms}")
    return named[0]
