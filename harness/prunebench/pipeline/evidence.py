"""What scorers and labellers may read of a data set: collected from the inputs of a task."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from prunebench.contexts import Dataset, ScoreContext
from prunebench.errors import CellFailed, NotApplicable
from prunebench.pipeline.workbench import Workbench, read_only
from prunebench.plugins import Entry
from prunebench.specs import ScorerSpec
from prunebench.store import Artefact
from prunebench.tasks import Task
from prunebench.toolbox import n_keep


def score_context(
    bench: Workbench,
    task: Task,
    entry: Entry[ScorerSpec],
    data: Dataset,
    inputs: Mapping[str, Artefact],
    needs: frozenset[str],
) -> ScoreContext:
    """Return the context of a scorer or a labeller, with the evidence `needs`.

    Raises NotApplicable for fewer samples than the scorer asks for.
    """
    n = len(data.train)
    if n < entry.spec.min_samples:
        raise NotApplicable(f"{entry.spec.name} needs {entry.spec.min_samples} samples, the data set has {n}")
    return ScoreContext(
        **bench.context(task, seed=task.config.get("seed", 0), params=task.config["params"]),
        n=n,
        n_classes=data.n_classes,
        scorer=entry.spec.name,
        evidence=_collected(bench, task, entry, data, inputs, needs),
        budget=n_keep(task.config["keep"], n) if "keep" in task.config else None,
    )


def _collected(
    bench: Workbench,
    task: Task,
    entry: Entry[ScorerSpec],
    data: Dataset,
    inputs: Mapping[str, Artefact],
    needs: frozenset[str],
) -> dict[str, Any]:
    """Return the evidence `needs` of the training split by name, read-only, and nothing else."""
    makers: Mapping[str, Callable[[], Any]] = {
        "labels": lambda: data.train.labels,
        "pixels": lambda: data.train.images,
        "features": lambda: inputs["features"].arrays["train_features"],
        "logits": lambda: _class_logits(entry, data, inputs),
        "projection": lambda: inputs["projection"].arrays["projection"],
        "pseudo_labels": lambda: inputs["pseudo_labels"].arrays["pseudo_labels"],
        "dynamics": lambda: _dynamics(bench, task),
        "gradients": lambda: last_layer_gradients(
            _class_logits(entry, data, inputs), data.train.labels, inputs["features"].arrays["train_features"]
        ),
    }
    evidence = {name: makers[name]() for name in sorted(needs)}
    return {
        name: tuple(map(read_only, value)) if isinstance(value, tuple) else read_only(value)
        for name, value in evidence.items()
    }


def _class_logits(entry: Entry[Any], data: Dataset, inputs: Mapping[str, Artefact]) -> Any:
    logits = inputs["features"].arrays["train_logits"]
    if logits.shape[1] != data.n_classes:
        raise NotApplicable(
            f"{entry.spec.name} needs class predictions, and the backbone's head has {logits.shape[1]} outputs for "
            f"{data.n_classes} classes",
            "train the backbone on this data set (weights = { train = RECIPE }), or choose a method without logits",
        )
    return logits


def _dynamics(bench: Workbench, task: Task) -> Any:
    proxy = task.upstream["dynamics"]
    recorded = bench.store.read("dynamics", proxy.key)
    if recorded is None:
        raise CellFailed(
            "the proxy run recorded no training dynamics",
            f"its learner must return them; or remove {bench.store.folder(proxy.stage, proxy.key)} to train again",
        )
    return recorded.arrays["dynamics"]


def last_layer_gradients(
    logits: NDArray[Any], labels: NDArray[np.int64], features: NDArray[np.float32]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return the factors p - y float32 [n, c] and z float32 [n, d] of the gradients of the cross-entropy.

    Each sample has its own gradient: nothing is averaged over a batch, so that no batch size enters.
    """
    from scipy.special import softmax

    residual = softmax(np.asarray(logits, dtype=np.float64), axis=1)
    residual[np.arange(len(residual)), labels] -= 1.0
    return residual.astype(np.float32), features
