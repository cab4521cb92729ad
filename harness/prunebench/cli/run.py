"""prunebench run."""

from __future__ import annotations

import json
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
    make_filters,
    registry_option,
    results_option,
    slots_for,
)
from prunebench.cli.plan import show
from prunebench.cli.progress import Progress, duration
from prunebench.cli.text import say
from prunebench.environments import with_environments
from prunebench.plan import Plan
from prunebench.registry import load_registry
from prunebench.run import RunOptions, RunReport, execute, identified_plan
from prunebench.settings import Settings
from prunebench.store import Store


@click.command()
@click.argument("suite")
@filter_options
@click.option("--dry-run", is_flag=True, help="Show the plan and stop.")
@click.option("--devices", default="auto", show_default=True, help='"auto", "cpu", "mps", or CUDA indices: 0,1.')
@click.option("--jobs", type=click.IntRange(min=1), help="Workers at a time.  [default: one for each core or GPU]")
@click.option(
    "--slots-per-device", type=click.IntRange(min=1), default=1, show_default=True, help="Workers of each GPU."
)
@click.option("--threads", type=click.IntRange(min=1), default=1, show_default=True, help="Threads of each worker.")
@click.option("--timeout", type=click.FloatRange(min=1), help="Seconds that one task may take.")
@click.option("--executor", default="local", show_default=True, help="Where tasks run.")
@click.option(
    "--grace",
    type=click.FloatRange(min=0),
    default=30,
    show_default=True,
    help="Seconds to wait for what runs after Ctrl-C.",
)
@click.option("--max-failures", type=click.IntRange(min=1), help="Stop when so many tasks have failed.")
@click.option(
    "--supersede", default="", metavar="REASON", help="Replace results that a repeat contradicts, and say why."
)
@click.option("--strict-plugins", is_flag=True, help="Stop when an installed plugin is broken.")
@click.option("-q", "--quiet", is_flag=True, help="Show no progress.")
@click.option("--json", "as_json", is_flag=True, help="Print the report as JSON.")
@registry_option
@results_option
@cache_option
@data_option
def command(
    suite: str,
    dry_run: bool,
    devices: str,
    jobs: int | None,
    slots_per_device: int,
    threads: int,
    timeout: float | None,
    strict_plugins: bool,
    quiet: bool,
    as_json: bool,
    registry_file: Path | None,
    results: Path,
    cache: Path | None,
    data_roots: tuple[Path, ...],
    executor: str,
    max_failures: int | None,
    grace: float,
    supersede: str,
    **options: Any,
) -> None:
    """Run what is missing of SUITE, then write the board.

    A run that was stopped, killed or failed in places goes on where it was: run the same command again.
    """
    registry, plugins = load_registry(registry_file), catalogue(strict_plugins)
    filters, store = make_filters(options), Store(cache_folder(cache))
    plugins, interpreters = with_environments(plugins, registry, suite, filters, store.root, say)
    slots = slots_for(devices, jobs, slots_per_device)
    plugins.executor(executor)
    settings = Settings(str(store.root), data_folders(data_roots), slots[0], threads, timeout, {}, interpreters)
    if dry_run:
        show(registry, plugins, suite, filters, settings, results)
        return
    plan = identified_plan(registry, plugins, suite, filters, settings)
    run_options = RunOptions(
        settings=settings,
        slots=slots,
        results=results,
        executor=executor,
        supersede=supersede,
        max_failures=max_failures,
        grace_seconds=grace,
    )
    with Progress(len(slots), quiet) as progress:
        report = execute(plan, registry, plugins, run_options, observe=progress, notice=progress.notice)
    text = "no cell is finished yet"
    if report.n_records:
        from prunebench.board import update_board

        text = update_board(results, registry, plugins, suite=plan.suite.name)
    _tell(report, plan, results, text, as_json)
    raise SystemExit(report.exit_code)


def _tell(report: RunReport, plan: Plan, results: Path, text: str, as_json: bool) -> None:
    for problem in report.problems:
        say(f"warning: {problem}")
    reasons = sorted({record.status_reason for record in report.failures})
    click.echo(json.dumps({**vars(report), "failures": reasons}) if as_json else text)
    lines = [_counts(report, plan)]
    if report.run_id:
        lines[0] += f" in {duration(report.seconds)} (runs/{report.run_id})"
    if report.replaced:
        lines.append(f"{report.replaced} records of older versions were replaced")
    if report.failures:
        lines.append(f"{len(report.failures)} failed; {len(reasons)} reason(s), the first: {reasons[0]}")
        lines.append("failed cells are tried again by the next run")
    if report.n_records:
        lines.append(f"board: {results / plan.suite.name / 'board' / 'index.html'}")
    if report.interrupted:
        lines.append("interrupted: run the same command again to go on")
    for line in lines:
        say(line)


def _counts(report: RunReport, plan: Plan) -> str:
    counts = [
        (len(plan.cells), "cells", report.done_before, report.computed),
        (len(plan.agreements), "comparisons of scores", report.compared_before, report.compared),
    ]
    return "; ".join(
        f"{total} {what}: {before} already done, {now} computed now" for total, what, before, now in counts if total
    )
