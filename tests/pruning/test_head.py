"""The cross-fitted head against scikit-learn's discriminant analysis, and what a fold may not see."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.special import log_softmax, softmax
from sklearn.covariance import oas
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

from prunebench.errors import DataError
from prunebench.pruning import head
from prunebench.pruning.head import cross_fitted_logits, digests, fold_of, oracle_approximating

Array = NDArray[Any]


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(head, "_BLOCK_VALUES", 1000)


def classes(n: int, n_classes: int, d: int = 12, seed: int = 0) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Return correlated Gaussian classes of unequal sizes."""
    generator = np.random.default_rng(seed)
    labels = (
        np.sort(generator.integers(0, n_classes, n) * generator.integers(0, 2, n)) if n_classes > 1 else np.zeros(n)
    )
    labels[:n_classes] = np.arange(n_classes)
    mix = generator.normal(size=(d, d)) / np.sqrt(d)
    rows = generator.normal(size=(n, d)) @ mix + 0.7 * generator.normal(size=(n_classes, d))[labels.astype(np.int64)]
    return rows.astype(np.float32), labels.astype(np.int64)


def by_scikit_learn(rows: Array, labels: Array, folds: Array, shrinkage: float) -> Array:
    """Return the log posteriors of each sample by a discriminant analysis of the other folds."""
    answers = np.empty((len(rows), int(labels.max()) + 1))
    for fold in range(int(folds.max()) + 1):
        own = folds == fold
        model = LinearDiscriminantAnalysis(solver="lsqr", shrinkage=shrinkage)
        answers[own] = model.fit(rows[~own].astype(np.float64), labels[~own]).predict_log_proba(rows[own])
    return answers


@pytest.mark.parametrize("shrinkage", [0.0, 0.1, 0.7])
@pytest.mark.parametrize(("n_classes", "offset"), [(2, 0.0), (5, 0.0), (5, 1000.0)])
def test_the_logits_are_the_log_posteriors_of_scikit_learn(n_classes: int, offset: float, shrinkage: float) -> None:
    rows, labels = classes(400, n_classes)
    rows, labels = np.concatenate([rows, rows[:60] * 0.9]) + np.float32(offset), np.append(labels, labels[:60])
    labels[-40:] = np.resize(np.arange(n_classes), 40)
    found = cross_fitted_logits(rows, labels, n_classes, shrinkage=shrinkage, calibrate=False)
    truth = by_scikit_learn(rows, labels, found.folds, shrinkage)
    np.testing.assert_allclose(found.logits, truth, atol=1e-4, rtol=1e-4)
    assert found.accuracy == pytest.approx((truth.argmax(axis=1) == labels).mean())
    assert found.log_loss == pytest.approx(-truth[np.arange(len(labels)), labels].mean(), abs=1e-4)
    assert found.shrinkage.tolist() == [shrinkage] * 5


@pytest.mark.parametrize(("n", "d"), [(20, 40), (300, 6), (50, 2)])
def test_the_shrinkage_is_that_of_scikit_learn(n: int, d: int) -> None:
    rows = np.random.default_rng(n).normal(size=(n, d)) * np.linspace(0.2, 3, d)
    assert oracle_approximating(rows.T @ rows / n, n) == pytest.approx(oas(rows, assume_centered=True)[1])


@pytest.mark.parametrize("factor", [2.0**62, 2.0**-70])
def test_a_factor_does_not_change_the_logits(factor: float) -> None:
    rows, labels = classes(200, 4)
    ids = [str(i) for i in range(200)]
    both = rows, (rows * factor).astype(np.float32)
    plain, scaled = (cross_fitted_logits(x, labels, 4, ids=ids).logits for x in both)
    assert (plain == scaled).all()


def test_values_near_both_ends_of_single_precision_are_judged() -> None:
    rows, labels = classes(200, 4)
    for factor in (1e37, 1e-44):
        assert np.isfinite(cross_fitted_logits((rows.astype(np.float64) * factor), labels, 4).logits).all()


def test_no_sample_is_judged_by_a_head_that_saw_it() -> None:
    rows, labels = classes(300, 3)
    ids = [str(i) for i in range(300)]
    plain = cross_fitted_logits(rows, labels, 3, ids=ids, calibrate=False)
    changed = rows.copy()
    changed[150] += 5
    other = cross_fitted_logits(changed, labels, 3, ids=ids, calibrate=False)
    same = (plain.folds == plain.folds[150]) & (np.arange(300) != 150)
    np.testing.assert_allclose(other.logits[same], plain.logits[same], rtol=1e-4, atol=1e-4)
    rest = plain.folds != plain.folds[150]
    assert (np.abs(other.logits[rest] - plain.logits[rest]).max(axis=1) > 1e-3).mean() > 0.9


def test_labels_drawn_at_random_are_not_predicted_although_a_head_could_learn_them_by_heart() -> None:
    rows = np.random.default_rng(0).normal(size=(120, 200)).astype(np.float32)
    labels = np.random.default_rng(1).integers(0, 2, 120)
    assert LinearDiscriminantAnalysis(solver="lsqr", shrinkage=0.1).fit(rows, labels).score(rows, labels) == 1
    found = cross_fitted_logits(rows, labels, 2, shrinkage=0.1)
    assert 0.3 < found.accuracy < 0.7
    assert found.temperature > 1
    assert found.log_loss < 0.75


@given(st.lists(st.integers(-1, 4), min_size=2, max_size=80), st.integers(2, 7), st.integers(0, 99))
def test_folds_are_even_within_classes_and_over_all_and_follow_the_ids(
    given_labels: Any, folds: int, seed: int
) -> None:
    labels = np.array(given_labels)
    ids = [f"picture {i}" for i in range(len(labels))]
    rows = np.zeros((len(labels), 1), np.float32)
    assigned = fold_of(digests(rows, ids, seed), labels, folds)
    for label in (None, *set(labels.tolist())):
        counts = np.bincount(assigned[labels == label if label is not None else slice(None)], minlength=folds)
        assert counts.max() - counts.min() <= 1
    shuffle = np.random.default_rng(seed).permutation(len(labels))
    again = fold_of(digests(rows, [ids[i] for i in shuffle], seed), labels[shuffle], folds)
    assert (again == assigned[shuffle]).all()


@pytest.mark.parametrize("named", [True, False])
def test_the_order_of_the_file_and_the_number_of_threads_do_not_matter(named: bool) -> None:
    rows, labels = classes(300, 4)
    ids, shuffle = [f"é{i}\udcff" for i in range(300)], np.random.default_rng(7).permutation(300)
    plain = cross_fitted_logits(rows, labels, 4, ids=ids if named else None, workers=1)
    assert (plain.logits == cross_fitted_logits(rows, labels, 4, ids=ids if named else None, workers=2).logits).all()
    names = [ids[i] for i in shuffle] if named else None
    other = cross_fitted_logits(rows[shuffle], labels[shuffle], 4, ids=names)
    assert (other.folds == plain.folds[shuffle]).all()
    np.testing.assert_allclose(other.logits, plain.logits[shuffle], rtol=5e-3, atol=5e-3)


def test_one_temperature_makes_the_log_loss_least() -> None:
    rows, labels = classes(200, 4, d=60)
    rows += np.random.default_rng(9).normal(size=rows.shape).astype(np.float32) * 2
    plain = cross_fitted_logits(rows, labels, 4, shrinkage=0.05, calibrate=False)
    found = cross_fitted_logits(rows, labels, 4, shrinkage=0.05)
    again = log_softmax(plain.logits / found.temperature, axis=1)
    np.testing.assert_allclose(found.logits, again, rtol=1e-4, atol=1e-4)

    def loss(temperature: float) -> float:
        return float(-log_softmax(plain.logits / temperature, axis=1)[np.arange(200), labels].mean())

    assert found.log_loss == pytest.approx(loss(found.temperature), rel=1e-4)
    assert all(loss(found.temperature) <= loss(other) + 1e-6 for other in np.geomspace(1, 20, 60))
    assert found.log_loss < plain.log_loss


def test_posteriors_are_calibrated_where_the_classes_are_gaussian() -> None:
    generator = np.random.default_rng(0)
    labels = generator.integers(0, 3, 6000)
    rows = (generator.normal(size=(3, 5))[labels] + generator.normal(size=(6000, 5))).astype(np.float32)
    judged = cross_fitted_logits(rows, labels, 3)
    posterior = softmax(judged.logits, axis=1)
    for low in (0.4, 0.6, 0.8):
        band = (posterior.max(axis=1) >= low) & (posterior.max(axis=1) < low + 0.2)
        right = (posterior.argmax(axis=1) == labels)[band]
        assert right.mean() == pytest.approx(posterior.max(axis=1)[band].mean(), abs=0.05)
    assert judged.temperature == pytest.approx(1, abs=0.1)


def test_logits_are_written_to_a_file_where_one_is_named(tmp_path: Any) -> None:
    rows, labels = classes(300, 4)
    mapped = np.lib.format.open_memmap(tmp_path / "logits.npy", "w+", np.float32, (len(rows), 4))
    found = cross_fitted_logits(rows, labels, 4, out=mapped)
    assert isinstance(found.logits, np.memmap)
    plain = cross_fitted_logits(rows, labels, 4)
    assert (np.load(tmp_path / "logits.npy") == plain.logits).all()


def test_samples_without_a_label_are_judged_and_fit_nothing() -> None:
    rows, labels = classes(300, 3)
    ids = [str(i) for i in range(340)]
    found = cross_fitted_logits(np.append(rows, 50 + rows[:40], axis=0), np.append(labels, [-1] * 40), 3, ids=ids)
    assert np.isfinite(found.logits).all()
    assert found.accuracy == pytest.approx(cross_fitted_logits(rows, labels, 3, ids=ids[:300]).accuracy, abs=0.03)


def test_classes_of_one_sample_empty_classes_and_equal_rows_give_finite_logits() -> None:
    rows, labels = classes(60, 4)
    labels[labels == 3] = 2
    labels[0] = 3
    found = cross_fitted_logits(rows, labels, 6)
    assert np.isfinite(found.logits).all()
    assert found.logits[0].argmax() != 3  # the only sample of its class is judged by a head that saw none
    assert (found.logits.argmax(axis=1) < 4).all()
    singles = cross_fitted_logits(rows[:5], np.arange(5), 5)
    assert np.isfinite(singles.logits).all()
    assert np.isfinite(cross_fitted_logits(np.ones((9, 3), np.float32), np.arange(9) % 3, 3).logits).all()
    assert np.isfinite(cross_fitted_logits(np.zeros((9, 3), np.float32), np.arange(9) % 3, 3, shrinkage=0).logits).all()
    assert cross_fitted_logits(rows, np.zeros(60, np.int64), 1).accuracy == 1


@settings(max_examples=25, deadline=None)
@given(st.integers(2, 60), st.integers(1, 20), st.integers(1, 5), st.integers(0, 999))
def test_any_small_input_is_judged(n: int, d: int, n_classes: int, seed: int) -> None:
    generator = np.random.default_rng(seed)
    rows = generator.integers(-2, 3, (n, d)).astype(np.float32)
    labels = generator.integers(0, n_classes, n)
    found = cross_fitted_logits(rows, labels, n_classes, seed=seed)
    assert np.isfinite(found.logits).all()
    assert 0 <= found.accuracy <= 1
    assert ((found.shrinkage >= 0) & (found.shrinkage <= 1)).all()


@pytest.mark.parametrize(
    ("rows", "labels", "message"),
    [
        (np.full((4, 2), np.nan), np.arange(4) % 2, "4 of 4 samples are not finite"),
        (np.ones((4, 2)), np.arange(4), "4 labels up to 3 for 4 samples of 2 classes"),
        (np.ones((4, 2)), np.arange(3) % 2, "3 labels up to 1 for 4 samples"),
        (np.ones((4, 2)), np.array([0, -1, -1, -1]), "two samples with labels, and 1 has one"),
    ],
)
def test_what_cannot_be_judged_is_refused_with_a_sentence(rows: Array, labels: Array, message: str) -> None:
    with pytest.raises(DataError, match=message):
        cross_fitted_logits(rows, labels, 2)
    with pytest.raises(DataError, match="shrinkage of 2"):
        cross_fitted_logits(np.ones((4, 2)), np.arange(4) % 2, 2, shrinkage=2)
