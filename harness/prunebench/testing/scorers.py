"""Promises of a scorer alone: see ScorerSpec, ScoreContext and Scores."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from prunebench.contexts import Scores
from prunebench.errors import PluginContractError
from prunebench.labelling import label_problem
from prunebench.plugins import Entry
from prunebench.records import jsonable
from prunebench.stats import score_agreement
from prunebench.testing.cases import Case, as_scores, context, label_context, ordinary_run, run
from prunebench.testing.problems import Problem, ordinary, planted, renamed, take
from prunebench.testing.promises import promise
from prunebench.testing.results import CheckFailed, DoesNotApply

Array = NDArray[Any]


@promise("scorer", stage=5)
def check_only_declared_evidence_is_read(entry: Entry[Any]) -> None:
    """What `needs` does not name is not read, nor the budget without budget_dependent=True."""
    try:
        ordinary_run(entry)
    except PluginContractError as error:
        raise CheckFailed(f"{error.message}: {error.hint}") from error


@promise("scorer", stage=2, is_optional=True)
def check_pseudo_labels_have_the_promised_form(entry: Entry[Any]) -> None:
    """A labeller returns int64 [n] in 0..n-1, and reads neither pseudo-labels nor training dynamics."""
    if not entry.spec.labeller:
        raise DoesNotApply("it has no labeller")
    with context(entry, Case()) as ctx:
        came = label_problem(entry.load_labeller()(label_context(entry, ctx)), ctx.n)
    if came:
        raise CheckFailed(f"expected pseudo-labels int64 [{ctx.n}] in 0..{ctx.n - 1}, got {came}")


@promise("scorer")
def check_diagnostics_can_be_stored(entry: Entry[Any]) -> None:
    """Every value of Scores.diagnostics is a number, a text, true, false or None."""
    returned = ordinary_run(entry)
    if not isinstance(returned, Scores):
        raise DoesNotApply("it returns a plain array")
    try:
        for name, value in returned.diagnostics.items():
            jsonable(value, f"diagnostics[{name!r}]")
    except TypeError as error:
        raise CheckFailed(str(error)) from error


@promise("scorer")
def check_budget_matters_where_it_is_declared(entry: Entry[Any]) -> None:
    """A budget-dependent scorer gives other scores for other budgets; else every budget scores anew for nothing."""
    if not entry.spec.budget_dependent:
        raise DoesNotApply("budget_dependent=False")
    scored = [as_scores(entry, run(entry, Case(keep=keep))) for keep in ("0.1", "0.4", "0.8")]
    if all(np.array_equal(scored[0], other) for other in scored[1:]):
        raise CheckFailed("budgets of 0.1, 0.4 and 0.8 give the same scores: budget_dependent=True is wrong")


@promise("scorer")
def check_row_order_does_not_matter(entry: Entry[Any]) -> None:
    """Scores belong to samples, not to their positions: in another order and sorted by class they are the same."""
    problem = ordinary()
    shuffled, by_class = np.random.default_rng(3).permutation(problem.n), np.argsort(problem.labels, kind="stable")
    for order, change in ((shuffled, "the samples come in another order"), (by_class, "the file is sorted by class")):
        _compare(entry, take(problem, order), order, change)


@promise("scorer")
def check_names_of_labels_do_not_matter(entry: Entry[Any]) -> None:
    """Numbering the classes differently changes no score."""
    if not entry.spec.needs & {"labels", "logits", "dynamics", "gradients"}:
        raise DoesNotApply("it sees no classes")
    problem = ordinary()
    _compare(entry, renamed(problem), np.arange(problem.n), "the classes are numbered differently")


@promise("scorer")
def check_direction_is_as_declared(entry: Entry[Any]) -> Mapping[str, Any]:
    """Higher = keep first: on a planted set it prefers what `favours` says."""
    if not (favours := entry.spec.favours):
        raise DoesNotApply("favours is not declared")
    problem = planted()
    ranks = _mean_rank(entry, problem, range(3))
    groups = {role: float(ranks[problem.roles == role].mean()) for role in ("easy", "hard", "noisy", "copy")}
    clean, is_copy = float(ranks[problem.roles != "noisy"].mean()), problem.roles == "copy"
    margin = {
        "easy": groups["easy"] - groups["hard"],
        "hard": groups["hard"] - groups["easy"],
        "clean": clean - groups["noisy"],
        "diverse": float(is_copy.mean() - is_copy[ranks >= 0.7].mean()),
    }[favours]
    if margin <= 0.02:
        listed = ", ".join(f"{role} {value:.2f}" for role, value in groups.items())
        raise CheckFailed(f"favours = {favours!r}, but the mean ranks (1 = kept first) are: {listed}")
    return {**{f"mean_rank_{role}": round(value, 3) for role, value in groups.items()}, "margin": round(margin, 3)}


def _compare(entry: Entry[Any], after: Problem, order: Array, change: str) -> None:
    """Hold the scores of an ordinary problem, in the order int [n], against those of the same samples in `after`."""
    if entry.spec.stochastic:
        _compare_on_average(entry, after, order, change)
        return
    plain = as_scores(entry, ordinary_run(entry))
    if not np.array_equal(plain, as_scores(entry, run(entry, Case(seed=1)))):
        raise DoesNotApply("the seed matters, whatever was declared")
    # Up to rounding; a greedy order may swap neighbours.
    tolerance = 2.0 if entry.spec.output == "order" else 1e-4 * float(np.ptp(plain)) + 1e-12
    moved = np.abs(plain[order] - as_scores(entry, run(entry, Case(problem=after)))) > tolerance
    if moved.mean() > 0.02:
        raise CheckFailed(f"{int(moved.sum())} of {len(plain)} scores change when {change}")


def _compare_on_average(entry: Entry[Any], after: Problem, order: Array, change: str) -> None:
    """Compare mean ranks over seeds: draws may fall on other samples, but not more so than from seed to seed."""

    def agreement(a: Array, b: Array) -> float:
        return score_agreement(a, b, np.zeros(len(a), dtype=np.int64)).pooled_spearman or 0.0

    plain, again = (_mean_rank(entry, ordinary(), seeds) for seeds in (range(3), range(3, 6)))
    found, ceiling = agreement(plain[order], _mean_rank(entry, after, range(3))), agreement(plain, again)
    if found < 0.5 and ceiling < 0.5:
        raise DoesNotApply(f"the seed decides: three seeds and three others agree to {ceiling:.2f}")
    if found < ceiling - 0.3:
        raise CheckFailed(f"scores agree to {ceiling:.2f} from seed to seed, and to {found:.2f} when {change}")


def _mean_rank(entry: Entry[Any], problem: Problem, seeds: range) -> Array:
    """Return ranks float64 [n] in 0..1, 1 = kept first, averaged over seeds; ties share the middle of their places."""
    ranks = np.zeros(problem.n)
    for seed in seeds:
        returned = run(entry, Case(problem=problem, seed=seed))
        values = as_scores(entry, returned)
        if isinstance(returned, Scores) and returned.excluded is not None:
            values = np.where(returned.excluded, values.min() - 1, values)
        below, above = (np.searchsorted(np.sort(values), values, side=side) for side in ("left", "right"))
        ranks += (below + above - 1) / 2 / max(1, len(values) - 1) / len(seeds)
    return ranks
