"""DeepFool on the last layer against the boundaries of a known linear head."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.special import log_softmax

from prunebench import NotApplicable
from prunebench_uncertainty.boundary import recover_head
from uncertainty_evidence import run, sample


def linear(n: int = 200, d: int = 8, classes: int = 5, seed: int = 0) -> tuple[dict[str, Any], Any, Any]:
    """Evidence of a known linear head, with its weights [c, d] and its constant [c]."""
    generator = np.random.default_rng(seed)
    weight, offset = generator.normal(size=(classes, d)), generator.normal(size=classes)
    features = generator.normal(size=(n, d)).astype(np.float32)
    logits = (features.astype(np.float64) @ weight.T + offset).astype(np.float32)
    return {"features": features, "logits": logits}, weight, offset


def closed_form(features: NDArray[Any], weight: NDArray[Any], offset: NDArray[Any]) -> list[float]:
    """The distance of each sample to the nearest boundary, class by class."""
    distances = []
    for z in features.astype(np.float64):
        f = weight @ z + offset
        k = int(f.argmax())
        others = [j for j in range(len(f)) if j != k]
        distances.append(min((f[k] - f[j]) / np.linalg.norm(weight[k] - weight[j]) for j in others))
    return distances


def test_the_head_is_recovered_from_what_it_maps() -> None:
    evidence, weight, _ = linear()
    head = recover_head(**evidence)
    assert np.abs(head.slopes.T - weight).max() < 1e-5
    assert head.rank == 8
    assert head.residual < 1e-6
    assert head.slope_error < 1e-5


@pytest.mark.parametrize("classes", [2, 5])
def test_deepfool_is_the_distance_to_the_nearest_boundary_of_a_linear_classifier(classes: int) -> None:
    evidence, weight, offset = linear(classes=classes)
    expected = closed_form(evidence["features"], weight, offset)
    assert -run("deepfool-last-layer", evidence) == pytest.approx(expected, rel=1e-4, abs=1e-5)


def test_a_move_by_that_distance_reaches_the_boundary_and_a_shorter_one_in_any_direction_does_not() -> None:
    evidence, weight, offset = linear(n=60)
    distance = -run("deepfool-last-layer", evidence)
    generator = np.random.default_rng(9)
    for z, far in zip(evidence["features"].astype(np.float64), distance, strict=True):
        f = weight @ z + offset
        k = int(f.argmax())
        normals = np.delete(weight - weight[k], k, axis=0)
        normals /= np.linalg.norm(normals, axis=1, keepdims=True)
        crossed = (z + 1.001 * far * normals) @ weight.T + offset
        assert (crossed.argmax(axis=1) != k).any()
        turns = generator.normal(size=(200, 8))
        turns /= np.linalg.norm(turns, axis=1, keepdims=True)
        inside = (z + 0.999 * far * np.vstack([turns, normals])) @ weight.T + offset
        assert (inside.argmax(axis=1) == k).all()


def test_deepfool_ignores_a_rotation_and_scales_with_the_features() -> None:
    evidence, _, _ = linear()
    turn = np.linalg.qr(np.random.default_rng(1).normal(size=(8, 8)))[0]
    turned = {**evidence, "features": (3 * evidence["features"] @ turn + 2).astype(np.float32)}
    base = run("deepfool-last-layer", evidence)
    assert run("deepfool-last-layer", turned) == pytest.approx(3 * base, rel=1e-4, abs=1e-5)


def test_directions_in_which_features_do_not_vary_are_outside_the_distance() -> None:
    evidence, weight, offset = linear()
    hum = 1e-8 * np.random.default_rng(5).normal(size=(200, 1))
    features = np.hstack([evidence["features"], np.zeros((200, 2)), np.full((200, 1), 4), hum]).astype(np.float32)
    values = run("deepfool-last-layer", {**evidence, "features": features})
    assert -values == pytest.approx(closed_form(evidence["features"], weight, offset), rel=1e-4, abs=1e-5)


def test_half_precision_logits_are_still_linear() -> None:
    evidence, weight, offset = linear(n=2000)
    rounded = {**evidence, "logits": evidence["logits"].astype(np.float16).astype(np.float32)}
    expected = closed_form(evidence["features"], weight, offset)
    assert -run("deepfool-last-layer", rounded) == pytest.approx(expected, rel=1e-2, abs=1e-2)


def test_collinear_features_share_the_weight_of_their_direction() -> None:
    evidence, weight, offset = linear()
    features = np.hstack([evidence["features"], evidence["features"][:, :1]])
    halved = np.hstack([weight[:, :1] / 2, weight[:, 1:], weight[:, :1] / 2])
    values = run("deepfool-last-layer", {**evidence, "features": features})
    assert -values == pytest.approx(closed_form(features, halved, offset), rel=1e-4, abs=1e-5)


def test_a_head_whose_weights_are_lost_in_rounding_is_declined() -> None:
    generator = np.random.default_rng(0)
    features = (generator.normal(size=(10, 2)) * [1, 1e-4]).astype(np.float32)
    logits = features @ np.array([[1, -1, 0], [2, 0, 1]]) + 3e-4 * generator.normal(size=(10, 3))
    with pytest.raises(NotApplicable, match="weights of the head are known to"):
        run("deepfool-last-layer", {"features": features, "logits": logits.astype(np.float32)})


def test_two_classes_of_equal_weights_have_no_boundary_between_them() -> None:
    evidence, weight, offset = linear(classes=3)
    ulps = np.where(np.arange(200) % 2, np.inf, -np.inf).astype(np.float32)[:, None]
    logits = np.hstack([evidence["logits"], np.nextafter(evidence["logits"][:, :1], ulps)])
    values = run("deepfool-last-layer", {**evidence, "logits": logits})
    assert -values == pytest.approx(closed_form(evidence["features"], weight, offset), rel=1e-4, abs=1e-5)


def test_a_head_that_is_not_linear_is_declined() -> None:
    evidence, _, _ = linear()
    bent = {**evidence, "logits": np.tanh(evidence["logits"])}
    with pytest.raises(NotApplicable, match="not linear"):
        run("deepfool-last-layer", bent)


@pytest.mark.parametrize("n", [1, 2, 8, 9])
def test_too_few_samples_to_know_the_head_are_declined(n: int) -> None:
    evidence, _, _ = linear(n=n)
    with pytest.raises(NotApplicable, match="undetermined"):
        run("deepfool-last-layer", evidence)


@pytest.mark.parametrize("logits", [np.zeros((20, 3), "f4"), np.ones((20, 1), "f4")])
def test_logits_without_a_boundary_are_declined(logits: NDArray[np.float32]) -> None:
    features = np.random.default_rng(0).normal(size=(20, 2)).astype(np.float32)
    with pytest.raises(NotApplicable, match="no decision boundary"):
        run("deepfool-last-layer", {"features": features, "logits": logits})


def test_constant_features_are_declined() -> None:
    evidence = {"features": np.ones((20, 3), "f4"), "logits": sample(n=20)["logits"]}
    with pytest.raises(NotApplicable, match="not linear"):
        run("deepfool-last-layer", evidence)


def test_log_probabilities_of_the_head_keep_the_distance() -> None:
    evidence, _, _ = linear()
    base = run("deepfool-last-layer", evidence)
    with pytest.raises(NotApplicable, match="not linear"):
        run("deepfool-last-layer", {**evidence, "logits": log_softmax(evidence["logits"], axis=1)})
    lifted = (evidence["logits"] + evidence["features"][:, :1]).astype(np.float32)
    assert run("deepfool-last-layer", {**evidence, "logits": lifted}) == pytest.approx(base, rel=1e-4, abs=1e-5)
