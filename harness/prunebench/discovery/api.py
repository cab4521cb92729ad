"""Plugins older and newer than this harness: which numbers of the plugin API it speaks, and what others are told."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import Any

from prunebench.specs import API, OLDEST_API, PluginSpec

SPOKEN = range(OLDEST_API, API + 1)
_REST_WORKS = "the rest works; update or uninstall this distribution"


def api_problem(spec: PluginSpec, spoken: range = SPOKEN) -> tuple[str, str]:
    """Return why a spec cannot be used by a harness that speaks these API numbers, and a hint; empty when it can."""
    number: Any = spec.api
    if type(number) is not int or number < 1:
        return f"{spec.kind} {spec.name!r} has api = {number!r}, expected a number from 1", f"write api = {spoken[-1]}"
    if number > spoken[-1]:
        text = f"{spec.kind} {spec.name!r} needs prunebench with plugin API {number} or newer; this is {_this(spoken)}"
        return text, "pip install -U prunebench"
    if number < spoken[0]:
        text = f"{spec.kind} {spec.name!r} is written for plugin API {number}; this is {_this(spoken)}"
        return text, "update the distribution, or install an older prunebench"
    return "", ""


def hook_hint(name: str, known: Iterable[str], spoken: range = SPOKEN) -> str:
    """Return the hint for a hook that the harness does not know: misspelt, or of a newer plugin API."""
    near = difflib.get_close_matches(name, sorted(known), n=1, cutoff=0.9)
    if near:
        return f"did you mean {near[0]!r}?"
    return f"if it is a hook of a newer plugin API: this is {_this(spoken)}; pip install -U prunebench"


def hint_for(fault: BaseException, spoken: range = SPOKEN) -> str:
    """Return the next thing to do about a plugin that raised: the fault's own hint, if it has one."""
    text = str(fault)
    asks_for_name = isinstance(fault, ImportError) and (fault.name or "").partition(".")[0] == "prunebench"
    asks_for_field = isinstance(fault, TypeError) and "Spec.__init__() got an unexpected keyword argument" in text
    if asks_for_name or asks_for_field:
        return f"if it is written for a newer plugin API: this is {_this(spoken)}; pip install -U prunebench"
    return str(getattr(fault, "hint", "")) or _REST_WORKS


def _this(spoken: range) -> str:
    from prunebench import __version__

    numbers = f"{spoken[0]} to {spoken[-1]}" if len(spoken) > 1 else f"{spoken[-1]}"
    return f"prunebench {__version__} with plugin API {numbers}"
