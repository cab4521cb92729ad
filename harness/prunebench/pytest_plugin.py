"""A pytest plugin: says after the tests how many conformance checks ran, so that silence is not taken for success."""

from typing import Any

import pytest

PROPERTY = "prunebench_check"
_TITLES = {"xfailed": "expected to fail", "failed": "failed", "skipped": "not run or not applicable",
           "passed": "passed"}  # fmt: skip


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Mark the report of a conformance check as one."""
    check: Any = getattr(getattr(item, "callspec", None), "params", {}).get("check")
    if type(check).__name__ == "BoundCheck":
        item.user_properties.append((PROPERTY, str(check.check.name)))


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Print one line when there were conformance checks."""
    counted = []
    for outcome, title in _TITLES.items():
        marked = [dict(getattr(report, "user_properties", ())) for report in terminalreporter.stats.get(outcome, ())]
        counted.append((sum(PROPERTY in marks for marks in marked), title))
    if text := ", ".join(f"{number} {title}" for number, title in counted if number):
        terminalreporter.write_line(f"prunebench conformance: {text}")
