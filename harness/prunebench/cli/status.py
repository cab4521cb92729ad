"""prunebench status."""

import json
from pathlib import Path
from typing import Any

import click

from prunebench.cli.options import json_option, results_option
from prunebench.cli.text import columns, definitions
from prunebench.errors import UsageError, did_you_mean
from prunebench.records import FINAL, read_results


@click.command()
@click.argument("run", required=False)
@results_option
@json_option
def command(run: str | None, results: Path, as_json: bool) -> None:
    """Show how far the latest run, or RUN, has come, and what failed.

    Runs are looked for in the folder runs beside the results folder. A cell is done when its record is there."""
    manifest = _manifest(runs := results.parent / "runs", run)
    cells, finished = set(manifest["cells"]), manifest.get("finished", {})
    tried = {record.key: record for record in read_results(results, manifest["suite"]) if record.key in cells}
    failed = [record for record in tried.values() if record.status not in FINAL]
    facts = {
        "run": manifest["run_id"], "suite": manifest["suite"], "started": manifest["started"], "cells": len(cells),
        "done": len(tried) - len(failed), "failed": len(failed), "to_do": len(cells) - len(tried),
        "state": finished.get("exit_reason", "running, or killed"),
        "tasks_by_status": finished.get("tasks_by_status", {}),
        "reasons": sorted({record.status_reason for record in failed}), "logs": str(runs / manifest["run_id"] / "logs"),
    }  # fmt: skip
    rows = [(name.replace("_", " "), text) for name, value in facts.items() if (text := _shown(value))]
    click.echo(json.dumps(facts, indent=1) if as_json else "\n".join(definitions(rows, columns(), 0)))


def _shown(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name}: {count}" for name, count in value.items())
    return "; ".join(value) if isinstance(value, list) else str(value)


def _manifest(runs: Path, run: str | None) -> dict[str, Any]:
    if not (found := {path.parent.name: path for path in sorted(runs.glob("*/manifest.json"))}):
        raise UsageError(f"there is no run in {runs}", "start one with `prunebench run SUITE`, or name its --results")
    if (name := run or max(found)) not in found:
        raise UsageError(f"no run is named {name!r} in {runs}", did_you_mean(name, found))
    return dict(json.loads(found[name].read_text(encoding="utf-8")))
