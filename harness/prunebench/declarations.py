"""`python -m prunebench.declarations FILE`: write what the plugins of this interpreter declare, as JSON.

So another interpreter can plan with plugins that it could not import.
"""

from __future__ import annotations

import json
import sys
from dataclasses import asdict, replace
from pathlib import Path

from prunebench.plugins import Entry, load_plugins
from prunebench.wire import to_json

KINDS = ("scorers", "projectors")


def main(arguments: list[str]) -> int:
    """Write {"entries": [...], "failures": [...]}; versions are those that the plugins have here."""
    if len(arguments) != 1:
        print("usage: python -m prunebench.declarations FILE", file=sys.stderr)  # noqa: T201
        return 2
    found = load_plugins()
    entries = [entry for kind in KINDS for entry in found.entries[kind].values()]
    described = [to_json(Entry(replace(entry.spec, version=entry.version), entry.origin)) for entry in entries]
    failures = [{"origin": asdict(failure.origin), "error": failure.error} for failure in found.failures]
    Path(arguments[0]).write_text(json.dumps({"entries": described, "failures": failures}), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
