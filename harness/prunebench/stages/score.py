"""Evidence to one number a sample, and how far two such scores agree."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import numpy as np

from prunebench.contexts import Scores
from prunebench.errors import DataError
from prunebench.plugins import Entry
from prunebench.records import jsonable
from prunebench.stages.bench import Bench, StageResult, broken_promise, guarded
from prunebench.stages.data import dataset
from prunebench.stages.evidence import score_context
from prunebench.stats import score_agreement
from prunebench.store import Artefact
from prunebench.tasks import Task


def scores(bench: Bench, task: Task, inputs: Mapping[str, Artefact]) -> StageResult:
    """Score the training split.

    Arrays: scores float64 [n], higher = keep first; excluded and extra bool [n], refill float64 [n] where given.
    """
    data = dataset(bench, task)
    entry = bench.plugin(task.config["plugin"])
    context = score_context(bench, task, entry, data, inputs, entry.spec.needs)
    with guarded(entry, context) as score:
        started = time.perf_counter()  # of the scoring alone: what was imported and loaded before is nobody's cost
        returned = score(context)
        seconds = time.perf_counter() - started
        result = _checked(entry, returned, context.n)
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
        "seconds": round(seconds, 3),
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
        diagnostics=_diagnostics(entry, result.diagnostics),
        caveat=result.caveat,
    )


def _diagnostics(entry: Entry[Any], given: Mapping[str, Any]) -> dict[str, Any]:
    try:
        return {str(name): jsonable(value, f"diagnostic {name!r}") for name, value in given.items()}
    except TypeError as error:
        raise broken_promise(entry, "diagnostics that are numbers, texts, true, false or None", str(error)) from error


def agreement(bench: Bench, task: Task, inputs: Mapping[str, Artefact]) -> StageResult:
    """Compare two score vectors of the same samples: rank correlation within class, pooled, and Pearson."""
    data = dataset(bench, task)
    a, b = (inputs[role].arrays["scores"] for role in ("a", "b"))
    if not len(a) == len(b) == len(data.train):
        raise DataError(
            f"{len(a)} and {len(b)} scores for the {len(data.train)} training samples of {data.name!r}",
            "they were computed from other data: remove the cache folder and run the suite again",
        )
    measured = asdict(score_agreement(a, b, data.train.labels))
    record = {
        "status": "ok",
        "status_reason": measured.pop("reason"),
        "caveat": inputs["a"].meta["caveat"] or inputs["b"].meta["caveat"],
        **measured,
        **bench.settings.provenance,
    }
    return {}, {"record": record}
