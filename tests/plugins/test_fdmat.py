"""FDMat against closed forms, an exact loop, and the Sinkhorn of POT."""

from __future__ import annotations

import importlib
from typing import Any

import numpy as np
import ot
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

import prunebench_fdmat
from prunebench import DataError, NotApplicable, PluginContractError, ScoreContext, Scores
from prunebench_fdmat.score import class_costs, transformed
from prunebench_fdmat.transport import sinkhorn

(SPEC,) = prunebench_fdmat.prunebench_scorers()


def run(features: NDArray[Any], labels: NDArray[np.int64], n_classes: int = 0, **params: Any) -> Scores:
    """Run FDMat with the evidence that it declares and nothing else."""
    for array in (features, labels):
        array.setflags(write=False)
    context = ScoreContext(
        params=SPEC.resolve_params(params),
        n=len(labels),
        n_classes=n_classes or int(labels.max()) + 1,
        scorer=SPEC.name,
        evidence={"features": features, "labels": labels},
    )
    module, function = SPEC.load.split(":")
    scores: Scores = getattr(importlib.import_module(module), function)(context)
    assert scores.values.dtype == np.float64
    assert scores.values.shape == (context.n,)
    assert np.isfinite(scores.values).all()
    return scores


def classes(n: int = 103, d: int = 12, c: int = 4, seed: int = 3) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Features after a ReLU, in classes of different sizes that do not divide the whole."""
    generator = np.random.default_rng(seed)
    labels = generator.choice(c, n, p=np.arange(1, c + 1) / np.arange(1, c + 1).sum())
    labels[:c] = np.arange(c)
    centres = generator.normal(size=(c, d))
    return np.maximum(generator.normal(size=(n, d)) + centres[labels], 0).astype(np.float32), labels


def costs(features: NDArray[Any], labels: NDArray[np.int64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    return class_costs(transformed(features, 0.5), labels)


def test_costs_follow_the_description_sample_by_sample() -> None:
    features, labels = classes()
    power = np.sqrt(features.astype(np.float64) + 1e-6)
    points = np.array([(row - power.mean(axis=0)) / np.linalg.norm(row) for row in power])
    expected = [[np.sum((point - points[labels == label].mean(axis=0)) ** 2) for label in range(4)] for point in points]
    cost, sizes = costs(features, labels)
    assert cost == pytest.approx(np.array(expected), rel=1e-9, abs=1e-12)
    assert sizes.tolist() == np.bincount(labels).tolist()
    assert (cost[-3:] > 0).all()  # the released code leaves the last n mod c rows at 0


@pytest.mark.parametrize("strength", [0.5, 4.0, 10.0])
def test_the_plan_is_that_of_pot(strength: float) -> None:
    cost, sizes = costs(*classes())
    n = len(cost)
    expected = (
        ot.sinkhorn(np.full(n, 1 / n), sizes / n, cost, reg=1 / strength, stopThr=1e-12, numItermax=10000, warn=False)
        * n
    )
    plan = sinkhorn(cost, sizes, strength, 10_000, 1e-9)
    assert plan.mass == pytest.approx(expected, abs=1e-5)
    assert plan.mass.sum(axis=1) == pytest.approx(np.ones(n), abs=1e-5)
    assert plan.mass.sum(axis=0) == pytest.approx(sizes, abs=1e-9)


@given(seed=st.integers(0, 1000), c=st.integers(1, 5), scale=st.sampled_from([1e-3, 1.0, 1e2, 1e6]))
@settings(max_examples=40, deadline=None, derandomize=True)
def test_any_cost_gives_exact_columns_and_a_finite_plan(seed: int, c: int, scale: float) -> None:
    generator = np.random.default_rng(seed)
    sizes = generator.integers(1, 9, c)
    cost = generator.random((int(sizes.sum()), c)) * scale
    plan = sinkhorn(cost, sizes.astype(np.float64), 4.0, 200, 1e-6)
    assert np.isfinite(plan.mass).all()
    assert plan.mass.sum(axis=0) == pytest.approx(sizes, rel=1e-6)


def test_a_class_beyond_the_range_of_the_kernel_still_gets_its_mass() -> None:
    cost = np.array([[0.0, 1e4], [0.0, 1.5e4], [0.0, 3e4]])
    errors = []
    for iterations in (10, 100, 1000):
        plan = sinkhorn(cost, np.array([2.0, 1.0]), 4.0, iterations, 0.0)
        assert plan.mass.sum(axis=0) == pytest.approx(np.array([2.0, 1.0]), rel=1e-9)
        errors.append(np.abs(plan.mass - np.array([[0, 1], [1, 0], [1, 0]])).max())
    assert errors[2] < 1e-3
    assert errors == sorted(errors, reverse=True)


def test_the_score_is_the_squared_norm_of_plan_times_cost() -> None:
    features, labels = classes()
    cost, sizes = costs(features, labels)
    n = len(cost)
    plan = ot.sinkhorn(np.full(n, 1 / n), sizes / n, cost, reg=0.25, stopThr=1e-12, numItermax=10000, warn=False) * n
    assert -run(features, labels).values == pytest.approx(((plan * cost) ** 2).sum(axis=1), rel=1e-4)


def test_well_separated_classes_score_the_fourth_power_of_the_distance_to_their_mean() -> None:
    generator = np.random.default_rng(0)
    labels = np.arange(60) % 2
    features = np.zeros((60, 8), dtype=np.float32)
    for label in range(2):
        features[labels == label, 4 * label : 4 * label + 4] = generator.uniform(1, 4, (30, 4))
    cost, _ = costs(features, labels)
    own = cost[np.arange(60), labels]
    assert -run(features, labels, regularisation=100.0).values == pytest.approx(own**2, rel=1e-6)


def test_one_class_scores_the_fourth_power_of_the_distance_to_the_mean() -> None:
    features, _ = classes()
    labels = np.zeros(len(features), dtype=np.int64)
    cost, _ = costs(features, labels)
    assert -run(features, labels).values == pytest.approx(cost[:, 0] ** 2, rel=1e-9)


def test_a_planted_outlier_of_a_class_comes_last() -> None:
    features, labels = classes()
    features[50], labels[50] = 0.0, 2
    features[50, 3] = 100.0
    assert np.argmin(run(features, labels).values[labels == 2]) == np.flatnonzero(labels == 2).tolist().index(50)


@pytest.mark.parametrize("order", ["sorted", "shuffled", "reversed"])
def test_a_score_belongs_to_its_sample_in_any_order_of_the_file(order: str) -> None:
    features, labels = classes()
    moved = {
        "sorted": np.argsort(labels, kind="stable"),
        "shuffled": np.random.default_rng(1).permutation(len(labels)),
        "reversed": np.arange(len(labels))[::-1],
    }[order]
    straight = run(features, labels).values
    values = run(features[moved], labels[moved]).values
    assert values == pytest.approx(straight[moved], rel=1e-9)
    assert len(np.unique(values)) == len(values)  # the released code rounds them all to 0
    for label in range(4):
        own, ours = np.flatnonzero(labels == label), np.flatnonzero(labels[moved] == label)
        best = own[np.argsort(-straight[own])[:5]]
        assert set(moved[ours[np.argsort(-values[ours])[:5]]]) == set(best)


def test_labels_may_be_renamed() -> None:
    features, labels = classes()
    renamed = np.array([7, 2, 9, 0])[labels]
    expected = run(features, labels).values
    assert run(features, renamed, n_classes=12).values == pytest.approx(expected, rel=1e-9)


def test_scores_ignore_the_order_of_the_features() -> None:
    features, labels = classes()
    assert run(features[:, ::-1].copy(), labels).values == pytest.approx(run(features, labels).values, rel=1e-9)


def test_negative_features_keep_their_sign_and_carry_a_caveat() -> None:
    features, labels = classes()
    assert run(features, labels).caveat == ""
    assert run(features, labels).values.tobytes() == run(features, labels, negative="refuse").values.tobytes()
    signed = features - 0.5
    assert "negative" in run(signed, labels).caveat
    points = np.where(signed < 0, -1, 1) * (np.abs(signed.astype(np.float64)) + 1e-6) ** 0.5
    expected = (points - points.mean(axis=0)) / np.linalg.norm(points, axis=1, keepdims=True)
    assert transformed(signed, 0.5) == pytest.approx(expected, rel=1e-9)
    with pytest.raises(NotApplicable, match="negative"):
        run(signed, labels, negative="refuse")


@pytest.mark.parametrize("dtype", ["f2", "f4"])
@pytest.mark.parametrize("features", [np.zeros((1, 3)), np.zeros((5, 3)), np.ones((5, 3)), np.eye(5)])
def test_degenerate_features_are_accepted(features: NDArray[np.float64], dtype: str) -> None:
    for c in (1, 2, 5):
        assert (run(features.astype(dtype), np.arange(len(features)) % c, n_classes=7).values <= 0).all()


def test_a_plan_that_did_not_converge_carries_a_caveat() -> None:
    # a row of zeros has a norm of nearly 0, which moves it, and with it the mean of its class, far away
    features, labels = classes()
    features *= 1e4
    features[9] = 0
    scores = run(features, labels)
    assert np.argmin(scores.values) == 9
    assert scores.diagnostics["row_error"] > 0.01
    assert "converged" in scores.caveat


def test_values_that_are_not_finite_are_refused_with_their_count() -> None:
    features, labels = classes()
    features[[3, 8], 2] = np.nan
    features[8, 3] = np.inf
    with pytest.raises(DataError, match="2 samples"):
        run(features, labels)


def test_the_same_input_gives_the_same_bytes_and_no_global_random_state_is_used() -> None:
    features, labels = classes()
    before = np.random.get_state()[1].copy()  # noqa: NPY002 - the global state is what is checked
    assert run(features, labels).values.tobytes() == run(features, labels).values.tobytes()
    assert np.array_equal(before, np.random.get_state()[1])  # noqa: NPY002


def test_fdmat_reads_only_what_it_declares() -> None:
    context = ScoreContext(params=SPEC.resolve_params({}), n=3, n_classes=1, scorer="fdmat", evidence={})
    module, function = SPEC.load.split(":")
    with pytest.raises(PluginContractError, match="did not declare"):
        getattr(importlib.import_module(module), function)(context)
