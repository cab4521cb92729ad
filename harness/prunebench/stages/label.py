"""Pseudo-labels of the training split, made by the labeller of a scorer."""

from __future__ import annotations

from collections.abc import Mapping

from prunebench.labelling import label_problem, matched_accuracy
from prunebench.stages.bench import Bench, StageResult, broken_promise, guarded
from prunebench.stages.data import dataset
from prunebench.stages.evidence import score_context
from prunebench.store import Artefact
from prunebench.tasks import Task


def pseudo_labels(bench: Bench, task: Task, inputs: Mapping[str, Artefact]) -> StageResult:
    """Label the training split.  Arrays: pseudo_labels int64 [n], from 0.

    How well they match the labels is stored with the scores; no plugin sees it.
    """
    data, entry = dataset(bench, task), bench.plugin(task.config["plugin"])
    context = score_context(bench, task, entry, data, inputs, entry.spec.label_needs)
    with guarded(entry, context, entry.load_labeller) as label:
        found, n = label(context), context.n
        if came := label_problem(found, n):
            raise broken_promise(entry, f"pseudo-labels int64 [{n}] in 0..{n - 1}", came)
    facts = {
        "pseudo_classes": int(found.max()) + 1,
        "pseudo_label_accuracy": round(matched_accuracy(found, data.train.labels), 6),
    }
    return {"pseudo_labels": found}, {"diagnostics": facts}
