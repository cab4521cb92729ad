"""A run: plan, compute what is missing, write each record when its cell ends. Resuming is the default."""

import json
import math
import sys
import time
import uuid
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import Any

from prunebench import __version__, provenance
from prunebench.errors import PrunebenchError
from prunebench.events import ALIVE, EventLog
from prunebench.executors import Event, Executor
from prunebench.executors.choice import Choice
from prunebench.forecast import measured_seconds
from prunebench.keys import digest
from prunebench.locks import free_lock
from prunebench.memory import MemoryBound, measured_peaks
from prunebench.plan import Plan
from prunebench.records import FINAL, Record, write_text
from prunebench.remote_records import remote_records
from prunebench.request import Request
from prunebench.results import Outcomes, Results, causes
from prunebench.schedule import RunState, for_processor, missing_tasks, run_tasks
from prunebench.settings import Settings
from prunebench.stopping import Interruption
from prunebench.store import Store
from prunebench.tasks import Task
from prunebench.upkeep import trim

_TRIM_SECONDS = 60.0  # between two looks at how much the cache holds


@dataclass
class RunReport:
    """What a run did: counts of cells and of comparisons of scores by state, the failures, and where things are.
    heads: by backbone, the share of the training samples that its class predictions are right about, over its seeds."""

    run_id: str = ""
    done_before: int = 0
    computed: int = 0
    compared_before: int = 0
    compared: int = 0
    n_records: int = 0
    failures: list[Record] = field(default_factory=list)
    exit_code: int = 0
    interrupted: bool = False
    causes: list[dict[str, Any]] = field(default_factory=list)  # of failures, the first in time first
    left: int = 0  # cells and comparisons that were not tried
    seconds_left: float = 0.0  # of one worker, as far as times are known
    replaced: int = 0
    seconds: float = 0.0
    problems: list[str] = field(default_factory=list)
    heads: dict[str, float] = field(default_factory=dict)


def _heads(plan: Plan, store: Store) -> dict[str, float]:
    """Return the accuracy of each backbone's head on the training samples, the mean over its seeds."""
    scoring = [(cell, cell.task.upstream["subset"].upstream["scores"].upstream) for cell in plan.cells]
    embedded = {read["features"].key: cell.axes["score_backbone"] for cell, read in scoring if "features" in read}
    found: dict[str, list[float]] = {}
    for key, name in embedded.items():
        accuracy = (store.meta("features", key) or {}).get("accuracy_train")
        if accuracy is not None:
            found.setdefault(name, []).append(accuracy)
    return {name: round(sum(some) / len(some), 6) for name, some in found.items()}


@dataclass
class Run:
    """A plan, and how it is carried out: none of that changes a result.  slots: one for each worker; beside slots of
    GPUs, "cpu" takes the tasks that need none.  until: the time, as `time.monotonic` tells it, after which no cell may
    end.  cache_limit: the bytes that the cache may hold.  grace_seconds: how long a run that is interrupted, or out of
    time, waits for what is running.  observe: is told what happens.  notice: takes messages for the user.
    memory_bytes: the bound on main memory, 0 for none."""

    asked: Request
    plan: Plan
    slots: tuple[str, ...]
    executor: Choice
    supersede: str = ""
    max_failures: int | None = None
    grace_seconds: float = 30.0
    until: float = math.inf
    cache_limit: int | None = None
    observe: Callable[[RunState, Event | None], None] = lambda state, event: None
    notice: Callable[[str], None] = lambda text: None
    memory_bytes: int = 0
    published: int = field(default=0, init=False)  # how many outcomes have their records on disk
    quiet_until: float = field(default=0.0, init=False)  # records wait so long, on the clock `time.monotonic`

    def execute(self) -> RunReport:
        """Compute the missing cells; the record of each is in the results folder when it ends.  Raises StoreError when
        the cache or the results cannot be written and ResultConflict when a repeat differs."""
        plan = self.plan
        self.store = store = self.asked.store
        store.enter()
        tolerance = {name: recipe.tolerance for name, recipe in self.asked.registry.recipes.items()}
        self.shared = shared = remote_records(self.asked.results)
        if shared is not None:
            shared.pull()
        self.results = results = Results(plan, self.asked.results, tolerance, self.supersede)
        results.add(results.left(), store, {})  # those that ended unseen before
        tasks = missing_tasks((goal.task for goal in plan.goals), store, results.done())
        # An artefact without a record is damaged, or was written just now by another run.
        tasks |= {key: results.goals[key][0].task for key in results.left() if key not in tasks}
        self.trimmed_at = -math.inf
        if tasks:
            self._trim()
            store.check_writable()
        self.report = report = RunReport()
        outcomes: Outcomes = {}
        if tasks:
            with ExitStack() as self.ending:
                outcomes = self._compute(tasks)
            # Those that another run computed meanwhile, and the failures: now all causes are known.
            again = (key for key in tasks if key in results.goals and outcomes.get(key, {}).get("status") != "ok")
            results.add(again, store, outcomes)
        cells, pairs = ([goal for goal in goals if goal.key in tasks] for goals in (plan.cells, plan.agreements))
        report.done_before, report.compared_before = len(plan.cells) - len(cells), len(plan.agreements) - len(pairs)
        report.computed = sum(store.has(cell.task.stage, cell.key) for cell in cells)
        report.compared = sum(store.has(pair.task.stage, pair.key) for pair in pairs)
        report.n_records, report.replaced = len(results.records), results.replaced
        report.heads = _heads(plan, store)
        report.failures = [record for record in results.records.values() if record.status not in FINAL]
        codes = {outcome["exit_code"] for outcome in outcomes.values() if outcome["status"] not in FINAL}
        codes |= {1} if any(record.key in outcomes for record in report.failures) and not codes else set()
        report.left = sum(goal.key in tasks and goal.key not in outcomes for goal in plan.goals)
        report.exit_code = 130 if report.interrupted else codes.pop() if len(codes) == 1 else int(bool(codes))
        report.problems += self._trim() if tasks else []
        report.problems += [f"{key} was not sent to the store, and is by a later run" for key in store.send_pending()]
        if shared is not None:
            shared.push()
            results.conflicts += shared.pull(tolerance)
        if results.conflicts:
            raise results.conflicts[0]
        return report

    def _compute(self, tasks: Mapping[str, Task]) -> Outcomes:
        """Run the tasks and return their outcomes; the manifest is written before and after."""
        report, manifest = self.report, self._manifest(tasks)
        report.run_id = manifest["run_id"]
        folder = self.asked.results.absolute().parent / "runs" / report.run_id  # of the manifest and the logs
        self.store.clear_scratch()
        _write_manifest(folder, manifest)
        self.ending.enter_context(free_lock(folder / ALIVE))
        named = {name: manifest[name] for name in ("run_id", "started", "machine_class", "prunebench_version")}
        git = {f"git_{name}": manifest["git"][name] for name in ("commit", "dirty") if manifest["git"]}
        settings = replace(self.asked.settings, provenance={**named, **git}, logs=str(folder / "logs"))
        state, started = self._state(tasks, manifest["machine_class"]), time.monotonic()
        self.events = EventLog(folder, settings)
        self.ending.callback(self.events.close)
        self.events.write("run_started", run_id=report.run_id, suite=self.plan.suite.name, tasks=len(tasks))
        try:
            self._work(state, settings, folder / "logs")
        except PrunebenchError as error:
            with suppress(OSError, PrunebenchError):
                _write_manifest(folder, {**manifest, "finished": {"exit_reason": f"error: {error.message}"}})
            raise
        report.causes = causes(self.plan.goals, state.outcomes, settings)
        usual, left = state.usual_seconds(), {key: task for key, task in tasks.items() if key not in state.outcomes}
        report.seconds = round(time.monotonic() - started, 1)
        report.seconds_left = sum(usual.get(t.kind, state.known_seconds.get(key, 0.0)) for key, t in left.items())
        counts = sorted(Counter(str(one["status"]) for one in state.outcomes.values()).items())
        reason = "interrupted" if report.interrupted else "out of time" if left else "finished"
        ended = {"wall_seconds": report.seconds, "exit_reason": reason}
        manifest["finished"] = {"tasks_by_status": dict(counts), **ended}
        _write_manifest(folder, manifest)
        self.events.write("run_finished", tasks_by_status=dict(counts), **ended)
        self.ending.close()
        report.problems += self.asked.plugins.notify("prunebench_run_finished", manifest=manifest)
        return state.outcomes

    def _work(self, state: RunState, settings: Settings, logs: Path) -> None:
        """Run the tasks of the state until they, the time or the user's patience end, and note what became of them."""
        self.interruption = stop = Interruption(self.grace_seconds, self.until)
        (executor, beside), killed = self._executors(settings, logs), True
        self.memory = None
        if self.memory_bytes:
            peaks = measured_peaks(self.plan, self.store)
            self.memory = MemoryBound(self.memory_bytes, self.store, self.asked.plugins, peaks, self.notice)
        try:
            with stop.on_signals(self.notice):
                run_tasks(
                    state.tasks, executor, beside, state=state, seconds_left=stop.seconds_left,
                    draining=stop.requested, abandoned=stop.over, observe=self._watch,
                    **({"fits": self.memory.fits} if self.memory else {}),
                )  # fmt: skip
            killed = bool(state.running)
        except KeyboardInterrupt:
            stop.request()
        finally:
            try:
                self._publish(state)
            finally:
                for one in filter(None, (executor, beside)):
                    one.close(kill=killed)
        self.report.interrupted = stop.requested()

    def _state(self, tasks: Mapping[str, Task], machine_class: str) -> RunState:
        """Return what is known before the first task: which run on the processor beside GPUs, and usual times."""
        on_processor = self.slots.count("cpu")
        apart = for_processor(tasks, self.asked.plugins) if 0 < on_processor < len(self.slots) else set[str]()
        known: Mapping[str, float] = {}
        if self.until < math.inf:
            known = measured_seconds(self.plan, tasks, self.store, self.asked.results, machine_class)
        return RunState(tasks, known_seconds=known, beside=apart, beside_slots=on_processor)

    def _executors(self, settings: Settings, logs: Path) -> tuple[Executor, Executor | None]:
        """Return the executor of all tasks, or that of GPUs and the one beside it on the processor."""
        load = self.executor.start
        gpus = tuple(slot for slot in self.slots if slot != "cpu")
        if len(gpus) in (0, len(self.slots)):
            return load(settings, self.slots, logs), None
        beside = load(replace(settings, device="cpu"), ("cpu",) * self.slots.count("cpu"), logs / "processor")
        return load(settings, gpus, logs), beside

    def _watch(self, state: RunState, event: Event | None) -> None:
        """Note what happened, write the records of what ended, and stop after too many failures."""
        self.events.observe(state, event)
        if event is not None and event.outcome is not None:
            if self.memory:
                self.memory.learn(state.tasks[event.key], event.outcome)
            self._stop_at_failures(state)
        if time.monotonic() >= self.quiet_until:
            self._publish(state)
        self.observe(state, event)

    def _stop_at_failures(self, state: RunState) -> None:
        if self.max_failures is None or self.interruption.requested():
            return
        failed = sum(outcome["status"] not in FINAL for outcome in state.outcomes.values())
        if failed >= self.max_failures:
            self.interruption.request()
            self.notice(f"stopping: {failed} tasks failed, the limit is {self.max_failures}")

    def _publish(self, state: RunState) -> None:
        """Write the records of what ended since the last call.  Files of records are written whole, so they wait for
        each other where cells end faster: a tenth of the time is for writing."""
        if len(state.outcomes) == self.published:
            return
        began, fresh = time.monotonic(), [*islice(state.outcomes, self.published, None)]
        self.published = len(state.outcomes)
        for record in self.results.add(fresh, self.store, state.outcomes):
            self.report.problems += self.asked.plugins.notify("prunebench_cell_finished", record=record)
        if fresh and time.monotonic() - self.trimmed_at > _TRIM_SECONDS:
            self._trim()
        if fresh and self.shared is not None:
            self.shared.push(now=False)
        self.quiet_until = time.monotonic() + 9 * (time.monotonic() - began)

    def _trim(self) -> list[str]:
        """Keep the cache below its limit, and return a sentence where that cannot be."""
        if self.cache_limit is None:
            return []
        self.trimmed_at = time.monotonic()
        return trim(self.store, self.cache_limit)

    def _manifest(self, tasks: Mapping[str, Task]) -> dict[str, Any]:
        """Return the manifest before the run starts."""
        asked, plan, now = self.asked, self.plan, datetime.now(UTC)
        return {
            "schema": 1, "run_id": f"{now:%Y%m%dT%H%M%S}-{plan.suite.name}-{uuid.uuid4().hex[:4]}",
            "started": now.isoformat(timespec="seconds"), "command": sys.argv[1:], "suite": plan.suite.name,
            "results": str(asked.results.absolute()), "protocol": plan.protocol,
            "suite_digest": digest([goal.key for goal in plan.goals]), "registry_digest": digest(asked.registry.text),
            "cells": {cell.key: "planned" if cell.key in tasks else "done" for cell in plan.cells},
            "comparisons": {pair.key: "planned" if pair.key in tasks else "done" for pair in plan.agreements},
            "devices": list(self.slots), "threads_per_slot": asked.settings.threads, "prunebench_version": __version__,
            "datasets": {goal.axes["dataset"]: goal.axes["dataset_fingerprint"] for goal in plan.goals},
            "notes": list(plan.notes),
            **provenance.describe(asked.plugins, asked.registry.file.resolve().parent, self.slots),
        }  # fmt: skip


def _write_manifest(folder: Path, manifest: Mapping[str, Any]) -> None:
    text = json.dumps(manifest, indent=1, sort_keys=True, ensure_ascii=False) + "\n"
    write_text(folder / "manifest.json", text.encode("utf-8", "replace").decode())  # paths may be no UTF-8
