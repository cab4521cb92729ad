"""Features of the training split to a few dimensions."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from prunebench.contexts import ProjectContext
from prunebench.pipeline.workbench import StageResult, Workbench, broken_promise, guarded
from prunebench.store import Artefact
from prunebench.tasks import Task


def projection(bench: Workbench, task: Task, inputs: Mapping[str, Artefact]) -> StageResult:
    """Project the training features; array: projection float32 [n, k]."""
    entry = bench.catalogue.projector(task.config["projector"])
    features = inputs["features"].arrays["train_features"]
    context = ProjectContext(
        **bench.context(task, seed=task.config.get("seed", 0), params=task.config["params"]), features=features
    )
    with guarded(entry, context) as project:
        projected = np.asarray(project(context))
        if projected.ndim != 2 or len(projected) != len(features) or projected.dtype != np.float32:
            raise broken_promise(entry, f"float32 [{len(features)}, k]", f"{projected.dtype} {list(projected.shape)}")
        if not np.isfinite(projected).all():
            raise broken_promise(entry, "finite coordinates", f"{int((~np.isfinite(projected)).sum())} that are not")
    return {"projection": projected}, {}
