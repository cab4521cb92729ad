"""prunebench plan."""

import json
from collections import Counter
from collections.abc import Container
from typing import Any

import click

from prunebench.cli.options import json_option, requested, suite_options
from prunebench.cli.progress import about
from prunebench.cli.text import columns, fitted, say, table
from prunebench.errors import DataError, UsageError
from prunebench.forecast import expected_seconds, obstacles
from prunebench.identify import identified_plan
from prunebench.plan import Plan, make_plan
from prunebench.request import Request, will_not_run
from prunebench.results import Results
from prunebench.schedule import missing_tasks
from prunebench.stages import STAGE_ORDER


@click.command()
@suite_options
@json_option
def command(as_json: bool, **options: Any) -> None:
    """Show what a run of SUITE would compute, how much of it is done, and what will not work.

    A cell is done when its record is in the results folder. The time is estimated from those that were measured."""
    show(requested(options), as_json)


def show(asked: Request, as_json: bool = False) -> None:
    """Print the plan of a suite: its size, what is done, how long the rest takes, and what will not work."""
    registry, notes = asked.registry, list[str]()
    try:
        plan = identified_plan(asked, (UsageError,))
    except DataError as error:
        if not registry.datasets[registry.suite(asked.suite).dataset].fingerprint:
            raise
        plan = make_plan(registry, asked.plugins, asked.suite, asked.filters, tolerated=(UsageError,))
        notes.append(f"a run would stop at its data: {error.message}: {error.hint}")
    notes = [*will_not_run(plan.faults), *plan.notes, *notes]
    done = Results(plan, asked.results).done()
    missing = missing_tasks((goal.task for goal in plan.goals), asked.store, done)
    notes += obstacles(plan, asked, missing.values())
    if as_json:
        rows = [{"key": c.key, "state": "planned" if c.key in missing else "done", **c.axes} for c in plan.cells]
        click.echo(json.dumps(rows, indent=1))
        for note in notes:
            say(note)
        return
    seconds, unknown = expected_seconds(plan, missing, asked.store, asked.results)
    lines = _size(plan, missing) + ([] if missing else ["everything is done"])
    lines += [f"expected: {about(seconds)} of one worker, from times that were measured"] if seconds else []
    if untold := ", ".join(f"{stage} ({count})" for stage, count in unknown.items()):
        lines.append(f"no time was measured yet of: {untold}")
    click.echo(fitted("\n".join(lines + notes), columns()))


def _size(plan: Plan, missing: Container[str]) -> list[str]:
    tasks, cells = list(plan.tasks()), [(cell.axes["method"], cell.key) for cell in plan.cells]
    stages, left = Counter(t.stage for t in tasks), Counter(t.stage for t in tasks if t.key in missing)
    total, done = Counter(method for method, _ in cells), Counter(m for m, key in cells if key not in missing)
    work = table(("stage", "tasks", "to do"), [(s, stages[s], left[s]) for s in STAGE_ORDER if stages[s]])
    methods = table(("method", "cells", "done"), [(method, count, done[method]) for method, count in total.items()])
    title = f"suite {plan.suite.name}: {plan.suite.summary}".removesuffix(": ")
    return [title, f"cells: {len(plan.cells)}", "", *work, "", *methods, ""]
