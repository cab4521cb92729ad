"""Images to features and logits through a backbone; training and test split together."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from prunebench.contexts import Arch, EmbedContext, Embedding
from prunebench.errors import DataError, WeightsMissing
from prunebench.stages.bench import Bench, StageResult, broken_promise, guarded
from prunebench.stages.data import dataset
from prunebench.store import DATA, Artefact
from prunebench.tasks import Task


def arch_of(config: Mapping[str, Any]) -> Arch:
    """Return the network of a task's `arch` configuration."""
    fields = {key: value for key, value in config.items() if key != "plugin"}
    for name in ("mean", "std"):
        fields[name] = tuple(fields[name])
    return Arch(name=fields["model"], provider=config["plugin"]["name"], **fields)


def features(bench: Bench, task: Task, inputs: Mapping[str, Artefact]) -> StageResult:
    """Embed both splits.

    Arrays: train_features, test_features float32 [n, d] and train_logits, test_logits float32 [n, c].
    """
    data = dataset(bench, task)
    arch = arch_of(task.config["arch"])
    entry = bench.plugin(task.config["arch"]["plugin"])
    source = task.config["weights"]
    weights = _weights_file(bench, task, inputs)
    arrays: dict[str, Any] = {}
    embedding = None
    for name, split in (("train", data.train), ("test", data.test)):
        if split.images is None:
            raise DataError(f"data set {data.name!r} has no images to embed", "score its own features instead")
        context = EmbedContext(
            **bench.context(task, seed=source.get("seed", 0)),
            images=split.images,
            n_classes=data.n_classes,
            arch=arch,
            source=source["source"],
            weights=weights,
            mean=data.mean,
            std=data.std,
        )
        with guarded(entry, context) as backbone:
            embedding = backbone.embed(context)
            _check(entry, embedding, len(split))
        arrays[f"{name}_features"], arrays[f"{name}_logits"] = embedding.features, embedding.logits
    assert embedding is not None
    return arrays, {
        "preprocessing": dict(embedding.preprocessing),
        "batch_size_used": embedding.batch_size_used,
        "oom_retries": embedding.oom_retries,
        "accuracy_train": _accuracy(arrays["train_logits"], data.train.labels, data.n_classes),
        "accuracy_test": _accuracy(arrays["test_logits"], data.test.labels, data.n_classes),
    }


def _weights_file(bench: Bench, task: Task, inputs: Mapping[str, Artefact]) -> Path | None:
    if "weights" in inputs:
        return inputs["weights"].path / DATA
    if task.config["weights"]["source"] != "file":
        return None
    roots = tuple(Path(root) for root in bench.settings.data_roots)
    return find_weights(task.locators["weights_file"], task.config["weights"]["sha256"], roots)[0]


def find_weights(name: str, expected: str, roots: tuple[Path, ...]) -> tuple[Path, str]:
    """Return the file `name` from the data roots or their sub-folder `weights`, and its SHA-256.

    expected: the registered SHA-256, or "" where none is.  Raises WeightsMissing when it is nowhere or another file.
    """
    candidates = [Path(name), *(root / name for root in roots), *(root / "weights" / name for root in roots)]
    path = next((path for path in candidates if path.is_file()), None)
    if path is None:
        raise WeightsMissing(
            f"weights file {name!r} was not found (looked in: {', '.join(map(str, roots)) or 'no data root is set'})",
            "put it in a data root (--data DIR or PRUNEBENCH_DATA), there or in its sub-folder weights",
        )
    with path.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if expected not in ("", found):
        raise WeightsMissing(
            f"weights file {path.name} has SHA-256 {found}, and {expected} is expected",
            "it is another version or a damaged copy: fetch it again, or register its digest",
        )
    return path, found


def _check(entry: Any, embedding: Any, n: int) -> None:
    if not isinstance(embedding, Embedding):
        raise broken_promise(entry, "a prunebench.Embedding", type(embedding).__name__)
    for title, array in (("features", embedding.features), ("logits", embedding.logits)):
        if array.ndim != 2 or len(array) != n or array.dtype != np.float32:
            raise broken_promise(entry, f"{title} float32 [{n}, d]", f"{array.dtype} {list(array.shape)}")
        if not np.isfinite(array).all():
            raise broken_promise(entry, f"finite {title}", f"{int((~np.isfinite(array)).sum())} that are not")


def _accuracy(logits: Any, labels: Any, n_classes: int) -> float | None:
    """Return the accuracy of the backbone's own head, None where it classifies something else."""
    if logits.shape[1] != n_classes:
        return None
    return round(float((logits.argmax(axis=1) == labels).mean()), 6)
