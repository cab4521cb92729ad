"""Third-party plugins are imported by a child process first: one that kills or stops it is left out, and named.

The results are kept in the cache folder, so that only what has changed is imported by a child again.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from prunebench.discovery.installed import FIRST_IMPORT, Installed, environment_digest, installed_plugins, plugin_digest
from prunebench.discovery.registration import Failure
from prunebench.store import default_cache

Result = tuple[str, str]  # an error and a hint, both empty where a plugin may be imported
TIME_LIMIT_SECONDS = 20.0
_START_SECONDS = 120.0
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
    if not others or FIRST_IMPORT in os.environ:
        return own, []
    cache, environment = default_cache(), environment_digest()
    known = read_results(cache)
    keys = [plugin_digest(one, environment) for one in others]
    new = {key: one for key, one in zip(keys, others, strict=True) if key not in known or (retry and known[key][0])}
    if new:
        found = import_first(list(new.values()), time_limit_seconds or TIME_LIMIT_SECONDS)
        fresh = dict(zip(new, found, strict=True))
        known = {key: result for key, result in known.items() if key not in fresh} | fresh
        write_results(cache, known)
    results = [(one, *known[key]) for one, key in zip(others, keys, strict=True)]
    failures = [Failure(one.origin, error, hint) for one, error, hint in results if error]
    return own + [one for one, error, _ in results if not error], failures


def results_file(cache: Path) -> Path:
    """Return the file of results in a cache folder."""
    return cache / "plugins" / "first_imports.json"


def read_results(cache: Path) -> dict[str, Result]:
    """Return the results by key; none when the file is absent, damaged or of another schema."""
    try:
        found = json.loads(results_file(cache).read_text(encoding="utf-8"))
        if found["schema"] != _SCHEMA:
            return {}
        return {str(key): (str(error), str(hint)) for key, (error, hint) in found["results"].items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return {}


def write_results(cache: Path, results: Mapping[str, Result]) -> None:
    """Replace the file in one step, the newest results last; a cache that cannot be written is no error."""
    path = results_file(cache)
    text = json.dumps({"schema": _SCHEMA, "results": dict(list(results.items())[-_KEPT:])})
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile("w", encoding="utf-8", dir=path.parent, prefix=".", delete=False) as file:
            file.write(text)
        os.replace(file.name, path)  # noqa: PTH105 - Path.replace does the same; this names the atomic step
    except OSError:
        return


def import_first(plugins: Sequence[Installed], time_limit_seconds: float) -> list[Result]:
    """Return one result per plugin, in order; never raises for a plugin's fault.

    The child that imports them is started again without the culprit when it dies, or takes longer than the limit over
    one plugin.
    """
    results: dict[int, Result] = {}
    while left := [index for index in range(len(plugins)) if index not in results]:
        culprit, error = _import_in_child(plugins, left, results, time_limit_seconds)
        if culprit is not None:
            results[culprit] = (f"its import {error}", _AGAIN)
        elif error:
            unknown = (f"no process could be started to try it in: it {error}", _AGAIN)
            results |= {index: unknown for index in left if index not in results}
    return [results[index] for index in range(len(plugins))]


def _import_in_child(
    plugins: Sequence[Installed], left: Sequence[int], results: dict[int, Result], time_limit_seconds: float
) -> tuple[int | None, str]:
    """Fill in the results of one child; return the index of the plugin that ended it too early, and how."""
    # Imported only now: a start with nothing new starts no process and needs no threads.
    from prunebench.executors.process import ChildProcess

    command = [sys.executable, "-P", "-m", "prunebench.discovery.import_child"]
    try:
        child = ChildProcess(command, environment={**os.environ, FIRST_IMPORT: "1"})
    except OSError as error:
        return None, f"cannot be started: {error}"
    current, seconds = None, _START_SECONDS
    try:
        points = [[plugins[index].point.name, plugins[index].point.value] for index in left]
        child.send({"path": sys.path, "points": points})
        while any(index not in results for index in left):
            message = child.receive(seconds)
            if message is None:
                return current, child.death
            if "start" in message:
                current, seconds = left[message["start"]], time_limit_seconds
            elif "done" in message:
                results[left[message["done"]]] = (message["error"], message["hint"])
    except TimeoutError:
        return current, f"took longer than {seconds:g} s"
    finally:
        child.close()
    return None, ""
