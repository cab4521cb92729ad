"""Fresh interpreters: the same run in another process, and the import of a declaration on its own."""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import os
import subprocess
import sys
from collections.abc import Mapping
from typing import Any

from prunebench.plugins import GROUP, Entry
from prunebench.testing.results import CheckFailed, DoesNotApply
from prunebench.testing.trial import Trial, fingerprint, run
from prunebench.wire import from_json, to_json

HEAVY = ("torch", "numpy", "scipy", "sklearn", "pandas", "numba", "matplotlib", "tensorflow", "jax")


def digest_of(result: Any) -> str:
    """Return a digest of everything that has to be equal when two results are."""
    return hashlib.blake2b(repr(fingerprint(result)).encode(), digest_size=16).hexdigest()


def digest_elsewhere(entry: Entry[Any], environment: Mapping[str, str], threads: int = 1) -> str:
    """Return the digest of an ordinary run in a fresh interpreter with a changed environment."""
    request = json.dumps({"entry": to_json(entry), "threads": threads})
    return _python("import prunebench.testing.elsewhere as e; e.answer()", request, environment)


def answer() -> None:
    """Read a request from standard input, run it, and print the digest of the result."""
    request = json.loads(sys.stdin.read())
    answers = os.dup(1)
    os.dup2(2, 1)
    digest = digest_of(run(from_json(request["entry"]), Trial(threads=request["threads"])))
    os.write(answers, digest.encode())


def _python(script: str, text: str, environment: Mapping[str, str]) -> str:
    done = subprocess.run(
        [sys.executable, "-P", "-c", script],
        input=text,
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, **environment},
    )
    if done.returncode:
        lines = done.stderr.strip().splitlines() or [f"exit code {done.returncode}"]
        raise CheckFailed(f"a fresh interpreter fails: {lines[-1]}")
    return done.stdout.strip()


def check_declaration_is_read_without_numerical_libraries(entry: Entry[Any]) -> None:
    """Importing the entry point's module imports neither torch nor numpy: `prunebench list` stays quick."""
    points = importlib.metadata.entry_points(group=GROUP, name=entry.origin.entry_point)
    modules = [point.value.partition(":")[0] for point in points]
    if not modules:
        raise DoesNotApply("it was not discovered through an entry point")
    script = (
        f"import sys, importlib; importlib.import_module({modules[0]!r}); print(*(set({HEAVY!r}) & set(sys.modules)))"
    )
    found = _python(script, "", {})
    if found:
        raise CheckFailed(f"importing {modules[0]} imports {', '.join(sorted(found.split()))}: keep that in `load`")
