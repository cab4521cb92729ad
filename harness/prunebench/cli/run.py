"""prunebench run."""

import json
import math
import time
from datetime import datetime
from pathlib import Path
from typing import Any

import click

from prunebench.cli.options import COUNT, Count, Seconds, amount, requested, suite_options
from prunebench.cli.plan import show
from prunebench.cli.progress import Progress, about, duration
from prunebench.cli.text import say
from prunebench.describe import counted
from prunebench.devices import MOST_WORKERS
from prunebench.errors import NotHere, UsageError
from prunebench.executors.choice import choose
from prunebench.identify import identified_plan
from prunebench.kept_board import suite_board
from prunebench.plan import Plan
from prunebench.request import will_not_run, with_slots
from prunebench.run import Run, RunReport
from prunebench.stopping import seconds_until


@click.command()
@suite_options
@click.option("--dry-run", is_flag=True, help="Show the plan and stop.")
@click.option("--devices", default="auto", show_default=True, help='"auto", "cpu", "mps", or positions among the GPUs '
              "that CUDA_VISIBLE_DEVICES leaves: 0,1.")  # fmt: skip
@click.option("--jobs", type=COUNT, help="Workers at a time.  [default: one for each core or GPU]")
@click.option("--slots-per-device", default="1", show_default=True, metavar="N|auto",
              callback=lambda _, option, given: _count(option, given),
              help="Workers for each GPU; auto: as many as fit into its memory, by the peaks in the records; on the "
              "CPU, as many as cores and memory allow.")  # fmt: skip
@click.option("--cpu-slots", type=Count(min=0, max=MOST_WORKERS), help="Workers on the processor, beside those of "
              "GPUs, for stages that need no GPU.  [default: the cores that are left, at most 8]")  # fmt: skip
@click.option("--threads", type=COUNT, default=1, show_default=True, help="Threads of each worker.")
@click.option("--memory", metavar="AMOUNT", help="Main memory that the workers of this machine may take together, such "
              "as 8GiB: a task starts when it is expected to fit.")  # fmt: skip
@click.option("--timeout", type=Seconds(min=1), help="Seconds that one task may take.")
@click.option(
    "--executor",
    default="local",
    show_default=True,
    metavar="NAME[:OPTION=VALUE,...]",
    help="Where tasks run, such as local:slots=4, ray:address=auto, slurm:gpus=1.",
)
@click.option("--grace", "grace_seconds", type=Seconds(min=0), default=30, show_default=True,
              help="Seconds to wait for what runs after Ctrl-C, or --until.")  # fmt: skip
@click.option("--until", metavar="TIME", help="Start no cell that would not end by then: 90s, 14m, 2h, or 18:30.")
@click.option("--max-failures", type=COUNT, help="Stop when so many tasks have failed.")
@click.option("--cache-limit", metavar="N", envvar="PRUNEBENCH_CACHE_LIMIT", show_envvar=True,
              callback=amount, help="Size of the cache, such as 20GiB: above it, what was used least recently and no "
              "run needs is removed.")  # fmt: skip
@click.option("--supersede", default="", metavar="REASON", help="Replace results that a repeat contradicts.")
@click.option("--strict-plugins", is_flag=True, help="Stop when an installed plugin is broken.")
@click.option("-q", "--quiet", is_flag=True, help="Show no progress.")
@click.option("--json", "as_json", is_flag=True, help="Print the report as JSON.")
def command(
    dry_run: bool, devices: str, jobs: int | None, slots_per_device: int | None, cpu_slots: int | None, threads: int,
    memory: str | None, timeout: float | None, cache_limit: int | None, executor: str, grace_seconds: float,
    until: str | None,
    max_failures: int | None, supersede: str, strict_plugins: bool, quiet: bool, as_json: bool, **options: Any,
) -> None:  # fmt: skip
    """Run what is missing of SUITE, then write the board.

    A run that was stopped, killed or failed in places goes on where it was: run the same command again. One that stops
    by itself because of --until ends with exit code 0 and says what is left."""
    end = math.inf if until is None else time.monotonic() + seconds_until(until, datetime.now())
    asked = requested(options, strict_plugins, threads=threads, timeout_seconds=timeout)
    chosen = choose(executor, asked.plugins)
    asked, slots = with_slots(asked, devices, jobs, slots_per_device, cpu_slots, chosen)
    memory_bytes = chosen.memory_bytes(memory)
    if dry_run:
        show(asked)
        return
    plan = identified_plan(asked, (NotHere,), shares=True)
    for reason in will_not_run(plan.faults):
        say(f"warning: {reason}")
    for note in plan.notes:
        say(f"note: {note}")
    with Progress(len(slots) - (slots.count("cpu") if slots[0] != "cpu" else 0), quiet) as progress:
        report = Run(
            asked, plan, slots, chosen, supersede, max_failures, grace_seconds, end,
            None if cache_limit is None else int(cache_limit), observe=progress, notice=progress.notice,
            memory_bytes=memory_bytes,
        ).execute()  # fmt: skip
    text = suite_board(asked) if report.n_records else "no cell is finished yet"
    _tell(report, plan, asked.results, text, as_json)
    raise SystemExit(report.exit_code)


def _count(option: click.Parameter, given: str) -> int | None:
    """Return a number of workers, None for "auto"."""
    if given == "auto":
        return None
    if not given.isdecimal() or len(given) > 9 or not 0 < int(given) <= MOST_WORKERS:
        raise UsageError(
            f"{option.opts[-1]} {given!r} is not understood", f"write auto, or a number from 1 to {MOST_WORKERS:,}"
        )
    return int(given)


def _tell(report: RunReport, plan: Plan, results: Path, text: str, as_json: bool) -> None:
    for problem in report.problems:
        say(f"warning: {problem}")
    reasons = [str(cause["reason"]) for cause in report.causes]
    click.echo(json.dumps({**vars(report), "failures": reasons}) if as_json else text)
    counts = [(len(plan.cells), "cell", report.done_before, report.computed)]
    counts += [(len(plan.agreements), "comparison of scores", report.compared_before, report.compared)]
    did = "; ".join(
        f"{counted(n, what)}: {before} already done, {now} computed now" for n, what, before, now in counts if n
    )
    say(did + (f" in {duration(report.seconds)} (runs/{report.run_id})" if report.run_id else ""))
    if report.replaced:
        say(f"replaced: {counted(report.replaced, 'record')} of other code, data or settings")
    if report.causes:
        failed, first = sum(cause["count"] for cause in report.causes), report.causes[0]
        why = f", for {len(reasons)} reasons" if len(reasons) > 1 else ""
        say(f"{failed} failed{why}; first: {first['reason']}" + (f"; its log: {first['log']}" if first["log"] else ""))
        say("failed cells are tried again by the next run")
    for name, right in sorted(report.heads.items()):
        say(f"head of {name}: right on {right:.1%} of the training samples")
    if report.n_records:
        say(f"board: {results / plan.suite.name / 'board' / 'index.html'}")
    if report.interrupted or report.left:
        time_left = f", {about(report.seconds_left)} of one worker" if report.seconds_left else ""
        stopped = "interrupted" if report.interrupted else "out of time"
        say(f"{stopped}: {report.left} cells and comparisons are left{time_left}; run the same command again to go on")
