"""The process in which plugins are imported for the first time: `python -m prunebench.discovery.trial`.

Reads one JSON request, then tells before each plugin that it starts and after it what happened: when this process
dies or hangs, the one that was started last is the culprit.
"""

from __future__ import annotations

import importlib.metadata
import json
import os
import sys
import tempfile
from collections.abc import Mapping
from typing import Any, TextIO

import click
import pluggy

from prunebench import hookspecs
from prunebench.discovery.api import hint_for
from prunebench.discovery.installed import GROUP

DECLARING = tuple(
    name for name in dir(hookspecs) if name.startswith("prunebench_") and not name.endswith("_finished")
)  # fmt: skip
_PRINTED = "print to standard error, or log: standard output belongs to the data that prunebench prints"
_FORKED = "start processes where the work is done, not where the plugin is declared"


class _Watch:
    """Notices forks, and what reaches the descriptor of standard output."""

    def __init__(self) -> None:
        self._home = os.getpid()
        self.forks: int = 0
        self.answers: TextIO = os.fdopen(os.dup(1), "w", encoding="utf-8")
        self._printed = tempfile.TemporaryFile()  # noqa: SIM115 - lives as long as the process
        os.dup2(self._printed.fileno(), 1)
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_parent=self._count)

    def _count(self) -> None:
        self.forks += 1

    def say(self, message: Mapping[str, Any]) -> None:
        if os.getpid() != self._home:  # a copy that the plugin forked and let run on
            os._exit(1)
        self.answers.write(json.dumps(message) + "\n")
        self.answers.flush()

    def printed(self) -> str:
        """Return what was printed since the last call."""
        sys.stdout.flush()
        _flush_c()
        self._printed.seek(0)
        text = self._printed.read().decode(errors="replace")
        self._printed.seek(0)
        self._printed.truncate()
        return text


def _flush_c() -> None:
    try:
        import ctypes

        ctypes.CDLL(None).fflush(None)
    except (ImportError, OSError, TypeError, AttributeError):  # no C library to ask: its buffer stays as it is
        return


def try_plugin(point: importlib.metadata.EntryPoint, watch: _Watch, manager: pluggy.PluginManager) -> dict[str, str]:
    """Import one plugin and ask it for its declarations; return the error and its hint, empty when all is well."""
    forks = watch.forks
    error = hint = ""
    try:
        _declare(point, manager)
    except BaseException as fault:  # sys.exit, too: this process is there to survive it
        error, hint = f"{type(fault).__name__}: {fault}", hint_for(fault)
    if not error and watch.forks > forks:
        error, hint = "it forked a process while it was imported", _FORKED
    if (text := watch.printed()) and not error:
        error, hint = f"it printed to standard output while it was imported: {text.strip()[:80]!r}", _PRINTED
    return {"error": error, "hint": hint}


def _declare(point: importlib.metadata.EntryPoint, manager: pluggy.PluginManager) -> None:
    plugin = point.load()
    try:
        manager.register(plugin)
        for name in DECLARING:
            for implementation in getattr(manager.hook, name).get_hookimpls():
                # Only prunebench_commands takes an argument, and gives nothing back.
                list(implementation.function(*(click.Group() for _ in implementation.argnames)) or ())
    except Exception:
        # A wrong declaration harms nobody: the harness meets it again, and says which part works.
        return
    finally:
        if manager.is_registered(plugin):
            manager.unregister(plugin)


def serve(stream: TextIO, watch: _Watch) -> None:
    """Try the plugins of the request one by one."""
    request = json.loads(stream.readline())
    sys.path[:] = request["path"]
    # One for all, each plugin alone in it: to read the hooks takes longer than to import a plugin.
    manager = pluggy.PluginManager(GROUP)
    manager.add_hookspecs(hookspecs)
    watch.say({"ready": True})
    for index, (name, value) in enumerate(request["points"]):
        watch.say({"start": index})
        watch.say({"done": index, **try_plugin(importlib.metadata.EntryPoint(name, value, GROUP), watch, manager)})


if __name__ == "__main__":
    serve(sys.stdin, _Watch())
    os._exit(0)  # whatever threads and exit handlers the plugins have left behind
