"""The entry points of the installed distributions, read without importing any of them."""

from __future__ import annotations

import contextlib
import importlib.metadata
import importlib.util
import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from prunebench.keys import digest
from prunebench.specs import API

GROUP = "prunebench"
HOST = "prunebench"
FIRST_IMPORT = "PRUNEBENCH_FIRST_IMPORT"  # set in the process of a first import, where only the own plugins are loaded


@dataclass(frozen=True)
class Origin:
    """Where a plugin comes from."""

    entry_point: str
    distribution: str
    version: str

    def __str__(self) -> str:
        return f"{self.entry_point} ({self.distribution} {self.version})"


@dataclass(frozen=True)
class Installed:
    """One entry point of the group, with the distribution that declares it."""

    point: importlib.metadata.EntryPoint
    origin: Origin

    @property
    def bundled(self) -> bool:
        """Whether it is prunebench's own."""
        return self.origin.distribution == HOST


def installed_plugins(chosen: str | None = None) -> list[Installed]:
    """Return the entry points of the group, prunebench's own first, then by distribution and name.

    chosen: comma-separated entry-point names; None for all.
    """
    wanted = None if chosen is None else set(chosen.split(","))
    named: dict[int, tuple[str, str]] = {}
    found = []
    for point in importlib.metadata.entry_points(group=GROUP):
        if wanted is not None and point.name not in wanted:
            continue
        # Reading metadata parses a mail message: once a distribution, not once an entry point.
        if id(point.dist) not in named:
            metadata = point.dist.metadata if point.dist else None
            named[id(point.dist)] = (metadata["Name"], metadata["Version"]) if metadata else ("unknown", "unknown")
        found.append(Installed(point, Origin(point.name, *named[id(point.dist)])))
    # The bundled plugins come first so that on a collision of names they stay.
    return sorted(found, key=lambda one: (not one.bundled, one.origin.distribution, one.point.name))


def environment_digest() -> str:
    """Return the digest of what a plugin's import may depend on: this Python and the installed distributions."""
    metadata: set[str] = set()
    for folder in sys.path:
        try:
            with os.scandir(folder or ".") as entries:
                metadata.update(one.name for one in entries if one.name.endswith((".dist-info", ".egg-info")))
        except OSError:
            continue
    return digest([sys.version, sys.prefix, API, sorted(metadata)])


def plugin_digest(plugin: Installed, environment: str) -> str:
    """Return the key of the result of a first import: name, version and files of the plugin, and the environment.

    Files count by path, size and time of change; nothing is imported.
    """
    files = sorted(_files(plugin.point.module.partition(".")[0]))
    record = plugin.point.dist.read_text("RECORD") if plugin.point.dist else None
    origin = plugin.origin
    return digest([environment, origin.distribution, origin.version, origin.entry_point, plugin.point.value,
                   record or "", files])  # fmt: skip


def _files(package: str) -> Iterator[tuple[str, int, int]]:
    try:
        spec = importlib.util.find_spec(package)
    except (ImportError, ValueError):
        return
    folders = (spec.submodule_search_locations if spec else None) or ()
    paths = [path for folder in folders for path in Path(folder).rglob("*") if path.suffix in (".py", ".so", ".pyd")]
    for path in paths if folders or spec is None or spec.origin is None else [Path(spec.origin)]:
        with contextlib.suppress(OSError):
            state = path.stat()
            yield str(path), state.st_size, state.st_mtime_ns
