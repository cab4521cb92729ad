"""What a check says: the result of one promise of one plugin, and of all of them, also as JSON and JUnit XML."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from itertools import groupby
from typing import Any, Literal, get_args
from xml.etree import ElementTree

from prunebench.errors import UsageError, did_you_mean
from prunebench.plugins import Origin

Status = Literal["passed", "failed", "expected_fail", "unexpected_pass", "not_applicable", "not_run"]
STATUSES: tuple[Status, ...] = get_args(Status)


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


def expect(result: CheckResult, expected: Mapping[str, str]) -> CheckResult:
    """Return the result in the light of expected failures (check name to reason)."""
    why = expected.get(result.check)
    if why is not None and result.status == "failed":
        return replace(result, status="expected_fail", reason=f"{why} ({result.reason})")
    if why is not None and result.status == "passed":
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
    if bad := [str(result) for result in results if result.is_bad]:
        raise CheckFailed("\n".join(bad))
    ran = sum(result.status in ("passed", "expected_fail") for result in results)
    if ran < min_run:
        raise CheckFailed(f"{ran} of {len(results)} checks ran, expected at least {min_run}")


def by_plugin(results: Sequence[CheckResult]) -> Iterator[list[CheckResult]]:
    """Yield the results of each plugin; results of one plugin stand together."""
    for _, group in groupby(results, key=lambda result: (result.origin, result.kind, result.plugin)):
        yield list(group)


def as_json(results: Sequence[CheckResult]) -> str:
    """Return all results with their counts, as indented JSON."""
    rows = [{**asdict(r.origin), **asdict(replace(r, seconds=round(r.seconds, 3)))} for r in results]
    listed = [{name: value for name, value in row.items() if name != "origin"} for row in rows]
    conformant = not any(result.is_bad for result in results)
    content = {"schema": 1, "counts": count(results), "conformant": conformant, "results": listed}
    return json.dumps(content, indent=1) + "\n"


def as_junit(results: Sequence[CheckResult]) -> str:
    """Return JUnit XML: one suite per plugin, one case per check."""
    root = ElementTree.Element("testsuites", name="prunebench check")
    for group in by_plugin(results):
        origin, kind, plugin = group[0].origin, group[0].kind, group[0].plugin
        bad = sum(result.is_bad for result in group)
        facts = {"tests": len(group), "failures": bad, "skipped": len(group) - bad - count(group)["passed"]}
        name = f"{origin.distribution} {origin.version}: {kind} {plugin}".rstrip(": ")
        suite = ElementTree.SubElement(root, "testsuite", {"name": name} | {k: str(v) for k, v in facts.items()})
        suite.set("time", f"{sum(result.seconds for result in group):.3f}")
        for result in group:
            where = ".".join(part for part in (origin.entry_point, kind, plugin) if part)
            times = f"{result.seconds:.3f}"
            case = ElementTree.SubElement(suite, "testcase", classname=where, name=result.check, time=times)
            if result.status != "passed":
                # Control characters that a plugin may print are not allowed in XML.
                reason = "".join(c if c.isprintable() or c in "\n\t" else "?" for c in str(result))
                ElementTree.SubElement(case, "failure" if result.is_bad else "skipped", message=reason)
    ElementTree.indent(root)
    return ElementTree.tostring(root, encoding="unicode", xml_declaration=True) + "\n"
