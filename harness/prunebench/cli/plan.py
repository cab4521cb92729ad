"""prunebench plan."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from prunebench.cli.options import (
    cache_folder,
    cache_option,
    catalogue,
    data_folders,
    data_option,
    filter_options,
    json_option,
    make_filters,
    registry_option,
    results_option,
)
from prunebench.cli.progress import about
from prunebench.cli.text import columns, say, table, wrapped
from prunebench.environments import with_environments
from prunebench.errors import DataError
from prunebench.forecast import expected_seconds, obstacles, without_faults
from prunebench.plan import Filters, Plan, make_plan
from prunebench.plugins import Catalogue
from prunebench.registry import Registry, load_registry
from prunebench.run import Results, RunOptions, identified_plan
from prunebench.schedule import missing_tasks
from prunebench.settings import Settings
from prunebench.stages import STAGE_ORDER
from prunebench.store import Store
from prunebench.tasks import Task


@click.command()
@click.argument("suite")
@filter_options
@registry_option
@results_option
@cache_option
@data_option
@json_option
def command(
    suite: str,
    registry_file: Path | None,
    results: Path,
    cache: Path | None,
    data_roots: tuple[Path, ...],
    as_json: bool,
    **options: Any,
) -> None:
    """Show what a run of SUITE would compute, how much of it is done, and what will not work.

    A cell is done when its record is in the results folder. The time is estimated from those that were measured.
    """
    registry, filters, found = load_registry(registry_file), make_filters(options), catalogue()
    found, _ = with_environments(found, registry, suite, filters, cache_folder(cache), say)
    settings = Settings(str(cache_folder(cache)), data_folders(data_roots))
    show(registry, found, suite, filters, settings, results, as_json=as_json)


def show(
    registry: Registry,
    found: Catalogue,
    suite: str,
    filters: Filters,
    settings: Settings,
    results: Path,
    *,
    as_json: bool = False,
) -> None:
    """Print the plan of a suite: its size, what is done, how long the rest takes, and what will not work."""
    registry, faults = without_faults(registry, found, suite, filters)
    notes = [f"will not run: {fault}" for fault in faults]
    try:
        plan = identified_plan(registry, found, suite, filters, settings)
    except DataError as error:
        if not registry.datasets[registry.suite(suite).dataset].fingerprint:
            raise
        plan = make_plan(registry, found, suite, filters)
        notes.append(f"a run would stop at its data: {error.message}: {error.hint}")
    done = Results(plan, RunOptions(settings, (), results), {}).done()
    store = Store(Path(settings.cache))
    missing = missing_tasks((goal.task for goal in plan.goals), store, done)
    notes += obstacles(plan, registry, found, settings.data_roots, missing.values())
    if as_json:
        rows = [{"key": c.key, "state": "planned" if c.key in missing else "done", **c.axes} for c in plan.cells]
        click.echo(json.dumps(rows, indent=1))
        for note in notes:
            say(note)
        return
    for line in (*_size(plan, missing), "", *_time(plan, missing, store, results), *notes):
        click.echo(line if len(line) <= columns() else wrapped(line, columns()))


def _size(plan: Plan, missing: Mapping[str, Task]) -> list[str]:
    stages = Counter(task.stage for task in plan.tasks())
    left = Counter(task.stage for task in missing.values())
    cells = Counter(cell.axes["method"] for cell in plan.cells)
    done = Counter(cell.axes["method"] for cell in plan.cells if cell.key not in missing)
    return [
        f"suite {plan.suite.name}: {plan.suite.summary}".removesuffix(": "),
        f"cells: {len(plan.cells)}",
        "",
        *table(("stage", "tasks", "to do"), [(name, stages[name], left[name]) for name in STAGE_ORDER if stages[name]]),
        "",
        *table(("method", "cells", "done"), [(method, count, done[method]) for method, count in cells.items()]),
    ]


def _time(plan: Plan, missing: Mapping[str, Task], store: Store, results: Path) -> list[str]:
    if not missing:
        return ["everything is done"]
    seconds, unknown = expected_seconds(plan, missing, store, results)
    untold = ", ".join(f"{stage} ({count})" for stage, count in unknown.items())
    lines = []
    if seconds:
        lines.append(f"expected: {about(seconds)} of one worker, from times that were measured")
    return [*lines, *([f"no time was measured yet of: {untold}"] if untold else [])]
