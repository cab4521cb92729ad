"""Environments for plugins whose dependencies clash with those of others: made once, by uv, in the cache folder.

One holds what `environment = [...]` in the plugin's table of registry.toml lists, and nothing else; all other packages
it takes from the environment that prunebench runs in, so that methods are compared under the same numerical libraries:
`uv run --with` would resolve and install these once more."""

import json
import os
import shutil
import site
import subprocess
import sys
import sysconfig
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from importlib.metadata import Distribution, distributions
from pathlib import Path
from typing import Any

from filelock import FileLock
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from prunebench.errors import EnvironmentFailed, UsageError, did_you_mean
from prunebench.keys import digest
from prunebench.plan import Filters, is_chosen
from prunebench.plugins import HOST, Catalogue, Entry, load_plugins
from prunebench.provenance import package_list_digest
from prunebench.records import write_text
from prunebench.registry import Listing, Registry
from prunebench.wire import from_json, to_json

_DESCRIBE = "from prunebench.environments import describe; describe()"


def with_environments(
    catalogue: Catalogue, registry: Registry, suite_name: str, filters: Filters, cache: Path,
    notice: Callable[[str], None],
) -> tuple[Catalogue, Mapping[str, str]]:  # fmt: skip
    """Return the catalogue with the plugins of a suite that have environments, and their interpreters by "kind:name".
    filters: what they leave out of the suite needs no environment.  One that is not in the cache is made, after a
    notice.  Nothing of such a plugin is imported here.  Raises EnvironmentFailed."""
    suite, entries, interpreters = registry.suite(suite_name), dict(catalogue.entries), {}
    names = (*suite.methods, suite.unpruned, *suite.agreement_methods, *filters.added)
    scorers = {method.scorer for method in map(registry.method, names) if is_chosen(method, filters)}
    used = {"scorer": scorers, "projector": {*suite.projectors, *suite.agreement_projectors}}
    for listing in registry.plugins.values():
        if listing.environment and listing.name in used[listing.kind]:
            notice(f"{listing.kind} {listing.name} runs in an environment of its own: {', '.join(listing.environment)}")
            entry, interpreters[f"{listing.kind}:{listing.name}"] = _made(listing, cache)
            entries[f"{listing.kind}s"] = {**entries[f"{listing.kind}s"], listing.name: entry}
    return replace(catalogue, entries=entries), interpreters


def interpreter_of(
    names: Sequence[str], catalogue: Catalogue, listings: Mapping[str, Listing], cache: Path
) -> str | None:
    """Return the interpreter of a plugin, named "NAME" or "KIND:NAME", that can only be had in its environment.
    None where every name is here, or nobody knows it.  Raises UsageError for such a plugin among other names."""
    for kind, _, plain in (name.rpartition(":") for name in names):
        listing = listings.get(plain)
        if listing is None or not listing.environment or kind not in ("", listing.kind):
            continue
        here = catalogue.entries[f"{listing.kind}s"].get(plain)
        if here is None or not listing.is_met_by(here.origin):
            if len(names) > 1:
                raise UsageError(f"{plain!r} runs in an environment of its own", "name it alone")
            return _made(listing, cache)[1]
    return None


def describe() -> None:
    """Print as JSON what the plugins of this interpreter declare, with versions; exits where its packages lack any."""
    found, listed = load_plugins(), reversed([*distributions()])  # those of the environment come first, and stay
    packages: dict[str, Distribution] = {canonicalize_name(one.name): one for one in listed}
    added = [one for one in packages.values() if Path(str(one.locate_file(""))).is_relative_to(sys.prefix)]
    if missing := [text for one in [*added, packages[HOST]] for text in lacking(one, packages)]:
        sys.exit(f"it lacks {', '.join(missing)}, and nothing else is installed there")
    entries = [entry for kind in ("scorers", "projectors") for entry in found.entries[kind].values()]
    entries = [replace(entry, spec=replace(entry.spec, version=entry.version)) for entry in entries]
    failures = {failure.origin.distribution: failure.error for failure in reversed(found.failures)}
    print(json.dumps({"entries": [to_json(entry) for entry in entries], "failures": failures}))  # noqa: T201


def lacking(package: Distribution, packages: Mapping[str, Distribution]) -> list[str]:
    """Return the requirements of a package that none of the packages, by normalised name, satisfies."""

    def is_met(one: Requirement) -> bool:
        there = packages.get(canonicalize_name(one.name))
        return there is not None and one.specifier.contains(there.version, prereleases=True)

    every = map(Requirement, package.requires or ())
    wanted = [one for one in every if one.marker is None or one.marker.evaluate({"extra": ""})]
    return [f"{one.name}{one.specifier}" for one in wanted if not is_met(one)]


def _made(listing: Listing, cache: Path) -> tuple[Entry[Any], str]:
    """Return the entry of a listed plugin and the interpreter of its environment, which is made unless it is cached."""
    # The key covers the requirements, this interpreter and every package installed beside it, prunebench too.
    key = digest([3, sorted(listing.environment), sys.version, sys.prefix, package_list_digest()])
    folder = cache / "environments" / key
    scripts, own = (Path(sysconfig.get_path(name, "venv", {"base": str(folder)})) for name in ("scripts", "purelib"))
    declarations, python = folder / "declarations.json", str(scripts / "python")
    folder.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{folder}.lock"):
        if not declarations.is_file():
            shutil.rmtree(folder, ignore_errors=True)
            uv = os.environ.get("UV") or shutil.which("uv") or shutil.which("uv", path=sysconfig.get_path("scripts"))
            if uv is None:
                raise _fault(listing, "cannot be made without uv", "pip install uv")
            _run(listing, uv, "venv", "--quiet", "--python", sys.executable, str(folder))
            # addsitedir, unlike a plain path, reads .pth files too: packages may be installed editable.
            parents = [*site.getsitepackages(), *([site.getusersitepackages()] if site.ENABLE_USER_SITE else [])]
            lines = "".join(f"import site; site.addsitedir({parent!r})\n" for parent in parents)
            (own / "_prunebench_parent.pth").write_text(lines, encoding="utf-8")
            _run(listing, uv, "pip", "install", "--quiet", "--no-deps", "--python", python, *listing.environment)
            said = _run(listing, python, "-c", _DESCRIBE)
            write_text(declarations, said.splitlines()[-1])  # last: it is complete when its plugins can be declared
    declared = json.loads(declarations.read_text(encoding="utf-8"))
    entries = [from_json(entry) for entry in declared["entries"]]
    mine = {e.spec.name: e for e in entries if (e.spec.kind, e.origin.distribution) == (listing.kind, listing.dist)}
    if (entry := mine.get(listing.name)) is None or not listing.covers(entry.origin.version):
        hint = f"let version and environment agree: it holds {entry.origin}" if entry else ""
        hint = hint or declared["failures"].get(listing.dist) or did_you_mean(listing.name, mine)
        raise _fault(listing, f"holds no {listing.kind} of this name from {listing.dist} {listing.version}", hint)
    return entry, python


def _run(listing: Listing, *command: str) -> str:
    if (done := subprocess.run(command, capture_output=True, text=True, check=False)).returncode:
        what = f"{Path(command[0]).stem} {command[1]} {command[2]} ended with {done.returncode}"
        hint = f"look at environment = [...] of [plugin.{listing.name}] in the registry"
        raise _fault(listing, f"cannot be made: {what}: {(done.stderr or done.stdout).strip()}", hint)
    return done.stdout


def _fault(listing: Listing, text: str, hint: str) -> EnvironmentFailed:
    return EnvironmentFailed(f"the environment of plugin {listing.name!r} {text}", hint)
