"""Promises of a selector: scores and a budget to exactly that many distinct indices."""

from __future__ import annotations

from typing import Any

import numpy as np

from prunebench.contexts import SelectContext, Selection
from prunebench.plugins import Entry
from prunebench.testing.problems import Problem, constant, one_label, ordinary, take
from prunebench.testing.results import CheckFailed
from prunebench.testing.trial import Trial, call, context


def check_budget_is_met_exactly(entry: Entry[Any]) -> None:
    """Every budget, from one sample to all, gives that many distinct indices."""
    for keep in ("0.001", "0.1", "0.3", "0.9", "1"):
        _exact(entry, Trial(keep=keep))


def check_indices_are_sorted(entry: Entry[Any]) -> None:
    """Indices rise, whatever the order of preference: equal subsets are then equal arrays."""
    with context(entry, Trial(keep="0.3")) as ctx:
        chosen = _indices(call(entry, ctx))
    if (np.diff(chosen) < 0).any():
        raise CheckFailed(f"expected sorted indices, got {chosen[:5].tolist()} first: return np.sort(indices)")


def check_budget_is_met_when_all_scores_are_equal(entry: Entry[Any]) -> None:
    """Ties are no reason for more or fewer samples."""
    _exact(entry, Trial(problem=constant(ordinary())))


def check_budget_is_met_for_one_class(entry: Entry[Any]) -> None:
    """One label, with and without other classes that have no sample."""
    _exact(entry, Trial(problem=ordinary(40, n_classes=1)))
    _exact(entry, Trial(problem=one_label(ordinary())))


def check_budget_is_met_for_few_samples(entry: Entry[Any]) -> None:
    """One to four samples, some of them alone in their class."""
    for n in (1, 2, 3, 4):
        _exact(entry, Trial(problem=take(ordinary(12), np.arange(n)), keep="0.5"))


def check_budget_is_met_for_unequal_classes(entry: Entry[Any]) -> None:
    """A class of two samples beside a class of seventy."""
    problem = ordinary(150)
    rows = [np.flatnonzero(problem.labels == label)[:size] for label, size in enumerate((2, 50, 10))]
    for keep in ("0.05", "0.5", "0.95"):
        _exact(entry, Trial(problem=take(problem, np.concatenate(rows)), keep=keep))


def check_excluded_samples_come_last(entry: Entry[Any]) -> None:
    """Samples that the scorer excluded are not taken while every class has others."""
    with context(entry, Trial(keep="0.3")) as ctx:
        chosen = _indices(call(entry, ctx))
        taken = int((~ctx.eligible[chosen]).sum())
    if taken:
        raise CheckFailed(f"{taken} excluded samples were taken although there were enough others")


def _exact(entry: Entry[Any], trial: Trial) -> None:
    problem: Problem = trial.problem
    with context(entry, trial) as ctx:
        assert isinstance(ctx, SelectContext)
        chosen = _indices(call(entry, ctx))
        budget = ctx.n_keep
    distinct = np.unique(chosen)
    fits = chosen.dtype.kind == "i" and len(chosen) == len(distinct) == budget
    if not fits or distinct[0] < 0 or distinct[-1] >= problem.n:
        raise CheckFailed(
            f"expected {budget} distinct indices in 0..{problem.n - 1}, got {chosen.dtype} {list(chosen.shape)}, "
            f"{len(distinct)} distinct"
        )


def _indices(returned: Any) -> Any:
    return np.asarray(returned.indices if isinstance(returned, Selection) else returned)
