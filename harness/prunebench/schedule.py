"""Tasks in the order that their inputs allow; what fails takes its dependents with it, and nothing else."""

import math
from bisect import insort
from collections.abc import Callable, Container, Iterable, Mapping
from dataclasses import dataclass, field
from graphlib import TopologicalSorter
from statistics import fmean
from typing import Any

from prunebench.devices import cores
from prunebench.errors import StoreError
from prunebench.executors import Event, Executor
from prunebench.plugins import Catalogue
from prunebench.stages import STAGE_ORDER, STAGES
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
    known_seconds: Mapping[str, float] = field(default_factory=dict)  # by task, measured before this run
    beside: Container[str] = ()  # tasks that run on the processor, beside those on GPUs
    beside_slots: int = 0

    def settle(self, key: str, outcome: Mapping[str, Any]) -> None:
        """Note the outcome of a task; one that failed is that of all tasks that need it, directly or not."""
        self.running = [one for one in self.running if one != key]
        self.outcomes[key] = outcome
        self.seconds.setdefault(self.tasks[key].kind, []).append(outcome["seconds"])
        lost = set() if outcome["status"] == "ok" else {key}
        for dependent, task in self.tasks.items() if lost else ():  # inputs come first
            if dependent not in self.outcomes and any(one.key in lost for one in task.upstream.values()):
                lost.add(dependent)
                self.outcomes[dependent] = {**outcome, "key": dependent, "seconds": 0.0, "cause": key}

    def usual_seconds(self) -> dict[tuple[str, ...], float]:
        """Return how long a task of each kind took that was met in this run."""
        # The first of a kind loads and compiles what the others find ready.
        return {kind: fmean(times[1:] or times) for kind, times in self.seconds.items()}

    def seconds_left(self, slots: int) -> float | None:
        """Estimate the time left from the mean of each kind so far; None until nearly all that is left was met.  Kinds
        differ by orders of magnitude: a first network says nothing of a thousand short runs to come.  slots: how many
        tasks run at a time, without those that run beside them on the processor."""
        left = [(key, task.kind) for key, task in self.tasks.items() if key not in self.outcomes]
        if sum(kind in self.seconds for _, kind in left) < _KNOWN_SHARE * len(left):
            return None
        usual, totals = self.usual_seconds(), [0.0, 0.0]
        for key, kind in left:
            totals[key in self.beside] += usual.get(kind, 0.0)
        return max(totals[0] / max(slots, 1), totals[1] / max(self.beside_slots, 1))

    def too_late(self, seconds: float) -> set[str]:
        """Return the tasks of which no cell that needs them can end in so many seconds, by the times that are known."""
        if seconds <= 0 or seconds == math.inf:
            return set(self.tasks if seconds <= 0 else ())
        usual, late = self.usual_seconds(), set[str]()
        after: dict[str, float] = {}  # the time from the end of a task to the end of the first cell that needs it
        for key, task in reversed([*self.tasks.items()]):
            if key not in self.outcomes:
                whole = usual.get(task.kind, self.known_seconds.get(key, 0.0)) + after.get(key, 0.0)
                late |= {key} if whole > seconds else set()
                for one in task.upstream.values():
                    after[one.key] = min(after.get(one.key, whole), whole)
        return late


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


Fits = Callable[[RunState, Task], bool]


@dataclass
class _Lane:
    """An executor, and what is ready for it, the first to start first; the key is last in its rank."""

    executor: Executor
    ready: list[tuple[bool, int, int, str]] = field(default_factory=list)

    def start(self, state: RunState, late: Container[str], draining: Callable[[], bool], fits: Fits) -> bool:
        """Start what the executor can take, and return whether more is waiting for it that may start."""
        while any(one[-1] not in late for one in self.ready) and not draining():
            may = (one for one in self.ready if one[-1] not in late and fits(state, state.tasks[one[-1]]))
            if (one := next(may, None) if self.executor.idle() else None) is None:
                return True
            self.ready.remove(one)
            self.executor.submit(state.tasks[one[-1]])
            state.running.append(one[-1])
        return False


def run_tasks(
    tasks: Mapping[str, Task],
    executor: Executor,
    beside: Executor | None = None,
    *,
    state: RunState | None = None,
    seconds_left: Callable[[], float] = lambda: math.inf,
    draining: Callable[[], bool] = lambda: False,
    abandoned: Callable[[], bool] = lambda: False,
    observe: Callable[[RunState, Event | None], None] = lambda state, event: None,
    fits: Fits = lambda state, task: True,
) -> RunState:
    """Run all tasks and return the state, with an outcome for each that was tried or became impossible.  beside: takes
    the tasks that are in `state.beside`.  seconds_left: a task is not started when no cell that needs it can end in
    that time.  draining: when it turns true, nothing new is started and what runs is waited for, until `abandoned`
    turns true.  fits: whether a task may start beside those that run; with none it has to be true.  Raises StoreError
    when the cache cannot be written: every further task would fail, too."""
    state, first = state or RunState(tasks), pilots(tasks)
    rank = {key: (key not in first, STAGE_ORDER.index(tasks[key].stage), at, key) for at, key in enumerate(tasks)}
    inputs = {key: [one.key for one in task.upstream.values() if one.key in tasks] for key, task in tasks.items()}
    graph = TopologicalSorter(inputs)
    graph.prepare()
    lanes = [_Lane(one) for one in (executor, beside) if one is not None]
    while not abandoned():
        for key in graph.get_ready():
            insort(lanes[-1 if key in state.beside else 0].ready, rank[key])
        late = state.too_late(seconds_left())
        waiting = [lane.start(state, late, draining, fits) for lane in lanes]
        if not state.running and not any(waiting):
            break
        for lane in lanes:
            for event in lane.executor.wait(0.25 / len(lanes)) or (None,):
                if event is not None and event.outcome is not None:
                    if event.outcome["status"] == "store":
                        raise StoreError(event.outcome["reason"], event.outcome["hint"])
                    state.settle(event.key, event.outcome)
                    if event.outcome["status"] == "ok":
                        graph.done(event.key)
                observe(state, event)
    return state


def for_processor(tasks: Mapping[str, Task], catalogue: Catalogue) -> set[str]:
    """Return the keys of the tasks that need no GPU: their stage or their plugin says so."""

    def needs_gpu(task: Task) -> bool:
        plugin = task.config.get("plugin", {})
        declared = STAGES[task.stage].gpu
        return bool(catalogue.get(f"{plugin['kind']}s", plugin["name"]).spec.gpu) if declared is None else declared

    return {key for key, task in tasks.items() if not needs_gpu(task)}


def with_processor(slots: tuple[str, ...], beside: int | None, threads: int) -> tuple[str, ...]:
    """Return the slots of GPUs and, beside them, slots "cpu" for what needs no GPU: by default as many as the cores
    that are left allow, at most 8.  Without a GPU the slots stay as they are."""
    if "cpu" in slots:
        return slots
    left = (cores() - len(slots)) // threads
    return slots + ("cpu",) * (max(1, min(left, 8)) if beside is None else beside)


def pilots(tasks: Mapping[str, Task]) -> set[str]:
    """Return the keys of the first task of each kind and of what these read: they run before all others.  What cannot
    work fails in the first minute, and the time left is known early."""
    chosen = {task.kind: task for task in reversed([*tasks.values()])}  # of several, the first stays
    return {task.key for pilot in chosen.values() for task in (*pilot.ancestors(), pilot)}
