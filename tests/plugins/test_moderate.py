"""Moderate coreset against the rank window of the released code, brute force, and its invariances."""

from __future__ import annotations

import importlib
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

import prunebench_moderate
from prunebench import DataError, ScoreContext
from prunebench.toolbox import preference_order

(SPEC,) = prunebench_moderate.prunebench_scorers()


def score(features: Any, labels: Any, n_classes: int = 0, seed: int = 0, **params: Any) -> NDArray[np.float64]:
    features, labels = np.asarray(features), np.asarray(labels, dtype=np.int64)
    features.setflags(write=False)
    context = ScoreContext(
        params=SPEC.resolve_params(params),
        seed=seed,
        n=len(labels),
        n_classes=n_classes or int(labels.max()) + 1,
        evidence={"features": features, "labels": labels},
    )
    module, function = SPEC.load.split(":")
    values: NDArray[np.float64] = getattr(importlib.import_module(module), function)(context)
    assert values.dtype == np.float64
    assert values.shape == labels.shape
    assert np.isfinite(values).all()
    return values


def chosen(scores: NDArray[np.float64], budget: int) -> list[int]:
    return sorted(preference_order(scores, np.random.default_rng(0))[:budget].tolist())


def cloud(n: int = 90, classes: int = 3) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    generator = np.random.default_rng(3)
    labels = np.arange(n) % classes
    return generator.gamma(2.0, size=(n, 4)) * (1 + labels[:, None]), labels


def distances(features: NDArray[np.float64], labels: NDArray[np.int64], centre: str = "median") -> NDArray[np.float64]:
    """Brute force, one sample after the other."""
    out = []
    for sample, label in zip(features, labels, strict=True):
        group = features[labels == label]
        middle = np.array([getattr(np, centre)(column) for column in group.T])
        out.append(np.sqrt(((sample - middle) ** 2).sum()))
    return np.array(out)


def test_a_class_with_distances_0_to_9_keeps_ranks_3_to_6_at_40_percent() -> None:
    # the points lie on rays from the origin, which is their mean and their coordinate-wise median
    steps = np.repeat(np.arange(10.0), 2)
    line = steps * np.tile([1.0, -1.0], 10)
    for centre in ("mean", "median"):
        scores = score(line[:, None], np.zeros(20), center=centre)
        assert sorted(steps[chosen(scores, 8)]) == [3, 3, 4, 4, 5, 5, 6, 6]


@pytest.mark.parametrize("centre", ["mean", "median"])
@pytest.mark.parametrize("budget", [2, 10, 36, 88, 90])
def test_the_global_scope_selects_the_rank_window_of_the_released_code(centre: str, budget: int) -> None:
    features, labels = cloud()
    ranked = np.argsort(distances(features, labels, centre), kind="stable")
    keep = budget / 90
    window = ranked[round(90 * (0.5 - keep / 2)) : round(90 * (0.5 + keep / 2))]
    assert chosen(score(features, labels, center=centre, scope="global"), budget) == sorted(window.tolist())


@pytest.mark.parametrize("budget", [1, 7, 15, 30])
def test_the_class_scope_selects_the_window_within_each_class(budget: int) -> None:
    features, labels = cloud()
    scores, far = score(features, labels), distances(features, labels)
    for label in range(3):
        members = np.flatnonzero(labels == label)
        ranks = np.argsort(np.argsort(far[members]))
        picked = np.sort(ranks[chosen(scores[members], budget)])
        assert (np.diff(picked) == 1).all()
        assert abs((picked[0] + picked[-1]) / 2 - 14.5) <= 0.5


@pytest.mark.parametrize("scope", ["class", "global"])
def test_the_value_window_is_the_gap_to_the_median_distance(scope: str) -> None:
    features, labels = cloud()
    far = distances(features, labels, "mean")
    medians = [np.median(far[labels == label] if scope == "class" else far) for label in labels]
    values = score(features, labels, center="mean", window="value", scope=scope)
    assert values == pytest.approx(-np.abs(far - np.array(medians)), abs=1e-12)


def test_the_windows_differ_where_distances_are_skewed() -> None:
    # every distance to the mean 0 occurs twice; their median is 10.15
    far = np.array([9.0, 9.5, 10.0, 10.1, 10.2, 14.0, 19.0, 30.0])
    points = np.concatenate([far, -far])[:, None]
    by_rank, by_value = (chosen(score(points, np.zeros(16), center="mean", window=w), 8) for w in ("rank", "value"))
    assert sorted(np.abs(points[by_rank, 0])) == [10, 10, 10.1, 10.1, 10.2, 10.2, 14, 14]
    assert sorted(np.abs(points[by_value, 0])) == [9.5, 9.5, 10, 10, 10.1, 10.1, 10.2, 10.2]


@pytest.mark.parametrize("params", [{"center": c, "window": w} for c in ("mean", "median") for w in ("rank", "value")])
def test_translation_changes_nothing_and_scaling_keeps_the_order(params: dict[str, str]) -> None:
    features, labels = cloud()
    base = score(features, labels, **params)
    assert score(features + 7.5, labels, **params) == pytest.approx(base, abs=1e-9)
    factor = 4.0 if params["window"] == "value" else 1.0
    assert score(features * 4, labels, **params) == pytest.approx(base * factor, abs=1e-9)


def test_rotation_changes_nothing_for_the_mean_but_something_for_the_coordinate_median() -> None:
    features, labels = cloud()
    turn = np.linalg.qr(np.random.default_rng(1).normal(size=(4, 4)))[0]
    for centre, same in (("mean", True), ("median", False)):
        before, after = (score(x, labels, center=centre) for x in (features, features @ turn))
        assert np.allclose(before, after) is same


@given(st.integers(1, 40), st.integers(1, 4), st.integers(0, 1000))
@settings(max_examples=50, deadline=None)
def test_permuting_the_samples_permutes_the_scores(n: int, classes: int, seed: int) -> None:
    generator = np.random.default_rng(seed)
    features = generator.integers(0, 3, size=(n, 2)).astype(np.float64)
    labels, moved = generator.integers(0, classes, n), generator.permutation(n)
    straight, shuffled = score(features, labels, classes), score(features[moved], labels[moved], classes)
    assert shuffled.tolist() == straight[moved].tolist()


def test_equal_distances_share_a_score_so_that_no_file_order_decides() -> None:
    square = np.array([[1, 1], [1, -1], [-1, 1], [-1, -1], [5, 5], [-5, -5]], dtype=np.float32)
    values = score(square, np.zeros(6))
    assert len(set(values[:4])) == 1
    assert len(set(values[4:])) == 1


@pytest.mark.parametrize("params", [{}, {"scope": "global"}, {"window": "value"}, {"center": "mean"}])
@pytest.mark.parametrize("dtype", ["f2", "f4"])
def test_tiny_classes_and_constant_features_score_alike(params: dict[str, str], dtype: str) -> None:
    labels = np.array([0, 2, 2, 3, 3, 3])
    assert len(set(score(np.full((6, 3), 0.1, dtype), labels, 5, **params))) == 1
    assert score(np.ones((1, 3), dtype), [0], **params).tolist() == [0.0]


def test_half_precision_gives_the_scores_of_double_precision() -> None:
    features = np.array([[60000], [-60000], [0], [30000]], dtype=np.float16)
    for params in ({"window": "value"}, {"window": "value", "center": "mean"}):
        half, double = (score(x, np.zeros(4), **params) for x in (features, features.astype(np.float64)))
        assert half.tolist() == double.tolist()


def test_features_that_are_not_finite_are_refused() -> None:
    with pytest.raises(DataError, match="not finite"):
        score(np.array([[1.0], [np.inf]]), [0, 0])
