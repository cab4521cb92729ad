"""Which of the installed plugins are meant by names on a command line."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from prunebench.errors import UsageError, did_you_mean
from prunebench.plugins import Catalogue, Entry, Failure
from prunebench.testing.results import CheckResult
from prunebench.testing.wire import CHECKED

LOADS = "check_plugin_loads"


def chosen(catalogue: Catalogue, names: Sequence[str]) -> tuple[list[Entry[Any]], list[Failure]]:
    """Return the entries and the load failures that `names` mean, all when there are none.

    A name is that of a plugin, of a kind ("scorer" or "scorers"), of both ("scorer:random"), of an entry
    point or of a distribution.  Raises UsageError for a name that is none of these.
    """
    entries = [
        entry
        for by_name in catalogue.entries.values()
        for _, entry in sorted(by_name.items())
        if entry.spec.kind in CHECKED
    ]
    failures = list(catalogue.failures)
    if names:
        _reject_unknown(entries, failures, names)
        wanted = set(names)
        entries = [entry for entry in entries if wanted & _names_of(entry)]
        failures = [failure for failure in failures if wanted & _names_of_failure(failure)]
    # Plugins of one entry point share a process: keep them together.
    return sorted(entries, key=lambda entry: (entry.origin.distribution, entry.origin.entry_point)), failures


def as_result(failure: Failure) -> CheckResult:
    """Return a plugin that was left out of the catalogue as a failed check."""
    reason = failure.error + (f" ({failure.hint})" if failure.hint else "")
    return CheckResult(origin=failure.origin, kind="", plugin="", check=LOADS, status="failed", reason=reason)


def _names_of(entry: Entry[Any]) -> set[str]:
    kind, name = entry.spec.kind, entry.spec.name
    return {name, kind, f"{kind}s", f"{kind}:{name}", entry.origin.entry_point, entry.origin.distribution}


def _names_of_failure(failure: Failure) -> set[str]:
    return {failure.origin.entry_point, failure.origin.distribution}


def _reject_unknown(entries: Sequence[Entry[Any]], failures: Sequence[Failure], names: Sequence[str]) -> None:
    known = {name for entry in entries for name in _names_of(entry)}
    known |= {name for failure in failures for name in _names_of_failure(failure)}
    for name in names:
        if name not in known:
            raise UsageError(f"no plugin, kind or distribution is named {name!r}", did_you_mean(name, known))
