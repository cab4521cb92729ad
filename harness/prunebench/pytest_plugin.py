"""A pytest plugin: says after the tests how many conformance checks ran, so that silence is not taken for success."""

from __future__ import annotations

from collections import Counter
from collections.abc import Generator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pytest

PROPERTY = "prunebench_check"


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Mark the report of a conformance check as one."""
    parameters = getattr(getattr(item, "callspec", None), "params", {})
    if type(parameters.get("check")).__name__ == "BoundCheck":
        item.user_properties.append((PROPERTY, str(parameters["check"].check.name)))


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Print one line when there were conformance checks."""
    counted = Counter(outcome for outcome, _ in _checked(terminalreporter.stats))
    if counted:
        text = ", ".join(f"{number} {outcome}" for outcome, number in sorted(counted.items()))
        terminalreporter.write_line(f"prunebench conformance: {text}")


def _checked(stats: dict[str, list[Any]]) -> Generator[tuple[str, Any], None, None]:
    names = {
        "passed": "passed",
        "failed": "failed",
        "skipped": "not run or not applicable",
        "xfailed": "expected to fail",
    }
    for outcome, title in names.items():
        for report in stats.get(outcome, []):
            if PROPERTY in dict(getattr(report, "user_properties", ())):
                yield title, report
