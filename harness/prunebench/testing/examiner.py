"""Makes checks in child processes: a plugin that hangs or dies takes nothing else along."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
import time
import weakref
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

from prunebench.executors.process import ChildProcess, child_environment
from prunebench.plugins import Entry, Origin
from prunebench.specs import PluginSpec
from prunebench.store import default_cache
from prunebench.testing.checks import Check, checks_for
from prunebench.testing.results import CheckResult, Status, expect, known_checks
from prunebench.wire import entry_of, to_json

SECONDS = 120.0
_START_SECONDS = 120.0


class Examiner:
    """Keeps one child process, in an empty folder of its own; a context manager.

    seconds: the time that one check may take.  data_roots: where data sets look for files.  cache: where compiled code
    is kept, by default in the user's cache folder.
    """

    def __init__(self, seconds: float = SECONDS, data_roots: Sequence[str] = (), cache: Path | None = None) -> None:
        self._seconds = seconds
        self._data_roots = tuple(data_roots)
        self._cache = cache or default_cache()
        self._child: ChildProcess | None = None
        self._log = Path()
        self._owner: Origin | None = None
        self._failed_gates: dict[tuple[Origin, str, str], CheckResult] = {}
        self._end: Any = None

    def __enter__(self) -> Examiner:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def close(self) -> None:
        """End the child process and whatever it started."""
        if self._child is not None:
            self._child = None
            self._end()

    def examine(
        self, entry: Entry[Any], check: Check, expected: Mapping[str, str] = MappingProxyType({})
    ) -> CheckResult:
        """Make one check, unless a gate before it failed; always returns, about in time.

        expected: failures to expect, by name of the check with the reason; an expected one bars nothing.
        """
        plugin = (entry.origin, entry.spec.kind, entry.spec.name)
        gate = self._failed_gates.get(plugin)
        if gate is not None:
            reason = f"{gate.check} failed" if gate.status == "failed" else gate.reason
            status: Status = "not_run" if gate.status == "failed" else "not_applicable"
            return expect(_result(entry, check, status, reason), expected)
        result = self._made(entry, check)
        bars = ("failed",) if check.is_optional else ("failed", "not_applicable")
        if check.is_gate and check.name not in expected and result.status in bars:
            self._failed_gates[plugin] = result
        return expect(result, expected)

    def _made(self, entry: Entry[Any], check: Check) -> CheckResult:
        # A child serves the plugins of one entry point: they were made to live together, others were not.
        if self._child is None or self._owner != entry.origin:
            self.close()
            self._owner = entry.origin
            self._start()
        assert self._child is not None
        started = time.monotonic()
        self._child.send({"entry": to_json(entry), "check": check.name})
        try:
            said = self._child.receive(self._seconds)
        except TimeoutError:
            self.close()
            reason = f"it ran past the limit of {self._seconds:g} seconds and was stopped"
            return _result(entry, check, "failed", reason, time.monotonic() - started)
        if said is None:
            reason = f"its process {self._child.death}{_place(self._log)}"
            self.close()
            return _result(entry, check, "failed", reason, time.monotonic() - started)
        return replace(_result(entry, check, said["status"], said["reason"], said["seconds"]), facts=said["facts"])

    def _start(self) -> None:
        folder = Path(tempfile.mkdtemp(prefix="prunebench-check-"))
        (folder / "tmp").mkdir()
        (folder / "cwd").mkdir()
        environment = {
            **child_environment(self._cache, threads=1),
            "PYTHONPATH": os.pathsep.join(str(Path(part).absolute()) for part in sys.path if part),
            "PYTHONHASHSEED": "0",
            "PRUNEBENCH_DATA": os.pathsep.join(self._data_roots),
            "TMPDIR": str(folder / "tmp"),
        }
        self._log = folder / "log"
        command = [sys.executable, "-P", "-m", "prunebench.testing.child"]
        child = ChildProcess(command, environment=environment, log=self._log, folder=folder / "cwd")
        self._child, self._end = child, weakref.finalize(self, _end, child, folder)
        child.receive(_START_SECONDS)  # it is ready; where it is not, the first check says so


def examine(
    plugin: Entry[Any] | PluginSpec,
    checks: Sequence[str] = (),
    expected_failures: Mapping[str, str] | None = None,
    examiner: Examiner | None = None,
) -> Iterator[CheckResult]:
    """Yield the result of each check of a plugin, or of the named ones.

    plugin: an entry of a catalogue, or a spec as a hook returns it.  expected_failures: check name to reason;
    strict, one that passes becomes "unexpected_pass".  Raises UsageError for a check that does not exist.
    """
    entry = plugin if isinstance(plugin, Entry) else entry_of(plugin)
    available = checks_for(entry.spec.kind)
    known_checks([*checks, *(expected_failures or {})], [check.name for check in available])
    own = Examiner() if examiner is None else examiner
    try:
        for check in available:
            if not checks or check.name in checks:
                yield own.examine(entry, check, expected_failures or {})
    finally:
        if examiner is None:
            own.close()


def _result(entry: Entry[Any], check: Check, status: Status, reason: str, seconds: float = 0.0) -> CheckResult:
    spec = entry.spec
    return CheckResult(origin=entry.origin, kind=spec.kind, plugin=spec.name, check=check.name, status=status,
                       reason=reason, seconds=seconds)  # fmt: skip


def _place(log: Path) -> str:
    """Return the call in which a process died, as " (File ...)"; the fault handler lists the innermost one first."""
    text = log.read_text(encoding="utf-8", errors="replace")
    lines = text.rpartition("Current thread")[2].splitlines()[1:]
    places = [line.strip() for line in lines if line.startswith("  File ") and "prunebench/testing" not in line]
    return f" ({places[0][:160]})" if places else ""


def _end(child: ChildProcess, folder: Path) -> None:
    child.kill()
    child.close()
    shutil.rmtree(folder, ignore_errors=True)
