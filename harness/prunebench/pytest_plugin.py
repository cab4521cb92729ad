"""A pytest plugin: says after the tests how many conformance checks ran, so that silence is not taken for success."""

from typing import Any

import pytest

MARK = "prunebench_check"
_TITLES = {"xfailed": "expected to fail", "failed": "failed", "skipped": "not run or not applicable",
           "passed": "passed"}  # fmt: skip


def pytest_configure(config: pytest.Config) -> None:
    """Make the mark of a conformance check known."""
    config.addinivalue_line("markers", f"{MARK}: one promise that a plugin keeps")


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Print one line when there were conformance checks."""
    reports = {title: terminalreporter.stats.get(outcome, ()) for outcome, title in _TITLES.items()}
    counted = {title: sum(MARK in getattr(one, "keywords", ()) for one in found) for title, found in reports.items()}
    if text := ", ".join(f"{number} {title}" for title, number in counted.items() if number):
        terminalreporter.write_line(f"prunebench conformance: {text}")
