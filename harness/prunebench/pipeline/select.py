"""Scores and a budget to exactly that many samples, and those that a method takes on top."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from prunebench.contexts import Dataset, SelectContext, Selection
from prunebench.pipeline.workbench import Workbench, broken_promise, guarded
from prunebench.store import Artefact
from prunebench.tasks import Task
from prunebench.toolbox import n_keep, preference_order


@dataclass(frozen=True)
class Subset:
    """Sorted distinct indices int64 [m], with how the cut fell.

    ties_at_cut: samples that share the lowest kept score, where some of them were left out; tied_kept: those kept.
    """

    indices: NDArray[np.int64]
    ties_at_cut: int
    tied_kept: int
    filled: int

    @property
    def caveat(self) -> str:
        """Why the subset says little of the scores, a few words; empty where there is nothing to say."""
        return "most of what is kept is drawn from equal scores" if 2 * self.tied_kept > len(self.indices) else ""

    @property
    def digest(self) -> str:
        """Identity of the subset's content: what training is keyed by."""
        return hashlib.blake2b(self.indices.astype("<i8").tobytes(), digest_size=16).hexdigest()


def subset(bench: Workbench, task: Task, scored: Artefact, data: Dataset) -> Subset:
    """Pick exactly the budget, and add the scorer's extra samples.

    Raises PluginContractError when the selector returns anything but the budget.
    """
    entry = bench.catalogue.selector(task.config["selector"])
    values = scored.arrays["scores"]
    budget = n_keep(task.config["keep"], len(values))
    excluded = scored.arrays.get("excluded")
    eligible = np.ones(len(values), dtype=np.bool_) if excluded is None else ~excluded
    context = SelectContext(
        **bench.context(task, seed=task.config["select_seed"], params=task.config["selector_params"]),
        scores=values,
        labels=data.train.labels,
        n_classes=data.n_classes,
        n_keep=budget,
        order=_order(task, scored, eligible),
        eligible=eligible,
    )
    with guarded(entry, context) as select:
        chosen = select(context)
        selection = chosen if isinstance(chosen, Selection) else Selection(indices=np.asarray(chosen))
        indices = np.asarray(selection.indices)
        if indices.dtype.kind != "i" or indices.shape != (budget,) or not _rising(indices, len(values)):
            got = f"{indices.dtype} {list(indices.shape)}, {len(np.unique(indices))} distinct"
            raise broken_promise(
                entry,
                f"{budget} distinct indices in 0..{len(values) - 1}, sorted",
                f"{got}, first {indices[:5].tolist()}",
            )
    indices = indices.astype(np.int64)
    extra = np.flatnonzero(scored.arrays.get("extra", ()))
    return Subset(np.union1d(indices, extra), *ties_at_cut(values, indices), int(selection.filled))


def _order(task: Task, scored: Artefact, eligible: NDArray[np.bool_]) -> NDArray[np.int64]:
    # A stream of its own: the selector's draws must not depend on how many numbers the tie-break used.
    rng = np.random.default_rng([task.config["select_seed"], 1])
    return preference_order(scored.arrays["scores"], rng, eligible, scored.arrays.get("refill"))


def _rising(indices: NDArray[Any], n: int) -> bool:
    return bool(len(indices) and indices[0] >= 0 and indices[-1] < n and (np.diff(indices) > 0).all())


def ties_at_cut(scores: NDArray[np.float64], indices: NDArray[np.int64]) -> tuple[int, int]:
    """Return how many samples share the lowest kept score and how many of these are kept; zeros where all are."""
    lowest = scores[indices].min()
    tied = int((scores == lowest).sum())
    kept = int((scores[indices] == lowest).sum())
    return (tied, kept) if kept < tied else (0, 0)


def describe(chosen: Subset) -> Mapping[str, Any]:
    """Return the record fields of a subset."""
    return {
        "n_keep": len(chosen.indices),
        "ties_at_cut": chosen.ties_at_cut,
        "filled": chosen.filled,
        "subset_digest": chosen.digest,
    }
