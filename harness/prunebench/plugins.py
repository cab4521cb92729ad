"""All that the installed plugins declare: one broken plugin is reported with its distribution, and the rest works."""

import contextlib
import importlib
import os
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property, partial, partialmethod
from typing import Any, Generic, TypeVar

import pluggy

from prunebench import hookspecs, specs
from prunebench.code_version import code_digest
from prunebench.describe import counted
from prunebench.discovery.first_import import importable
from prunebench.discovery.registration import GROUP, HOST, Failure, Origin, declarations, register
from prunebench.errors import NotHere, PluginLoadError, UsageError, did_you_mean
from prunebench.specs import PluginSpec

__all__ = ["GROUP", "HOST", "KINDS", "Catalogue", "Entry", "Failure", "Origin", "load_plugins"]

KINDS: Mapping[str, type[PluginSpec]] = {
    f"{spec.kind}s": spec
    for spec in (specs.ScorerSpec, specs.ProjectorSpec, specs.SelectorSpec, specs.DatasetSpec, specs.BackboneSpec,
                 specs.LearnerSpec, specs.ExecutorSpec, specs.MetricSpec)
}  # fmt: skip
S = TypeVar("S", bound=PluginSpec)


@dataclass(frozen=True)
class Entry(Generic[S]):
    """One declared spec with the plugin that it came from."""

    spec: S
    origin: Origin

    def __str__(self) -> str:
        return f"plugin {self.origin}: {self.spec.kind} {self.spec.name!r}"

    @cached_property
    def version(self) -> str:
        """The author's version of the implementation, or a digest of the code that its targets reach."""
        return self.code_version()

    def code_version(self) -> str:
        """Return the version that the files give now."""
        targets = (getattr(self.spec, name, "") for name in ("load", "labeller", "uses"))
        return self.spec.version or code_digest(filter(None, targets))

    def load(self, field: str = "load") -> Any:
        """Import and return the implementation, or what another field of the spec names, such as "labeller"; raises
        PluginLoadError with the plugin's name and version."""
        target = getattr(self.spec, field)
        module, _, attribute = target.partition(":")
        try:
            return getattr(importlib.import_module(module), attribute)
        except Exception as error:
            text = f"{self} cannot be loaded from {target!r}: {type(error).__name__}: {error}"
            hint = "the declaration works but the implementation does not; reinstall or update the plugin"
            raise PluginLoadError(text, hint) from error

    def load_pictures(self) -> Any:
        """Import and return what opens networks for pictures; raises UsageError for a backbone without it, and
        PluginLoadError like `load`."""
        if not getattr(self.spec, "pictures", ""):
            text = f"{self} takes arrays alone, no pictures of files"
            raise UsageError(text, "choose a backbone that reads pictures, or give features")
        return self.load("pictures")


@dataclass(frozen=True)
class Catalogue:
    """All that the installed plugins declare, by kind and name, and what was left out."""

    entries: Mapping[str, Mapping[str, Entry[Any]]]
    failures: tuple[Failure, ...]
    manager: pluggy.PluginManager = field(repr=False, compare=False)
    not_installed: Mapping[tuple[str, str], NotHere] = field(default_factory=dict)  # by kind and name

    def get(self, kind: str, name: str) -> Entry[Any]:
        """Return the entry `name` of `kind` ("scorers", ...); raises UsageError with the nearest name."""
        if (kind[:-1], name) in self.not_installed:
            raise self.not_installed[kind[:-1], name]
        known = self.entries[kind]
        if name not in known:
            more = (
                f"; {counted(len(self.failures), 'plugin')} failed to load, see `prunebench list`"
                if self.failures
                else ""
            )
            raise UsageError(f"no {kind[:-1]} is named {name!r}", did_you_mean(name, known) + more)
        return known[name]

    scorer = partialmethod[Entry[specs.ScorerSpec]](get, "scorers")
    projector = partialmethod[Entry[specs.ProjectorSpec]](get, "projectors")
    selector = partialmethod[Entry[specs.SelectorSpec]](get, "selectors")
    dataset = partialmethod[Entry[specs.DatasetSpec]](get, "datasets")
    backbone = partialmethod[Entry[specs.BackboneSpec]](get, "backbones")
    learner = partialmethod[Entry[specs.LearnerSpec]](get, "learners")
    executor = partialmethod[Entry[specs.ExecutorSpec]](get, "executors")

    def notify(self, hook: str, **payload: Any) -> list[str]:
        """Call every observer of `hook`; an exception becomes a line of text and never stops the run."""
        problems = []
        for implementation in getattr(self.manager.hook, hook).get_hookimpls():
            try:
                implementation.function(*(payload[name] for name in implementation.argnames))
            except (Exception, SystemExit) as error:
                problems.append(f"plugin {implementation.plugin_name}: {hook}: {type(error).__name__}: {error}")
        return problems


@hookspecs.hookimpl
def prunebench_executors() -> Iterable[specs.ExecutorSpec]:
    """Declare the harness's own executors, through the same hook as everybody's."""
    return [
        specs.ExecutorSpec(name="local", summary="Warm worker processes on this machine, one per slot.",
                     load="prunebench.executors.local:LocalExecutor"),
        specs.ExecutorSpec(name="serial", summary="Everything in this process, for debugging.",
                     load="prunebench.executors.local:SerialExecutor"),
    ]  # fmt: skip


def load_plugins(extra: Mapping[str, Any] = {}, *, retry: bool = False, time_limit_seconds: float = 20) -> Catalogue:
    """Discover, register and ask all plugins; never raises for a plugin's fault.
    Those of other distributions are first imported by a process of their own, once per version: what kills or stops it
    is a failure here, and is not imported.
    Where PRUNEBENCH_LOAD_PLUGINS is set, to comma-separated names of entry points, no others are loaded.
    extra: name to plugin object, registered beside the installed ones (for tests and notebooks).
    retry: try those again that failed before.  time_limit_seconds: for the first import of one plugin, default 20."""
    from prunebench import __version__

    manager = pluggy.PluginManager(GROUP)
    manager.add_hookspecs(hookspecs)
    manager.register(sys.modules[__name__], name=HOST)
    chosen = os.environ.get("PRUNEBENCH_LOAD_PLUGINS")
    found, failures = importable(chosen, retry=retry, time_limit_seconds=time_limit_seconds)
    loaders: list[tuple[Callable[[], Any], Origin]] = [(point.load, origin) for point, origin in found]
    loaders += [(partial(extra.get, name), Origin(name, name, "local")) for name in extra]
    origins = {HOST: Origin(HOST, HOST, __version__)}
    with contextlib.redirect_stdout(sys.stderr):  # standard output is data
        for load, origin in loaders:
            name = origin.entry_point + (f" of {origin.distribution}" if origin.entry_point in origins else "")
            origins[name] = origin
            failures += register(manager, load, origin, name)
        entries: dict[str, dict[str, Entry[Any]]] = {}
        for kind, expected in KINDS.items():
            declared, wrong = declarations(getattr(manager.hook, f"prunebench_{kind}"), expected, origins)
            entries[kind] = {name: Entry(*one) for name, one in declared.items()}
            failures += wrong
    return Catalogue(entries, tuple(failures), manager)
