"""A new table [plugin.NAME] for the registry, from a plugin's declaration and the metadata of its distribution."""

from __future__ import annotations

import json
from datetime import date
from pathlib import Path
from typing import Any

from prunebench.errors import UsageError, did_you_mean
from prunebench.plugins import HOST, Catalogue, Entry
from prunebench.records import write_text
from prunebench.registry.reader import load_registry, make_registry
from prunebench.registry.toml_lines import Source


def find_entry(catalogue: Catalogue, name: str) -> Entry[Any]:
    """Return the installed plugin that "NAME" or "KIND:NAME" means; UsageError where none or several do."""
    kind, _, plain = name.rpartition(":")
    everything = [entry for entries in catalogue.entries.values() for entry in entries.values()]
    named = [entry for entry in everything if entry.spec.name == plain and kind in ("", entry.spec.kind)]
    if not named:
        raise UsageError(f"no plugin is named {name!r}", did_you_mean(plain, {e.spec.name for e in everything}))
    if len(named) > 1:
        forms = ", ".join(f"{entry.spec.kind}:{plain}" for entry in named)
        raise UsageError(f"{name!r} is the name of {len(named)} plugins", f"say which: {forms}")
    return named[0]


def new_table(entry: Entry[Any], *, tier: str, maintainer: str, reason: str, version: str, added: date) -> str:
    """Return the TOML text of a table for an installed plugin, from its declaration and its distribution.

    maintainer, version: default what the distribution says, and its version up to the next breaking one.
    Raises UsageError when nobody is named, or a quarantine has no reason.
    """
    origin = entry.origin
    maintainer = maintainer or _maintainer(origin.distribution)
    if not maintainer:
        raise UsageError(f"the metadata of {origin.distribution} name no maintainer", "say it with --maintainer NAME")
    if tier == "quarantine" and not reason:
        raise UsageError("a quarantine needs a reason", "say it with --reason TEXT")
    values = {
        "kind": entry.spec.kind,
        "dist": origin.distribution,
        "version": version or compatible_range(origin.version),
        "tier": tier,
        "maintainer": maintainer,
    }
    lines = [f"{key} = {_quoted(value)}" for key, value in values.items()] + [f"added = {added.isoformat()}"]
    lines += [f"reason = {_quoted(reason)}"] if reason else []
    return "\n".join([f"[plugin.{entry.spec.name}]", *lines, ""])


def compatible_range(version: str) -> str:
    """Return the range from a version up to the next that may break: "1.2.3" to ">=1.2.3,<2", "0.3" to ">=0.3,<0.4"."""
    from packaging.version import InvalidVersion, Version

    try:
        parsed = Version(version)
    except InvalidVersion as error:
        raise UsageError(f"{version!r} is not a PEP 440 version", "give a range with --range") from error
    upper = str(parsed.major + 1) if parsed.major else f"0.{parsed.minor + 1}"
    return f">={parsed.public},<{upper}"


def _maintainer(distribution: str) -> str:
    from importlib.metadata import PackageNotFoundError, metadata

    try:
        found = metadata(distribution)
    except PackageNotFoundError:
        return ""
    for key in ("Maintainer", "Author", "Maintainer-email", "Author-email"):
        if key in found and (value := found[key]):
            # Addresses look like "A Name <name@host>"; the name is enough.
            return value.partition("<")[0].strip(' "') or value
    return ""


def _quoted(text: str) -> str:
    # A JSON string is a TOML basic string, but for the one control character that JSON lets through.
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def append_table(file: Path, entry: Entry[Any], table: str, *, tier: str) -> None:
    """Write a table at the end of a registry, which stays as it is above; whole or not at all.

    Raises UsageError where the plugin is registered already, RegistryError where the result would not be valid.
    """
    registry, name = load_registry(file), entry.spec.name
    if name in registry.plugins:
        line = Source(file, registry.text).lines["plugin", name]
        raise UsageError(f"{name!r} is in {file.name} already, line {line}", "edit its table there")
    if entry.origin.distribution == HOST and tier != "quarantine":
        raise UsageError(
            f"{entry.spec.kind} {name!r} ships with prunebench and is registered by that",
            "write a table by hand where there is more to say, such as an expected failure",
        )
    text = registry.text.rstrip("\n") + "\n\n" + table
    make_registry(Source(file, text))
    write_text(file, text, hint="name a file that can be written with --registry FILE")
