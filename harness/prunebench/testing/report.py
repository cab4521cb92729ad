"""Results of checks for machines: JSON and JUnit XML."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from itertools import groupby
from xml.etree import ElementTree

from prunebench.testing.results import CheckResult, count

SCHEMA = 1


def by_plugin(results: Sequence[CheckResult]) -> Iterator[list[CheckResult]]:
    """Yield the results of each plugin; results of one plugin stand together."""
    for _, group in groupby(results, key=lambda result: (result.origin, result.kind, result.plugin)):
        yield list(group)


def as_json(results: Sequence[CheckResult]) -> str:
    """Return all results with their counts, as indented JSON."""
    content = {
        "schema": SCHEMA,
        "counts": count(results),
        "conformant": not any(result.is_bad for result in results),
        "results": [result.to_json() for result in results],
    }
    return json.dumps(content, indent=1) + "\n"


def as_junit(results: Sequence[CheckResult]) -> str:
    """Return JUnit XML: one suite a plugin, one case a check."""
    root = ElementTree.Element("testsuites", name="prunebench check")
    for group in by_plugin(results):
        first = group[0]
        title = f"{first.origin.distribution} {first.origin.version}"
        suite = ElementTree.SubElement(
            root,
            "testsuite",
            name=f"{title}: {first.kind} {first.plugin}".rstrip(": "),
            tests=str(len(group)),
            failures=str(sum(result.is_bad for result in group)),
            skipped=str(sum(result.status in ("not_applicable", "not_run", "expected_fail") for result in group)),
            time=f"{sum(result.seconds for result in group):.3f}",
        )
        for result in group:
            _add_case(suite, result)
    ElementTree.indent(root)
    return ElementTree.tostring(root, encoding="unicode", xml_declaration=True) + "\n"


def _add_case(suite: ElementTree.Element, result: CheckResult) -> None:
    where = ".".join(part for part in (result.origin.entry_point, result.kind, result.plugin) if part)
    case = ElementTree.SubElement(suite, "testcase", classname=where, name=result.check, time=f"{result.seconds:.3f}")
    # Control characters that a plugin may print are not allowed in XML.
    reason = "".join(c if c.isprintable() or c in "\n\t" else "?" for c in str(result))
    if result.is_bad:
        ElementTree.SubElement(case, "failure", message=reason)
    elif result.status != "passed":
        ElementTree.SubElement(case, "skipped", message=reason)
