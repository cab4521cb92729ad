"""Plugins registered and asked for their declarations one by one: a fault has one owner, and the rest works."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, cast

import pluggy

from prunebench import hookspecs
from prunebench.discovery.api import SPOKEN, api_problem, hint_for, hook_hint
from prunebench.discovery.installed import Origin
from prunebench.errors import PluginError, PluginLoadError
from prunebench.specs import PluginSpec


@dataclass(frozen=True)
class Failure:
    """A plugin that was left out, or (partial) one declaration of it, and why."""

    origin: Origin
    error: str
    hint: str = ""
    kind: type[PluginError] = PluginLoadError
    partial: bool = False

    def as_error(self) -> PluginError:
        """Return the failure as an exception, for those who want to stop at the first one."""
        return self.kind(f"plugin {self.origin}: {self.error}", self.hint)


@dataclass(frozen=True)
class Fault:
    """What is wrong with one declaration."""

    error: str
    hint: str


def register(
    manager: pluggy.PluginManager, load: Callable[[], Any], origin: Origin, name: str, spoken: range = SPOKEN
) -> list[Failure]:
    """Import one plugin and register it as `name`; return what is wrong with it, leaving out what cannot be used."""
    plugin = None
    try:
        plugin = load()
        manager.register(plugin, name=name)
    except KeyboardInterrupt:
        raise
    except BaseException as fault:  # a plugin may call sys.exit at import: it must not take the host along
        if plugin is not None and manager.is_registered(plugin):
            manager.unregister(plugin)
        return [Failure(origin, f"{type(fault).__name__}: {fault}", hint_for(fault, spoken))]
    known = [hook for hook in dir(hookspecs) if hook.startswith("prunebench_")]
    return [
        Failure(origin, f"unknown hook {caller.name!r}", hook_hint(caller.name, known, spoken), partial=True)
        for caller in manager.get_hookcallers(plugin) or []
        if not caller.has_spec()
    ]


def declared(
    hook: pluggy.HookCaller, expected: type[PluginSpec], spoken: range = SPOKEN
) -> Iterator[tuple[str, PluginSpec | Fault]]:
    """Yield (plugin name, spec or fault) for every declaration through one hook, in the order of registration."""
    for implementation in hook.get_hookimpls():  # each is called alone, so that a fault has one owner
        name = implementation.plugin_name
        try:
            specs: list[Any] = list(cast(Iterable[Any], implementation.function()))
        except KeyboardInterrupt:
            raise
        except BaseException as fault:  # sys.exit, too
            yield name, Fault(f"{hook.name} raised {type(fault).__name__}: {fault}", hint_for(fault, spoken))
            continue
        for spec in specs:
            yield name, _judged(spec, hook.name, expected, spoken)


def _judged(spec: Any, hook: str, expected: type[PluginSpec], spoken: range) -> PluginSpec | Fault:
    if not isinstance(spec, expected):
        return Fault(
            f"{hook} returned {type(spec).__name__}, expected {expected.__name__}", "the rest of the plugin works"
        )
    error, hint = api_problem(spec, spoken)
    return Fault(error, hint) if error else spec
