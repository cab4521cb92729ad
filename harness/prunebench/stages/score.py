"""Evidence to one number for each sample, the pseudo-labels before that, and how far two such scores agree."""

import json
import time
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import numpy as np
from numpy.typing import NDArray

from prunebench.contexts import Dataset, Scores
from prunebench.keys import jsonable
from prunebench.plugins import Entry
from prunebench.records import MAX_DIAGNOSTICS_BYTES
from prunebench.stages.bench import Bench, StageResult, array_problem, broken_promise, check_array, guarded
from prunebench.stages.data import check_rows, dataset
from prunebench.stages.evidence import score_context
from prunebench.stages.heads import head_caveat, matched_accuracy
from prunebench.stats import agreement_given, distribution_distances, score_agreement
from prunebench.store import Artefact
from prunebench.tasks import Task
from prunebench.toolbox import class_quotas, n_keep, preference_order


def pseudo_labels(bench: Bench, task: Task, inputs: Mapping[str, Artefact]) -> StageResult:
    """Label the training split.  Arrays: pseudo_labels int64 [n], from 0.  How well they match the labels is stored
    with the scores; no plugin sees it."""
    entry = bench.plugin(task.config["plugin"])
    context = score_context(bench, task, entry, inputs, entry.spec.label_needs)
    with guarded(entry, context, "labeller") as label:
        found, n = label(context), context.n
        if came := label_problem(found, n):
            raise broken_promise(entry, f"pseudo-labels int64 [{n}] in 0..{n - 1}", came)
    accuracy = round(matched_accuracy(found, dataset(bench, task).train.labels), 6)
    facts = {"pseudo_classes": int(found.max()) + 1, "pseudo_label_accuracy": accuracy}
    return {"pseudo_labels": found}, {"diagnostics": facts}


def label_problem(returned: Any, n: int) -> str:
    """Return what came instead of pseudo-labels int64 [n] in 0..n-1, or an empty string."""
    came = array_problem(returned, np.int64, n)
    outside = not came and n and not 0 <= int(returned.min()) <= int(returned.max()) < n
    return f"labels in {returned.min()}..{returned.max()}" if outside else came


def scores(bench: Bench, task: Task, inputs: Mapping[str, Artefact]) -> StageResult:
    """Score the training split.  Arrays: scores float64 [n], higher = keep first; excluded and extra bool [n], refill
    float64 [n] where given."""
    entry = bench.plugin(task.config["plugin"])
    context = score_context(bench, task, entry, inputs, entry.spec.needs)
    with guarded(entry, context) as score:
        started = time.perf_counter()  # of the scoring alone: what was imported and loaded before is nobody's cost
        returned = score(context)
        seconds = time.perf_counter() - started
        result = returned if isinstance(returned, Scores) else _as_scores(entry, np.asarray(returned), context.n)
        arrays = _checked_arrays(entry, result, context.n)
        try:
            told = {name: jsonable(x, f"diagnostic {name!r}") for name, x in dict(result.diagnostics).items()}
            diagnostics, caveat = jsonable(told, "diagnostics"), str(jsonable(result.caveat, "the caveat"))
        except (TypeError, ValueError, RecursionError) as error:
            expected = "diagnostics that are numbers, texts, true, false or None, by name"
            raise broken_promise(entry, expected, str(error)) from error
        if (size := len(json.dumps(diagnostics))) > MAX_DIAGNOSTICS_BYTES:  # a record with them could not be read
            raise broken_promise(entry, f"diagnostics of at most {MAX_DIAGNOSTICS_BYTES:,} bytes", f"{size:,}")
    labels = inputs.get("pseudo_labels")
    earlier: Mapping[str, Any] = labels.meta if labels else {"diagnostics": {}, "seconds": 0.0}
    caveats = (caveat, head_caveat(entry.spec, task, inputs, dataset(bench, task)))
    facts = {"caveat": "; ".join(filter(None, caveats)), "seconds": round(seconds, 3)}
    return arrays, {
        "diagnostics": {**earlier["diagnostics"], **diagnostics},
        "seconds_labels": earlier["seconds"],
        **facts,
    }


def _as_scores(entry: Entry[Any], returned: NDArray[Any], n: int) -> Scores:
    """Return what a scorer gave as scores; the first of an order has the highest."""
    if entry.spec.output != "order":
        return Scores(values=returned)
    if returned.shape != (n,) or returned.dtype.kind != "i" or not np.array_equal(np.sort(returned), np.arange(n)):
        expected = f"an order: each of 0..{n - 1} once, int64"
        raise broken_promise(entry, expected, f"{returned.dtype} {list(returned.shape)}")
    return Scores(values=-np.argsort(returned).astype(np.float64))  # the place of each sample in the order


def _checked_arrays(entry: Entry[Any], result: Scores, n: int) -> dict[str, Any]:
    values = np.asarray(result.values)
    arrays = {"scores": values.astype(np.float64) if values.dtype.kind == "f" else values}
    check_array(entry, "scores", arrays["scores"], np.float64, n)
    for name, dtype in (("excluded", np.bool_), ("refill", np.float64), ("extra", np.bool_)):
        if (given := getattr(result, name)) is not None:
            if np.shape(given) != (n,):
                raise broken_promise(entry, f"{name} [{n}]", str(list(np.shape(given))))
            arrays[name] = np.asarray(given, dtype=dtype)
    if np.any(arrays.get("extra", False)) and not result.caveat:
        raise broken_promise(entry, "a caveat that says how many images are used beyond the budget", "none")
    return arrays


def agreement(bench: Bench, task: Task, inputs: Mapping[str, Artefact]) -> StageResult:
    """Compare two score vectors of the same samples: rank correlation within class, pooled, and Pearson, and beside
    them what the suite asks for."""
    data = dataset(bench, task)
    a, b = (inputs[role].arrays["scores"] for role in ("a", "b"))
    for one in (a, b):
        check_rows(data, "scores", len(one))
    measured = asdict(score_agreement(a, b, data.train.labels))
    caveat = inputs["a"].meta["caveat"] or inputs["b"].meta["caveat"]
    found = {"status": "ok", "status_reason": measured.pop("reason"), "caveat": caveat, **measured}
    if more := _measures(task, inputs, data):
        found["measures"] = more
    return {}, {"record": {**found, **bench.settings.provenance}}


def _measures(task: Task, inputs: Mapping[str, Artefact], data: Dataset) -> dict[str, float | None]:
    """Return the measures of two scores that a suite asks for, by the names that they have in records."""
    from prunebench.pruning.stability import overlap

    labels = data.train.labels
    a, b = (inputs[role].arrays["scores"] for role in ("a", "b"))
    found = distribution_distances(a, b) if "distributions" in task.config.get("measures", ()) else {}
    beside: dict[str, dict[str, tuple[Artefact, Artefact]]] = {"kept": {}, "given": {}}
    for role in inputs:
        if role.startswith("a/"):
            _, kind, name = role.split("/")
            beside[kind][name] = inputs[role], inputs[f"b/{kind}/{name}"]
    for keep, sides in beside["kept"].items():
        highest = (_highest(inputs[side], data, keep, seed) for seed, side in enumerate("ab"))
        for name, (first, second) in {
            "overlap": (side.arrays["indices"] for side in sides),
            "top_overlap": highest,
        }.items():
            found[f"{name}_{keep}"] = overlap(first, second, len(labels), labels).beyond_chance
    if beside["given"]:
        given_a, given_b = (
            [side.arrays["scores"] for side in sides] for sides in zip(*beside["given"].values(), strict=True)
        )
        found |= agreement_given(a, b, given_a, given_b, labels)
    return found


def _highest(scored: Artefact, data: Dataset, keep: str, seed: int) -> NDArray[np.int64]:
    """Return the samples of the highest scores of each class, as many as a fraction of it; ties are drawn."""
    values, labels = scored.arrays["scores"], data.train.labels
    eligible = ~scored.arrays.get("excluded", np.zeros(len(values), dtype=np.bool_))
    order = preference_order(values, np.random.default_rng(seed), eligible, scored.arrays.get("refill"))
    quotas = class_quotas(labels, data.n_classes, n_keep(keep, len(values)))
    return np.concatenate([order[labels[order] == label][:quota] for label, quota in enumerate(quotas.tolist())])
