"""Images to features and logits through a backbone, both splits together; and features to a few dimensions."""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from prunebench.contexts import Arch, Dataset, EmbedContext, Embedding, ProjectContext
from prunebench.errors import NotApplicable, WeightsMissing
from prunebench.stages.bench import Bench, StageResult, broken_promise, check_array, guarded
from prunebench.stages.data import dataset
from prunebench.stages.evidence import class_logits
from prunebench.store import DATA, Artefact
from prunebench.tasks import Task


def arch_of(config: Mapping[str, Any]) -> Arch:
    """Return the network of a task's `arch` configuration."""
    return msgspec.convert({**config, "name": config["model"], "provider": config["plugin"]["name"]}, Arch)


def features(bench: Bench, task: Task, inputs: Mapping[str, Artefact]) -> StageResult:
    """Embed both splits.  Arrays: train_features, test_features float32 [n, d] and train_logits, test_logits float32
    [n, c]."""
    data, source = dataset(bench, task), task.config["weights"]
    if data.train.images is None:
        return _features_of_the_data(data)
    entry = bench.plugin(task.config["arch"]["plugin"])
    weights = inputs["weights"].path / DATA if "weights" in inputs else None
    if source["source"] == "file":
        weights, _ = find_weights(task.locators["weights_file"], source["sha256"], bench.settings.data_roots)
    arrays, facts = dict[str, Any](), dict[str, Any]()
    for name, split in (("train", data.train), ("test", data.test)):
        assert split.images is not None  # both splits hold the same kind of samples
        context = EmbedContext(
            **bench.context(task, seed=source.get("seed", 0)), images=split.images, n_classes=data.n_classes,
            arch=arch_of(task.config["arch"]), source=source["source"], weights=weights, mean=data.mean, std=data.std,
        )  # fmt: skip
        with guarded(entry, context) as backbone:
            embedding = backbone.embed(context)
            if not isinstance(embedding, Embedding):
                raise broken_promise(entry, "a prunebench.Embedding", type(embedding).__name__)
            check_array(entry, "features", embedding.features, np.float32, len(split), "d")
            check_array(entry, "logits", embedding.logits, np.float32, len(split), "c")
        arrays[f"{name}_features"], arrays[f"{name}_logits"] = embedding.features, embedding.logits
        facts |= {"preprocessing": dict(embedding.preprocessing), "batch_size_used": embedding.batch_size_used}
        own = embedding.logits.shape[1] == data.n_classes  # a head that classifies something else has no accuracy
        accuracy = round(float((embedding.logits.argmax(axis=1) == split.labels).mean()), 6) if own else None
        facts |= {"oom_retries": embedding.oom_retries, f"accuracy_{name}": accuracy}
    return arrays, facts


def _features_of_the_data(data: Dataset) -> StageResult:
    """Return the features that a data set brings in place of images, whatever the network, and the logits of a linear
    head that is fitted on them: each training sample is judged by heads that did not see it or its label."""
    from prunebench.pruning.head import cross_fitted_logits

    train, test = data.train, data.test
    assert train.features is not None
    assert test.features is not None
    judged = cross_fitted_logits(
        np.concatenate([train.features, test.features]),
        np.concatenate([train.labels, np.full(len(test), -1)]),  # which fit none
        data.n_classes, ids=(*train.ids, *test.ids),
    )  # fmt: skip
    arrays, facts = dict[str, Any](), dict[str, Any]()
    parts = np.split(judged.logits, [len(train)])
    for name, split, logits in zip(("train", "test"), (train, test), parts, strict=True):
        arrays[f"{name}_features"], arrays[f"{name}_logits"] = split.features, logits
        facts[f"accuracy_{name}"] = round(float((logits.argmax(axis=1) == split.labels).mean()), 6)
    preprocessing = {"features": "of the data set", "logits": "of a cross-fitted linear head"}
    return arrays, {**facts, "preprocessing": preprocessing, "batch_size_used": 0, "oom_retries": 0}


def projection(bench: Bench, task: Task, inputs: Mapping[str, Artefact]) -> StageResult:
    """Project the training features; array: projection float32 [n, k], NaN in the rows that are not projected."""
    entry, every = bench.plugin(task.config["plugin"]), inputs["features"].arrays["train_features"]
    rows: Any = slice(None)
    if is_partial := task.config.get("rows", "all") != "all":  # those predicted as labelled
        data = dataset(bench, task)
        logits = class_logits(f"a projection of the {task.config['rows']} samples", data, inputs)
        rows = logits.argmax(axis=1) == data.train.labels
        if not rows.any():
            raise NotApplicable("the backbone predicts no training sample as labelled: nothing is left to project")
    features = np.ascontiguousarray(every[rows])
    context = ProjectContext(**bench.context(task), features=features)
    with guarded(entry, context) as project:
        projected = np.asarray(project(context))
        check_array(entry, "coordinates", projected, np.float32, len(features), "k")
    filled = np.full((len(every), projected.shape[1]), np.nan, dtype=np.float32)
    filled[rows] = projected
    return {"projection": filled}, {"n_projected": len(features)} if is_partial else {}


def find_weights(name: str, expected: str, roots: tuple[str, ...]) -> tuple[Path, str]:
    """Return the file `name` from the data roots or their sub-folder `weights`, and its SHA-256.  expected: the
    registered SHA-256, or "" where none is.  Raises WeightsMissing when it is nowhere or another file."""
    candidates = [Path(name), *(Path(root, name) for root in roots), *(Path(root, "weights", name) for root in roots)]
    path = next((path for path in candidates if path.is_file()), None)
    if path is None:
        text = f"weights file {name!r} was not found (looked in: {', '.join(roots) or 'no data root is set'})"
        hint = "put it in a data root (--data DIR or PRUNEBENCH_DATA), there or in its sub-folder weights"
        raise WeightsMissing(text, hint)
    with path.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if expected not in ("", found):
        text = f"weights file {path.name} has SHA-256 {found}, and {expected} is expected"
        raise WeightsMissing(text, "it is another version or a damaged copy: fetch it again, or register its digest")
    return path, found
