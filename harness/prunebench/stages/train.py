"""Train on a subset. Training is keyed by the subset's content: equal subsets train once."""

from collections.abc import Iterable, Mapping
from dataclasses import fields, replace
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from prunebench.contexts import Dataset, Split, TrainContext, TrainResult, undeclared_teacher
from prunebench.keys import digest
from prunebench.stages.bench import Bench, StageResult, broken_promise, guarded
from prunebench.stages.data import dataset
from prunebench.stages.embed import arch_of
from prunebench.stages.networks import build, teacher
from prunebench.store import Artefact
from prunebench.tasks import Task


def pretrain(bench: Bench, task: Task, inputs: Mapping[str, Artefact]) -> StageResult:
    """Train a network on the whole training split, by its labels or by pseudo-labels where these are an input.
    Pseudo-labels of test images do not exist: the accuracy of such a run is that on as many training images. Arrays:
    its weights by parameter name, and dynamics/dynamics float16 [epochs, n, classes], which the store keeps in a file
    of its own, so that the weights stay a file that any loader reads."""
    data = dataset(bench, task)
    if "pseudo_labels" in inputs:
        data = _relabelled(data, inputs["pseudo_labels"].arrays["pseudo_labels"])
    everything = np.arange(len(data.train), dtype=np.int64)
    result = _run(bench, task, data, everything, {}, keep_weights=True)
    if result.weights is None:
        raise broken_promise(bench.plugin(task.config["recipe"]), "weights when keep_weights is set", "None")
    dynamics = {} if result.dynamics is None else {"dynamics/dynamics": result.dynamics}
    return {**result.weights, **dynamics}, _facts(result)


def _relabelled(data: Dataset, labels: NDArray[np.int64]) -> Dataset:
    held = np.linspace(0, len(labels) - 1, min(len(data.test), len(labels)), dtype=np.int64)
    train = replace(data.train, labels=labels)
    test = Split(
        images=None if train.images is None else train.images[held],
        labels=labels[held],
        ids=tuple(train.ids[row] for row in held),
        features=None if train.features is None else train.features[held],
    )
    names = tuple(f"pseudo-class {number}" for number in range(int(labels.max()) + 1))
    return replace(data, train=train, test=test, class_names=names)


def training_of(task: Task, inputs: Mapping[str, Artefact]) -> dict[str, Task]:
    """Return the training that a cell stands for, named by the content of its subset."""
    features = task.upstream.get("arch_features")
    config = {name: value for name, value in task.config.items() if name not in ("keep", "recipe_digest")}
    content = {"subset": inputs["subset"].meta["record"]["subset_digest"], "features": features.key if features else ""}
    taught = {role: task.upstream[role] for role in ("weights",) if role in task.upstream}
    return {"training": Task("training", {**config, **content}, taught, task.locators)}


def training(bench: Bench, task: Task, inputs: Mapping[str, Artefact]) -> StageResult:
    """Train on a subset and measure; nothing but facts."""
    result = _run(bench, task, dataset(bench, task), inputs["subset"].arrays["indices"], inputs)
    return {}, _facts(result)


def cell(bench: Bench, task: Task, inputs: Mapping[str, Artefact]) -> StageResult:
    """Put together the record of a cell from its subset and its training."""
    data, chosen, trained = dataset(bench, task), inputs["subset"], inputs["training"]
    record = {
        "status": "ok", "n_train": len(data.train), "n_classes": data.n_classes, **chosen.meta["record"],
        **{key: value for key, value in trained.meta.items() if key in _FACTS}, "train_key": trained.path.name,
        "recipe_digest": task.config.get("recipe_digest") or digest(task.config["recipe"]),
        "seconds_train": trained.meta["seconds"],
        **bench.settings.provenance,
    }  # fmt: skip
    return {}, {"record": record}


def _run(
    bench: Bench, task: Task, data: Dataset, indices: Any, inputs: Mapping[str, Artefact], *, keep_weights: bool = False
) -> TrainResult:
    arch, entry = arch_of(task.config["arch"]), bench.plugin(task.config["recipe"])
    bench.plugin(task.config["arch"]["plugin"])
    features: Mapping[str, Any] = inputs["arch_features"].arrays if "arch_features" in inputs else {}
    train_features = features.get("train_features")
    is_taught = "teacher" in entry.spec.needs
    context = TrainContext(
        **bench.context(task), n_classes=data.n_classes, mean=data.mean, std=data.std,
        arch=arch, build=partial(build, bench, arch, data), used=entry.load("uses") if entry.spec.uses else None,
        teacher=partial(teacher, bench, task, data, inputs) if is_taught else partial(undeclared_teacher, str(entry)),
        train_images=None if data.train.images is None else data.train.images[indices],
        train_features=None if train_features is None else train_features[indices],
        train_labels=data.train.labels[indices], test_labels=data.test.labels, test_images=data.test.images,
        test_features=features.get("test_features"), keep_weights=keep_weights, record_dynamics=keep_weights,
    )  # fmt: skip
    with guarded(entry, context) as train:
        result = train(context)
        if not isinstance(result, TrainResult):
            raise broken_promise(entry, "a prunebench.TrainResult", type(result).__name__)
        if not (0 <= result.accuracy <= 1 and np.isfinite(result.loss)):
            raise broken_promise(entry, "accuracy in [0, 1], finite loss", f"{result.accuracy}, {result.loss}")
        if len(result.class_accuracy) not in (0, data.n_classes):
            came = str(len(result.class_accuracy))
            raise broken_promise(entry, f"class_accuracy of {data.n_classes} classes, or none", came)
    return result


_FACTS = [one.name for one in fields(TrainResult) if one.name not in ("weights", "dynamics")]  # in records, too


def _facts(result: TrainResult) -> dict[str, Any]:
    return {name: _rounded(getattr(result, name)) for name in _FACTS}


def _rounded(value: Any) -> Any:
    if isinstance(value, Iterable):
        return [_rounded(one) for one in value]
    return round(value, 6) if isinstance(value, float) else value
