"""Promises of a scorer: see ScorerSpec, ScoreContext and Scores."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from prunebench.contexts import Scores
from prunebench.errors import NotApplicable, PluginContractError, PrunebenchError
from prunebench.labelling import label_problem
from prunebench.plugins import Entry
from prunebench.stats import score_agreement
from prunebench.testing.problems import (
    FLOATS,
    Problem,
    collinear,
    constant,
    duplicated,
    half_precision,
    one_label,
    ordinary,
    planted,
    renamed,
    small_classes,
    take,
    with_nan,
)
from prunebench.testing.results import CheckFailed, DoesNotApply
from prunebench.testing.trial import Trial, as_scores, context, label_context, run

Array = NDArray[Any]


def check_only_declared_evidence_is_read(entry: Entry[Any]) -> None:
    """What `needs` does not name is not read, nor the budget without budget_dependent=True."""
    try:
        run(entry)
    except PluginContractError as error:
        raise CheckFailed(f"{error.message}: {error.hint}") from error


def check_pseudo_labels_have_the_promised_shape_and_type(entry: Entry[Any]) -> None:
    """A labeller returns int64 [n] in 0..n-1, and reads neither pseudo-labels nor training dynamics."""
    if not entry.spec.labeller:
        raise DoesNotApply("it has no labeller")
    with context(entry, Trial()) as ctx:
        came = label_problem(entry.load_labeller()(label_context(entry, ctx)), ctx.n)
    if came:
        raise CheckFailed(f"expected pseudo-labels int64 [{ctx.n}] in 0..{ctx.n - 1}, got {came}")


def check_scores_have_the_promised_shape_and_type(entry: Entry[Any]) -> None:
    """Scores are float64 [n]; an order is a permutation int64 [n]; masks and refill have n entries."""
    trial = Trial()
    if problem := _misfit(entry, run(entry, trial), trial.problem.n):
        raise CheckFailed(problem)


def check_scores_are_finite(entry: Entry[Any]) -> None:
    """No score is NaN or infinite."""
    _finite(run(entry), entry)


def check_diagnostics_can_be_stored(entry: Entry[Any]) -> None:
    """Scores.diagnostics is JSON-able."""
    returned = run(entry)
    if not isinstance(returned, Scores):
        raise DoesNotApply("it returns a plain array")
    try:
        json.dumps(dict(returned.diagnostics), allow_nan=False)
    except (TypeError, ValueError) as error:
        raise CheckFailed(f"diagnostics cannot be written as JSON: {error}") from error


def check_budget_matters_where_it_is_declared(entry: Entry[Any]) -> None:
    """A budget-dependent scorer gives other scores for other budgets; else every budget scores anew for nothing."""
    if not entry.spec.budget_dependent:
        raise DoesNotApply("budget_dependent=False")
    scored = [as_scores(entry, run(entry, Trial(keep=keep))) for keep in ("0.1", "0.4", "0.8")]
    if all(np.array_equal(scored[0], other) for other in scored[1:]):
        raise CheckFailed("budgets of 0.1, 0.4 and 0.8 give the same scores: budget_dependent=True is wrong")


def check_row_order_does_not_matter(entry: Entry[Any]) -> None:
    """Scores belong to samples, not to their positions: in another order and sorted by class they are the same."""
    problem = ordinary()
    shuffled, by_class = np.random.default_rng(3).permutation(problem.n), np.argsort(problem.labels, kind="stable")
    for order, change in ((shuffled, "the samples come in another order"), (by_class, "the file is sorted by class")):
        _compare(entry, problem, take(problem, order), order, change)


def check_names_of_labels_do_not_matter(entry: Entry[Any]) -> None:
    """Numbering the classes differently changes no score."""
    if not entry.spec.needs & {"labels", "logits", "dynamics", "gradients"}:
        raise DoesNotApply("it sees no classes")
    problem = ordinary()
    _compare(entry, problem, renamed(problem), np.arange(problem.n), "the classes are numbered differently")


def check_scores_are_finite_for_duplicates(entry: Entry[Any]) -> None:
    """A set in which every sample occurs twice is scored."""
    _valid(entry, duplicated(ordinary()))


def check_scores_are_finite_for_constant_features(entry: Entry[Any]) -> None:
    """A set in which all samples look the same is scored."""
    _valid(entry, constant(ordinary()))


def check_scores_are_finite_for_one_class(entry: Entry[Any]) -> None:
    """A set with one label is scored: with one class, and with other classes that have no sample."""
    _valid(entry, ordinary(40, n_classes=1))
    _valid(entry, one_label(ordinary()))


def check_scores_are_finite_for_small_classes(entry: Entry[Any]) -> None:
    """Classes of one, two and three samples beside a larger one are scored."""
    _valid(entry, small_classes())


def check_scores_are_finite_for_collinear_features(entry: Entry[Any]) -> None:
    """Features of which all are multiples of one another are scored."""
    _valid(entry, collinear(ordinary()))


def check_scores_are_finite_for_half_precision(entry: Entry[Any]) -> None:
    """Evidence in float16, as large data sets are stored, is accepted."""
    if not entry.spec.needs & set(FLOATS):
        raise DoesNotApply("it reads no floating-point evidence")
    _valid(entry, half_precision(ordinary()))


def check_few_samples_are_scored_or_declined(entry: Entry[Any]) -> Mapping[str, Any] | None:
    """From `min_samples` on, one to four samples are scored, or declined with NotApplicable."""
    sizes = [n for n in (1, 2, 3, 4) if n >= entry.spec.min_samples] or [entry.spec.min_samples]
    declined = []
    for n in sizes:
        try:
            _valid(entry, take(ordinary(max(12, n)), np.arange(n)))
        except NotApplicable:
            declined.append(n)
    return {"declined": declined} if declined else None


def check_nan_is_refused_or_survived(entry: Entry[Any]) -> None:
    """NaN in the evidence ends in a PrunebenchError that says so, or in finite scores; not in a crash or in NaN."""
    if not entry.spec.needs & set(FLOATS):
        raise DoesNotApply("it reads no floating-point evidence")
    try:
        _finite(run(entry, Trial(problem=with_nan(ordinary()))), entry)
    except PluginContractError:
        raise
    except PrunebenchError:
        return
    except CheckFailed:
        raise CheckFailed("NaN in the evidence gives scores that are not finite: raise DataError") from None
    except Exception as error:
        raise CheckFailed(
            f"NaN in the evidence gives {type(error).__name__}: {error}; raise DataError with the number of bad rows"
        ) from error


def check_direction_is_as_declared(entry: Entry[Any]) -> Mapping[str, Any]:
    """Higher = keep first: on a planted set it prefers what `favours` says."""
    if not (favours := entry.spec.favours):
        raise DoesNotApply("favours is not declared")
    problem = planted()
    ranks = np.mean([_rank(entry, Trial(problem=problem, seed=seed)) for seed in range(3)], axis=0)
    groups = {role: float(ranks[problem.roles == role].mean()) for role in ("easy", "hard", "noisy", "copy")}
    clean = float(ranks[problem.roles != "noisy"].mean())
    kept_copies = float((problem.roles == "copy")[ranks >= 0.7].mean())
    margin = {
        "easy": groups["easy"] - groups["hard"],
        "hard": groups["hard"] - groups["easy"],
        "clean": clean - groups["noisy"],
        "diverse": float((problem.roles == "copy").mean()) - kept_copies,
    }[favours]
    facts = {**{f"mean_rank_{role}": round(value, 3) for role, value in groups.items()}, "margin": round(margin, 3)}
    if margin <= 0.02:
        listed = ", ".join(f"{role} {value:.2f}" for role, value in groups.items())
        raise CheckFailed(f"favours = {favours!r}, but the mean ranks (1 = kept first) are: {listed}")
    return facts


def _rank(entry: Entry[Any], trial: Trial) -> Array:
    returned = run(entry, trial)
    values = as_scores(entry, returned)
    if isinstance(returned, Scores) and returned.excluded is not None:
        values = np.where(returned.excluded, values.min() - 1, values)
    # Ties share the middle of their places.
    below = np.searchsorted(np.sort(values), values, side="left")
    above = np.searchsorted(np.sort(values), values, side="right")
    ranks: Array = (below + above - 1) / 2 / max(1, len(values) - 1)
    return ranks


def _valid(entry: Entry[Any], problem: Problem) -> None:
    trial = Trial(problem=problem)
    returned = run(entry, trial)
    if misfit := _misfit(entry, returned, problem.n):
        raise CheckFailed(misfit)
    _finite(returned, entry)


def _misfit(entry: Entry[Any], returned: Any, n: int) -> str:
    """Return what is wrong with the form of a result, or an empty string."""
    is_order = entry.spec.output == "order" and not isinstance(returned, Scores)
    values = returned.values if isinstance(returned, Scores) else returned
    if not isinstance(values, np.ndarray):
        return f"expected an array or Scores, got {type(values).__name__}"
    wanted = np.dtype(np.int64 if is_order else np.float64)
    if values.dtype != wanted or values.shape != (n,):
        return f"expected {wanted} [{n}], got {values.dtype} {list(values.shape)}"
    if is_order and not np.array_equal(np.sort(values), np.arange(n)):
        return f"expected an order, each of 0..{n - 1} once; {len(np.unique(values))} distinct came"
    if isinstance(returned, Scores):
        for title, extra, kind in (("excluded", returned.excluded, "b"), ("refill", returned.refill, "f")):
            if extra is not None and (np.shape(extra) != (n,) or np.asarray(extra).dtype.kind != kind):
                return f"{title}: expected [{n}] of kind {kind!r}, got {np.asarray(extra).dtype} {np.shape(extra)}"
    return ""


def _finite(returned: Any, entry: Entry[Any]) -> None:
    values = as_scores(entry, returned)
    if bad := int((~np.isfinite(values)).sum()):
        raise CheckFailed(f"{bad} of {len(values)} scores are not finite")


def _compare(entry: Entry[Any], before: Problem, after: Problem, order: Array, change: str) -> None:
    """Hold the scores of `before` in the order int [n] against those of `after`."""
    if entry.spec.stochastic:
        _same_on_average(entry, before, after, order, change)
        return
    if not np.array_equal(as_scores(entry, run(entry)), as_scores(entry, run(entry, Trial(seed=1)))):
        raise DoesNotApply("the seed matters, whatever was declared")
    plain, other = (as_scores(entry, run(entry, Trial(problem=problem))) for problem in (before, after))
    _same(entry, plain[order], other, change)


def _same_on_average(entry: Entry[Any], before: Problem, after: Problem, order: Array, change: str) -> None:
    """Compare mean ranks over seeds: draws may fall on other samples, but not more so than from seed to seed."""

    def mean_rank(problem: Problem, seeds: range) -> Array:
        ranks: Array = np.mean([_rank(entry, Trial(problem=problem, seed=seed)) for seed in seeds], axis=0)
        return ranks

    def agreement(a: Array, b: Array) -> float:
        return score_agreement(a, b, np.zeros(len(a), dtype=np.int64)).pooled_spearman or 0.0

    plain, again = mean_rank(before, range(3)), mean_rank(before, range(3, 6))
    found, ceiling = agreement(plain[order], mean_rank(after, range(3))), agreement(plain, again)
    if found < 0.5 and ceiling < 0.5:
        raise DoesNotApply(f"the seed decides: three seeds and three others agree to {ceiling:.2f}")
    if found < ceiling - 0.3:
        raise CheckFailed(f"scores agree to {ceiling:.2f} from seed to seed, and to {found:.2f} when {change}")


def _same(entry: Entry[Any], a: Array, b: Array, change: str) -> None:
    """Compare up to rounding; a greedy order may swap neighbours."""
    tolerance = 2.0 if entry.spec.output == "order" else 1e-4 * float(np.ptp(a)) + 1e-12
    moved = np.abs(a - b) > tolerance
    if moved.mean() > 0.02:
        raise CheckFailed(f"{int(moved.sum())} of {len(a)} scores change when {change}")
