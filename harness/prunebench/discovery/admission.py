"""Which installed plugins may be imported in this process: verdicts from the cache, and a trial for the rest."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from prunebench.discovery.installed import SCREENING, Installed, environment_digest, installed_plugins, plugin_digest
from prunebench.discovery.registration import Failure
from prunebench.discovery.verdicts import Verdict, read_verdicts, write_verdicts
from prunebench.store import default_cache


def admitted(
    chosen: str | None = None, *, retry: bool = False, time_limit_seconds: float | None = None
) -> tuple[list[Installed], list[Failure]]:
    """Return the plugins that may be imported here, prunebench's own first, and a failure for each that may not.

    chosen: comma-separated entry-point names; None for all.  retry: try those again that failed before.
    time_limit_seconds: for the import of one plugin, default 20.
    """
    plugins = installed_plugins(chosen)
    own, others = [one for one in plugins if one.bundled], [one for one in plugins if not one.bundled]
    if not others or SCREENING in os.environ:
        return own, []
    verdicts = _verdicts(others, default_cache(), retry, time_limit_seconds)
    judged = list(zip(others, verdicts, strict=True))
    failures = [Failure(one.origin, verdict.error, verdict.hint) for one, verdict in judged if verdict.error]
    return own + [one for one, verdict in judged if not verdict.error], failures


def _verdicts(
    plugins: Sequence[Installed], cache: Path, retry: bool, time_limit_seconds: float | None
) -> list[Verdict]:
    environment = environment_digest()
    keys = [plugin_digest(one, environment) for one in plugins]
    known = read_verdicts(cache)
    new = [index for index, key in enumerate(keys) if key not in known or (retry and known[key].error)]
    if new:
        # Imported only now: a start with nothing new starts no process and needs no threads.
        from prunebench.discovery.screen import TIME_LIMIT_SECONDS, screen

        limit = TIME_LIMIT_SECONDS if time_limit_seconds is None else time_limit_seconds
        found = screen([plugins[index] for index in new], limit)
        fresh = {keys[index]: verdict for index, verdict in zip(new, found, strict=True)}
        known = {key: verdict for key, verdict in known.items() if key not in fresh} | fresh
        write_verdicts(cache, known)
    return [known[key] for key in keys]
