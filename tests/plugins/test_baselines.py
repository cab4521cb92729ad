"""Baselines against closed forms, brute force and event lists counted by hand."""

from __future__ import annotations

import importlib
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.spatial.distance import cdist
from scipy.stats import kstest, spearmanr

import prunebench_baselines
from prunebench import DataError, PluginContractError, ScoreContext, Scores
from prunebench_baselines.trivial import filtered

SPECS = {spec.name: spec for spec in prunebench_baselines.prunebench_scorers()}


def score(
    name: str, n: int = 0, n_classes: int = 0, seed: int = 0, evidence: Any = None, **params: Any
) -> NDArray[np.float64]:
    """Run a baseline with the evidence that it declares and nothing else."""
    evidence = evidence or {}
    for array in evidence.values():
        array.setflags(write=False)
    labels = evidence.get("labels", np.zeros(n, dtype=np.int64))
    spec = SPECS[name]
    context = ScoreContext(
        params=spec.resolve_params(params),
        seed=seed,
        n=len(labels),
        n_classes=n_classes or int(labels.max()) + 1,
        scorer=name,
        evidence={key: value for key, value in evidence.items() if key in spec.needs},
    )
    module, function = spec.load.split(":")
    returned = getattr(importlib.import_module(module), function)(context)
    values: NDArray[np.float64] = returned.values if isinstance(returned, Scores) else returned
    assert values.dtype == np.float64
    assert values.shape == (context.n,)
    assert np.isfinite(values).all()
    return values


def recording(rows: list[list[list[float]]], labels: list[int]) -> dict[str, Any]:
    """Evidence from rows[epoch][sample][class]."""
    return {"dynamics": np.array(rows, dtype=np.float16), "labels": np.array(labels, dtype=np.int64)}


def outcomes(right: list[str]) -> dict[str, Any]:
    """Evidence of two-class samples of label 0, one string per sample, '+' where an epoch got it right."""
    rows = [[[0.9, 0.1] if sample[e] == "+" else [0.2, 0.8] for sample in right] for e in range(len(right[0]))]
    return recording(rows, [0] * len(right))


def random_recording(epochs: int = 13, n: int = 40, classes: int = 5) -> dict[str, Any]:
    generator = np.random.default_rng(2)
    dynamics = generator.dirichlet(np.ones(classes), size=(epochs, n)).astype(np.float16)
    return {"dynamics": dynamics, "labels": generator.integers(0, classes, n)}


def clusters(n: int = 60, d: int = 4, classes: int = 3) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    generator = np.random.default_rng(5)
    labels = np.arange(n) % classes
    return (generator.normal(size=(n, d)) + 4 * labels[:, None]).astype(np.float32), labels


def test_random_scores_are_uniform_and_follow_the_seed() -> None:
    values = score("random", n=5000)
    assert kstest(values, "uniform").pvalue > 0.01
    assert values.tobytes() == score("random", n=5000).tobytes()
    assert not np.array_equal(values, score("random", n=5000, seed=1))


def test_random_after_the_filter_leaves_out_what_the_backbone_gets_wrong() -> None:
    labels = np.arange(300) % 3
    logits = (3.0 * np.eye(3)[labels]).astype(np.float32)
    logits[:6] = logits[:6, ::-1] * np.arange(1, 7)[:, None]  # class 1 stays right
    spec = SPECS["random-after-filter"]
    evidence = {"logits": logits, "labels": labels}
    found = filtered(ScoreContext(params=spec.resolve_params({}), n=300, n_classes=3, evidence=evidence))
    assert found.excluded is not None
    assert found.refill is not None
    assert np.flatnonzero(found.excluded).tolist() == [0, 2, 3, 5]
    assert np.argsort(-found.refill[[0, 2, 3, 5]]).tolist() == [0, 1, 2, 3], "the lowest loss returns first"
    assert kstest(found.values, "uniform").pvalue > 0.01


def test_no_baseline_touches_the_global_random_state() -> None:
    before = np.random.get_state()[1].copy()  # noqa: NPY002 - the global state is what is checked
    points, labels = clusters()
    evidence = {
        "features": points,
        "projection": points,
        "labels": labels,
        "dynamics": np.zeros((2, 60, 3), "f2"),
        "logits": np.eye(3, dtype=np.float32)[labels],
    }
    for name in SPECS:
        score(name, n=60, evidence=evidence)
    assert np.array_equal(before, np.random.get_state()[1])  # noqa: NPY002


def test_full_scores_every_sample_alike() -> None:
    assert score("full", n=7).tolist() == [0.0] * 7


@pytest.mark.parametrize("name", ["prototype", "knn-density", "el2n", "forgetting", "aum"])
def test_a_baseline_reads_only_what_it_declares(name: str) -> None:
    with pytest.raises(PluginContractError, match="did not declare"):
        score(name, evidence={"labels": np.zeros(3, dtype=np.int64)})


def test_the_prototype_score_is_the_distance_to_the_class_mean() -> None:
    points = np.array([[0, 0], [2, 0], [10, 0], [10, 8]], dtype=np.float32)
    evidence = {"projection": points, "labels": np.array([0, 0, 1, 1])}
    assert score("prototype", evidence=evidence, prefer="far").tolist() == [1, 1, 4, 4]
    assert score("prototype", evidence=evidence).tolist() == [-1, -1, -4, -4]


def test_prototype_scores_scale_with_the_embedding_and_ignore_translation_and_rotation() -> None:
    points, labels = clusters()
    turn = np.linalg.qr(np.random.default_rng(1).normal(size=(4, 4)))[0]
    base = score("prototype", evidence={"projection": points, "labels": labels}, prefer="far")
    moved = score(
        "prototype",
        evidence={"projection": (3 * (points @ turn) + 5).astype(np.float32), "labels": labels},
        prefer="far",
    )
    assert moved == pytest.approx(3 * base, rel=1e-4)
    assert spearmanr(base, moved).statistic == pytest.approx(1.0)


@pytest.mark.parametrize("metric", ["cosine", "euclidean"])
@pytest.mark.parametrize("k", [1, 5, 15, 100])
def test_density_is_the_mean_distance_to_the_nearest_of_the_class(metric: str, k: int) -> None:
    points, labels = clusters()
    values = score("knn-density", evidence={"features": points, "labels": labels}, k=k, metric=metric)
    for label in range(3):
        group = points[labels == label].astype(np.float64)
        nearest = np.sort(cdist(group, group, metric), axis=1)[:, 1 : k + 1]
        assert -values[labels == label] == pytest.approx(nearest.mean(axis=1), rel=1e-9, abs=1e-12)


def test_the_sign_of_density_follows_the_preference() -> None:
    points, labels = clusters()
    evidence = {"features": points, "labels": labels}
    dense, sparse = (score("knn-density", evidence=evidence, prefer=p) for p in ("dense", "sparse"))
    assert (dense == -sparse).all()
    assert (sparse > 0).all()


def test_density_is_exact_far_from_the_origin_and_zero_for_duplicates() -> None:
    points = np.array([[1e6], [1e6], [1e6 + 1], [1e6 + 3]], dtype=np.float32)
    evidence = {"features": points, "labels": np.zeros(4, dtype=np.int64)}
    assert score("knn-density", evidence=evidence, k=1, metric="euclidean").tolist() == [0, 0, -1, -2]


def test_a_sample_alone_in_its_class_counts_as_the_sparsest() -> None:
    points = np.array([[0.0], [1.0], [4.0], [9.0]], dtype=np.float32)
    evidence = {"features": points, "labels": np.array([0, 0, 0, 1])}
    assert score("knn-density", evidence=evidence, k=1, metric="euclidean").tolist() == [-1, -1, -3, -3]


@pytest.mark.parametrize("metric", ["cosine", "euclidean"])
@pytest.mark.parametrize("n", [1, 2, 3])
@pytest.mark.parametrize("dtype", ["f2", "f4"])
def test_geometric_baselines_accept_constant_and_tiny_input(metric: str, n: int, dtype: str) -> None:
    for features in (np.zeros((n, 3), dtype), np.ones((n, 3), dtype)):
        evidence = {"features": features, "projection": features, "labels": np.zeros(n, dtype=np.int64)}
        assert score("knn-density", evidence=evidence, n_classes=4, metric=metric).tolist() == [0.0] * n
        assert score("prototype", evidence=evidence, n_classes=4).tolist() == [0.0] * n


@pytest.mark.parametrize("name", ["prototype", "knn-density"])
def test_geometric_baselines_follow_a_permutation_of_the_samples(name: str) -> None:
    points, labels = clusters()
    moved = np.random.default_rng(0).permutation(len(labels))
    straight = score(name, evidence={"features": points, "projection": points, "labels": labels})
    shuffled = score(name, evidence={"features": points[moved], "projection": points[moved], "labels": labels[moved]})
    assert shuffled == pytest.approx(straight[moved], rel=1e-12)


@pytest.mark.parametrize("name", ["prototype", "knn-density"])
def test_values_that_are_not_finite_are_refused(name: str) -> None:
    points, labels = clusters()
    points[7, 1] = np.nan
    with pytest.raises(DataError, match="not finite"):
        score(name, evidence={"features": points, "projection": points, "labels": labels})


def test_el2n_is_the_mean_norm_of_the_error_vector() -> None:
    evidence = random_recording()
    exact, onehot = evidence["dynamics"].astype(np.float64), np.eye(5)[evidence["labels"]]
    norms = np.linalg.norm(exact - onehot, axis=2)
    assert score("el2n", evidence=evidence) == pytest.approx(norms[:10].mean(axis=0), rel=1e-6)
    assert score("el2n", evidence=evidence, epochs=3) == pytest.approx(norms[:3].mean(axis=0), rel=1e-6)
    assert score("el2n", evidence=evidence, epochs=99) == pytest.approx(norms.mean(axis=0), rel=1e-6)
    single = score("el2n", evidence=evidence, epochs=4, window="single")
    assert single == pytest.approx(norms[3], rel=1e-6)


def test_el2n_of_the_certain_answers() -> None:
    evidence = recording([[[1, 0], [0, 1], [0.5, 0.5]]], [0, 0, 0])
    assert score("el2n", evidence=evidence) == pytest.approx([0, np.sqrt(2), np.sqrt(0.5)])


def test_forgetting_counts_the_transitions_from_right_to_wrong() -> None:
    evidence = outcomes(["++++++", "+-+-+-", "---+++", "-+--+-", "------", "+-----"])
    assert score("forgetting", evidence=evidence).tolist() == [0, 3, 0, 2, 6, 1]
    assert score("forgetting", evidence=evidence, never_learnt="zero").tolist() == [0, 3, 0, 2, 0, 1]


def test_forgetting_matches_a_count_over_predictions() -> None:
    evidence = random_recording(epochs=30)
    top_two = np.sort(evidence["dynamics"], axis=2)[:, :, -2:]
    right = evidence["dynamics"].argmax(axis=2) == evidence["labels"]
    right &= top_two[:, :, 1] > top_two[:, :, 0]
    expected = (right[:-1] & ~right[1:]).sum(axis=0)
    assert score("forgetting", evidence=evidence, never_learnt="zero").tolist() == expected.tolist()


def test_a_tied_prediction_is_wrong_whatever_the_number_of_the_class() -> None:
    rows = [[[0.5, 0.5], [0.5, 0.5]], [[0.9, 0.1], [0.1, 0.9]]]
    assert score("forgetting", evidence=recording(rows, [0, 1])).tolist() == [0, 0]
    assert score("forgetting", evidence=recording(rows[:1], [0, 1])).tolist() == [1, 1]


def test_aum_is_the_mean_margin_over_the_best_other_class() -> None:
    evidence = recording([[[0.75, 0.25, 0], [0.5, 0.25, 0.25]], [[0.25, 0.25, 0.5], [0, 0.5, 0.5]]], [0, 2])
    assert score("aum", evidence=evidence, prefer="clean").tolist() == [0.125, -0.125]
    assert score("aum", evidence=evidence).tolist() == [-0.125, 0.125]


def test_aum_matches_a_loop_over_samples() -> None:
    evidence = random_recording()
    exact, labels = evidence["dynamics"].astype(np.float64), evidence["labels"]
    expected = [np.mean([epoch[i, y] - np.delete(epoch[i], y).max() for epoch in exact]) for i, y in enumerate(labels)]
    assert score("aum", evidence=evidence, prefer="clean") == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("name", ["el2n", "forgetting", "aum"])
def test_scores_of_dynamics_put_a_wrong_sample_before_a_learnt_one(name: str) -> None:
    values = score(name, evidence=outcomes(["++++++", "------"]))
    assert values[1] > values[0]


@pytest.mark.parametrize("name", ["el2n", "forgetting", "aum"])
def test_scores_of_dynamics_accept_one_sample_of_one_class(name: str) -> None:
    assert score(name, evidence=recording([[[1.0]]], [0])).shape == (1,)


@pytest.mark.parametrize("name", ["el2n", "forgetting", "aum"])
@pytest.mark.parametrize("shape", [(0, 3, 2), (4, 2, 2), (3, 2)])
def test_dynamics_of_another_shape_are_refused(name: str, shape: tuple[int, ...]) -> None:
    evidence = {"dynamics": np.zeros(shape, "f2"), "labels": np.zeros(3, dtype=np.int64)}
    with pytest.raises(DataError, match="shape"):
        score(name, evidence=evidence, n_classes=2)


@pytest.mark.parametrize("name", ["el2n", "forgetting", "aum"])
def test_dynamics_of_a_diverged_run_are_refused(name: str) -> None:
    evidence = random_recording()
    evidence["dynamics"][1, 3, 2] = np.nan
    with pytest.raises(DataError, match="epoch 1"):
        score(name, evidence=evidence)
