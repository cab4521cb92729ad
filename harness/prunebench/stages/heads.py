"""What speaks against the class predictions that a method reads."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from prunebench.contexts import Dataset
from prunebench.specs import ScorerSpec
from prunebench.store import Artefact
from prunebench.tasks import Task

READ_PREDICTIONS = frozenset({"logits", "gradients"})  # the evidence that is made of them
_SLIGHT = 0.2  # of Cohen's kappa: below it, agreement is slight (Landis and Koch 1977)
_RENAMED = 0.1  # of accuracy that other names of the outputs would gain: no head gains so much by chance
_RIGHT = 0.5  # under these names: fewer right answers name nothing


def head_caveat(spec: ScorerSpec, task: Task, inputs: Mapping[str, Artefact], data: Dataset) -> str:
    """Return what to know of the head whose predictions a method reads; empty where it is sound, where none is read,
    and for a network that is untrained on purpose.

    The classes of its outputs may be in another order than those of the data, as with weights that
    somebody else trained; or it is right hardly more often than chance, which is the agreement of predictions and
    labels that know nothing of each other (Cohen 1960)."""
    features = task.upstream["features"].config if READ_PREDICTIONS & spec.needs else {}
    if not features or features.get("weights", {}).get("source") == "random":
        return ""
    fitted, labels = data.train.images is None or features.get("head") == "fitted", data.train.labels
    named = "the head that is fitted on the features" if fitted else f"the head of {features['arch']['model']}"
    predicted = np.asarray(inputs["features"].arrays["train_logits"].argmax(axis=1))
    right = float((predicted == labels).mean())
    renamed = matched_accuracy(predicted, labels)
    if renamed >= _RIGHT and renamed > right + _RENAMED:
        text = f"{named} has its classes in another order than the data: right on {right:.0%} of the training samples"
        return f"{text}, and on {renamed:.0%} if its outputs are named as fits best"
    shares = [np.bincount(one, minlength=data.n_classes) / len(labels) for one in (predicted, labels)]
    chance = float(shares[0] @ shares[1])
    if right - chance < _SLIGHT * (1 - chance):
        return f"{named} is near chance: right on {right:.0%} of the training samples, chance alone on {chance:.0%}"
    return ""


def matched_accuracy(groups: NDArray[np.int64], labels: NDArray[np.int64]) -> float:
    """Return the share of samples whose group stands for their label, under the best one-to-one matching.  Both int64
    [n], from 0.  Source: the clustering accuracy of the field, by linear assignment (Kuhn 1955)."""
    from scipy.optimize import linear_sum_assignment

    counts = np.zeros((int(groups.max()) + 1, int(labels.max()) + 1), dtype=np.int64)
    np.add.at(counts, (groups, labels), 1)
    return float(counts[linear_sum_assignment(counts, maximize=True)].sum() / len(labels))
