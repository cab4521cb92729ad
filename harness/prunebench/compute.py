"""One task to its artefact: read from the store, or computed once under the lock of its key."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any

from prunebench.errors import CellFailed
from prunebench.stages import STAGES
from prunebench.stages.bench import Bench
from prunebench.store import Artefact
from prunebench.tasks import Task


def ensure(bench: Bench, task: Task, inputs: Mapping[str, Artefact] | None = None) -> Artefact:
    """Return the artefact of a task, computing it and its inputs where they are not in the store.

    inputs: those that are at hand already, in place of the task's own.
    """
    if (artefact := bench.store.read(task.stage, task.key)) is not None:
        return artefact
    stage = STAGES[task.stage]
    if inputs is None:
        inputs = {role: ensure(bench, upstream) for role, upstream in task.upstream.items()}
    if stage.expand:
        further: Mapping[str, Task] = _function(stage.expand)(task, inputs)
        inputs = {**inputs, **{role: ensure(bench, found, inputs) for role, found in further.items()}}
    with bench.store.lock(task.key):
        if (artefact := bench.store.read(task.stage, task.key)) is not None:
            return artefact
        started = time.perf_counter()
        arrays, facts = _function(stage.function)(bench, task, inputs)
        seconds = round(time.perf_counter() - started, 3)
        bench.store.publish(task.stage, task.key, arrays, {"seconds": seconds, **facts})
    artefact = bench.store.read(task.stage, task.key)
    if artefact is None:
        raise CellFailed(
            f"the artefact of stage {task.stage} vanished after it was written",
            "is something else cleaning the cache folder?",
        )
    return artefact


def _function(target: str) -> Callable[..., Any]:
    module, _, attribute = target.partition(":")
    function: Callable[..., Any] = getattr(import_module(module), attribute)
    return function
