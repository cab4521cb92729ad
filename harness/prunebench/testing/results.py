"""What a check is, and what it says: the result of one promise of one plugin, and of all of them."""

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, get_args

import numpy as np

from prunebench.errors import UsageError, did_you_mean
from prunebench.plugins import KINDS, Entry, Origin
from prunebench.stages.bench import array_problem

Status = Literal["passed", "failed", "expected_fail", "unexpected_pass", "not_applicable", "not_run"]
ALL = " ".join(spec.kind for spec in KINDS.values())
COMPUTING = ALL.replace(" executor", "").replace(" metric", "")


class CheckFailed(AssertionError):
    """A plugin broke a promise; the message says what was expected and what came."""


def ensure(holds: bool, text: str) -> None:
    """Raise CheckFailed with this text unless the promise holds."""
    if not holds:
        raise CheckFailed(text)


def ensure_array(title: str, found: Any, dtype: Any, *shape: int | str) -> None:
    """Raise CheckFailed unless it is a finite array of this type and shape, in which "any" is any length."""
    came = array_problem(found, dtype, *shape)
    ensure(not came, f"{title}: expected {np.dtype(dtype)} [{', '.join(map(str, shape))}], got {came}")


@dataclass(frozen=True)
class Check:
    """One promise of some kinds of plugin: a function that raises CheckFailed or NotApplicable, or says what it found.
    stage: 0 for what is declared, 1 to 7 for gates, after whose failure later checks make no sense, 8 for the rest."""

    function: Callable[[Entry[Any]], str | None]
    kinds: frozenset[str]
    stage: int

    @property
    def name(self) -> str:
        return self.function.__name__

    @property
    def promise(self) -> str:
        """The promise in one sentence."""
        return " ".join((self.function.__doc__ or "").split())


def promise(kinds: str, *, stage: int = 8) -> Callable[[Callable[[Entry[Any]], str | None]], Check]:
    """Make a function a check of kinds of plugin, named with spaces between; see `Check`."""
    return lambda function: Check(function, frozenset(kinds.split()), stage)


@dataclass(frozen=True, kw_only=True)
class CheckResult:
    """The outcome of one check of one plugin.
    kind, plugin: which object, such as "scorer" and "random"; empty where a distribution did not load.
    check: name of the promise.  reason: why; where it passed, what was measured."""

    origin: Origin
    kind: str
    plugin: str
    check: str
    status: Status
    reason: str = ""
    seconds: float = 0.0

    @property
    def is_bad(self) -> bool:
        """Whether this result breaks conformance; an expected failure that passes does (strictly)."""
        return self.status in ("failed", "unexpected_pass")

    def __str__(self) -> str:
        what = f"{self.kind} {self.plugin!r}: " if self.plugin else ""
        return f"plugin {self.origin}: {what}{self.check}: {self.status}: {self.reason}"


def expect(result: CheckResult, expected: Mapping[str, str]) -> CheckResult:
    """Return the result in the light of expected failures (check name to reason)."""
    if (why := expected.get(result.check)) is not None and result.status == "failed":
        return replace(result, status="expected_fail", reason=f"{why} ({result.reason})")
    if why is not None and result.status == "passed":
        return replace(result, status="unexpected_pass", reason=f"expected to fail ({why}), and it passes")
    return result


def known_checks(names: Iterable[str], known: Collection[str]) -> None:
    """Raise UsageError for a check that does not exist, with the nearest one that does."""
    for name in (name for name in names if name not in known):
        raise UsageError(f"no check is named {name!r}", did_you_mean(name, known))


def count(results: Iterable[CheckResult]) -> dict[Status, int]:
    """Return how many results have each status."""
    counted = Counter(result.status for result in results)
    return {status: counted[status] for status in get_args(Status)}


def assert_conformant(results: Sequence[CheckResult], min_run: int = 1) -> None:
    """Raise CheckFailed unless all results are good and at least `min_run` checks really ran."""
    bad = [str(result) for result in results if result.is_bad]
    ensure(not bad, "\n".join(bad))
    ran = sum(result.status in ("passed", "expected_fail") for result in results)
    ensure(ran >= min_run, f"{ran} of {len(results)} checks ran, expected at least {min_run}")
