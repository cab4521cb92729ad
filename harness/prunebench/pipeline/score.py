"""Evidence to one number a sample, and how far two such scores agree."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import Any

import numpy as np
from numpy.typing import NDArray

from prunebench.contexts import Dataset, ScoreContext, Scores
from prunebench.errors import CellFailed, NotApplicable
from prunebench.pipeline.data import dataset
from prunebench.pipeline.workbench import StageResult, Workbench, broken_promise, guarded, read_only
from prunebench.plugins import Entry
from prunebench.stats import score_agreement
from prunebench.store import Artefact
from prunebench.tasks import Task
from prunebench.toolbox import n_keep


def scores(bench: Workbench, task: Task, inputs: Mapping[str, Artefact]) -> StageResult:
    """Score the training split.

    Arrays: scores float64 [n], higher = keep first; excluded and extra bool [n], refill float64 [n] where given.
    """
    data = dataset(bench, task.config["dataset"])
    entry = bench.catalogue.scorer(task.config["scorer"])
    n = len(data.train)
    if n < entry.spec.min_samples:
        raise NotApplicable(f"{entry.spec.name} needs {entry.spec.min_samples} samples, the data set has {n}")
    context = ScoreContext(
        **bench.context(task, seed=task.config.get("seed", 0), params=task.config["params"]),
        n=n,
        n_classes=data.n_classes,
        scorer=entry.spec.name,
        evidence=_evidence(bench, task, entry, data, inputs),
        budget=n_keep(task.config["keep"], n) if "keep" in task.config else None,
    )
    with guarded(entry, context) as score:
        result = _checked(entry, score(context), n)
    arrays: dict[str, Any] = {"scores": result.values}
    if result.excluded is not None:
        arrays["excluded"] = result.excluded
    if result.refill is not None:
        arrays["refill"] = result.refill
    if result.extra is not None:
        arrays["extra"] = result.extra
    return arrays, {"diagnostics": dict(result.diagnostics), "caveat": result.caveat}


def _evidence(
    bench: Workbench, task: Task, entry: Entry[Any], data: Dataset, inputs: Mapping[str, Artefact]
) -> dict[str, Any]:
    """Collect what the scorer declared, and nothing else."""
    makers: Mapping[str, Callable[[], Any]] = {
        "labels": lambda: data.train.labels,
        "pixels": lambda: data.train.images,
        "features": lambda: inputs["features"].arrays["train_features"],
        "logits": lambda: _class_logits(entry, data, inputs),
        "projection": lambda: inputs["projection"].arrays["projection"],
        "dynamics": lambda: _dynamics(bench, task),
        "gradients": lambda: last_layer_gradients(
            _class_logits(entry, data, inputs), data.train.labels, inputs["features"].arrays["train_features"]
        ),
    }
    evidence = {name: makers[name]() for name in sorted(entry.spec.needs)}
    return {
        name: tuple(map(read_only, value)) if isinstance(value, tuple) else read_only(value)
        for name, value in evidence.items()
    }


def _class_logits(entry: Entry[Any], data: Dataset, inputs: Mapping[str, Artefact]) -> Any:
    logits = inputs["features"].arrays["train_logits"]
    if logits.shape[1] != data.n_classes:
        raise NotApplicable(
            f"{entry.spec.name} needs class predictions, and the backbone's head has {logits.shape[1]} outputs for "
            f"{data.n_classes} classes",
            "train the backbone on this data set (weights = { train = RECIPE }), or choose a method without logits",
        )
    return logits


def _dynamics(bench: Workbench, task: Task) -> Any:
    proxy = task.upstream["dynamics"]
    recorded = bench.store.read("dynamics", proxy.key)
    if recorded is None:
        raise CellFailed(
            "the proxy run recorded no training dynamics",
            f"its learner must return them; or remove {bench.store.folder(proxy.stage, proxy.key)} to train again",
        )
    return recorded.arrays["dynamics"]


def last_layer_gradients(
    logits: NDArray[Any], labels: NDArray[np.int64], features: NDArray[np.float32]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return the factors p - y float32 [n, c] and z float32 [n, d] of the gradients of the cross-entropy.

    Each sample has its own gradient: nothing is averaged over a batch, so that no batch size enters.
    """
    from scipy.special import softmax

    residual = softmax(np.asarray(logits, dtype=np.float64), axis=1)
    residual[np.arange(len(residual)), labels] -= 1.0
    return residual.astype(np.float32), features


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
