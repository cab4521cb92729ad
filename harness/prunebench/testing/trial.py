"""Run an implementation on a problem, as a worker would."""

from __future__ import annotations

import math
import os
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from prunebench.contexts import DataContext, ProjectContext, ScoreContext, Scores, SelectContext, Selection
from prunebench.errors import PluginContractError
from prunebench.labelling import misfit
from prunebench.plugins import Entry
from prunebench.testing.learning import train_context
from prunebench.testing.problems import Problem, mapped, ordinary, relearnt
from prunebench.toolbox import n_keep, preference_order

FORKED = 70  # exit code of a copy of the process that came back from a plugin


@dataclass(frozen=True, kw_only=True)
class Trial:
    """How an implementation is run: on what, with which seed, and what else is allowed.

    writable: give it private copies that it may scribble on.  everything: all evidence and the budget are
    readable, whatever was declared.  keep: the budget as a fraction.  seconds: time until the deadline.
    """

    problem: Problem = field(default_factory=ordinary, repr=False)
    seed: int = 0
    writable: bool = False
    everything: bool = False
    keep: str = "0.3"
    seconds: float = math.inf
    threads: int = 1


@contextmanager
def context(entry: Entry[Any], trial: Trial) -> Iterator[Any]:
    """Yield the context for an entry of any kind that is checked; its work folder is removed afterwards."""
    with tempfile.TemporaryDirectory(prefix="work-", ignore_cleanup_errors=True) as folder:
        shared = {
            "params": entry.spec.resolve_params(getattr(entry.spec, "check_params", {})),
            "seed": trial.seed,
            "threads": trial.threads,
            "workdir": Path(folder),
            "deadline": None if math.isinf(trial.seconds) else time.time() + trial.seconds,
        }
        yield _MAKERS[entry.spec.kind](entry, trial, shared)


def run(entry: Entry[Any], trial: Trial | None = None) -> Any:
    """Return what the implementation returns; its exceptions pass through."""
    with context(entry, trial or Trial()) as ctx:
        return call(entry, ctx)


def call(entry: Entry[Any], ctx: Any) -> Any:
    """Return what the implementation makes of a context; a copy of this process that comes back ends here."""
    labeller = entry.load_labeller() if getattr(entry.spec, "labeller", "") else None
    implementation, home = entry.load(), os.getpid()
    try:
        return implementation(ctx if labeller is None else _labelled(entry, ctx, labeller(label_context(entry, ctx))))
    finally:
        if os.getpid() != home:
            os._exit(FORKED)


def label_context(entry: Entry[Any], ctx: ScoreContext) -> ScoreContext:
    """Return the context of the labeller of a scorer whose context is `ctx`."""
    evidence = {name: value for name, value in ctx.evidence.items() if name in entry.spec.label_needs}
    return replace(ctx, evidence=evidence, budget=None)


def _labelled(entry: Entry[Any], ctx: ScoreContext, labels: Any) -> ScoreContext:
    """Return `ctx` with pseudo-labels, and with the dynamics of a run that learnt these."""
    if came := misfit(labels, ctx.n):
        raise PluginContractError(
            f"the labeller of scorer {entry.spec.name!r} returned {came}",
            f"return pseudo-labels int64 [{ctx.n}] in 0..{ctx.n - 1}",
        )
    evidence = {**ctx.evidence, "pseudo_labels": labels}
    if "dynamics" in evidence:
        evidence["dynamics"] = relearnt(evidence["dynamics"], labels)
    return replace(ctx, evidence=evidence)


def arrays_of(ctx: Any) -> dict[str, NDArray[Any]]:
    """Return every array that a context shows to the implementation, by name."""
    shown = dict(ctx.evidence) if isinstance(ctx, ScoreContext) else {f.name: getattr(ctx, f.name) for f in fields(ctx)}
    found = {}
    for name, value in shown.items():
        parts = value if isinstance(value, tuple) else (value,)
        found.update({f"{name}[{i}]" if i else name: p for i, p in enumerate(parts) if isinstance(p, np.ndarray)})
    return found


def _score_context(entry: Entry[Any], trial: Trial, shared: Mapping[str, Any]) -> ScoreContext:
    problem = prepared(trial)
    budget = n_keep(trial.keep, problem.n) if trial.everything or entry.spec.budget_dependent else None
    evidence = {name: v for name, v in problem.evidence.items() if trial.everything or name in entry.spec.needs}
    return ScoreContext(
        **shared,
        n=problem.n,
        n_classes=problem.n_classes,
        scorer=entry.spec.name,
        evidence=evidence,
        budget=budget,
    )


def _project_context(entry: Entry[Any], trial: Trial, shared: Mapping[str, Any]) -> ProjectContext:
    return ProjectContext(**shared, features=prepared(trial).evidence["features"])


def _select_context(entry: Entry[Any], trial: Trial, shared: Mapping[str, Any]) -> SelectContext:
    problem = trial.problem
    # Whole numbers, so that there are ties; every sixth sample is excluded, and every class has enough others.
    scores = np.floor(3 * problem.evidence["features"][:, 0]).astype(np.float64)
    eligible = np.arange(problem.n) % 6 != 5
    order = preference_order(scores, np.random.default_rng(1), eligible)
    arrays = {"scores": scores, "labels": problem.labels.copy(), "order": order, "eligible": eligible}
    for array in arrays.values():
        array.flags.writeable = trial.writable
    budget = n_keep(trial.keep, problem.n)
    return SelectContext(**shared, **arrays, n_classes=problem.n_classes, n_keep=budget)


def _data_context(entry: Entry[Any], trial: Trial, shared: Mapping[str, Any]) -> DataContext:
    roots = tuple(Path(part) for part in os.environ.get("PRUNEBENCH_DATA", "").split(os.pathsep) if part)
    # As in a run: a data set is loaded without a seed and without a folder of its own.
    return DataContext(params=shared["params"], roots=roots, obtain=entry.spec.obtain)


def _train_context(entry: Entry[Any], trial: Trial, shared: Mapping[str, Any]) -> Any:
    return train_context(entry, prepared(trial), shared)


_MAKERS = {
    "scorer": _score_context,
    "projector": _project_context,
    "selector": _select_context,
    "dataset": _data_context,
    "learner": _train_context,
}


def prepared(trial: Trial) -> Problem:
    """Return the problem with arrays of its own, read-only unless the trial says otherwise."""

    def own(name: str, array: NDArray[Any]) -> NDArray[Any]:
        copy = array.copy()
        copy.flags.writeable = trial.writable
        return copy

    return mapped(trial.problem, own)


def as_scores(entry: Entry[Any], returned: Any) -> NDArray[np.float64]:
    """Return scores float64 [n], whether the scorer gave an array, an order or `Scores`."""
    values = np.asarray(returned.values if isinstance(returned, Scores) else returned)
    if entry.spec.output == "order" and not isinstance(returned, Scores):
        ranks = np.empty(len(values), dtype=np.float64)
        ranks[values] = -np.arange(len(values), dtype=np.float64)
        return ranks
    return values.astype(np.float64)


def fingerprint(returned: Any) -> tuple[Any, ...]:
    """Return everything of a result that has to be equal when the result is: shapes, types and bytes."""
    if isinstance(returned, Scores):
        parts: tuple[Any, ...] = (returned.values, returned.excluded, returned.refill)
    elif isinstance(returned, Selection):
        parts = (np.sort(returned.indices), returned.filled)
    elif hasattr(returned, "accuracy"):
        weights = dict(returned.weights or {})
        parts = (returned.accuracy, returned.loss, *(weights[name] for name in sorted(weights)))
    elif hasattr(returned, "train") and hasattr(returned, "test"):
        splits = (returned.train, returned.test)
        parts = tuple(part for s in splits for part in (s.images, s.features, s.labels, repr(s.ids)))
    else:
        parts = (returned,)
    return tuple(part if part is None else _bytes(part) for part in parts)


def _bytes(part: Any) -> tuple[str, tuple[int, ...], bytes]:
    array = np.ascontiguousarray(part)
    return str(array.dtype), np.shape(part), array.tobytes()
