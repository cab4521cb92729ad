"""A linear probe: multinomial logistic regression on standardised frozen features."""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression

from prunebench import DataError, NotApplicable, TrainContext, TrainResult
from prunebench_learners.classes import class_accuracy

_ROWS_AT_ONCE = 10_000

Array = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class LinearModel:
    """z = (x - mean) / std, probabilities softmax(z @ weight.T + bias) over all classes.

    mean, std: float64 [d].  weight: float64 [n_classes, d].  bias: float64 [n_classes], -inf for a class that
    the subset lacks.  iterations: of the solver, 0 for a constant model.
    """

    mean: Array
    std: Array
    weight: Array
    bias: Array
    iterations: int


def train(ctx: TrainContext) -> TrainResult:
    """Fit a linear classifier on `train_features` and report accuracy and cross-entropy on `test_features`.

    Features float [n, d] are standardised by the subset's own statistics.  A subset of one class predicts it.
    Probabilities are bounded away from 0 by the float64 epsilon, so that a missing class costs a finite loss.
    Deterministic: no seed enters.  `epochs` counts the iterations of L-BFGS.

    Raises DataError for features that are missing, empty or not finite; NotApplicable for training dynamics.
    Source: Alain and Bengio 2016, arXiv:1610.01644.
    """
    if ctx.record_dynamics:
        raise NotApplicable("a linear probe has no training dynamics", "record them with the `deepcore` learner")
    features = _checked(ctx.train_features, "training")
    test = _checked(ctx.test_features, "test")
    ctx.check_deadline()
    model = fit_linear(
        features,
        ctx.train_labels,
        ctx.n_classes,
        inverse_penalty=_number(ctx, "C"),
        tolerance=_number(ctx, "tolerance"),
        max_iter=int(_number(ctx, "max_iter")),
    )
    right, loss = score_linear(model, test, ctx.test_labels)
    accuracy = float(right.mean())
    ctx.progress(1.0, f"test accuracy {accuracy:.4f}")
    weights = {"mean": model.mean, "std": model.std, "weight": model.weight, "bias": model.bias}
    return TrainResult(
        accuracy=accuracy,
        accuracy_best=accuracy,
        loss=loss,
        epochs=model.iterations,
        accuracy_per_epoch=(accuracy,),
        class_accuracy=class_accuracy(right, ctx.test_labels, ctx.n_classes),
        weights=weights if ctx.keep_weights else None,
        batch_size_used=len(features),
    )


def _number(ctx: TrainContext, name: str) -> float:
    value = ctx.params[name]
    assert isinstance(value, int | float)
    return value


def _checked(features: NDArray[np.float32] | None, split: str) -> NDArray[np.float32]:
    if features is None or len(features) == 0:
        raise DataError(f"the {split} split has no features", "compute the features of the arch first")
    if not np.isfinite(features).all():
        raise DataError(f"the {split} features hold NaN or infinity", "look at the network that produced them")
    return features


def fit_linear(
    features: NDArray[np.float32],
    labels: NDArray[np.int64],
    n_classes: int,
    *,
    inverse_penalty: float,
    tolerance: float,
    max_iter: int,
) -> LinearModel:
    """Minimise the summed cross-entropy + ||weight||^2 / (2 C), the bias free, in float64.

    features: float [n, d].  labels: int64 [n].
    """
    values = np.asarray(features, dtype=np.float64)
    mean = values.mean(axis=0)
    std = np.where(np.ptp(values, axis=0) > 0, values.std(axis=0), 1.0)
    weight = np.zeros((n_classes, values.shape[1]))
    bias = np.full(n_classes, -np.inf)
    present = np.unique(labels)
    if len(present) == 1:
        bias[present] = 0.0
        return LinearModel(mean=mean, std=std, weight=weight, bias=bias, iterations=0)
    solved = _solve((values - mean) / std, labels, inverse_penalty, tolerance, max_iter)
    coefficients, intercept = solved.coef_, solved.intercept_
    if len(present) == 2:
        # Two classes have one row, the log odds of the second.
        coefficients, intercept = np.vstack([0 * coefficients, coefficients]), np.append(0.0, intercept)
    weight[present], bias[present] = coefficients, intercept
    return LinearModel(mean=mean, std=std, weight=weight, bias=bias, iterations=int(solved.n_iter_.max()))


def _solve(
    values: Array, labels: NDArray[np.int64], inverse_penalty: float, tolerance: float, max_iter: int
) -> LogisticRegression:
    """Run L-BFGS; short of convergence, go on from where it stopped at ten times the tolerance."""
    model = LogisticRegression(C=inverse_penalty, tol=tolerance, max_iter=max_iter, warm_start=True)
    with warnings.catch_warnings():
        # The loop below is the answer to the warning.
        warnings.simplefilter("ignore", ConvergenceWarning)
        model.fit(values, labels)
        while model.n_iter_.max() >= max_iter and model.tol < 1:
            model.set_params(tol=model.tol * 10)
            model.fit(values, labels)
    return model


def score_linear(
    model: LinearModel, features: NDArray[np.float32], labels: NDArray[np.int64]
) -> tuple[NDArray[np.bool_], float]:
    """Return which samples are predicted as labelled, bool [n], and the mean cross-entropy of features float [n, d]."""
    right, loss, floor = np.empty(len(labels), dtype=np.bool_), 0.0, float(np.finfo(np.float64).eps)
    for start in range(0, len(labels), _ROWS_AT_ONCE):
        truth = labels[start : start + _ROWS_AT_ONCE]
        values = (np.asarray(features[start : start + len(truth)], dtype=np.float64) - model.mean) / model.std
        logits = values @ model.weight.T + model.bias
        logits -= logits.max(axis=1, keepdims=True)
        exponentials = np.exp(logits)
        probability = exponentials[np.arange(len(truth)), truth] / exponentials.sum(axis=1)
        right[start : start + len(truth)] = logits.argmax(axis=1) == truth
        loss -= float(np.log(np.maximum(probability, floor)).sum())
    return right, loss / len(labels)
