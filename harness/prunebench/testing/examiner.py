"""Checks are made in another process, so that a plugin that hangs or dies takes nothing else along; also as tests."""

import os
import sys
import tempfile
import time
import weakref
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, closing, nullcontext
from functools import partial
from pathlib import Path
from typing import Any

from prunebench.executors.process import ChildProcess, child_environment
from prunebench.plugins import Entry, Origin
from prunebench.specs import PluginSpec
from prunebench.store import default_cache
from prunebench.testing.checks import answer, checks_for
from prunebench.testing.results import Check, CheckFailed, CheckResult, expect, known_checks
from prunebench.wire import entry_of, to_json

SECONDS = 120.0
Plugin = Entry[Any] | PluginSpec


class Examiner(AbstractContextManager["Examiner"]):
    """Keeps one child process, in an empty folder of its own; a context manager.
    seconds: the time that one check may take.  data_roots: where data sets look for files.  cache: where compiled code
    is kept, by default in the user's cache.  in_process: make the checks here, without a time limit, to debug."""

    def __init__(
        self, seconds: float = SECONDS, data_roots: Sequence[str] = (), cache: Path | None = None, *,
        in_process: bool = False,
    ) -> None:  # fmt: skip
        self._seconds, self._data_roots, self._in_process = seconds, data_roots, in_process
        self._cache = cache or default_cache()
        self._child: ChildProcess | None = None
        self._owner: Origin | None = None
        self._barred: dict[tuple[Origin, str, str], dict[str, Any]] = {}  # what later checks say
        self.close: Any = lambda: None

    def __exit__(self, *exception: object) -> None:
        self.close()

    def examine(self, entry: Entry[Any], check: Check, expected: Mapping[str, str]) -> CheckResult:
        """Make one check, unless a gate before it failed; always returns, about in time.
        expected: failures to expect, by name of the check with the reason; an expected one bars nothing."""
        plugin = (entry.origin, entry.spec.kind, entry.spec.name)
        said = self._barred.get(plugin) or self._answer(entry, check)
        if 0 < check.stage < 8 and check.name not in expected and said["status"] in ("failed", "not_applicable"):
            failed = {"status": "not_run", "reason": f"{check.name} failed"}
            self._barred.setdefault(plugin, failed if said["status"] == "failed" else {**said, "seconds": 0.0})
        result = CheckResult(origin=plugin[0], kind=plugin[1], plugin=plugin[2], check=check.name, **said)
        return expect(result, expected)

    def _answer(self, entry: Entry[Any], check: Check) -> dict[str, Any]:
        """Return the status of a check, with its reason and seconds."""
        if self._in_process:
            return answer(entry, check.name)
        # A child serves the plugins of one entry point: they were made to live together, others were not.
        if self._child is None or self._owner != entry.origin:
            self.close()
            self._child, self._owner = self._started(), entry.origin
        started = time.monotonic()
        self._child.send({"entry": to_json(entry), "check": check.name, "seconds": self._seconds})
        try:
            if (said := self._child.receive(self._seconds)) is not None:
                return dict(said)
            reason = f"its process {self._child.death}"
        except TimeoutError:
            reason = f"it ran past the limit of {self._seconds:g} seconds and was stopped"
        self.close()
        self._child = None
        return {"status": "failed", "reason": reason, "seconds": time.monotonic() - started}

    def _started(self) -> ChildProcess:
        held = ExitStack()
        folder = held.enter_context(tempfile.TemporaryDirectory(prefix="prunebench-check-", ignore_cleanup_errors=True))
        environment = child_environment(self._cache, threads=1) | {"PYTHONHASHSEED": "0", "TMPDIR": folder}
        environment["PYTHONPATH"] = os.pathsep.join(str(Path(part).absolute()) for part in sys.path if part)
        environment["PRUNEBENCH_DATA"] = os.pathsep.join(self._data_roots)
        command = [sys.executable, "-P", "-m", "prunebench.testing.child"]
        child = held.enter_context(closing(ChildProcess(command, environment=environment, folder=Path(folder))))
        self.close = weakref.finalize(self, held.close)
        child.receive(SECONDS)  # it is ready; where it is not, the first check says so
        return child


def examine(
    plugin: Plugin, checks: Sequence[str] = (), expected_failures: Mapping[str, str] = {},
    examiner: Examiner | None = None,
) -> Iterator[CheckResult]:  # fmt: skip
    """Yield the result of each check of a plugin, or of the named ones.
    plugin: an entry of a catalogue, or a spec as a hook returns it.  expected_failures: check name to reason;
    strict, one that passes becomes "unexpected_pass".  Raises UsageError for a check that does not exist."""
    entry = plugin if isinstance(plugin, Entry) else entry_of(plugin)
    with nullcontext(examiner) if examiner else Examiner() as own:
        for check in _chosen(entry, checks, expected_failures):
            yield own.examine(entry, check, expected_failures)


def _chosen(entry: Entry[Any], names: Sequence[str], expected: Mapping[str, str]) -> list[Check]:
    """Return the checks of these names, or all of the kind; raises UsageError for a name that is not one."""
    available = checks_for(entry.spec.kind)
    known_checks([*names, *expected], [check.name for check in available])
    return [check for check in available if not names or check.name in names]


def _as_test(examiner: Examiner, check: Check, expected: Mapping[str, str], entry: Entry[Any]) -> None:
    """Make one check, and end as pytest wants."""
    import pytest

    __tracebackhide__ = True
    result = examiner.examine(entry, check, expected)
    if result.is_bad:
        raise CheckFailed(str(result))
    if result.status == "expected_fail":
        pytest.xfail(result.reason)
    if result.status in ("not_applicable", "not_run"):
        pytest.skip(f"{result.status.replace('_', ' ')}: {result.reason}")


def parametrize_with_checks(
    plugins: Iterable[Plugin], *, checks: Sequence[str] = (), expected_failures: Mapping[str, Mapping[str, str]] = {},
    seconds: float = SECONDS, data_roots: Sequence[str] = (),
) -> Callable[[Callable[..., None]], Callable[..., None]]:  # fmt: skip
    """Return a decorator for a test of two arguments, `entry` and `check`, whose body is `check(entry)`.
    plugins: specs, as a hook returns them, or entries of a catalogue.  checks: names, default all.
    expected_failures: plugin name to {check name: reason}; strict, one that passes is a failure.
    seconds: the time that one check may take.  data_roots: where data sets look for files.
    Raises UsageError for a check that does not exist."""
    import pytest

    examiner, cases = Examiner(seconds, data_roots), []
    for entry in (plugin if isinstance(plugin, Entry) else entry_of(plugin) for plugin in plugins):
        expected, title = expected_failures.get(entry.spec.name, {}), f"{entry.spec.kind}:{entry.spec.name}"
        for check in _chosen(entry, checks, expected):
            test, marks = partial(_as_test, examiner, check, expected), pytest.mark.prunebench_check
            cases.append(pytest.param(entry, test, id=f"{title}-{check.name}", marks=marks))
    return pytest.mark.parametrize(("entry", "check"), cases)
