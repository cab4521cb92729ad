"""A run: plan, compute what is missing, write records and a manifest. Resuming is the default."""

from __future__ import annotations

import json
import signal
import sys
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from prunebench import __version__, provenance
from prunebench.executors import Event, Executor
from prunebench.keys import digest
from prunebench.pipeline.workbench import Settings
from prunebench.plan import Cell, Plan
from prunebench.plugins import Catalogue
from prunebench.records import Record, merge, read_records, record_file, write_records, write_text
from prunebench.registry import Registry
from prunebench.schedule import Board, missing_tasks, run_tasks
from prunebench.store import Store

FINAL = ("ok", "not_applicable")


@dataclass(frozen=True)
class RunOptions:
    """How a run is carried out; nothing here changes a result."""

    settings: Settings
    slots: tuple[str, ...]
    results: Path
    runs: Path = Path("runs")
    executor: str = "local"
    supersede: str = ""
    max_failures: int | None = None


@dataclass
class RunReport:
    """What a run did: counts of cells and of comparisons of scores by state, the failures, and where things are."""

    run_id: str = ""
    done_before: int = 0
    computed: int = 0
    compared_before: int = 0
    compared: int = 0
    n_records: int = 0
    failures: list[Record] = field(default_factory=list)
    exit_code: int = 0
    interrupted: bool = False
    replaced: int = 0
    seconds: float = 0.0
    problems: list[str] = field(default_factory=list)


class Drain:
    """Ctrl-C once: start nothing new and wait for what runs. Twice: stop now."""

    def __init__(self) -> None:
        self.requested = False

    def __call__(self) -> bool:
        return self.requested

    @contextmanager
    def installed(self, notice: Callable[[str], None]) -> Iterator[None]:
        """Handle SIGINT and SIGTERM inside the block."""

        def handle(number: int, frame: Any) -> None:
            if self.requested:
                raise KeyboardInterrupt
            self.requested = True
            notice("stopping: waiting for what runs; press Ctrl-C again to stop at once")

        previous = {number: signal.signal(number, handle) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, handler in previous.items():
                signal.signal(number, handler)


def execute(
    plan: Plan,
    registry: Registry,
    catalogue: Catalogue,
    options: RunOptions,
    *,
    observe: Callable[[Board, Event | None], None] = lambda board, event: None,
    notice: Callable[[str], None] = lambda text: None,
) -> RunReport:
    """Compute the missing cells of a plan and merge the records of all its cells into the results folder.

    Raises StoreError when the cache or the results cannot be written and ResultConflict when a repeat differs.
    """
    store = Store(Path(options.settings.cache))
    store.check_writable()
    goals = [*plan.cells, *plan.agreements]
    tasks = missing_tasks((goal.task for goal in goals), store)
    report = RunReport(
        done_before=sum(cell.key not in tasks for cell in plan.cells),
        compared_before=sum(pair.key not in tasks for pair in plan.agreements),
    )
    outcomes: Mapping[str, Mapping[str, Any]] = {}
    if tasks:
        from prunebench.pipeline.preflight import preflight

        preflight(tasks.values(), catalogue, options.settings)
        outcomes = _compute(plan, registry, catalogue, options, store, tasks, report, observe, notice)
        if not report.interrupted:
            _remember_not_applicable(goals, store, outcomes)
    records = collect(goals, store, outcomes)
    report.n_records = len(records)
    report.computed = sum(cell.key in tasks and store.has("cell", cell.key) for cell in plan.cells)
    report.compared = sum(pair.key in tasks and store.has("agreement", pair.key) for pair in plan.agreements)
    report.failures = [record for record in records if record["status"] not in FINAL]
    codes = {outcome["exit_code"] for outcome in outcomes.values() if outcome["status"] not in FINAL}
    report.exit_code = 130 if report.interrupted else codes.pop() if len(codes) == 1 else int(bool(codes))
    report.replaced = publish(plan, registry, records, options)
    return report


def _compute(
    plan: Plan,
    registry: Registry,
    catalogue: Catalogue,
    options: RunOptions,
    store: Store,
    tasks: Mapping[str, Any],
    report: RunReport,
    observe: Callable[[Board, Event | None], None],
    notice: Callable[[str], None],
) -> Mapping[str, Mapping[str, Any]]:
    report.run_id = f"{datetime.now(UTC):%Y%m%dT%H%M%S}-{plan.suite.name}-{uuid.uuid4().hex[:4]}"
    folder = options.runs / report.run_id
    store.clear_scratch()
    manifest = describe_run(plan, registry, catalogue, options, report.run_id, tasks)
    write_manifest(folder, manifest)
    started, drain = time.monotonic(), Drain()
    cells = {cell.key: cell for cell in (*plan.cells, *plan.agreements)}
    failed: Counter[str] = Counter()

    def watch(board: Board, event: Event | None) -> None:
        if event is not None and event.outcome is not None:
            failed[event.outcome["status"]] += 1
            _cell_finished(catalogue, cells.get(event.key), event.outcome, store, report)
            bad = sum(count for status, count in failed.items() if status not in FINAL)
            if options.max_failures is not None and bad >= options.max_failures and not drain.requested:
                drain.requested = True
                notice(f"stopping: {bad} task(s) failed, the limit is {options.max_failures}")
        observe(board, event)

    settings = _with_provenance(options.settings, manifest)
    executor: Executor = catalogue.executor(options.executor).load()(settings, options.slots, folder / "logs")
    board, killed = Board(tasks), True
    try:
        with drain.installed(notice):
            board = run_tasks(tasks, executor, draining=drain, observe=watch)
        killed = False
    except KeyboardInterrupt:
        drain.requested = True
    finally:
        executor.close(kill=killed)
    report.interrupted, report.seconds = drain.requested, round(time.monotonic() - started, 1)
    counts = Counter(str(outcome["status"]) for outcome in board.outcomes.values())
    manifest["finished"] = {
        "tasks_by_status": dict(sorted(counts.items())),
        "wall_seconds": report.seconds,
        "exit_reason": "interrupted" if report.interrupted else "finished",
    }
    write_manifest(folder, manifest)
    report.problems += catalogue.notify("prunebench_run_finished", manifest=manifest)
    return board.outcomes


def _cell_finished(
    catalogue: Catalogue, cell: Cell | None, outcome: Mapping[str, Any], store: Store, report: RunReport
) -> None:
    if cell is None:
        return
    record = collect([cell], store, {cell.key: outcome})
    report.problems += catalogue.notify("prunebench_cell_finished", record=record[0])


def _with_provenance(settings: Settings, manifest: Mapping[str, Any]) -> Settings:
    from dataclasses import replace

    git = manifest["git"]
    facts = {
        "run_id": manifest["run_id"],
        "started": manifest["started"],
        "machine_class": manifest["machine_class"],
        "prunebench_version": __version__,
        "git_commit": git.get("commit", ""),
        "git_dirty": git.get("dirty", False),
    }
    return replace(settings, provenance=facts)


def describe_run(
    plan: Plan,
    registry: Registry,
    catalogue: Catalogue,
    options: RunOptions,
    run_id: str,
    tasks: Mapping[str, Any],
) -> dict[str, Any]:
    """Return the manifest of a run before it starts."""
    facts, packages = provenance.machine(), provenance.versions()
    devices = ",".join(sorted(set(options.slots)))
    dataset = registry.datasets[plan.suite.dataset]
    return {
        "schema": 1,
        "run_id": run_id,
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": sys.argv[1:],
        "suite": plan.suite.name,
        "protocol": plan.protocol,
        "suite_digest": digest([cell.key for cell in plan.cells]),
        "registry_digest": digest(registry.text),
        "cells": {cell.key: "planned" if cell.key in tasks else "done" for cell in plan.cells},
        "versions": packages,
        "package_list_digest": provenance.package_list_digest(),
        "git": provenance.git_state(registry.file.resolve().parent),
        "machine": facts,
        "machine_class": provenance.machine_class(facts, packages, devices),
        "devices": list(options.slots),
        "interpreters": dict(options.settings.interpreters),
        "threads_per_slot": options.settings.threads,
        "environment": provenance.environment(),
        "plugins": provenance.plugins(catalogue),
        "datasets": {dataset.name: dataset.fingerprint},
        "prunebench_version": __version__,
    }


def write_manifest(folder: Path, manifest: Mapping[str, Any]) -> None:
    """Write runs/<run_id>/manifest.json."""
    write_text(folder / "manifest.json", json.dumps(manifest, indent=1, sort_keys=True) + "\n")


def collect(goals: Sequence[Cell], store: Store, outcomes: Mapping[str, Mapping[str, Any]]) -> list[Record]:
    """Return the record of every goal that has an artefact or an outcome; those never tried have none."""
    records = []
    for goal in goals:
        base = {"schema": 1, "key": goal.key, "attempt": 1, "partial": False, **goal.axes}
        meta = store.meta(goal.task.stage, goal.key)
        if meta is not None:
            records.append({**base, **meta["record"]})
        elif goal.key in outcomes:
            records.append({**base, **_failure(goal, outcomes)})
    return records


def _remember_not_applicable(goals: Sequence[Cell], store: Store, outcomes: Mapping[str, Mapping[str, Any]]) -> None:
    # The inputs decide that a method does not apply, and the key names them: the next run need not try again.
    for goal in goals:
        if goal.key in outcomes and outcomes[goal.key]["status"] == "not_applicable":
            record = _failure(goal, outcomes)
            if record["status"] == "not_applicable":
                store.publish(goal.task.stage, goal.key, {}, {"record": record, "seconds": 0.0})


def _failure(goal: Cell, outcomes: Mapping[str, Mapping[str, Any]]) -> Record:
    """Return the record of a goal without a result; the first input to blame in the order of the plan, not of time."""
    tried = [outcomes[task.key] for task in (*goal.task.ancestors(), goal.task) if task.key in outcomes]
    failed = [outcome for outcome in tried if outcome["status"] not in FINAL]
    outcome = (failed or [outcome for outcome in tried if outcome["status"] != "ok"])[0]
    nothing = {"accuracy": None, "accuracy_best": None} if goal.axes["kind"] == "cell" else {
        "within_class_spearman": None, "pooled_spearman": None, "pearson": None, "n": None,
    }  # fmt: skip
    return {**nothing, "status": outcome["status"], "status_reason": outcome["reason"], "reason": outcome["reason"]}


def publish(plan: Plan, registry: Registry, records: Sequence[Record], options: RunOptions) -> int:
    """Merge records into results/<suite>/<dataset>/; return how many older versions gave way."""
    files: dict[Path, list[Record]] = {}
    for record in records:
        files.setdefault(record_file(options.results, record), []).append(record)
    replaced = 0
    for path, new in sorted(files.items()):
        old = read_records(path) if path.exists() else []
        tolerance = max((registry.recipes[recipe].tolerance for _, recipe in plan.suite.training), default=0.0)
        merged, gone = merge(old, new, tolerance=tolerance, supersede=options.supersede)
        replaced += gone
        if merged != old:
            write_records(path, merged)
    return replaced
