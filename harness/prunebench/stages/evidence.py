"""What scorers and labellers may read of a data set: collected from the inputs of a task."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from prunebench.contexts import Dataset, ScoreContext
from prunebench.errors import CellFailed, NotApplicable
from prunebench.plugins import Entry
from prunebench.specs import ScorerSpec
from prunebench.stages.bench import Bench
from prunebench.stages.data import check_rows, dataset
from prunebench.store import Artefact
from prunebench.tasks import Task
from prunebench.toolbox import n_keep


def score_context(
    bench: Bench, task: Task, entry: Entry[ScorerSpec], inputs: Mapping[str, Artefact], needs: frozenset[str]
) -> ScoreContext:
    """Return the context of a scorer or a labeller, with the evidence `needs` of the training split, read-only, and
    nothing else.  Raises NotApplicable for fewer samples than the scorer asks for, and DataError for evidence of
    another length: it belongs to other data."""
    data = dataset(bench, task)
    n = len(data.train)
    if n < entry.spec.min_samples:
        raise NotApplicable(f"{entry.spec.name} needs {entry.spec.min_samples} samples, the data set has {n}")
    if "dynamics" in needs and "dynamics/dynamics" not in inputs["proxy"].arrays:
        hint = "its learner must return them where record_dynamics is set: choose another recipe for the proxy"
        raise CellFailed("the proxy run recorded no training dynamics", hint)
    logits = partial(class_logits, entry.spec.name, data, inputs)
    makers: Mapping[str, Callable[[], Any]] = {
        "labels": lambda: data.train.labels,
        "pixels": partial(_pixels, entry.spec.name, data),
        "features": lambda: inputs["features"].arrays["train_features"],
        "logits": logits,
        "projection": lambda: inputs["projection"].arrays["projection"],
        "pseudo_labels": lambda: inputs["pseudo_labels"].arrays["pseudo_labels"],
        "dynamics": lambda: inputs["proxy"].arrays["dynamics/dynamics"],
        "gradients": lambda: last_layer_gradients(logits(), data.train.labels, makers["features"]()),
    }

    def checked(name: str, found: Any) -> Any:
        if isinstance(found, tuple):
            return tuple(checked(name, array) for array in found)
        check_rows(data, name, found.shape[1] if name == "dynamics" else len(found))
        view = found.view()
        view.flags.writeable = False  # so that a plugin cannot change what others read
        return view

    evidence = {name: checked(name, makers[name]()) for name in sorted(needs)}
    facts = {"n": n, "n_classes": data.n_classes, "scorer": entry.spec.name, "evidence": evidence}
    budget = n_keep(task.config["keep"], n) if "keep" in task.config else None
    return ScoreContext(**bench.context(task, **facts), budget=budget)


def _pixels(reader: str, data: Dataset) -> NDArray[np.uint8]:
    if data.train.images is None:
        text = f"{reader} reads pixels, and data set {data.name!r} has features alone"
        raise NotApplicable(text, "choose a method that reads features, or a data set of images")
    return data.train.images


def class_logits(reader: str, data: Dataset, inputs: Mapping[str, Artefact]) -> Any:
    """Return the training logits [n, classes]; raises NotApplicable where the head classifies something else."""
    logits = inputs["features"].arrays["train_logits"]
    if logits.shape[1] != data.n_classes:
        n = logits.shape[1]
        heads = f"the backbone's head has {n} outputs for {data.n_classes} classes" if n else "the backbone has no head"
        hint = "train the backbone on this data set (weights = { train = RECIPE }), or choose a method without logits"
        raise NotApplicable(f"{reader} needs class predictions, and {heads}", hint)
    return logits


def last_layer_gradients(
    logits: NDArray[Any], labels: NDArray[np.int64], features: NDArray[np.float32]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return the factors p - y float32 [n, c] and z float32 [n, d] of the gradients of the cross-entropy.  Each sample
    has its own gradient: nothing is averaged over a batch, so that no batch size enters."""
    from scipy.special import softmax

    residual = softmax(np.asarray(logits, dtype=np.float64), axis=1)
    residual[np.arange(len(residual)), labels] -= 1.0
    return residual.astype(np.float32), features
