"""prunebench status."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import click

from prunebench.cli.options import cache_folder, cache_option, json_option
from prunebench.errors import UsageError, did_you_mean
from prunebench.store import Store


@click.command()
@click.argument("run", required=False)
@cache_option
@json_option
def command(run: str | None, cache: Path | None, as_json: bool) -> None:
    """Show how far the latest run, or RUN, has come, and what failed."""
    manifest = _manifest(run)
    store = Store(cache_folder(cache))
    states = Counter("done" if store.has("cell", key) else "to do" for key in manifest["cells"])
    finished: dict[str, Any] = manifest.get("finished", {})
    facts = {
        "run": manifest["run_id"],
        "suite": manifest["suite"],
        "started": manifest["started"],
        "cells": len(manifest["cells"]),
        "done": states["done"],
        "to_do": states["to do"],
        "state": finished.get("exit_reason", "running, or killed"),
        "tasks_by_status": finished.get("tasks_by_status", {}),
        "logs": str(Path("runs") / manifest["run_id"] / "logs"),
    }
    if as_json:
        click.echo(json.dumps(facts, indent=1))
        return
    for name, value in facts.items():
        shown = ", ".join(f"{k}: {v}" for k, v in value.items()) if isinstance(value, dict) else value
        if shown != "":
            click.echo(f"{name.replace('_', ' '):<16} {shown}")


def _manifest(run: str | None) -> dict[str, Any]:
    found = {path.parent.name: path for path in sorted(Path("runs").glob("*/manifest.json"))}
    if not found:
        raise UsageError("there is no run in ./runs", "start one with `prunebench run SUITE`")
    name = run or max(found)
    if name not in found:
        raise UsageError(f"no run is named {name!r}", did_you_mean(name, found))
    return dict(json.loads(found[name].read_text(encoding="utf-8")))
