"""Plugins registered and asked for their declarations one by one: a fault has one owner, and the rest works."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, cast

import pluggy

from prunebench import hookspecs
from prunebench.discovery.api import SPOKEN, api_problem, hint_for, hook_hint
from prunebench.discovery.installed import Origin
from prunebench.errors import PluginCollision, PluginError, PluginLoadError
from prunebench.specs import PluginSpec

Declared = tuple[PluginSpec, Origin]


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


def declarations(
    hook: pluggy.HookCaller, expected: type[PluginSpec], origins: Mapping[str, Origin], spoken: range = SPOKEN
) -> Iterator[Declared | Failure]:
    """Yield every declaration through one hook, in the order of registration; of two with one name the first."""
    found: dict[str, Origin] = {}
    for implementation in hook.get_hookimpls():  # each is called alone, so that a fault has one owner
        origin = origins[implementation.plugin_name]
        try:
            specs = list(cast(Iterable[Any], implementation.function()))
        except KeyboardInterrupt:
            raise
        except BaseException as fault:  # sys.exit, too
            text = f"{hook.name} raised {type(fault).__name__}: {fault}"
            yield Failure(origin, text, hint_for(fault, spoken), partial=True)
            continue
        for spec in specs:
            if not isinstance(spec, expected):
                text = f"{hook.name} returned {type(spec).__name__}, expected {expected.__name__}"
                yield Failure(origin, text, "the rest of the plugin works", partial=True)
            elif any(problem := api_problem(spec, spoken)):
                yield Failure(origin, *problem, partial=True)
            elif spec.name in found:
                text = f"{spec.kind} {spec.name!r} is declared by {found[spec.name]} and by {origin}"
                hint = f"{found[spec.name].distribution}'s is used; rename or uninstall one"
                yield Failure(origin, text, hint, PluginCollision, partial=True)
            else:
                found[spec.name] = origin
                yield spec, origin
