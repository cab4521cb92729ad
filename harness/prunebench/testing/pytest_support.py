"""The checks as parametrised tests: `parametrize_with_checks`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from prunebench.plugins import Entry
from prunebench.specs import PluginSpec
from prunebench.testing.checks import Check, checks_for
from prunebench.testing.examiner import SECONDS, Examiner
from prunebench.testing.results import CheckFailed, known_checks
from prunebench.wire import entry_of


@dataclass(frozen=True)
class BoundCheck:
    """A check with the process that makes it; calling it with the entry ends as pytest wants."""

    check: Check
    examiner: Examiner = field(repr=False)
    expected: Mapping[str, str] = field(repr=False)

    def __call__(self, entry: Entry[Any]) -> None:
        import pytest

        __tracebackhide__ = True
        result = self.examiner.examine(entry, self.check, self.expected)
        if result.is_bad:
            raise CheckFailed(str(result))
        if result.status == "expected_fail":
            pytest.xfail(result.reason)
        if result.status in ("not_applicable", "not_run"):
            pytest.skip(f"{result.status.replace('_', ' ')}: {result.reason}")


def parametrize_with_checks(
    plugins: Iterable[PluginSpec | Entry[Any]],
    *,
    checks: Sequence[str] = (),
    expected_failures: Mapping[str, Mapping[str, str]] | None = None,
    seconds: float = SECONDS,
    data_roots: Sequence[str] = (),
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Return a decorator for a test of two arguments, `entry` and `check`, whose body is `check(entry)`.

    plugins: specs, as a hook returns them, or entries of a catalogue.  checks: names, default all.
    expected_failures: plugin name to {check name: reason}; strict, one that passes is a failure.
    seconds: the time that one check may take.  data_roots: where data sets look for files.
    Raises UsageError for a check that does not exist.
    """
    import pytest

    examiner = Examiner(seconds, data_roots)
    cases = []
    for entry in [plugin if isinstance(plugin, Entry) else entry_of(plugin) for plugin in plugins]:
        available = checks_for(entry.spec.kind)
        expected = dict((expected_failures or {}).get(entry.spec.name, {}))
        known_checks([*checks, *expected], [check.name for check in available])
        for check in available:
            if not checks or check.name in checks:
                title = f"{entry.spec.kind}:{entry.spec.name}-{check.name}"
                cases.append(pytest.param(entry, BoundCheck(check, examiner, expected), id=title))
    decorator: Callable[[Callable[..., None]], Callable[..., None]] = pytest.mark.parametrize(("entry", "check"), cases)
    return decorator
