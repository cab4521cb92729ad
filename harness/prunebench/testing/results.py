"""What a check says: the result of one promise of one plugin, and of all of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from prunebench.errors import UsageError, did_you_mean
from prunebench.plugins import Origin

Status = Literal["passed", "failed", "expected_fail", "unexpected_pass", "not_applicable", "not_run"]
STATUSES: tuple[Status, ...] = (
    "passed",
    "failed",
    "expected_fail",
    "unexpected_pass",
    "not_applicable",
    "not_run",
)


class CheckFailed(AssertionError):
    """A plugin broke a promise; the message says what was expected and what came."""


class DoesNotApply(Exception):
    """A check has nothing to look at in this plugin."""


@dataclass(frozen=True, kw_only=True)
class CheckResult:
    """The outcome of one check of one plugin.

    kind, plugin: which object, such as "scorer" and "random"; empty where a distribution did not load.
    check: name of the promise.  reason: why, unless it passed.  facts: JSON-able measurements.
    """

    origin: Origin
    kind: str
    plugin: str
    check: str
    status: Status
    reason: str = ""
    seconds: float = 0.0
    facts: Mapping[str, Any] = field(default_factory=dict)

    @property
    def is_bad(self) -> bool:
        """Whether this result breaks conformance; an expected failure that passes does (strictly)."""
        return self.status in ("failed", "unexpected_pass")

    def __str__(self) -> str:
        what = f"{self.kind} {self.plugin!r}: " if self.plugin else ""
        return f"plugin {self.origin}: {what}{self.check}: {self.status}: {self.reason}"

    def to_json(self) -> dict[str, Any]:
        """Return JSON-able values."""
        return {
            "entry_point": self.origin.entry_point,
            "distribution": self.origin.distribution,
            "version": self.origin.version,
            "kind": self.kind,
            "plugin": self.plugin,
            "check": self.check,
            "status": self.status,
            "reason": self.reason,
            "seconds": round(self.seconds, 3),
            "facts": dict(self.facts),
        }


def expect(result: CheckResult, expected: Mapping[str, str]) -> CheckResult:
    """Return the result in the light of expected failures (check name to reason)."""
    if result.check not in expected:
        return result
    why = expected[result.check]
    if result.status == "failed":
        return replace(result, status="expected_fail", reason=f"{why} ({result.reason})")
    if result.status == "passed":
        return replace(result, status="unexpected_pass", reason=f"expected to fail ({why}), and it passes")
    return result


def known_checks(names: Iterable[str], known: Iterable[str]) -> None:
    """Raise UsageError for a check that does not exist, with the nearest one that does."""
    known = list(known)
    for name in names:
        if name not in known:
            raise UsageError(f"no check is named {name!r}", did_you_mean(name, known))


def count(results: Iterable[CheckResult]) -> dict[Status, int]:
    """Return how many results have each status."""
    counted = Counter(result.status for result in results)
    return {status: counted[status] for status in STATUSES}


def assert_conformant(results: Sequence[CheckResult], min_run: int = 1) -> None:
    """Raise CheckFailed unless all results are good and at least `min_run` checks really ran."""
    bad = [str(result) for result in results if result.is_bad]
    if bad:
        raise CheckFailed("\n".join(bad))
    counted = count(results)
    ran = counted["passed"] + counted["expected_fail"]
    if ran < min_run:
        raise CheckFailed(f"{ran} of {len(results)} checks ran, expected at least {min_run}")
