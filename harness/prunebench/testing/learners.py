"""Promises of a learner: a subset to a trained model, last epoch first."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np

from prunebench.contexts import TrainResult
from prunebench.plugins import Entry
from prunebench.testing.problems import Problem, one_label, ordinary, take
from prunebench.testing.results import CheckFailed, DoesNotApply
from prunebench.testing.trial import Trial, call, context, run


def check_result_has_the_promised_form(entry: Entry[Any]) -> None:
    """A TrainResult with accuracies in [0, 1] (fractions, not percent) and a finite loss."""
    _valid(run(entry))


def check_an_easy_problem_is_learnt(entry: Entry[Any]) -> dict[str, Any]:
    """On well separated classes the test accuracy is above chance by a fifth."""
    problem = ordinary(240)
    accuracy = run(entry, Trial(problem=problem)).accuracy
    floor = 1 / problem.n_classes + 0.2
    if accuracy < floor:
        raise CheckFailed(f"accuracy {accuracy:.2f} on an easy problem, expected at least {floor:.2f}")
    return {"accuracy": round(accuracy, 3)}


def check_one_class_is_accepted(entry: Entry[Any]) -> None:
    """A subset of one class, which a bad method may choose, is trained on."""
    _trained(entry, one_label(ordinary()))


def check_few_samples_are_accepted(entry: Entry[Any]) -> None:
    """Subsets of one, two and three samples, which a small budget gives, are trained on."""
    for n in (1, 2, 3):
        _trained(entry, take(ordinary(12), np.arange(n)))


def check_weights_are_returned_when_asked_for(entry: Entry[Any]) -> None:
    """keep_weights gives arrays by name."""
    result = run(entry)
    if not result.weights or not all(isinstance(array, np.ndarray) for array in result.weights.values()):
        raise CheckFailed("keep_weights=True gave no arrays: a backbone cannot be trained with this learner")


def check_dynamics_have_the_promised_shape(entry: Entry[Any]) -> None:
    """record_dynamics gives float16 [epochs, n, classes] of probabilities, or NotApplicable."""
    with context(entry, Trial()) as ctx:
        result = call(entry, replace(ctx, record_dynamics=True))
        n, classes = len(ctx.train_labels), ctx.n_classes
    if result.dynamics is None:
        raise DoesNotApply("it records no dynamics")
    shape, dtype = result.dynamics.shape, result.dynamics.dtype
    if len(shape) != 3 or shape[1:] != (n, classes) or dtype != np.float16:
        raise CheckFailed(f"dynamics: expected float16 [epochs, {n}, {classes}], got {dtype} {list(shape)}")
    sums = result.dynamics.astype(np.float64).sum(axis=2)
    if not np.allclose(sums, 1, atol=0.02):
        raise CheckFailed(f"dynamics: probabilities of a sample sum to {sums.min():.2f} to {sums.max():.2f}")


def _trained(entry: Entry[Any], problem: Problem) -> None:
    _valid(run(entry, Trial(problem=problem)))


def _valid(result: Any) -> None:
    if not isinstance(result, TrainResult):
        raise CheckFailed(f"expected a TrainResult, got {type(result).__name__}")
    accuracies = (result.accuracy, result.accuracy_best, *result.accuracy_per_epoch)
    if not all(0 <= accuracy <= 1 for accuracy in accuracies):
        raise CheckFailed(f"accuracy {max(accuracies)} is not a fraction in [0, 1]")
    if not math.isfinite(result.loss):
        raise CheckFailed(f"loss {result.loss} is not finite")
