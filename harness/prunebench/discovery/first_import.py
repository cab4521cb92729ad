"""Third-party plugins are imported by a child process first: one that kills or stops it is left out, and named.

The results are kept in the cache folder, so that only what has changed is imported by a child again.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from prunebench.discovery.installed import Installed, environment_digest, installed_plugins, plugin_digest
from prunebench.discovery.registration import Failure
from prunebench.errors import StoreError
from prunebench.records import write_text
from prunebench.store import default_cache

Result = tuple[str, str]  # an error and a hint, both empty where a plugin may be imported
_TRYING = "PRUNEBENCH_FIRST_IMPORT"  # set in the process of a first import, where only the own plugins are loaded
_LIMIT_SECONDS, _START_SECONDS = 20.0, 120.0
_AGAIN = "update or uninstall it; `prunebench doctor` tries it again"
_SCHEMA = 2
_KEPT = 5000  # results of other environments that share the cache stay, but not for ever


def importable(
    chosen: str | None = None, *, retry: bool = False, time_limit_seconds: float | None = None
) -> tuple[list[Installed], list[Failure]]:
    """Return the plugins that may be imported here, prunebench's own first, and a failure for each that may not.

    chosen: comma-separated entry-point names; None for all.  retry: try those again that failed before.
    time_limit_seconds: for the import of one plugin, default 20.
    """
    plugins = installed_plugins(chosen)
    own, others = [one for one in plugins if one.bundled], [one for one in plugins if not one.bundled]
    if not others or _TRYING in os.environ:
        return own, []
    environment, known = environment_digest(), read_results(default_cache())
    keyed = {plugin_digest(one, environment): one for one in others}
    new = {key: one for key, one in keyed.items() if key not in known or (retry and known[key][0])}
    if new:
        results = import_first(list(new.values()), time_limit_seconds or _LIMIT_SECONDS)
        known = {key: known[key] for key in known if key not in new} | dict(zip(new, results, strict=True))
        write_results(default_cache(), known)
    own += [one for key, one in keyed.items() if not known[key][0]]
    return own, [Failure(one.origin, *known[key]) for key, one in keyed.items() if known[key][0]]


def results_file(cache: Path) -> Path:
    """Return the file of results in a cache folder."""
    return cache / "plugins" / "first_imports.json"


def read_results(cache: Path) -> dict[str, Result]:
    """Return the results by key; none when the file is absent, damaged or of another schema."""
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError, AttributeError):
        found = json.loads(results_file(cache).read_text(encoding="utf-8"))
        if found["schema"] == _SCHEMA:
            return {str(key): (str(error), str(hint)) for key, (error, hint) in found["results"].items()}
    return {}


def write_results(cache: Path, results: Mapping[str, Result]) -> None:
    """Replace the file in one step, the newest results last; a cache that cannot be written is no error."""
    text = json.dumps({"schema": _SCHEMA, "results": dict(list(results.items())[-_KEPT:])})
    with contextlib.suppress(StoreError):
        write_text(results_file(cache), text)


def import_first(plugins: Sequence[Installed], time_limit_seconds: float) -> list[Result]:
    """Return one result per plugin, in order; never raises for a plugin's fault.

    The child that imports them is started again after the culprit when it dies, or takes longer than the limit over
    one plugin.
    """
    results: list[Result] = []
    while left := plugins[len(results) :]:
        results += _import_in_child(left, time_limit_seconds)
    return results


def _import_in_child(plugins: Sequence[Installed], time_limit_seconds: float) -> Iterator[Result]:
    """Yield the results of one child, the last of them that of the plugin that ended it too early, if one does."""
    # Imported only now: a start with nothing new starts no process and needs no threads.
    from prunebench.executors.process import ChildProcess

    child, started, seconds = None, False, _START_SECONDS
    try:
        command = [sys.executable, "-P", "-m", "prunebench.discovery.import_child"]
        child = ChildProcess(command, environment={**os.environ, _TRYING: "1"})
        child.send({"path": sys.path, "points": [[one.point.name, one.point.value] for one in plugins]})
        started, seconds = child.receive(seconds) is not None, time_limit_seconds
        for _ in plugins if started else ():
            if (result := child.receive(seconds)) is None:
                break
            yield result["error"], result["hint"]
        else:
            if started:
                return
        error = child.death
    except TimeoutError:
        error = f"took longer than {seconds:g} s"
    except OSError as fault:
        error = f"cannot be started: {fault}"
    finally:
        if child:
            child.close()
    unknown = (f"no process could be started to try it in: it {error}", _AGAIN)
    yield from [(f"its import {error}", _AGAIN)] if started else [unknown] * len(plugins)
