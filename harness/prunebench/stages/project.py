"""Features of the training split to a few dimensions."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from prunebench.contexts import ProjectContext
from prunebench.errors import NotApplicable
from prunebench.stages.bench import Bench, StageResult, check_array, guarded
from prunebench.stages.data import dataset
from prunebench.stages.evidence import class_logits
from prunebench.store import Artefact
from prunebench.tasks import Task


def projection(bench: Bench, task: Task, inputs: Mapping[str, Artefact]) -> StageResult:
    """Project the training features; array: projection float32 [n, k], NaN in the rows that are not projected."""
    entry, every = bench.plugin(task.config["plugin"]), inputs["features"].arrays["train_features"]
    rows = _projected_rows(bench, task, inputs)
    features = every if rows is None else np.ascontiguousarray(every[rows])
    context = ProjectContext(**bench.context(task), features=features)
    with guarded(entry, context) as project:
        projected = np.asarray(project(context))
        check_array(entry, "coordinates float32", projected, np.float32, len(features), "k")
    if rows is None:
        return {"projection": projected}, {}
    filled = np.full((len(every), projected.shape[1]), np.nan, dtype=np.float32)
    filled[rows] = projected
    return {"projection": filled}, {"n_projected": len(features)}


def _projected_rows(bench: Bench, task: Task, inputs: Mapping[str, Artefact]) -> NDArray[np.bool_] | None:
    """Return which samples are projected, bool [n]: those predicted as labelled; None for all."""
    if task.config.get("rows", "all") == "all":
        return None
    data = dataset(bench, task)
    logits = class_logits(f"a projection of the {task.config['rows']} samples", data, inputs)
    rows: NDArray[np.bool_] = logits.argmax(axis=1) == data.train.labels
    if not rows.any():
        raise NotApplicable("the backbone predicts no training sample as labelled: nothing is left to project")
    return rows
