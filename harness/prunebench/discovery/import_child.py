"""The process in which plugins are imported for the first time: `python -m prunebench.discovery.import_child`.

Reads one JSON request, says when it is ready, and after each plugin what happened, in the order of the request: when
this process dies or hangs, the one whose answer is missing is the culprit."""

import contextlib
import ctypes
import json
import os
import sys
import tempfile
from importlib.metadata import EntryPoint
from typing import IO

import click
import pluggy

from prunebench import hookspecs
from prunebench.discovery.registration import DECLARING_HOOKS, GROUP, hint_for

_PRINTED = "print to standard error, or log: standard output belongs to the data that prunebench prints"
_FORKED = "start processes where the work is done, not where the plugin is declared"


def main() -> None:
    """Import the plugins of the request; answer on what was standard output, and keep what is printed there apart."""
    request, home, answers = json.loads(sys.stdin.readline()), os.getpid(), os.fdopen(os.dup(1), "w", encoding="utf-8")
    kept = tempfile.TemporaryFile()  # noqa: SIM115 - lives as long as the process
    os.dup2(kept.fileno(), 1)

    def say(**message: str) -> None:
        if os.getpid() != home:  # a copy that the plugin forked and let run on
            os._exit(1)
        answers.write(json.dumps(message) + "\n")
        answers.flush()

    sys.path[:] = request["path"]
    # One for all: to read the hooks takes longer than to import a plugin.
    manager = pluggy.PluginManager(GROUP)
    manager.add_hookspecs(hookspecs)
    forks: list[int] = []
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_parent=lambda: forks.append(1))
    say(error="", hint="")  # it is ready
    for name, value in request["points"]:
        forks.clear()
        error = hint = ""
        try:
            _declare(EntryPoint(name, value, GROUP), manager)
        except BaseException as fault:  # sys.exit, too: this process is there to survive it
            error, hint = f"{type(fault).__name__}: {fault}", hint_for(fault)
        text = _taken(kept)
        if forks and not error:
            error, hint = "it forked a process while it was imported", _FORKED
        elif text and not error:
            error, hint = f"it printed to standard output while it was imported: {text[:80]!r}", _PRINTED
        say(error=error, hint=hint)


def _taken(kept: IO[bytes]) -> str:
    """Return what was printed to standard output since the last call."""
    sys.stdout.flush()
    with contextlib.suppress(OSError, TypeError, AttributeError):  # without a C library its buffer stays as it is
        ctypes.CDLL(None).fflush(None)
    kept.seek(0)
    text = kept.read().decode(errors="replace").strip()
    kept.truncate(kept.seek(0))
    return text


def _declare(point: EntryPoint, manager: pluggy.PluginManager) -> None:
    plugin = point.load()
    with contextlib.suppress(Exception):  # a wrong declaration harms nobody: the harness says which part works
        manager.register(plugin)
        for name in DECLARING_HOOKS:
            for implementation in getattr(manager.hook, name).get_hookimpls():
                if implementation.plugin is plugin:
                    # Only prunebench_commands takes an argument, and gives nothing back.
                    list(implementation.function(*(click.Group() for _ in implementation.argnames)) or ())


if __name__ == "__main__":
    main()
    os._exit(0)  # whatever threads and exit handlers the plugins have left behind
