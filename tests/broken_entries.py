"""Entries of the good and the broken implementations, as an installed plugin would give them."""

from __future__ import annotations

from prunebench import (
    BackboneSpec,
    DatasetSpec,
    ExecutorSpec,
    LearnerSpec,
    MetricSpec,
    ProjectorSpec,
    ScorerSpec,
    SelectorSpec,
)
from prunebench.plugins import Entry, Origin

FEATURES = frozenset({"features"})
LABELLED = {"needs": frozenset({"features", "pseudo_labels", "dynamics"}), "labeller": "broken_scorers:thirds"}
# These start a process, or run a method many times: they are made where they are the point.
SLOW = {
    "check_another_process_gives_the_same_result",
    "check_memory_does_not_leak",
    "check_deadline_is_honoured",
}


def scorer(function: str, **fields) -> Entry:
    return other(ScorerSpec, function, **{"needs": FEATURES, **fields})


def other(kind, function: str, **fields) -> Entry:
    """Return the entry of a spec whose module is not installed, as `prunebench.testing.entry_of` makes it."""
    module = f"broken_{kind.kind}s"
    given = {"name": "odd", "summary": "A test.", "load": f"{module}:{function}", **fields}
    return Entry(kind(**given), Origin(module, module, "local"))


GOOD = {
    "scorer": scorer("centred", favours="hard", cost="n"),
    "scorer that draws": scorer("draws", needs=frozenset(), stochastic=True, cost="n"),
    "scorer with pseudo-labels": scorer("doubts_its_labels", **LABELLED, cost="n"),
    "scorer that writes below its work folder": scorer("tidies_its_folder"),
    "scorer with a deadline": scorer("honours_the_deadline"),
    "projector": other(ProjectorSpec, "plane", stochastic=False),
    "selector": other(SelectorSpec, "first"),
    "data set": other(DatasetSpec, "images", n_classes=3),
    "learner": other(LearnerSpec, "learns", needs=FEATURES),
    "backbone": other(BackboneSpec, "GOOD", check_model="small", pictures="broken_backbones:SEES"),
    "executor": other(ExecutorSpec, "StartsWorkers"),
    "metric": other(MetricSpec, "mean_accuracy"),
    "metric of a method": other(MetricSpec, "mean_accuracy", scope="method"),
}
