"""Which checks a kind of plugin has to pass, in the order in which they are made."""

from __future__ import annotations

from importlib import import_module

from prunebench.testing.declaration import fingerprint_of_a_run
from prunebench.testing.promises import ALL, Check

__all__ = ["Check", "all_checks", "checks_for", "find_check"]

_MODULES = ("declaration", "behaviour", "inputs", "scorers", "projectors", "selectors", "datasets", "networks",
            "metrics", "executors")  # fmt: skip
_NAMED = [vars(import_module(f"prunebench.testing.{name}")) for name in _MODULES]
_FOUND = [getattr(value, "check", None) for named in _NAMED for value in named.values()]
_MADE = sorted((check for check in _FOUND if isinstance(check, Check)), key=lambda check: check.stage)


def checks_for(kind: str) -> tuple[Check, ...]:
    """Return the checks of a kind ("scorer", ...), in their order."""
    return tuple(check for check in _MADE if kind in check.kinds)


def find_check(kind: str, name: str) -> Check:
    """Return the check of that name, or what one process asks another for a check."""
    extra = Check(fingerprint_of_a_run, frozenset())
    return next(check for check in (*checks_for(kind), extra) if check.name == name)


def all_checks() -> dict[str, Check]:
    """Return every check by name, in the order of kinds."""
    return {check.name: check for kind in ALL.split() for check in checks_for(kind)}
