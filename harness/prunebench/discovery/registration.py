"""Plugins registered and asked for their declarations one by one: a fault has one owner, and the rest works."""

import difflib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import pluggy

from prunebench import hookspecs
from prunebench.errors import PluginCollision, PluginError, PluginLoadError
from prunebench.specs import API, OLDEST_API, PluginSpec

GROUP = "prunebench"
HOST = "prunebench"
_HOOKS = [name for name in dir(hookspecs) if name.startswith("prunebench_")]
DECLARING_HOOKS = [name for name in _HOOKS if not name.endswith("_finished")]
_UPDATE = "pip install -U prunebench"


@dataclass(frozen=True)
class Origin:
    """Where a plugin comes from."""

    entry_point: str
    distribution: str
    version: str

    def __str__(self) -> str:
        return f"{self.entry_point} ({self.distribution} {self.version})"


@dataclass(frozen=True)
class Failure:
    """A plugin that was left out, or (partial) one declaration of it, and why."""

    origin: Origin
    error: str
    hint: str = ""
    kind: type[PluginError] = PluginLoadError
    partial: bool = False


def register(manager: pluggy.PluginManager, load: Callable[[], Any], origin: Origin, name: str) -> list[Failure]:
    """Import one plugin and register it as `name`; return what is wrong with it, leaving out what cannot be used."""
    plugin = None
    try:
        plugin = load()
        manager.register(plugin, name=name)
    except (Exception, SystemExit) as fault:  # a plugin that calls sys.exit must not take the host along
        if plugin is not None and manager.is_registered(plugin):
            manager.unregister(plugin)
        return [Failure(origin, f"{type(fault).__name__}: {fault}", hint_for(fault))]
    unknown = [caller.name for caller in manager.get_hookcallers(plugin) or [] if not caller.has_spec()]
    return [Failure(origin, f"unknown hook {hook!r}", _hook_hint(hook), partial=True) for hook in unknown]


def declarations(
    hook: pluggy.HookCaller, expected: type[PluginSpec], origins: Mapping[str, Origin]
) -> tuple[dict[str, tuple[Any, Origin]], list[Failure]]:
    """Return what is declared through one hook, by name, of two with one name the first; and what is wrong with it."""
    found: dict[str, tuple[Any, Origin]] = {}
    failures: list[Failure] = []
    for implementation in hook.get_hookimpls():  # each is called alone, so that a fault has one owner
        origin = origins[implementation.plugin_name]
        try:
            declared: list[Any] = list(implementation.function())  # type: ignore[call-overload]
        except (Exception, SystemExit) as fault:
            text = f"{hook.name} raised {type(fault).__name__}: {fault}"
            failures.append(Failure(origin, text, hint_for(fault), partial=True))
            continue
        for spec in declared:
            if not isinstance(spec, expected):
                text = f"{hook.name} returned {type(spec).__name__}, expected {expected.__name__}"
                failures.append(Failure(origin, text, "the rest of the plugin works", partial=True))
            elif any(problem := _api_problem(spec)):
                failures.append(Failure(origin, *problem, partial=True))
            elif spec.name in found:
                first = found[spec.name][1]
                text = f"{spec.kind} {spec.name!r} is declared by {first} and by {origin}"
                hint = f"{first.distribution}'s is used; rename or uninstall one"
                failures.append(Failure(origin, text, hint, PluginCollision, partial=True))
            else:
                found[spec.name] = spec, origin
    return found, failures


def hint_for(fault: BaseException) -> str:
    """Return the next thing to do about a plugin that raised: the fault's own hint, if it has one."""
    asks_for_name = isinstance(fault, ImportError) and (fault.name or "").partition(".")[0] == "prunebench"
    if asks_for_name or (isinstance(fault, TypeError) and "Spec.__init__() got an unexpected keyword" in str(fault)):
        return f"if it is written for a newer plugin API: this is {_this()}; {_UPDATE}"
    return str(getattr(fault, "hint", "")) or "the rest works; update or uninstall this distribution"


def _hook_hint(name: str) -> str:
    """Return the hint for a hook that the harness does not know: misspelt, or of a newer plugin API."""
    if near := difflib.get_close_matches(name, _HOOKS, n=1, cutoff=0.9):
        return f"did you mean {near[0]!r}?"
    return f"if it is a hook of a newer plugin API: this is {_this()}; {_UPDATE}"


def _api_problem(spec: PluginSpec) -> tuple[str, str]:
    """Return why a spec of another plugin API cannot be used, and a hint; empty when it can."""
    number: Any = spec.api
    what = f"{spec.kind} {spec.name!r}"
    if type(number) is not int or number < 1:
        return f"{what} has api = {number!r}, expected a number from 1", f"write api = {API}"
    if number > API:
        return f"{what} needs prunebench with plugin API {number} or newer; this is {_this()}", _UPDATE
    hint = "update the distribution, or install an older prunebench"
    return (f"{what} is written for plugin API {number}; this is {_this()}", hint) if number < OLDEST_API else ("", "")


def _this() -> str:
    from prunebench import __version__

    return f"prunebench {__version__} with plugin API {f'{OLDEST_API} to ' if OLDEST_API < API else ''}{API}"
