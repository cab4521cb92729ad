"""Promises about results: their form, also for odd problems, what they depend on, and what they prefer."""

import contextlib
import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from prunebench.contexts import Embedding, Scores, TrainResult
from prunebench.errors import Diverged, NotApplicable, PrunebenchError
from prunebench.plugins import Entry
from prunebench.stats import score_agreement
from prunebench.stats.score_agreement import average_ranks
from prunebench.testing.cases import Case, call, context, ordinary_run, run
from prunebench.testing.problems import Problem, odd_problems, ordinary, planted, renamed, take, with_nan
from prunebench.testing.results import CheckFailed, ensure, ensure_array, promise

Array = NDArray[Any]


@promise("scorer projector backbone learner", stage=6)
def check_result_has_the_promised_form(entry: Entry[Any]) -> None:
    """What comes back has the type, the shape and the data type that its kind promises, and no NaN or infinity."""
    accepts(entry, ordinary())


@promise("selector", stage=6)
def check_budget_is_met_exactly(entry: Entry[Any]) -> None:
    """Every budget, from one sample to all, gives that many distinct indices, in rising order."""
    for keep in ("0.001", "0.1", "0.3", "0.9", "1"):
        accepts(entry, ordinary(), keep)


@promise("scorer projector selector learner")
def check_odd_inputs_are_accepted(entry: Entry[Any]) -> str:
    """Equal samples, float16, one, small or empty classes and few samples are accepted, or end in NotApplicable."""
    declined = []
    for title, problem in odd_problems(getattr(entry.spec, "min_samples", 1)).items():
        try:
            for keep in ("0.05", "0.5", "0.95") if entry.spec.kind == "selector" else ("0.5",):
                accepts(entry, problem, keep)
        except (NotApplicable, Diverged):  # what a run records of such an input, too
            declined.append(title)
        except Exception as error:
            said = str(error) if isinstance(error, CheckFailed) else f"{type(error).__name__}: {error}"
            raise CheckFailed(f"{said} (where {title})") from error
    return f"declined where {', '.join(declined)}" if declined else ""


@promise("scorer projector")
def check_nan_is_refused(entry: Entry[Any]) -> None:
    """NaN in the evidence ends in a DataError that says so, or in finite numbers; not in a crash or in NaN."""
    with contextlib.suppress(PrunebenchError):
        accepts(entry, with_nan(ordinary()))


def accepts(entry: Entry[Any], problem: Problem, keep: str = "0.3") -> None:
    """Run the implementation on a problem; raises CheckFailed where the form of the result is not as promised."""
    with context(entry, Case(problem=problem, keep=keep)) as ctx:
        returned = call(entry, ctx)
        match entry.spec.kind:
            case "scorer":
                _ensure_scores(entry.spec.output, returned, ctx.n)
            case "projector":
                ensure_array("projection", returned, np.float32, problem.n, ctx.params.get("n_components", "any"))
            case "selector":
                _ensure_selection(getattr(returned, "indices", returned), ctx.n_keep, problem.n)
            case "backbone":
                ensure(isinstance(returned, Embedding), f"expected an Embedding, got {type(returned).__name__}")
                ensure_array("features", returned.features, np.float32, problem.n, "any")
                ensure_array("logits", returned.logits, np.float32, problem.n, problem.n_classes)
            case "learner":
                _ensure_training(returned)


def _ensure_scores(output: str, returned: Any, n: int) -> None:
    if output == "order" and not isinstance(returned, Scores):
        ensure_array("order", returned, np.int64, n)
        ensure(np.array_equal(np.sort(returned), np.arange(n)), f"order: expected each of 0..{n - 1} once")
        return
    given = returned if isinstance(returned, Scores) else Scores(values=returned)
    ensure_array("scores", given.values, np.float64, n)
    for title, dtype in (("excluded", np.bool_), ("refill", np.float64), ("extra", np.bool_)):
        if (part := getattr(given, title)) is not None:
            ensure_array(title, part, dtype, n)


def _ensure_selection(chosen: Any, n_keep: int, n: int) -> None:
    ensure_array("indices", chosen, np.int64, n_keep)
    is_rising = bool((np.diff(chosen) > 0).all()) and chosen.min() >= 0 and chosen.max() < n
    ensure(is_rising, f"expected {n_keep} distinct indices of samples, sorted: return np.sort(indices)")


def _ensure_training(returned: Any) -> None:
    ensure(isinstance(returned, TrainResult), f"expected a TrainResult, got {type(returned).__name__}")
    accuracies = (returned.accuracy, returned.accuracy_best, *returned.accuracy_per_epoch)
    outside = [accuracy for accuracy in accuracies if not 0 <= accuracy <= 1]
    ensure(not outside, f"accuracies {outside} are not fractions in [0, 1]")
    weights = (returned.weights or {}).values()
    is_kept = bool(weights) and all(isinstance(array, np.ndarray) for array in weights)
    ensure(is_kept, "keep_weights=True gave no arrays, so a backbone cannot be trained with this learner")
    ensure(math.isfinite(returned.loss), f"loss {returned.loss} is not finite")


@promise("scorer learner", stage=4)
def check_only_declared_evidence_is_read(entry: Entry[Any]) -> None:
    """What `needs` does not name is not read, such as a teacher, nor the budget without budget_dependent=True."""
    ordinary_run(entry)


@promise("scorer")
def check_budget_matters_where_it_is_declared(entry: Entry[Any]) -> None:
    """A budget-dependent scorer gives other scores for other budgets; else every budget scores anew for nothing."""
    if not entry.spec.budget_dependent:
        raise NotApplicable("budget_dependent=False")
    scored = [_values(entry, Case(keep=keep)) for keep in ("0.1", "0.4", "0.8")]
    differ = any(not np.array_equal(scored[0], other) for other in scored[1:])
    ensure(differ, "budgets of 0.1, 0.4 and 0.8 give the same scores: budget_dependent=True is wrong")


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
        raise NotApplicable("it sees no classes")
    problem = ordinary()
    _compare(entry, renamed(problem), np.arange(problem.n), "the classes are numbered differently")


@promise("scorer")
def check_direction_is_as_declared(entry: Entry[Any]) -> str:
    """Higher = keep first: on a planted set it prefers what `favours` says."""
    if not (favours := entry.spec.favours):
        raise NotApplicable("favours is not declared")
    problem, roles = planted()
    ranks = _mean_rank(entry, problem, range(3))
    groups = {role: float(ranks[roles == role].mean()) for role in ("easy", "hard", "noisy", "copy")}
    clean, is_copy = float(ranks[roles != "noisy"].mean()), roles == "copy"
    diverse, easy = float(is_copy.mean() - is_copy[ranks >= 0.7].mean()), groups["easy"] - groups["hard"]
    margin = {"easy": easy, "hard": -easy, "clean": clean - groups["noisy"], "diverse": diverse}[favours]
    listed = ", ".join(f"{role} {value:.2f}" for role, value in groups.items())
    ensure(margin > 0.02, f"favours = {favours!r}, but the mean ranks (1 = kept first) are: {listed}")
    return f"margin {margin:.3f}"


def _compare(entry: Entry[Any], after: Problem, order: Array, change: str) -> None:
    """Hold the ranks of an ordinary problem, in the order int [n], against those of the same samples in `after`."""

    def agreement(a: Array, b: Array) -> float:
        return score_agreement(a, b, np.zeros(len(a), dtype=np.int64)).pooled_spearman or 0.0

    # Where the seed matters, draws may fall on other samples, but not more so than from seed to seed.
    seeds, slack = (3, 0.3) if entry.spec.stochastic else (1, 0.01)
    plain, again = (_mean_rank(entry, ordinary(), range(first, first + seeds)) for first in (0, 3))
    found, ceiling = agreement(plain[order], _mean_rank(entry, after, range(seeds))), agreement(plain, again)
    if found < 0.5 and ceiling < 0.5:
        raise NotApplicable(f"the seed decides: scores of different seeds agree to {ceiling:.2f}")
    text = f"scores agree to {ceiling:.2f} from seed to seed, and to {found:.2f} when {change}"
    ensure(found >= ceiling - slack, text)


def _mean_rank(entry: Entry[Any], problem: Problem, seeds: range) -> Array:
    """Return ranks float64 [n] in 0..1, 1 = kept first, averaged over seeds; ties share the middle of their places."""
    ranks = [average_ranks(_values(entry, Case(problem=problem, seed=seed))) for seed in seeds]
    return np.asarray((np.mean(ranks, axis=0) - 1) / (problem.n - 1))


def _values(entry: Entry[Any], case: Case) -> Array:
    """Run a scorer, and return one value per sample, higher = keep first, whatever it gave; the excluded come last."""
    returned = run(entry, case)
    if isinstance(returned, Scores):
        values, excluded = returned.values, returned.excluded
        return values if excluded is None else np.where(excluded, values.min() - 1, values)
    return -np.argsort(returned) if entry.spec.output == "order" else np.asarray(returned)


@promise("projector")
def check_neighbours_stay_neighbours(entry: Entry[Any]) -> str:
    """Rows are those of the samples: the trustworthiness (Venna and Kaski 2001) of ten neighbours is above a floor."""
    from sklearn.manifold import trustworthiness

    problem, _ = planted()
    found = float(trustworthiness(problem.evidence["features"], run(entry, Case(problem=problem)), n_neighbors=10))
    # A random layout has about 0.5.
    ensure(found >= 0.8, f"trustworthiness {found:.2f}, expected at least 0.8: do rows keep their order?")
    return f"trustworthiness {found:.3f}"


@promise("selector")
def check_excluded_samples_come_last(entry: Entry[Any]) -> None:
    """Samples that the scorer excluded are not taken while every class has others."""
    with context(entry, Case()) as ctx:
        returned = call(entry, ctx)
    taken = int((~ctx.eligible[getattr(returned, "indices", returned)]).sum())
    ensure(not taken, f"{taken} excluded samples were taken although there were enough others")
