"""Evidence to one number a sample, and how far two such scores agree."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import numpy as np

from prunebench.contexts import Scores
from prunebench.pipeline.data import dataset
from prunebench.pipeline.evidence import score_context
from prunebench.pipeline.workbench import StageResult, Workbench, broken_promise, guarded
from prunebench.plugins import Entry
from prunebench.stats import score_agreement
from prunebench.store import Artefact
from prunebench.tasks import Task


def scores(bench: Workbench, task: Task, inputs: Mapping[str, Artefact]) -> StageResult:
    """Score the training split.

    Arrays: scores float64 [n], higher = keep first; excluded and extra bool [n], refill float64 [n] where given.
    """
    data = dataset(bench, task.config["dataset"])
    entry = bench.catalogue.scorer(task.config["scorer"])
    context = score_context(bench, task, entry, data, inputs, entry.spec.needs)
    with guarded(entry, context) as score:
        result = _checked(entry, score(context), context.n)
    arrays: dict[str, Any] = {"scores": result.values}
    if result.excluded is not None:
        arrays["excluded"] = result.excluded
    if result.refill is not None:
        arrays["refill"] = result.refill
    if result.extra is not None:
        arrays["extra"] = result.extra
    labels = inputs.get("pseudo_labels")
    return arrays, {
        "diagnostics": {**(labels.meta["diagnostics"] if labels else {}), **result.diagnostics},
        "caveat": result.caveat,
        "seconds_labels": labels.meta["seconds"] if labels else 0.0,
    }


def _checked(entry: Entry[Any], returned: Any, n: int) -> Scores:
    result = returned if isinstance(returned, Scores) else Scores(values=np.asarray(returned))
    values = np.asarray(result.values)
    if entry.spec.output == "order" and not isinstance(returned, Scores):
        if values.shape != (n,) or values.dtype.kind != "i" or not np.array_equal(np.sort(values), np.arange(n)):
            raise broken_promise(
                entry, f"an order: each of 0..{n - 1} once, int64", f"{values.dtype} {list(values.shape)}"
            )
        ranks = np.empty(n, dtype=np.float64)
        ranks[values] = -np.arange(n, dtype=np.float64)
        return Scores(values=ranks)
    if values.shape != (n,) or values.dtype.kind != "f":
        raise broken_promise(entry, f"scores float64 [{n}]", f"{values.dtype} {list(values.shape)}")
    if not np.isfinite(values).all():
        raise broken_promise(entry, "finite scores", f"{int((~np.isfinite(values)).sum())} that are not")
    for title, given in (("excluded", result.excluded), ("refill", result.refill), ("extra", result.extra)):
        if given is not None and np.shape(given) != (n,):
            raise broken_promise(entry, f"{title} [{n}]", str(list(np.shape(given))))
    if result.extra is not None and np.any(result.extra) and not result.caveat:
        raise broken_promise(entry, "a caveat that says how many images are used beyond the budget", "none")
    return Scores(
        values=values.astype(np.float64),
        excluded=None if result.excluded is None else np.asarray(result.excluded, dtype=np.bool_),
        refill=None if result.refill is None else np.asarray(result.refill, dtype=np.float64),
        extra=None if result.extra is None else np.asarray(result.extra, dtype=np.bool_),
        diagnostics=result.diagnostics,
        caveat=result.caveat,
    )


def agreement(bench: Workbench, task: Task, inputs: Mapping[str, Artefact]) -> StageResult:
    """Compare two score vectors of the same samples: rank correlation within class, pooled, and Pearson."""
    data = dataset(bench, task.config["dataset"])
    a, b = (inputs[role].arrays["scores"] for role in ("a", "b"))
    measured = asdict(score_agreement(a, b, data.train.labels))
    caveat = inputs["a"].meta["caveat"] or inputs["b"].meta["caveat"]
    return {}, {"record": {"n": len(a), "status": "ok", "caveat": caveat, **measured}}
