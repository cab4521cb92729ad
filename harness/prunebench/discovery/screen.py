"""Third-party plugins are imported by a child process first: one that kills or stops it is left out, and named."""

from __future__ import annotations

import contextlib
import json
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from prunebench.discovery.installed import SCREENING, Installed
from prunebench.discovery.verdicts import Verdict

TIME_LIMIT_SECONDS = 20.0
_START_SECONDS = 120.0
_POLL_SECONDS = 0.2
_AGAIN = "update or uninstall it; `prunebench doctor` tries it again"


@dataclass(frozen=True)
class _End:
    """How a child ended before its work was done; index: the plugin that it was at, None before the first."""

    index: int | None
    error: str


def screen(plugins: Sequence[Installed], time_limit_seconds: float = TIME_LIMIT_SECONDS) -> list[Verdict]:
    """Return a verdict a plugin, in order; never raises for a plugin's fault.

    The child that imports them is started again without the culprit when it dies, or takes longer than
    `time_limit_seconds` over one plugin.
    """
    verdicts: dict[int, Verdict] = {}
    while len(verdicts) < len(plugins):
        left = [index for index in range(len(plugins)) if index not in verdicts]
        end = None
        for message in _child([plugins[index] for index in left], time_limit_seconds):
            if isinstance(message, _End):
                end = message
            elif "done" in message:
                verdicts[left[message["done"]]] = Verdict(message["error"], message["hint"])
        if end is not None and end.index is not None:
            verdicts[left[end.index]] = Verdict(end.error, _AGAIN)
        elif len(verdicts) < len(plugins):
            reason = end.error if end is not None else "it ended early"
            verdict = Verdict(f"no process could be started to try it in: {reason}", _AGAIN)
            verdicts |= {index: verdict for index in left if index not in verdicts}
    return [verdicts[index] for index in range(len(plugins))]


def _child(plugins: Sequence[Installed], time_limit_seconds: float) -> Iterator[Mapping[str, Any] | _End]:
    """Yield the messages of one child, and how it ended when that was too early."""
    try:
        process = _start(plugins)
    except OSError as error:
        yield _End(None, str(error))
        return
    lines: queue.Queue[str] = queue.Queue()
    threading.Thread(target=_listen, args=(process, lines), daemon=True).start()
    current, done, deadline = None, 0, time.monotonic() + _START_SECONDS
    try:
        while done < len(plugins):
            line = _next_line(process, lines, deadline)
            if line is None:
                yield _End(current, _cause(process, time_limit_seconds))
                return
            message = json.loads(line)
            current = message.get("start", current)
            done += "done" in message
            deadline = time.monotonic() + time_limit_seconds
            yield message
    finally:
        _kill(process)


def _start(plugins: Sequence[Installed]) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-P", "-m", "prunebench.discovery.trial"],
        env={**os.environ, SCREENING: "1"},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        encoding="utf-8",
        start_new_session=True,  # a group to end as a whole, and no share in the terminal's Ctrl-C
    )
    assert process.stdin is not None
    request = {"path": sys.path, "points": [[one.point.name, one.point.value] for one in plugins]}
    with contextlib.suppress(BrokenPipeError):  # it died at once: told by its exit status
        process.stdin.write(json.dumps(request) + "\n")
        process.stdin.close()
    return process


def _listen(process: subprocess.Popen[str], lines: queue.Queue[str]) -> None:
    assert process.stdout is not None
    with process.stdout:
        for line in process.stdout:
            lines.put(line)


def _next_line(process: subprocess.Popen[str], lines: queue.Queue[str], deadline: float) -> str | None:
    """Return the next message, or None when the child has ended or the deadline has passed."""
    while True:
        ended = process.poll() is not None
        try:
            return lines.get(timeout=_POLL_SECONDS)
        except queue.Empty:
            if ended or time.monotonic() > deadline:
                return None


def _cause(process: subprocess.Popen[str], time_limit_seconds: float) -> str:
    code = process.poll()
    if code is None:
        return f"its import took longer than {time_limit_seconds:g} s"
    if code < 0:
        return f"its import killed the process with {signal.Signals(-code).name}"
    return f"its import ended the process with exit code {code}"


def _kill(process: subprocess.Popen[str]) -> None:
    """End the child with everything that the plugins have started in its group."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        if hasattr(os, "killpg"):
            os.killpg(process.pid, signal.SIGKILL)
        else:
            process.kill()
    process.wait()
