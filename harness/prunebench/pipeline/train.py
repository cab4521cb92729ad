"""Train on a subset. Training is keyed by the subset's content: equal subsets train once."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from prunebench.contexts import Arch, Dataset, Split, TrainContext, TrainResult
from prunebench.errors import DataError
from prunebench.keys import digest
from prunebench.pipeline.data import dataset, fingerprint
from prunebench.pipeline.embed import arch_of
from prunebench.pipeline.select import Subset, describe, subset
from prunebench.pipeline.workbench import StageResult, Workbench, broken_promise, guarded
from prunebench.store import Artefact
from prunebench.tasks import Task


def pretrain(bench: Workbench, task: Task, inputs: Mapping[str, Artefact]) -> StageResult:
    """Train a network on the whole training split, by its labels or by pseudo-labels where these are an input.

    Pseudo-labels of test images do not exist: the accuracy of such a run is that on as many training images.
    Arrays: its weights by parameter name. The training dynamics, float16 [epochs, n, classes], are an artefact
    of their own under the same key, so that the weights stay a file that any loader reads.
    """
    data = dataset(bench, task.config["dataset"])
    if "pseudo_labels" in inputs:
        data = _relabelled(data, inputs["pseudo_labels"].arrays["pseudo_labels"])
    everything = np.arange(len(data.train), dtype=np.int64)
    context = _context(bench, task, data, everything, task.config["seed"], {}, keep_weights=True)
    result = _run(bench, task.config["recipe"], context)
    if result.weights is None:
        raise broken_promise(
            bench.catalogue.learner(task.config["recipe"]["learner"]), "weights when keep_weights is set", "None"
        )
    if result.dynamics is not None:
        bench.store.publish("dynamics", task.key, {"dynamics": result.dynamics}, {})
    return dict(result.weights), _facts(result)


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


def cell(bench: Workbench, task: Task, inputs: Mapping[str, Artefact]) -> StageResult:
    """Select, train and measure one cell; the record is in the facts, the kept indices int64 [m] an array."""
    data = dataset(bench, task.config["dataset"])
    scored = inputs["scores"]
    chosen = subset(bench, task, scored, data)
    trained, train_key = _trained(bench, task, data, chosen, inputs)
    record = {
        "train_key": train_key,
        "dataset_fingerprint": task.config["dataset"]["fingerprint"] or fingerprint(data),
        "n_train": len(data.train),
        "n_classes": data.n_classes,
        **describe(chosen),
        "status": "ok",
        "status_reason": "",
        **{key: value for key, value in trained.meta.items() if key not in ("seconds", "data_digest")},
        "recipe_digest": digest(task.config["recipe"]),
        "seconds_score": round(scored.meta["seconds"] + scored.meta.get("seconds_labels", 0.0), 3),
        "seconds_train": trained.meta["seconds"],
        "diagnostics": scored.meta["diagnostics"],
        "caveat": "; ".join(filter(None, (scored.meta["caveat"], chosen.caveat))),
        **bench.settings.provenance,
    }
    return {"indices": chosen.indices}, {"record": record}


def _trained(
    bench: Workbench, task: Task, data: Dataset, chosen: Subset, inputs: Mapping[str, Artefact]
) -> tuple[Artefact, str]:
    config, features = task.config, task.upstream.get("arch_features")
    content = {
        "dataset": config["dataset"],
        "subset": chosen.digest,
        "arch": config["arch"],
        "recipe": config["recipe"],
        "seed": config["train_seed"],
        "features": features.key if features else None,
    }
    key = digest(content)
    with bench.store.lock(key):
        if (found := bench.store.read("training", key)) is not None:
            return found, key
        arrays = inputs["arch_features"].arrays if features else {}
        context = _context(bench, task, data, chosen.indices, config["train_seed"], arrays)
        started = time.perf_counter()
        result = _run(bench, config["recipe"], context)
        bench.store.publish("training", key, {}, {**_facts(result), "seconds": round(time.perf_counter() - started, 3)})
    found = bench.store.read("training", key)
    assert found is not None
    return found, key


def _context(
    bench: Workbench,
    task: Task,
    data: Dataset,
    indices: Any,
    seed: int,
    features: Mapping[str, Any],
    *,
    keep_weights: bool = False,
) -> TrainContext:
    arch = arch_of(task.config["arch"])
    train_features, test_features = features.get("train_features"), features.get("test_features")
    return TrainContext(
        **bench.context(task, seed=seed, params=task.config["recipe"]["params"]),
        train_images=None if data.train.images is None else data.train.images[indices],
        train_labels=data.train.labels[indices],
        test_images=data.test.images,
        test_labels=data.test.labels,
        n_classes=data.n_classes,
        mean=data.mean,
        std=data.std,
        arch=arch,
        build=partial(_build, bench, arch, data),
        train_features=None if train_features is None else train_features[indices],
        test_features=test_features,
        keep_weights=keep_weights,
        record_dynamics=keep_weights,
    )


def _build(bench: Workbench, arch: Arch, data: Dataset) -> Any:
    height, channels = _image_shape(data.train)
    provider = bench.catalogue.backbone(arch.provider).load()
    return provider.build(arch, data.n_classes, channels, arch.image_size or height)


def _image_shape(split: Split) -> tuple[int, int]:
    if split.images is None:
        raise DataError("the data set has no images to train on", "use a learner that trains on features")
    return int(split.images.shape[1]), int(split.images.shape[3])


def _run(bench: Workbench, recipe: Mapping[str, Any], context: TrainContext) -> TrainResult:
    entry = bench.catalogue.learner(recipe["learner"])
    with guarded(entry, context) as train:
        result = train(context)
        if not isinstance(result, TrainResult):
            raise broken_promise(entry, "a prunebench.TrainResult", type(result).__name__)
        if not (0 <= result.accuracy <= 1 and np.isfinite(result.loss)):
            raise broken_promise(entry, "accuracy in [0, 1], finite loss", f"{result.accuracy}, {result.loss}")
    return result


def _facts(result: TrainResult) -> dict[str, Any]:
    return {
        "accuracy": round(result.accuracy, 6),
        "accuracy_best": round(result.accuracy_best, 6),
        "loss": round(result.loss, 6),
        "epochs": result.epochs,
        "accuracy_per_epoch": [round(value, 6) for value in result.accuracy_per_epoch],
        "batch_size_used": result.batch_size_used,
        "oom_retries": result.oom_retries,
        "peak_gpu_bytes": result.peak_gpu_bytes,
    }
