"""Images to features and logits through a backbone, both splits together; and features to a few dimensions."""

import hashlib
import importlib.metadata
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from prunebench.contexts import Arch, Dataset, EmbedContext, ProjectContext
from prunebench.errors import CellFailed, NotApplicable, WeightsMissing, did_you_mean
from prunebench.stages.bench import Bench, StageResult, check_array, guarded
from prunebench.stages.data import dataset
from prunebench.stages.embed_parts import embed_in_parts
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
    _check_precision(bench, task)
    weights = inputs["weights"].path / DATA if "weights" in inputs else None
    if source["source"] == "file":
        name, package = (task.locators[part] for part in ("weights_file", "weights_package"))
        weights, _ = find_weights(name, source["sha256"], bench.settings.data_roots, package)
    arrays, facts = dict[str, Any](), dict[str, Any]()
    for name, split in (("train", data.train), ("test", data.test)):
        assert split.images is not None  # both splits hold the same kind of samples
        context = EmbedContext(
            **bench.context(task, seed=source.get("seed", 0)), images=split.images, n_classes=data.n_classes,
            arch=arch_of(task.config["arch"]), source=source["source"], weights=weights, mean=data.mean, std=data.std,
        )  # fmt: skip
        found, told = embed_in_parts(bench.store, task.key, name, entry, context)
        arrays |= {f"{name}_{title}": array for title, array in found.items()}
        own = found["logits"].shape[1] == data.n_classes  # a head that classifies something else has no accuracy
        accuracy = round(float((found["logits"].argmax(axis=1) == split.labels).mean()), 6) if own else None
        facts |= {**told, f"accuracy_{name}": accuracy}
    if task.config.get("head") == "fitted":
        logits, accuracies = _fitted_logits(data, arrays["train_features"], arrays["test_features"])
        return {**arrays, **logits}, {**facts, **accuracies}
    return arrays, facts


def noisy_features(bench: Bench, task: Task, inputs: Mapping[str, Artefact]) -> StageResult:
    """Add noise to the training features: normal, `noise` times the mean standard deviation of the features in each of
    them.  The logits move as a linear head moves them, the one that least squares finds between features and logits.
    Arrays: train_features float32 [n, d] and train_logits float32 [n, c]."""
    features, logits = (
        inputs["features"].arrays[f"train_{name}"].astype(np.float64) for name in ("features", "logits")
    )
    centred = features - features.mean(axis=0)
    size = float(task.config["noise"]) * features.std(axis=0).mean()
    noise = size * np.random.default_rng(task.config["seed"]).standard_normal(features.shape)
    head, *_ = np.linalg.lstsq(centred.T @ centred, centred.T @ logits, rcond=None)
    found = {"train_features": features + noise, "train_logits": logits + noise @ head}
    return {title: array.astype(np.float32) for title, array in found.items()}, {"noise": size}


def _check_precision(bench: Bench, task: Task) -> None:
    """Raise CellFailed where a task whose key stands for half precision is to be computed on a device without it."""
    if (dtype := task.config["arch"]["dtype"]) != "float32" and not bench.device.startswith("cuda"):
        text = f"these are features in {dtype}, which a GPU computes, and this worker computes on {bench.device}"
        raise CellFailed(text, 'run the suite with GPUs alone, or write dtype = "float32"')


def _features_of_the_data(data: Dataset) -> StageResult:
    """Return the features that a data set brings in place of images, whatever the network, and the logits of a linear
    head that is fitted on them: each training sample is judged by heads that did not see it or its label."""
    train, test = data.train.features, data.test.features
    assert train is not None
    assert test is not None
    logits, accuracies = _fitted_logits(data, train, test)
    preprocessing = {"features": "of the data set", "logits": "of a cross-fitted linear head"}
    facts = {**accuracies, "preprocessing": preprocessing, "batch_size_used": 0, "oom_retries": 0}
    return {"train_features": train, "test_features": test, **logits}, facts


def _fitted_logits(data: Dataset, train: Any, test: Any) -> tuple[dict[str, Any], dict[str, float]]:
    """Return the logits of a linear head that is fitted on features [n, d] of both splits, and how often it is right:
    each training sample is judged by heads that did not see it or its label."""
    from prunebench.pruning.head import cross_fitted_logits

    unknown = np.full(len(test), -1)  # these fit none
    labels, ids = np.concatenate([data.train.labels, unknown]), (*data.train.ids, *data.test.ids)
    judged = cross_fitted_logits(np.concatenate([train, test]), labels, data.n_classes, ids=ids)
    parts = dict(zip(("train", "test"), np.split(judged.logits, [len(train)]), strict=True))
    arrays, accuracies = dict[str, Any](), dict[str, float]()
    for (name, logits), split in zip(parts.items(), (data.train, data.test), strict=True):
        arrays[f"{name}_logits"] = logits
        accuracies[f"accuracy_{name}"] = round(float((logits.argmax(axis=1) == split.labels).mean()), 6)
    return arrays, accuracies


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


def find_weights(name: str, expected: str, roots: tuple[str, ...], package: str = "") -> tuple[Path, str]:
    """Return a file of weights and its SHA-256: `name` from the data roots or their sub-folder `weights`, or out of an
    installed package, whose code is not run.  expected: the registered SHA-256, or "" where none is.  Raises
    WeightsMissing when it is nowhere or another file."""
    path = _in_package(name, package) if package else _below(name, roots)
    with path.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if expected not in ("", found):
        text = f"weights file {path.name} has SHA-256 {found}, and {expected} is expected"
        raise WeightsMissing(text, "it is another version or a damaged copy: fetch it again, or register its digest")
    return path, found


def _below(name: str, roots: tuple[str, ...]) -> Path:
    candidates = [Path(name), *(Path(root, name) for root in roots), *(Path(root, "weights", name) for root in roots)]
    path = next((path for path in candidates if path.is_file()), None)
    if path is None:
        text = f"weights file {name!r} was not found (looked in: {', '.join(roots) or 'no data root is set'})"
        hint = "put it in a data root (--data DIR or PRUNEBENCH_DATA), there or in its sub-folder weights"
        raise WeightsMissing(text, hint)
    return path


def _in_package(name: str, package: str) -> Path:
    """Return the file of an installed distribution whose path is `name` or ends in it."""
    try:
        distribution = importlib.metadata.distribution(package)
    except (importlib.metadata.PackageNotFoundError, ValueError):
        text = f"weights file {name!r} is in package {package!r}, which is not installed"
        raise WeightsMissing(text, f"pip install --no-deps {package}") from None
    files = {file.as_posix(): Path(str(file.locate())) for file in distribution.files or ()}
    ending = [file for file in files if file.endswith(f"/{name}")]
    found = [name] if name in files else ending
    if len(found) == 1 and files[found[0]].is_file():
        return files[found[0]]
    text = f"package {package!r} {distribution.version} has {'several files' if found else 'no file'} {name!r}"
    others = [file for file in files if ".dist-info/" not in file and not file.endswith((".py", ".pyc"))]
    raise WeightsMissing(text, f"write one of {', '.join(found)}" if found else did_you_mean(name, others))
