"""A task that computes nothing, to see how an executor or the harness itself runs tasks."""

import os
import platform
import signal
import time
from typing import Any

from prunebench.errors import CellFailed, CellTimeout
from prunebench.stages.bench import Bench, StageResult
from prunebench.tasks import Task

PLACES = "exercises"  # folder of the cache; where each exercise runs is there while it runs, and afterwards


def exercise(bench: Bench, task: Task, inputs: Any) -> StageResult:
    """Wait for `seconds` of the task's configuration, then end as its `end` says: "ok"; "raise" an error; "die", which
    kills the process.  Returns where and when it ran; the same is in a file of the cache from its start on."""
    began, deadline = time.time(), bench.context(task)["deadline"]
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    facts = {"pid": os.getpid(), "host": platform.node(), "visible": visible, "threads": bench.settings.threads}
    place = bench.store.root / PLACES / f"{task.key}-{os.getpid()}"
    place.parent.mkdir(exist_ok=True)
    place.write_text("", encoding="utf-8")
    while (left := began + task.config["seconds"] - time.time()) > 0:
        if deadline is not None and time.time() > deadline:
            raise CellTimeout(f"an exercise ran past {bench.settings.timeout_seconds:g} seconds", "raise the limit")
        time.sleep(min(left, 0.05))
    if task.config["end"] == "die":
        os.kill(os.getpid(), signal.SIGKILL)
    if task.config["end"] == "raise":
        raise CellFailed("an exercise that fails", "nothing: it was told to")
    return {}, {**facts, "began": began, "ended": time.time()}
