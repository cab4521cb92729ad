"""Third-party plugins are imported by a child process first: one that kills or stops it is left out, and named.

The results are kept in the cache folder, so that only what has changed is imported by a child again."""

import contextlib
import os
import sys
from collections.abc import Mapping, Sequence
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Literal

import msgspec

from prunebench.discovery.installed import Installed, environment_digest, installed_plugins, plugin_digest
from prunebench.discovery.registration import HOST, Failure
from prunebench.errors import DataError, StoreError
from prunebench.guard import read_plain
from prunebench.records import write_text
from prunebench.store import default_cache

Result = tuple[str, str]  # an error and a hint, both empty where a plugin may be imported
_Kept = tuple[Literal[3], dict[str, Result]]  # the schema of the file, and the results by key
_TRYING = "PRUNEBENCH_FIRST_IMPORT"  # set in the process of a first import, where only the own plugins are loaded
RESULTS = Path("plugins", "first_imports.json")  # below the cache folder
_START_SECONDS = 120.0
_AGAIN = "update or uninstall it; `prunebench doctor` tries it again"
_NOT_STARTED = "no process could be started to try it in"
_CHANCE = (_NOT_STARTED, "its import was killed by SIGKILL")  # memory ran out, or somebody did it: not to be remembered
_MOST = 5000  # results of other environments that share the cache stay, but not for ever


def importable(chosen: str | None, *, retry: bool, time_limit_seconds: float) -> tuple[list[Installed], list[Failure]]:
    """Return the plugins that may be imported here, prunebench's own first, and a failure for each that may not.
    chosen: comma-separated entry-point names; None for all.  retry: try those again that failed before.
    time_limit_seconds: for the import of one plugin."""
    plugins, damaged = installed_plugins(chosen)
    own, others = ([one for one in plugins if (one[1].distribution == HOST) is bundled] for bundled in (True, False))
    if not others or _TRYING in os.environ:
        return own, [] if _TRYING in os.environ else damaged
    environment, known = environment_digest(), read_results(default_cache())
    keyed = {plugin_digest(*one, environment): one for one in others}
    if new := {key: one for key, one in keyed.items() if key not in known or (retry and known[key][0])}:
        results = import_first([point for point, _ in new.values()], time_limit_seconds)
        known = {key: known[key] for key in known if key not in new} | dict(zip(new, results, strict=True))
        write_results(default_cache(), {key: one for key, one in known.items() if not one[0].startswith(_CHANCE)})
    failures = damaged + [Failure(origin, *known[key]) for key, (_, origin) in keyed.items() if known[key][0]]
    return own + [one for key, one in keyed.items() if not known[key][0]], failures


def read_results(cache: Path) -> dict[str, Result]:
    """Return the results by key; none when the file is absent, damaged or of another schema."""
    with contextlib.suppress(DataError, UnicodeDecodeError, msgspec.MsgspecError):
        kept: _Kept = msgspec.json.decode(read_plain(cache / RESULTS), type=_Kept)
        return kept[1]
    return {}


def write_results(cache: Path, results: Mapping[str, Result]) -> None:
    """Replace the file in one step, the newest results last; a cache that cannot be written is no error."""
    with contextlib.suppress(StoreError):
        newest = msgspec.json.encode((3, dict(list(results.items())[-_MOST:])))
        write_text(cache / RESULTS, newest.decode())


def import_first(points: Sequence[EntryPoint], time_limit_seconds: float) -> list[Result]:
    """Return one result per plugin, in order: a child that dies or is late over one is started again after it."""
    # Imported only now: a start with nothing new starts no process and needs no threads.
    from prunebench.executors.process import ChildProcess

    command = [sys.executable, "-P", "-m", "prunebench.discovery.import_child"]
    results: list[Result] = []
    while left := points[len(results) :]:
        answers, error, seconds = list[Result](), "", _START_SECONDS
        try:
            with contextlib.closing(ChildProcess(command, environment={**os.environ, _TRYING: "1"})) as child:
                child.send({"path": sys.path, "points": [[one.name, one.value] for one in left]})
                while len(answers) <= len(left) and not error:  # the first says that it is ready
                    answer, seconds = child.receive(seconds), time_limit_seconds
                    answers += [(answer["error"], answer["hint"])] if answer else []
                    error = "" if answer else child.death
        except TimeoutError:
            error = f"took longer than {seconds:g} s"
        except OSError as fault:
            error = f"cannot be started: {fault}"
        culprit = [(f"its import {error}", _AGAIN)] if error else []
        unknown = (f"{_NOT_STARTED}: it {error}", _AGAIN)
        results += [*answers[1:], *culprit] if answers else [unknown] * len(left)
    return results
