"""Tasks in the order that their inputs allow; what fails takes its dependents with it, and nothing else."""

from __future__ import annotations

import heapq
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from prunebench.errors import StoreError
from prunebench.executors import Event, Executor
from prunebench.store import Store
from prunebench.tasks import Task

STAGE_ORDER = ("pretrain", "features", "projection", "scores", "cell", "agreement")


@dataclass
class Board:
    """What is known of the tasks of a run, for the scheduler and for whoever watches it."""

    tasks: Mapping[str, Task]
    outcomes: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    running: dict[str, float] = field(default_factory=dict)
    seconds: dict[str, list[float]] = field(default_factory=dict)

    def left_by_stage(self) -> Counter[str]:
        """Return how many tasks of each stage have no outcome yet."""
        return Counter(task.stage for key, task in self.tasks.items() if key not in self.outcomes)

    def seconds_left(self, slots: int) -> float | None:
        """Estimate the time left from the mean of each stage so far; None before the first outcome."""
        measured = [second for values in self.seconds.values() for second in values]
        if not measured:
            return None
        overall = sum(measured) / len(measured)
        total = 0.0
        for stage, count in self.left_by_stage().items():
            values = self.seconds.get(stage)
            total += count * (sum(values) / len(values) if values else overall)
        return total / max(slots, 1)


def missing_tasks(goals: Iterable[Task], store: Store) -> dict[str, Task]:
    """Return the tasks to compute for the goals, inputs first; a stored artefact needs none of its inputs."""
    needed: dict[str, Task] = {}
    present: set[str] = set()

    def visit(task: Task) -> None:
        if task.key in needed or task.key in present:
            return
        if store.has(task.stage, task.key):
            present.add(task.key)
            return
        for upstream in task.upstream.values():
            visit(upstream)
        needed[task.key] = task

    for goal in goals:
        visit(goal)
    return needed


def run_tasks(
    tasks: Mapping[str, Task],
    executor: Executor,
    *,
    draining: Callable[[], bool] = lambda: False,
    observe: Callable[[Board, Event | None], None] = lambda board, event: None,
) -> Board:
    """Run all tasks and return the board with an outcome for each that was tried or became impossible.

    draining: when it turns true, nothing new is started and what runs is waited for.
    Raises StoreError when the cache cannot be written: every further task would fail in the same way.
    """
    board = Board(tasks)
    waiting = {key: {t.key for t in task.upstream.values() if t.key in tasks} for key, task in tasks.items()}
    dependents: dict[str, list[str]] = {}
    for key, inputs in waiting.items():
        for upstream in inputs:
            dependents.setdefault(upstream, []).append(key)
    rank = {key: (STAGE_ORDER.index(task.stage), number) for number, (key, task) in enumerate(tasks.items())}
    ready = [(*rank[key], key) for key, inputs in waiting.items() if not inputs]
    heapq.heapify(ready)
    while board.running or (ready and not draining()):
        while ready and executor.idle() and not draining():
            key = heapq.heappop(ready)[-1]
            if key in board.outcomes:
                continue
            executor.submit(tasks[key])
            board.running[key] = time.monotonic()
        events = executor.wait(0.25)
        for event in events:
            if event.outcome is not None:
                _settle(board, event, waiting, dependents, ready, rank)
            observe(board, event)
        if not events:
            observe(board, None)
    return board


def _settle(
    board: Board,
    event: Event,
    waiting: dict[str, set[str]],
    dependents: Mapping[str, list[str]],
    ready: list[tuple[int, int, str]],
    rank: Mapping[str, tuple[int, int]],
) -> None:
    outcome = event.outcome
    assert outcome is not None
    if outcome["status"] == "store":
        raise StoreError(outcome["reason"], outcome["hint"])
    board.running.pop(event.key, None)
    board.outcomes[event.key] = outcome
    board.seconds.setdefault(board.tasks[event.key].stage, []).append(outcome["seconds"])
    if outcome["status"] == "ok":
        for dependent in dependents.get(event.key, ()):
            waiting[dependent].discard(event.key)
            if not waiting[dependent] and dependent not in board.outcomes:
                heapq.heappush(ready, (*rank[dependent], dependent))
        return
    inherited = [*dependents.get(event.key, ())]
    while inherited:
        key = inherited.pop()
        if key not in board.outcomes:
            board.outcomes[key] = {**outcome, "key": key, "seconds": 0.0}
            inherited += dependents.get(key, ())
