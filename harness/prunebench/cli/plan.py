"""prunebench plan."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import click

from prunebench.cli.options import (
    cache_folder,
    cache_option,
    catalogue,
    filter_options,
    json_option,
    make_filters,
    registry_option,
    say,
)
from prunebench.environments import with_environments
from prunebench.plan import Goal, Plan, make_plan
from prunebench.registry import load_registry
from prunebench.schedule import missing_tasks
from prunebench.stages import STAGE_ORDER
from prunebench.store import Store


@click.command()
@click.argument("suite")
@filter_options
@registry_option
@cache_option
@json_option
def command(suite: str, registry_file: Path | None, cache: Path | None, as_json: bool, **options: Any) -> None:
    """Show what a run of SUITE would compute, and how much of it is done."""
    registry, filters, store = load_registry(registry_file), make_filters(options), Store(cache_folder(cache))
    plugins, _ = with_environments(catalogue(), registry, suite, filters, store.root, say)
    plan = make_plan(registry, plugins, suite, filters)
    if as_json:
        click.echo(json.dumps([_row(cell, store) for cell in plan.cells], indent=1))
        return
    for line in summary(plan, store):
        click.echo(line)


def _row(cell: Goal, store: Store) -> dict[str, Any]:
    return {"key": cell.key, "state": "done" if store.has("cell", cell.key) else "planned", **cell.axes}


def summary(plan: Plan, store: Store) -> list[str]:
    """Return lines that tell the size of a plan by stage and by method, done and to do."""
    goals = [*plan.cells, *plan.agreements]
    missing = missing_tasks((goal.task for goal in goals), store)
    stages = Counter(task.stage for task in plan.tasks())
    left = Counter(task.stage for task in missing.values())
    lines = [
        f"suite {plan.suite.name}: {plan.suite.summary}",
        f"cells: {len(plan.cells)}",
        "",
        "stage         tasks   to do",
    ]
    lines += [f"{stage:<12} {stages[stage]:>6}  {left[stage]:>6}" for stage in STAGE_ORDER if stages[stage]]
    lines += ["", "method                 cells    done"]
    by_method = Counter(cell.axes["method"] for cell in plan.cells)
    done = Counter(cell.axes["method"] for cell in plan.cells if cell.key not in missing)
    lines += [f"{method:<20} {count:>7} {done[method]:>7}" for method, count in by_method.items()]
    if seconds := _expected_seconds(plan, store, left):
        lines += ["", f"expected: about {seconds / 60:.0f} minutes of one worker, from what was measured so far"]
    return lines


def _expected_seconds(plan: Plan, store: Store, left: Counter[str]) -> float | None:
    measured: dict[str, list[float]] = {}
    for task in plan.tasks():
        meta = store.meta(task.stage, task.key)
        if meta is not None:
            measured.setdefault(task.stage, []).append(meta["seconds"])
    known = {stage: sum(values) / len(values) for stage, values in measured.items()}
    if not any(stage in known for stage in left):
        return None
    return sum(count * known.get(stage, 0.0) for stage, count in left.items())
