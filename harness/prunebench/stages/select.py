"""Scores and a budget to exactly that many samples, and those that a method takes on top of them."""

import hashlib
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from prunebench.contexts import SelectContext, Selection
from prunebench.stages.bench import Bench, StageResult, broken_promise, guarded
from prunebench.stages.data import check_rows, dataset
from prunebench.store import Artefact
from prunebench.tasks import Task
from prunebench.toolbox import n_keep, preference_order


def subset(bench: Bench, task: Task, inputs: Mapping[str, Artefact]) -> StageResult:
    """Pick exactly the budget, and add the scorer's extra samples; array: indices int64 [m], sorted.  The facts hold
    the record's fields of the subset.  Raises PluginContractError when the selector returns anything but the budget."""
    entry, scored, data = bench.plugin(task.config["plugin"]), inputs["scores"], dataset(bench, task)
    values = scored.arrays["scores"]
    check_rows(data, "scores", len(values))
    budget = n_keep(task.config["keep"], len(values))
    eligible = ~scored.arrays.get("excluded", np.zeros(len(values), dtype=np.bool_))
    # A stream of its own: the selector's draws must not depend on how many numbers the tie-break used.
    rng = np.random.default_rng([task.config["seed"], 1])
    context = SelectContext(
        **bench.context(task), scores=values, labels=data.train.labels, n_classes=data.n_classes, n_keep=budget,
        order=preference_order(values, rng, eligible, scored.arrays.get("refill")), eligible=eligible,
    )  # fmt: skip
    with guarded(entry, context) as select:
        chosen = select(context)
        selection = chosen if isinstance(chosen, Selection) else Selection(indices=np.asarray(chosen))
        indices = np.asarray(selection.indices)
        rising = len(indices) and indices[0] >= 0 and indices[-1] < len(values) and (np.diff(indices) > 0).all()
        if indices.dtype.kind != "i" or indices.shape != (budget,) or not rising:
            expected = f"{budget} distinct indices in 0..{len(values) - 1}, sorted"
            got = f"{indices.dtype} {list(indices.shape)}, {len(np.unique(indices))} distinct"
            raise broken_promise(entry, expected, f"{got}, first {indices[:5].tolist()}")
    indices = indices.astype(np.int64)
    tied, tied_kept = ties_at_cut(values, indices, eligible)
    kept = np.union1d(indices, np.flatnonzero(scored.arrays.get("extra", ())))
    drawn = "most of what is kept is drawn from equal scores" if 2 * tied_kept > len(kept) else ""
    record = {
        "n_keep": len(kept), "ties_at_cut": tied, "filled": int(selection.filled),
        "subset_digest": hashlib.blake2b(kept.astype("<i8").tobytes(), digest_size=16).hexdigest(),
        "diagnostics": scored.meta["diagnostics"], "caveat": "; ".join(filter(None, (scored.meta["caveat"], drawn))),
        "seconds_score": round(scored.meta["seconds"] + scored.meta["seconds_labels"], 3),
    }  # fmt: skip
    return {"indices": kept}, {"record": record}


def ties_at_cut(
    scores: NDArray[np.float64], indices: NDArray[np.int64], eligible: NDArray[np.bool_]
) -> tuple[int, int]:
    """Return how many samples share the lowest kept score and how many of these are kept; zeros where all are.  Samples
    that the scorer excluded have no score of their own and never count."""
    kept = eligible & np.isin(np.arange(len(scores)), indices)
    if not kept.any():
        return 0, 0
    tied = eligible & (scores == scores[kept].min())
    n_tied, n_kept = int(tied.sum()), int((tied & kept).sum())
    return (n_tied, n_kept) if n_kept < n_tied else (0, 0)
