"""prunebench status."""

import json
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click
import msgspec

from prunebench.cli.options import json_option, results_option
from prunebench.cli.progress import duration
from prunebench.cli.text import columns, definitions, table
from prunebench.errors import UsageError, did_you_mean
from prunebench.events import is_alive, progress_of, read_events
from prunebench.guard import read_json
from prunebench.records import FINAL, Name, read_results

_EVERY_SECONDS = 1.0
_SHOWN_FAILURES = 5


class _Finished(msgspec.Struct):
    exit_reason: str = ""
    tasks_by_status: dict[str, int] = {}


class _Manifest(msgspec.Struct):
    """What is shown of a manifest."""

    run_id: Name
    suite: Name
    started: str
    cells: dict[str, str]
    finished: _Finished = msgspec.field(default_factory=_Finished)


@click.command()
@click.argument("run", required=False)
@results_option
@click.option("--watch", is_flag=True, help="Show it again and again until the run has ended.")
@json_option
def command(run: str | None, results: Path, watch: bool, as_json: bool) -> None:
    """Show how far the latest run, or RUN, has come, what runs now, and what failed.

    Runs are looked for in the folder runs beside the results folder; the events of each are in its events.jsonl. A cell
    is done when its record is there."""
    folder = _folder(results.parent / "runs", run)
    if not watch:
        facts = _facts(folder, results)
        click.echo(json.dumps(facts, indent=1) if as_json else "\n".join(_page(facts)))
        return
    if sys.stdout.isatty():
        from rich.live import Live
        from rich.text import Text

        with Live(auto_refresh=False) as live:
            for facts in _watched(folder, results):
                live.update(Text("\n".join(_page(facts))), refresh=True)
        return
    before = ""
    for facts in _watched(folder, results):
        page = json.dumps(facts) if as_json else "\n".join(_page(facts))
        if page != before:
            click.echo(page)
        before = page


def _watched(folder: Path, results: Path) -> Iterator[dict[str, Any]]:
    """Yield the facts of a run every second, the last ones when it has ended."""
    while (facts := _facts(folder, results))["state"] == "running":
        yield facts
        time.sleep(_EVERY_SECONDS)
    yield facts


def _facts(folder: Path, results: Path) -> dict[str, Any]:
    hint = "name another run, or start it again with `prunebench run`"
    manifest = read_json(folder / "manifest.json", _Manifest, hint)
    cells, finished, seen = set(manifest["cells"]), manifest.get("finished", {}), progress_of(read_events(folder))
    tried = {record.key: record for record in read_results(results, manifest["suite"]) if record.key in cells}
    failed = [record for record in tried.values() if record.status not in FINAL]
    state = finished.get("exit_reason") or ("running" if is_alive(folder) else "killed")
    now = datetime.now(UTC)
    running = [
        {**{name: event.get(name, "") for name in ("key", "stage", "title")},
         "seconds": round((now - datetime.fromisoformat(event["time"])).total_seconds())}
        for event in seen.running.values()
    ]  # fmt: skip
    failures = [{name: event.get(name, "") for name in ("key", "status", "reason", "log")} for event in seen.failures]
    return {
        "run": manifest["run_id"], "suite": manifest["suite"], "started": manifest["started"], "cells": len(cells),
        "done": len(tried) - len(failed), "failed": len(failed), "to_do": len(cells) - len(tried), "state": state,
        "tasks_by_status": finished.get("tasks_by_status") or seen.counts,
        "reasons": sorted({record.status_reason for record in failed}), "logs": str(folder / "logs"),
        "running": running if state == "running" else [], "failures": failures,
    }  # fmt: skip


def _page(facts: dict[str, Any]) -> list[str]:
    """Return the lines of a page: the facts, then what runs and what failed first."""
    told = {name: _shown(value) for name, value in facts.items() if name not in ("running", "failures")}
    lines = [*definitions([(name.replace("_", " "), text) for name, text in told.items() if text], columns(), 0)]
    if running := [(one["stage"], one["title"], duration(one["seconds"])) for one in facts["running"]]:
        lines += ["", *table(("running", "", "for"), running)]
    if failures := [(one["status"], one["reason"], one["log"]) for one in facts["failures"][:_SHOWN_FAILURES]]:
        lines += ["", *(f"{status}: {reason}" + (f" (log: {log})" if log else "") for status, reason, log in failures)]
    return lines


def _shown(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name}: {count}" for name, count in value.items())
    return "; ".join(value) if isinstance(value, list) else str(value)


def _folder(runs: Path, run: str | None) -> Path:
    if not (found := {path.parent.name: path.parent for path in sorted(runs.glob("*/manifest.json"))}):
        raise UsageError(f"there is no run in {runs}", "start one with `prunebench run SUITE`, or name its --results")
    if (name := run or max(found)) not in found:
        raise UsageError(f"no run is named {name!r} in {runs}", did_you_mean(name, found))
    return found[name]
