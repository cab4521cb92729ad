"""The linear probe against scikit-learn and SciPy, and where its evidence is degenerate."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.special import log_softmax
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss

from learner_contexts import SPECS, feature_context, mixture
from prunebench import (
    DataError,
    NotApplicable,
)
from prunebench_learners import probe


def standardised(features: np.ndarray, by: np.ndarray) -> np.ndarray:
    return (features.astype(np.float64) - by.mean(axis=0, dtype=np.float64)) / by.std(axis=0, dtype=np.float64)


def test_the_probe_equals_logistic_regression_of_sklearn() -> None:
    (features, labels), (test, test_labels) = mixture(300, 5, 12, 0), mixture(200, 5, 12, 1)
    result = probe.train(feature_context(features, labels, test, test_labels))
    oracle = LogisticRegression(max_iter=5000).fit(standardised(features, features), labels)
    probabilities = oracle.predict_proba(standardised(test, features))
    assert result.accuracy == result.accuracy_best == (probabilities.argmax(axis=1) == test_labels).mean()
    assert result.loss == pytest.approx(log_loss(test_labels, probabilities), rel=1e-6)


def test_the_probe_minimises_the_penalised_cross_entropy() -> None:
    features, labels = mixture(120, 3, 4, 2)
    inputs, penalty = standardised(features, features), 0.3

    def objective(flat: np.ndarray) -> float:
        weight, bias = flat[:12].reshape(3, 4), flat[12:]
        fitted = log_softmax(inputs @ weight.T + bias, axis=1)[np.arange(120), labels]
        return float(-fitted.sum() + (weight**2).sum() / (2 * penalty))

    model = probe.fit_linear(features, labels, 3, inverse_penalty=penalty, tolerance=1e-8, max_iter=1000)
    best = minimize(objective, np.zeros(15), method="BFGS", options={"gtol": 1e-4})
    np.testing.assert_allclose(model.weight, best.x[:12].reshape(3, 4), atol=1e-3)
    assert objective(np.concatenate([model.weight.ravel(), model.bias])) <= best.fun + 1e-5


def test_two_classes_give_the_odds_of_sklearn() -> None:
    (features, labels), (test, test_labels) = mixture(150, 2, 6, 3), mixture(80, 2, 6, 4)
    result = probe.train(feature_context(features, labels, test, test_labels))
    oracle = LogisticRegression(max_iter=5000).fit(standardised(features, features), labels)
    expected = log_loss(test_labels, oracle.predict_proba(standardised(test, features)))
    assert result.loss == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("n", [1, 9])
def test_a_subset_of_one_class_predicts_it_at_a_finite_loss(n: int) -> None:
    features, _ = mixture(n, 4, 5, 5)
    test, test_labels = mixture(60, 4, 5, 6)
    result = probe.train(feature_context(features, np.full(n, 2), test, test_labels))
    share = (test_labels == 2).mean()
    assert result.accuracy == share
    assert result.loss == pytest.approx(-(1 - share) * np.log(np.finfo(np.float64).eps))
    assert result.epochs == 0


def test_a_class_missing_from_the_subset_is_never_predicted_and_costs_a_finite_loss() -> None:
    (features, labels), (test, test_labels) = mixture(200, 4, 5, 7), mixture(100, 4, 5, 8)
    kept = labels != 1
    ctx = feature_context(features[kept], labels[kept], test, test_labels, keep_weights=True)
    result = probe.train(ctx)
    assert result.weights is not None
    assert result.weights["weight"].shape == (4, 5)
    assert np.isneginf(result.weights["bias"][1])
    assert np.isfinite(result.loss)
    assert result.accuracy <= (test_labels != 1).mean()


@pytest.mark.parametrize("kind", ["constant", "duplicate", "collinear", "float16"])
def test_degenerate_features_do_not_stop_the_probe(kind: str) -> None:
    features, labels = mixture(40, 3, 4, 9)
    changed = {
        "constant": np.full_like(features, 0.1),
        "duplicate": np.repeat(features[:1], 40, axis=0),
        "collinear": features[:, [0, 0, 0]],
        "float16": features.astype(np.float16),
    }[kind]
    result = probe.train(feature_context(changed, labels, changed, labels))
    assert np.isfinite(result.loss)
    assert result.accuracy >= np.bincount(labels).max() / 40 - 1e-12


def test_the_probe_is_deterministic_and_leaves_its_inputs() -> None:
    features, labels = mixture(100, 3, 8, 10)
    before = features.copy()
    features.flags.writeable = labels.flags.writeable = False
    first, second = (
        probe.train(feature_context(features, labels, features, labels, seed=seed, keep_weights=True))
        for seed in (0, 1)
    )
    assert first.weights is not None
    assert second.weights is not None
    assert first.weights["weight"].tobytes() == second.weights["weight"].tobytes()
    np.testing.assert_array_equal(features, before)


def test_too_few_iterations_raise_the_tolerance_and_do_not_warn() -> None:
    (features, labels), (test, test_labels) = mixture(200, 5, 10, 11), mixture(100, 5, 10, 12)
    params = {"max_iter": 2, "tolerance": 1e-9}
    hurried = probe.train(feature_context(features, labels, test, test_labels, params=params))
    patient = probe.train(feature_context(features, labels, test, test_labels))
    assert hurried.accuracy == pytest.approx(patient.accuracy, abs=0.1)


def test_the_batches_of_the_probe_do_not_change_its_score(monkeypatch: pytest.MonkeyPatch) -> None:
    features, labels = mixture(50, 3, 4, 13)
    model = probe.fit_linear(features, labels, 3, inverse_penalty=1.0, tolerance=1e-4, max_iter=100)
    right, loss = probe.score_linear(model, features, labels)
    monkeypatch.setattr(probe, "_ROWS_AT_ONCE", 7)
    again = probe.score_linear(model, features, labels)
    assert np.array_equal(again[0], right)
    assert again[1] == pytest.approx(loss)


def test_features_that_are_missing_or_not_finite_are_refused() -> None:
    features, labels = mixture(30, 3, 4, 14)
    broken = features.copy()
    broken[3, 1] = np.nan
    with pytest.raises(DataError, match="NaN"):
        probe.train(feature_context(broken, labels, features, labels))
    with pytest.raises(DataError, match="no features"):
        probe.train(feature_context(features[:0], labels, features, labels))
    with pytest.raises(NotApplicable, match="dynamics"):
        probe.train(feature_context(features, labels, features, labels, record_dynamics=True))


def test_no_seed_enters_the_probe() -> None:
    features, labels = mixture(80, 4, 5, 3)
    test, test_labels = mixture(60, 4, 5, 4)
    assert not SPECS["probe"].stochastic
    results = [
        probe.train(feature_context(features, labels, test, test_labels, seed=seed, keep_weights=True))
        for seed in range(3)
    ]
    for result in results[1:]:
        assert (result.accuracy, result.loss) == (results[0].accuracy, results[0].loss)
        assert result.weights is not None
        assert results[0].weights is not None
        assert all(np.array_equal(result.weights[name], values) for name, values in results[0].weights.items())


def test_the_probe_reports_the_accuracy_of_each_class() -> None:
    features, labels = mixture(80, 4, 5, 3)
    test, test_labels = mixture(60, 3, 5, 4)  # no test sample of the last class
    result = probe.train(feature_context(features, labels, test, test_labels, n_classes=4))
    assert result.class_accuracy[3] is None
    shares = [float(share) for share in result.class_accuracy[:3] if share is not None]
    sizes = np.bincount(test_labels, minlength=3)
    assert shares @ sizes / 60 == pytest.approx(result.accuracy)
    assert all(share * size == pytest.approx(round(share * size)) for share, size in zip(shares, sizes, strict=True))
