"""The entry points of the installed distributions, read without importing any of them."""

from __future__ import annotations

import contextlib
import importlib.metadata
import importlib.util
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from prunebench.keys import digest
from prunebench.specs import API

GROUP = "prunebench"
HOST = "prunebench"


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
    named: dict[int, tuple[str, str]] = {id(None): ("unknown", "unknown")}
    found = []
    for point in importlib.metadata.entry_points(group=GROUP):
        if wanted is None or point.name in wanted:
            # Reading metadata parses a mail message: once per distribution, not once per entry point.
            if point.dist and id(point.dist) not in named:
                named[id(point.dist)] = point.dist.metadata["Name"], point.dist.metadata["Version"]
            found.append(Installed(point, Origin(point.name, *named[id(point.dist)])))
    # The bundled plugins come first so that on a collision of names they stay.
    return sorted(found, key=lambda one: (not one.bundled, one.origin.distribution, one.point.name))


def environment_digest() -> str:
    """Return the digest of what a plugin's import may depend on: this Python and the installed distributions."""
    names: set[str] = set()
    for folder in sys.path:
        with contextlib.suppress(OSError):
            names.update(path.name for path in Path(folder).iterdir() if path.suffix in (".dist-info", ".egg-info"))
    return digest([sys.version, sys.prefix, API, sorted(names)])


def plugin_digest(plugin: Installed, environment: str) -> str:
    """Return the key of the result of a first import: name, version and files of the plugin, and the environment.

    Files count by path, size and time of change; nothing is imported.
    """
    record = plugin.point.dist.read_text("RECORD") if plugin.point.dist else None
    origin, files = plugin.origin, sorted(_files(plugin.point.module.partition(".")[0]))
    names = [origin.distribution, origin.version, origin.entry_point, plugin.point.value]
    return digest([environment, *names, record or "", files])


def _files(package: str) -> Iterator[tuple[str, int, int]]:
    spec = None
    with contextlib.suppress(ImportError, ValueError):
        spec = importlib.util.find_spec(package)
    folders = (spec.submodule_search_locations if spec else None) or ()
    paths = [path for folder in folders for path in Path(folder).rglob("*") if path.suffix in (".py", ".so", ".pyd")]
    for path in [Path(spec.origin)] if spec and spec.origin and not folders else paths:
        with contextlib.suppress(OSError):
            state = path.stat()
            yield str(path), state.st_size, state.st_mtime_ns
