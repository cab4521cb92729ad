"""The installed plugins and digests of their state.  Distributions are read one at a time: a damaged one is named.

`importlib.metadata.entry_points` raises for all where the files of one are not UTF-8, lack a line or a name."""

import contextlib
import re
import sys
from collections.abc import Iterator
from importlib.metadata import Distribution, EntryPoint, distributions
from pathlib import Path

from prunebench.code_version import locate
from prunebench.discovery.registration import GROUP, HOST, Failure, Origin
from prunebench.keys import digest
from prunebench.specs import API

Installed = tuple[EntryPoint, Origin]
_REINSTALL = "the rest works; reinstall this distribution, or remove what is left of it"


def installed_plugins(chosen: str | None = None) -> tuple[list[Installed], list[Failure]]:
    """Return the entry points of plugins, prunebench's own first, then by distribution and name, and a failure for
    each that cannot be read.  chosen: comma-separated names of entry points; None for all."""
    found: list[Installed] = []
    failures: list[Failure] = []
    seen: set[str] = set()
    for dist in distributions():
        folder = Path(str(getattr(dist, "_path", "") or (named(dist) or ["unknown"])[0])).name
        if (title := re.sub(r"[-.]", "_", Path(folder).stem.partition("-")[0]).lower()) in seen:
            continue  # the first on the path counts, as it is what an import finds
        seen.add(title)
        for item in _points(dist, folder):
            point = item.origin.entry_point if isinstance(item, Failure) else item[0].name
            if chosen is None or point in chosen.split(","):
                failures.append(item) if isinstance(item, Failure) else found.append(item)
    # The bundled plugins come first so that on a collision of names they stay.
    return sorted(found, key=lambda one: (one[1].distribution != HOST, one[1].distribution, one[0].name)), failures


def named(dist: Distribution) -> tuple[str, str] | None:
    """Return name and version of a distribution, None where its metadata are missing or damaged."""
    with contextlib.suppress(Exception):  # whatever the parsers of mail messages raise
        metadata = dist.metadata  # parsed at each call
        if metadata["Name"] and metadata["Version"]:
            return metadata["Name"], metadata["Version"]
    return None


def _points(dist: Distribution, folder: str) -> Iterator[Installed | Failure]:
    """Yield the entry points of plugins in one distribution, or what is wrong with them."""
    title, _, version = Path(folder).stem.partition("-")
    unknown = Origin(title, title, version or "unknown")
    try:
        text = dist.read_text("entry_points.txt") or ""
        points = [one for one in dist.entry_points if one.group == GROUP] if f"[{GROUP}]" in text else []
    except Exception as fault:  # bytes that are no text, lines that are no entry points
        reason = " ".join(str(fault).split())
        error = f"{folder}/entry_points.txt cannot be read: {type(fault).__name__}: {reason}"
        yield Failure(unknown, error, _REINSTALL)
        return
    name = named(dist) if points else None
    for point in points:
        origin = Origin(point.name, *(name or (unknown.distribution, unknown.version)))
        if name is None:
            yield Failure(origin, f"{folder}/METADATA is missing or damaged: it has no name and version", _REINSTALL)
        elif EntryPoint.pattern.match(point.value) is None:
            text = f"{folder}/entry_points.txt: {point.name} = {point.value!r}: expected module, or module:attribute"
            yield Failure(origin, text, _REINSTALL)
        else:
            yield point, origin


def environment_digest() -> str:
    """Return the digest of what a plugin's import may depend on: this Python and the installed distributions."""
    names: set[str] = set()
    for folder in sys.path:
        with contextlib.suppress(OSError):
            names.update(path.name for path in Path(folder).iterdir() if path.suffix in (".dist-info", ".egg-info"))
    return digest([sys.version, sys.prefix, API, sorted(names)])


def plugin_digest(point: EntryPoint, origin: Origin, environment: str) -> str:
    """Return the key of a first import: the plugin, its files by path, size and time of change, and the environment."""
    record = ""
    with contextlib.suppress(UnicodeDecodeError):
        record = (point.dist.read_text("RECORD") if point.dist else None) or ""
    files = sorted(package_files(point.module.partition(".")[0]))
    return digest([environment, str(origin), point.value, record, files])


def package_files(package: str) -> Iterator[tuple[str, int, int]]:
    """Yield the files of code of a package, and of a module its own: path, size and time of change."""
    file, folders = locate(package)
    inside = [path for folder in folders for path in folder.rglob("*") if path.suffix in (".py", ".so", ".pyd")]
    for path in inside if folders else [file] if file else []:
        with contextlib.suppress(OSError):
            state = path.stat()
            yield str(path), state.st_size, state.st_mtime_ns
