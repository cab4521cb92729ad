"""Scores of a person's own data through the plugins and the stages, kept in the store by the content of the data."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from prunebench.artefact_files import DATA
from prunebench.contexts import silent
from prunebench.errors import NotApplicable, PrunebenchError
from prunebench.keys import seed_for
from prunebench.planner import described
from prunebench.pruning.dynamics import recorded_dynamics
from prunebench.pruning.evidence import Evidence, Given, check_applies
from prunebench.pruning.head import cross_fitted_logits
from prunebench.pruning.progress import Progress
from prunebench.pruning.remembered import create_mapped, remembered, written
from prunebench.stages.bench import Bench
from prunebench.stages.heads import READ_PREDICTIONS
from prunebench.store import Artefact, Store
from prunebench.tasks import Task
from prunebench.worker import ensure

LARGE, TRIAL = 20_000, 2_000  # samples from which time is estimated first, and samples that are timed for it
TRIAL_SECONDS = 2.0  # after which a trial is stopped, if the method reports its progress
HEAD = 2  # version of the heads that are fitted here

Inputs = dict[str, tuple[Task, Artefact]]


@dataclass(frozen=True, kw_only=True)
class Method:
    """A scorer with its parameters, the projector that it reads (if it reads one), and the seed of both."""

    scorer: str
    params: Mapping[str, Any] = field(default_factory=dict)
    projector: str = ""
    seed: int = 0


@dataclass(frozen=True, kw_only=True)
class Scored:
    """What a method says of n samples: scores float64 [n], higher = keep first.

    excluded, extra: bool [n], samples that it leaves to the end, and those that it takes beside the budget.
    refill: float64 [n], the order in which excluded samples return, or None."""

    scores: NDArray[np.float64]
    excluded: NDArray[np.bool_]
    extra: NDArray[np.bool_]
    refill: NDArray[np.float64] | None
    caveat: str
    diagnostics: Mapping[str, Any]
    seconds: float


def score(bench: Bench, evidence: Evidence, method: Method, budget: int) -> Scored:
    """Score samples by a method; what was computed before from the same content is read from the store.

    budget: how many samples will be kept, for methods that read it.  Raises UsageError for a method that these data
    cannot have, NotApplicable where the method itself declines, and whatever its failure is."""
    entry = bench.catalogue.scorer(method.scorer)
    check_applies(entry.spec, evidence)
    steps = _Steps(replace(bench, datasets={evidence.fingerprint: evidence.dataset}), evidence, method)
    inputs = steps.inputs(entry.spec.needs)
    config: dict[str, Any] = {"plugin": described(entry, method.params)}
    if entry.spec.labeller:
        inputs["pseudo_labels"] = steps.run("pseudo_labels", {**config, **steps.drawn("pseudo-labels")}, inputs)
    if "dynamics" in entry.spec.needs:
        inputs["proxy"] = steps.proxy(inputs.get("pseudo_labels"))
    if entry.spec.budget_dependent:
        config["keep"] = str(Decimal(budget) / len(evidence))
    if entry.spec.stochastic:
        config |= steps.drawn("scores")
    try:
        _, found = steps.run("scores", config, inputs)
    except NotApplicable as error:
        if not READ_PREDICTIONS & entry.spec.needs:
            raise
        why = "class predictions of your own data are of one linear head for each fold, not of one for all"
        raise NotApplicable(error.message, f"{why}: choose a method that can do with that") from error
    none = np.zeros(len(evidence), dtype=np.bool_)
    return Scored(
        scores=found.arrays["scores"], excluded=found.arrays.get("excluded", none),
        extra=found.arrays.get("extra", none), refill=found.arrays.get("refill"), caveat=found.meta["caveat"],
        diagnostics=found.meta["diagnostics"], seconds=found.meta["seconds"],
    )  # fmt: skip


def expected_seconds(bench: Bench, evidence: Evidence, method: Method, budget: int) -> float | None:
    """Return about how long a method takes in seconds, from two small samples of the data; None where nobody knows, and
    for few samples, where the first report of progress tells it soon enough.

    Times of 1,000 and 2,000 samples, drawn with a seed, give the power of n by which it grows, from 1 to 2; what was
    computed before is read.  The larger sample is timed twice, since imports come first.  A method that reports its
    progress is stopped when that tells how long it would take."""
    n, times = len(evidence), list[float]()
    if n < LARGE:
        return None
    order = np.random.default_rng(0).permutation(n)
    for number, size in enumerate((TRIAL, TRIAL // 2, TRIAL)):
        some, again = evidence.take(np.sort(order[:size])), replace(method, seed=method.seed + number)
        try:
            times.append(_timed(bench, some, again, max(1, budget * size // n)))
        except PrunebenchError:  # so few may be too few for it
            return None
    growth = float(np.log2(max(times[2], 1e-3) / max(times[1], 1e-3)))
    return float(times[2] * (n / TRIAL) ** min(2.0, max(1.0, growth)))


class _Known(PrunebenchError):
    """Raised out of a method under trial when its progress tells how long it takes."""

    def __init__(self, seconds: float) -> None:
        super().__init__(f"it takes {seconds:g} s", "it is timed no further")
        self.seconds = seconds


def _timed(bench: Bench, evidence: Evidence, method: Method, budget: int) -> float:
    """Return how long a method takes on these samples, in seconds, with all that it reads."""
    started = time.monotonic()
    began, first = started, 1.0

    def told(fraction: float, text: str = "") -> None:
        nonlocal began, first
        now = time.monotonic()
        if fraction <= first:
            began, first = now, fraction
        elif now - began > TRIAL_SECONDS:
            raise _Known((now - began) / (fraction - first))

    try:
        found = score(replace(bench, progress=told), evidence, method, budget)
    except _Known as known:
        return known.seconds
    return max(found.seconds, time.monotonic() - started)


@dataclass(frozen=True)
class _Steps:
    """The stages of one method on one content; what the person gave takes the place of the first of them."""

    bench: Bench
    evidence: Evidence
    method: Method

    def drawn(self, stage: str) -> dict[str, int]:
        return {"seed": seed_for(stage, self.method.seed)}

    def task(self, stage: str, config: Mapping[str, Any], inputs: Inputs) -> Task:
        keyed = {"dataset": {"fingerprint": self.evidence.fingerprint}, **config}
        return Task(stage, keyed, {role: task for role, (task, _) in inputs.items()})

    def run(self, stage: str, config: Mapping[str, Any], inputs: Inputs) -> tuple[Task, Artefact]:
        task = self.task(stage, config, inputs)
        return task, ensure(self.bench, task, {role: artefact for role, (_, artefact) in inputs.items()})

    def inputs(self, needs: frozenset[str]) -> Inputs:
        """Return the features with the logits of a head that is fitted on them, and their projection where it is
        read."""
        evidence, store = self.evidence, self.bench.store
        given = Given(
            train_features=lambda: evidence.features,
            train_logits=lambda: head(store, evidence, progress=self.bench.progress).logits,
        )
        inputs: Inputs = {"features": (self.task("features", {}, {}), Artefact(given, {}, self.bench.store.root))}
        if "projection" in needs:
            scorer = self.bench.catalogue.scorer(self.method.scorer)
            projector = self.bench.catalogue.projector(self.method.projector)
            params = scorer.spec.resolve_params(self.method.params)
            rows = str(params[scorer.spec.projection_rows]) if scorer.spec.projection_rows else "all"
            drawn = self.drawn("projection") if projector.spec.stochastic else {}
            config: dict[str, Any] = {"plugin": described(projector, {}), "rows": rows, **drawn}
            inputs["projection"] = self.run("projection", config, inputs)
        return inputs

    def proxy(self, pseudo_labels: tuple[Task, Artefact] | None) -> tuple[Task, Artefact]:
        """Return the training dynamics of a linear head on the features, which stands for the proxy run of a suite."""
        labels = pseudo_labels[1].arrays["pseudo_labels"] if pseudo_labels else self.evidence.labels
        inputs = {"pseudo_labels": pseudo_labels} if pseudo_labels else {}
        task = self.task("pretrain", {"head": HEAD, **self.drawn("proxy")}, inputs)

        def record() -> dict[str, NDArray[Any]]:
            seed, classes = task.config["seed"], int(labels.max()) + 1
            progress = self.bench.progress
            return {
                "dynamics/dynamics": recorded_dynamics(
                    self.evidence.features, labels, classes, seed=seed, progress=progress
                )
            }

        arrays = remembered(self.bench.store, self.evidence, {"proxy": task.key}, record)
        return task, Artefact(arrays, {}, self.bench.store.root)


@dataclass(frozen=True, kw_only=True)
class Predictions:
    """Logits float32 [n, c], mapped from a file, and the share of the samples whose label has the highest."""

    logits: NDArray[np.float32]
    accuracy: float


def head(store: Store, evidence: Evidence, progress: Progress = silent) -> Predictions:
    """Return the predictions of a head that is fitted on the features, each by one that did not see the sample."""
    n_classes = len(evidence.class_names)

    def fit(folder: Path) -> Mapping[str, Any]:
        logits = create_mapped(folder / DATA, {"logits": (len(evidence), n_classes)})["logits"]
        found = cross_fitted_logits(evidence.features, evidence.labels, n_classes, out=logits, progress=progress)
        logits.flush()  # type: ignore[attr-defined]
        return {"accuracy": found.accuracy}

    known = written(store, evidence, {"head": HEAD}, fit)
    return Predictions(logits=known.arrays["logits"], accuracy=known.meta["accuracy"])
