"""All that the installed plugins declare: one broken plugin is reported with its distribution, and the rest works."""

from __future__ import annotations

import contextlib
import hashlib
import importlib
import importlib.util
import os
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any, Generic, TypeVar, cast

import click
import pluggy

from prunebench import hookspecs
from prunebench.discovery.admission import admitted
from prunebench.discovery.api import SPOKEN
from prunebench.discovery.installed import GROUP, HOST, Origin
from prunebench.discovery.registration import Failure, Fault, declared, register
from prunebench.errors import PluginCollision, PluginLoadError, UsageError, did_you_mean
from prunebench.specs import (
    BackboneSpec,
    DatasetSpec,
    ExecutorSpec,
    LearnerSpec,
    MetricSpec,
    PluginSpec,
    ProjectorSpec,
    ScorerSpec,
    SelectorSpec,
)

__all__ = [
    "GROUP", "HOST", "Catalogue", "Entry", "Failure", "Origin", "add_commands", "load_plugins", "source_digest",
]  # fmt: skip

_KINDS: Mapping[str, type[PluginSpec]] = {
    "scorers": ScorerSpec,
    "projectors": ProjectorSpec,
    "selectors": SelectorSpec,
    "datasets": DatasetSpec,
    "backbones": BackboneSpec,
    "learners": LearnerSpec,
    "executors": ExecutorSpec,
    "metrics": MetricSpec,
}

S = TypeVar("S", bound=PluginSpec)


@dataclass(frozen=True)
class Entry(Generic[S]):
    """One declared spec with the plugin that it came from."""

    spec: S
    origin: Origin

    @property
    def version(self) -> str:
        """The author's version of the implementation, or a digest of its package's source files."""
        return self.spec.version or source_digest(self.spec.load.partition(":")[0].partition(".")[0])

    def load(self) -> Any:
        """Import and return the implementation; raises PluginLoadError with the plugin's name and version."""
        return self._imported(self.spec.load)

    def load_labeller(self) -> Any:
        """Import and return the labeller of a scorer that has one; raises PluginLoadError like `load`."""
        return self._imported(cast(ScorerSpec, self.spec).labeller)

    def _imported(self, target: str) -> Any:
        module, _, attribute = target.partition(":")
        try:
            return getattr(importlib.import_module(module), attribute)
        except Exception as error:
            raise PluginLoadError(
                f"plugin {self.origin}: {self.spec.kind} {self.spec.name!r} cannot be loaded from "
                f"{target!r}: {type(error).__name__}: {error}",
                "the declaration works but the implementation does not; reinstall or update the plugin",
            ) from error


@dataclass(frozen=True)
class Catalogue:
    """All that the installed plugins declare, by kind and name, and what was left out."""

    entries: Mapping[str, Mapping[str, Entry[Any]]]
    failures: tuple[Failure, ...]
    manager: pluggy.PluginManager = field(repr=False, compare=False)

    def get(self, kind: str, name: str) -> Entry[Any]:
        """Return the entry `name` of `kind` ("scorers", ...); raises UsageError with the nearest name."""
        known = self.entries[kind]
        if name not in known:
            hint = did_you_mean(name, known)
            if self.failures:
                hint += f"; {len(self.failures)} plugin(s) failed to load, see `prunebench list`"
            raise UsageError(f"no {kind[:-1]} is named {name!r}", hint)
        return known[name]

    def scorer(self, name: str) -> Entry[ScorerSpec]:
        """Return the scorer of that name."""
        return self.get("scorers", name)

    def projector(self, name: str) -> Entry[ProjectorSpec]:
        """Return the projector of that name."""
        return self.get("projectors", name)

    def selector(self, name: str) -> Entry[SelectorSpec]:
        """Return the selector of that name."""
        return self.get("selectors", name)

    def dataset(self, name: str) -> Entry[DatasetSpec]:
        """Return the data set of that name."""
        return self.get("datasets", name)

    def backbone(self, name: str) -> Entry[BackboneSpec]:
        """Return the provider of networks of that name."""
        return self.get("backbones", name)

    def learner(self, name: str) -> Entry[LearnerSpec]:
        """Return the learner of that name."""
        return self.get("learners", name)

    def executor(self, name: str) -> Entry[ExecutorSpec]:
        """Return the executor of that name."""
        return self.get("executors", name)

    def notify(self, hook: str, **payload: Any) -> list[str]:
        """Call every observer of `hook`; an exception becomes a line of text and never stops the run."""
        problems = []
        for implementation in getattr(self.manager.hook, hook).get_hookimpls():
            try:
                implementation.function(*(payload[name] for name in implementation.argnames))
            except KeyboardInterrupt:
                raise
            except BaseException as error:  # sys.exit, too
                problems.append(f"plugin {implementation.plugin_name}: {hook}: {type(error).__name__}: {error}")
        return problems


@lru_cache(maxsize=256)
def source_digest(package: str) -> str:
    """Return the digest of all Python files of a package or module, without importing it."""
    spec = importlib.util.find_spec(package)
    if spec is None or spec.origin is None:
        return "unknown"
    origin = Path(spec.origin)
    files = sorted(origin.parent.rglob("*.py")) if spec.submodule_search_locations else [origin]
    state = hashlib.blake2b(digest_size=8)
    for file in files:
        state.update(file.relative_to(origin.parent).as_posix().encode() + b"\0" + file.read_bytes() + b"\0")
    return state.hexdigest()


class _Builtin:
    """The harness's own declarations, through the same hooks as everybody's."""

    @staticmethod
    @hookspecs.hookimpl
    def prunebench_executors() -> Iterable[ExecutorSpec]:
        return [
            ExecutorSpec(name="local", summary="Warm worker processes on this machine, one a slot.",
                         load="prunebench.executors.local:LocalExecutor"),
            ExecutorSpec(name="serial", summary="Everything in this process, for debugging.",
                         load="prunebench.executors.serial:SerialExecutor"),
        ]  # fmt: skip


def load_plugins(
    extra: Mapping[str, Any] | None = None,
    only: str | None = None,
    *,
    spoken: range = SPOKEN,
    retry: bool = False,
    time_limit_seconds: float | None = None,
) -> Catalogue:
    """Discover, register and ask all plugins; never raises for a plugin's fault.

    Those of other distributions are first imported by a process of their own, once a version: what kills or
    stops it is a failure here, and is not imported.
    extra: name to plugin object, registered beside the installed ones (for tests and notebooks).
    only: comma-separated entry-point names; default the environment variable PRUNEBENCH_LOAD_PLUGINS.
    spoken: the numbers of the plugin API that are accepted.  retry: try those again that failed before.
    time_limit_seconds: for the first import of one plugin, default 20.
    """
    manager = pluggy.PluginManager(GROUP)
    manager.add_hookspecs(hookspecs)
    manager.register(_Builtin(), name=HOST)
    chosen = only if only is not None else os.environ.get("PRUNEBENCH_LOAD_PLUGINS")
    found, failures = admitted(chosen, retry=retry, time_limit_seconds=time_limit_seconds)
    loaders: list[tuple[Callable[[], Any], Origin]] = [(one.point.load, one.origin) for one in found]
    for name, plugin in (extra or {}).items():
        loaders.append((cast(Callable[[], Any], lambda plugin=plugin: plugin), Origin(name, name, "local")))
    origins = {HOST: Origin(HOST, HOST, _host_version())}
    with contextlib.redirect_stdout(sys.stderr):  # standard output is data
        for load, origin in loaders:
            name = _free_name(origin, origins)
            origins[name] = origin
            failures += register(manager, load, origin, name, spoken)
        entries = {kind: _collect(manager, kind, origins, failures, spoken) for kind in _KINDS}
    return Catalogue(entries, tuple(failures), manager)


def _free_name(origin: Origin, taken: Mapping[str, Origin]) -> str:
    name = origin.entry_point
    return name if name not in taken else f"{name} of {origin.distribution}"


def _collect(
    manager: pluggy.PluginManager,
    kind: str,
    origins: Mapping[str, Origin],
    failures: list[Failure],
    spoken: range,
) -> dict[str, Entry[Any]]:
    found: dict[str, Entry[Any]] = {}
    for plugin_name, spec in declared(getattr(manager.hook, f"prunebench_{kind}"), _KINDS[kind], spoken):
        origin = origins[plugin_name]
        if isinstance(spec, Fault):
            failures.append(Failure(origin, spec.error, spec.hint, partial=True))
        elif spec.name in found:
            other = found[spec.name].origin
            failures.append(
                Failure(
                    origin,
                    f"{spec.kind} {spec.name!r} is declared by {other} and by {origin}",
                    f"{other.distribution}'s is used; rename or uninstall one",
                    PluginCollision,
                    partial=True,
                )
            )
        else:
            found[spec.name] = Entry(spec, origin)
    return found


def add_commands(catalogue: Catalogue, cli: click.Group) -> None:
    """Let plugins add commands to the command line."""
    catalogue.notify("prunebench_commands", cli=cli)


def _host_version() -> str:
    from prunebench import __version__

    return __version__
