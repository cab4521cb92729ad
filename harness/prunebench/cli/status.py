"""prunebench status."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import click

from prunebench.cli.options import json_option, results_option
from prunebench.cli.text import columns, definitions
from prunebench.errors import UsageError, did_you_mean
from prunebench.records import FINAL, read_records


@click.command()
@click.argument("run", required=False)
@results_option
@json_option
def command(run: str | None, results: Path, as_json: bool) -> None:
    """Show how far the latest run, or RUN, has come, and what failed.

    Runs are looked for in the folder runs beside the results folder. A cell is done when its record is there.
    """
    runs = results.parent / "runs"
    manifest = _manifest(runs, run)
    finished: dict[str, Any] = manifest.get("finished", {})
    tried = [r for path in results.glob(f"{manifest['suite']}/*/*.jsonl") for r in read_records(path)]
    status = {record.key: record.status for record in tried}
    states = Counter(_state(status.get(key)) for key in manifest["cells"])
    facts = {
        "run": manifest["run_id"],
        "suite": manifest["suite"],
        "started": manifest["started"],
        "cells": len(manifest["cells"]),
        **{state.replace(" ", "_"): states[state] for state in ("done", "failed", "to do")},
        "state": finished.get("exit_reason", "running, or killed"),
        "tasks_by_status": finished.get("tasks_by_status", {}),
        "reasons": sorted({r.status_reason for r in tried if r.key in manifest["cells"] and r.status not in FINAL}),
        "logs": str(runs / manifest["run_id"] / "logs"),
    }
    if as_json:
        click.echo(json.dumps(facts, indent=1))
        return
    rows = [(name.replace("_", " "), _shown(value)) for name, value in facts.items()]
    click.echo("\n".join(definitions(((name, text) for name, text in rows if text), columns(), 0)))


def _state(status: str | None) -> str:
    return "to do" if status is None else "done" if status in FINAL else "failed"


def _shown(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name}: {count}" for name, count in value.items())
    return "; ".join(value) if isinstance(value, list) else str(value)


def _manifest(runs: Path, run: str | None) -> dict[str, Any]:
    found = {path.parent.name: path for path in sorted(runs.glob("*/manifest.json"))}
    if not found:
        raise UsageError(f"there is no run in {runs}", "start one with `prunebench run SUITE`, or name its --results")
    name = run or max(found)
    if name not in found:
        raise UsageError(f"no run is named {name!r} in {runs}", did_you_mean(name, found))
    return dict(json.loads(found[name].read_text(encoding="utf-8")))
