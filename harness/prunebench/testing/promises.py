"""What turns a function into a check: the kinds of plugin that promise it, and when it is made."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from prunebench.plugins import KINDS, Entry

Function = Callable[[Entry[Any]], Mapping[str, Any] | None]
F = TypeVar("F", bound=Callable[..., Any])
ALL = " ".join(spec.kind for spec in KINDS.values())
COMPUTING = ALL.replace(" executor", "").replace(" metric", "")
_LAST = 8


@dataclass(frozen=True)
class Check:
    """One promise of some kinds of plugin, as a function that ends in silence, in CheckFailed or in DoesNotApply.

    stage: 0 for what is declared, 1 to 7 for gates, after whose failure the later checks make no sense, 8 for the rest.
    is_optional: a gate that those pass through to which it does not apply.
    """

    function: Function
    kinds: frozenset[str]
    stage: int = _LAST
    is_optional: bool = False

    @property
    def name(self) -> str:
        return self.function.__name__

    @property
    def is_gate(self) -> bool:
        return 0 < self.stage < _LAST

    @property
    def promise(self) -> str:
        """The promise in one sentence."""
        return " ".join((self.function.__doc__ or "").split())


def promise(kinds: str, *, stage: int = _LAST, is_optional: bool = False) -> Callable[[F], F]:
    """Mark a function as a check of kinds of plugin, named with spaces between; see `Check`."""

    def mark(function: F) -> F:
        function.__dict__["check"] = Check(function, frozenset(kinds.split()), stage, is_optional)
        return function

    return mark
