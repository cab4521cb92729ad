"""Verdicts on plugins, kept in the cache folder so that only what has changed is tried again."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

_SCHEMA = 1
_KEPT = 5000  # verdicts of other environments that share the cache stay, but not for ever


@dataclass(frozen=True)
class Verdict:
    """What became of a plugin's import: an empty `error` when it may be imported."""

    error: str = ""
    hint: str = ""


def verdict_file(cache: Path) -> Path:
    """Return the file of verdicts in a cache folder."""
    return cache / "plugins" / "verdicts.json"


def read_verdicts(cache: Path) -> dict[str, Verdict]:
    """Return the verdicts by key; none when the file is absent, damaged or of another schema."""
    try:
        found = json.loads(verdict_file(cache).read_text(encoding="utf-8"))
        if found["schema"] != _SCHEMA:
            return {}
        return {str(key): Verdict(str(one["error"]), str(one["hint"])) for key, one in found["verdicts"].items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return {}


def write_verdicts(cache: Path, verdicts: Mapping[str, Verdict]) -> None:
    """Replace the file in one step, the newest verdicts last; a cache that cannot be written is no error."""
    path = verdict_file(cache)
    kept = list(verdicts.items())[-_KEPT:]
    text = json.dumps({"schema": _SCHEMA, "verdicts": {key: asdict(verdict) for key, verdict in kept}})
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile("w", encoding="utf-8", dir=path.parent, prefix=".", delete=False) as file:
            file.write(text)
        os.replace(file.name, path)  # noqa: PTH105 - Path.replace does the same; this names the atomic step
    except OSError:
        return
