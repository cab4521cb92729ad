"""Tasks in the order that their inputs allow; what fails takes its dependents with it, and nothing else."""

import heapq
from collections import Counter
from collections.abc import Callable, Container, Iterable, Mapping
from dataclasses import dataclass, field
from graphlib import TopologicalSorter
from statistics import fmean
from typing import Any

from prunebench.errors import StoreError
from prunebench.executors import Event, Executor
from prunebench.stages import STAGE_ORDER
from prunebench.store import Store
from prunebench.tasks import Task

_KNOWN_SHARE = 0.9  # of the tasks left, from which on a time left is told


@dataclass
class RunState:
    """What is known of the tasks of a run, for the scheduler and for whoever watches it."""

    tasks: Mapping[str, Task]
    outcomes: dict[str, Mapping[str, Any]] = field(default_factory=dict)  # in the order in which they came
    running: list[str] = field(default_factory=list)
    seconds: dict[tuple[str, ...], list[float]] = field(default_factory=dict)

    def settle(self, key: str, outcome: Mapping[str, Any]) -> None:
        """Note the outcome of a task; one that failed is that of all tasks that need it, directly or not."""
        self.running = [one for one in self.running if one != key]
        self.outcomes[key] = outcome
        self.seconds.setdefault(self.tasks[key].kind, []).append(outcome["seconds"])
        lost = set() if outcome["status"] == "ok" else {key}
        for dependent, task in self.tasks.items() if lost else ():  # inputs come first
            if dependent not in self.outcomes and any(one.key in lost for one in task.upstream.values()):
                lost.add(dependent)
                self.outcomes[dependent] = {**outcome, "key": dependent, "seconds": 0.0}

    def seconds_left(self, slots: int) -> float | None:
        """Estimate the time left from the mean of each kind so far; None until nearly all that is left was met.  Kinds
        differ by orders of magnitude: a first network says nothing of a thousand short runs to come."""
        left = Counter(task.kind for key, task in self.tasks.items() if key not in self.outcomes)
        known = {kind: count for kind, count in left.items() if kind in self.seconds}
        if sum(known.values()) < _KNOWN_SHARE * left.total():
            return None
        # The first of a kind loads and compiles what the others find ready.
        usual = {kind: fmean(self.seconds[kind][1:] or self.seconds[kind]) for kind in known}
        return sum(count * usual[kind] for kind, count in known.items()) / max(slots, 1)


def missing_tasks(goals: Iterable[Task], store: Store, done: Container[str] = ()) -> dict[str, Task]:
    """Return the tasks to compute for the goals, inputs first; a stored artefact needs none of its inputs.  done: keys
    of goals that have a record, whatever the store holds."""
    needed: dict[str, Task] = {}

    def visit(task: Task) -> None:
        if task.key not in needed and not store.has(task.stage, task.key):
            for upstream in task.upstream.values():
                visit(upstream)
            needed[task.key] = task

    for goal in goals:
        if goal.key not in done:
            visit(goal)
    return needed


def run_tasks(
    tasks: Mapping[str, Task],
    executor: Executor,
    *,
    draining: Callable[[], bool] = lambda: False,
    abandoned: Callable[[], bool] = lambda: False,
    observe: Callable[[RunState, Event | None], None] = lambda state, event: None,
) -> RunState:
    """Run all tasks and return the state, with an outcome for each that was tried or became impossible.  draining: when
    it turns true, nothing new is started and what runs is waited for, until `abandoned` turns true. Raises StoreError
    when the cache cannot be written: every further task would fail in the same way."""
    state, first = RunState(tasks), pilots(tasks)
    rank = {key: (key not in first, STAGE_ORDER.index(tasks[key].stage), at, key) for at, key in enumerate(tasks)}
    inputs = {key: [one.key for one in task.upstream.values() if one.key in tasks] for key, task in tasks.items()}
    graph = TopologicalSorter(inputs)
    graph.prepare()
    ready: list[tuple[bool, int, int, str]] = []
    while not abandoned():
        for key in graph.get_ready():
            heapq.heappush(ready, rank[key])
        while ready and executor.idle() and not draining():
            key = heapq.heappop(ready)[-1]
            executor.submit(tasks[key])
            state.running.append(key)
        if not state.running and (not ready or draining()):
            break
        for event in executor.wait(0.25) or (None,):
            if event is not None and event.outcome is not None:
                if event.outcome["status"] == "store":
                    raise StoreError(event.outcome["reason"], event.outcome["hint"])
                state.settle(event.key, event.outcome)
                if event.outcome["status"] == "ok":
                    graph.done(event.key)
            observe(state, event)
    return state


def pilots(tasks: Mapping[str, Task]) -> set[str]:
    """Return the keys of the first task of each kind and of what these read: they run before all others.  What cannot
    work fails in the first minute, and the time left is known early."""
    chosen = {task.kind: task for task in reversed([*tasks.values()])}  # of several, the first stays
    return {task.key for pilot in chosen.values() for task in (*pilot.ancestors(), pilot)}
