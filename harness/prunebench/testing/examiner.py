"""Makes checks in child processes: a plugin that hangs or dies takes nothing else along."""

from __future__ import annotations

import contextlib
import json
import os
import queue
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import weakref
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

from prunebench.plugins import Entry, Origin
from prunebench.specs import PluginSpec
from prunebench.testing.checks import Check, checks_for
from prunebench.testing.results import CheckResult, Status, expect, known_checks
from prunebench.wire import entry_of, to_json

SECONDS = 120.0
_START_SECONDS = 120.0


@dataclass(frozen=True)
class _Child:
    process: subprocess.Popen[str]
    lines: queue.Queue[str | None]
    folder: Path


class Examiner:
    """Keeps one child process, in an empty folder of its own; a context manager.

    seconds: the time that one check may take.  data_roots: where data sets look for files.
    """

    def __init__(self, seconds: float = SECONDS, data_roots: Sequence[str] = ()) -> None:
        self._seconds = seconds
        self._data_roots = tuple(data_roots)
        self._child: _Child | None = None
        self._owner: Origin | None = None
        self._blocked: dict[tuple[Origin, str, str], CheckResult] = {}
        self._finalizer: Any = None

    def __enter__(self) -> Examiner:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def close(self) -> None:
        """End the child process and whatever it started."""
        if self._child is not None:
            self._finalizer()
            self._child = None

    def examine(
        self, entry: Entry[Any], check: Check, expected: Mapping[str, str] = MappingProxyType({})
    ) -> CheckResult:
        """Make one check, unless a gate before it failed; always returns, about in time.

        expected: failures to expect, by name of the check with the reason; an expected one bars nothing.
        """
        gate = self._blocked.get((entry.origin, entry.spec.kind, entry.spec.name))
        result = self._after(gate, entry, check) if gate else self._made(entry, check)
        is_barrier = check.is_gate and gate is None and check.name not in expected
        if is_barrier and result.status in ("failed", *(() if check.is_optional else ("not_applicable",))):
            self._blocked[entry.origin, entry.spec.kind, entry.spec.name] = result
        return expect(result, expected)

    def _after(self, gate: CheckResult, entry: Entry[Any], check: Check) -> CheckResult:
        status: Status = "not_run" if gate.status == "failed" else "not_applicable"
        reason = f"{gate.check} failed" if gate.status == "failed" else gate.reason
        return _result(entry, check, status, reason)

    def _made(self, entry: Entry[Any], check: Check) -> CheckResult:
        child = self._child_for(entry.origin)
        if child is None:
            return _result(entry, check, "not_run", "no process could be started for it")
        started = time.monotonic()
        with contextlib.suppress(BrokenPipeError):  # its death is seen below
            assert child.process.stdin is not None
            child.process.stdin.write(json.dumps({"entry": to_json(entry), "check": check.name}) + "\n")
            child.process.stdin.flush()
        try:
            line = child.lines.get(timeout=self._seconds)
        except queue.Empty:
            self.close()
            reason = f"it ran past the limit of {self._seconds:g} seconds and was stopped"
            return _result(entry, check, "failed", reason, time.monotonic() - started)
        if line is None:
            reason = _obituary(child)
            self.close()
            return _result(entry, check, "failed", reason, time.monotonic() - started)
        said = json.loads(line)
        result = _result(entry, check, said["status"], said["reason"], said["seconds"])
        return replace(result, facts=said["facts"])

    def _child_for(self, origin: Origin) -> _Child | None:
        # A child serves the plugins of one entry point: they were made to live together, others were not.
        if self._owner != origin or self._child is None:
            self.close()
            self._child, self._owner = _start(self._data_roots), origin
            self._finalizer = weakref.finalize(self, _end, self._child)
            try:
                if self._child.lines.get(timeout=_START_SECONDS) is None:
                    self.close()
            except queue.Empty:
                self.close()
        return self._child


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
    names = [check.name for check in available]
    known_checks([*checks, *(expected_failures or {})], names)
    own = Examiner() if examiner is None else examiner
    try:
        for check in available:
            if not checks or check.name in checks:
                yield own.examine(entry, check, expected_failures or {})
    finally:
        if examiner is None:
            own.close()


def _result(entry: Entry[Any], check: Check, status: Status, reason: str, seconds: float = 0.0) -> CheckResult:
    return CheckResult(
        origin=entry.origin,
        kind=entry.spec.kind,
        plugin=entry.spec.name,
        check=check.name,
        status=status,
        reason=reason,
        seconds=seconds,
    )


def _start(data_roots: Sequence[str]) -> _Child:
    folder = Path(tempfile.mkdtemp(prefix="prunebench-check-"))
    (folder / "tmp").mkdir()
    (folder / "cwd").mkdir()
    path = [str(Path(part).absolute()) for part in sys.path if part]
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(path),
        "PYTHONHASHSEED": "0",
        "PRUNEBENCH_DATA": os.pathsep.join(data_roots),
        "TMPDIR": str(folder / "tmp"),
        **dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS"), "1"),
    }
    with (folder / "log").open("w", encoding="utf-8") as log:
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", "prunebench.testing.child"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
            encoding="utf-8",
            env=environment,
            cwd=folder / "cwd",
            start_new_session=True,
        )
    lines: queue.Queue[str | None] = queue.Queue()
    threading.Thread(target=_listen, args=(process, lines), daemon=True).start()
    return _Child(process, lines, folder)


def _listen(process: subprocess.Popen[str], lines: queue.Queue[str | None]) -> None:
    assert process.stdout is not None
    with contextlib.suppress(OSError, ValueError):
        for line in process.stdout:
            lines.put(line)
    lines.put(None)


def _obituary(child: _Child) -> str:
    code = child.process.wait()
    died = f"was killed by {signal.Signals(-code).name}" if code < 0 else f"was ended with exit code {code}"
    hint = "; SIGKILL often means that memory ran out" if code == -signal.SIGKILL else ""
    text = (child.folder / "log").read_text(encoding="utf-8", errors="replace")
    # The fault handler lists the innermost call of the thread at fault first.
    lines = text.rpartition("Current thread")[2].splitlines()[1:]
    places = [line.strip() for line in lines if line.startswith("  File ") and "prunebench/testing" not in line]
    return f"its process {died}{hint}" + (f" ({places[0][:160]})" if places else "")


def _end(child: _Child) -> None:
    # The whole session: a plugin may have started processes of its own.
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(child.process.pid, signal.SIGKILL)
    child.process.wait()
    for stream in (child.process.stdin, child.process.stdout):
        if stream is not None:
            with contextlib.suppress(OSError):
                stream.close()
    shutil.rmtree(child.folder, ignore_errors=True)
