"""CAL and contextual diversity against brute force over all pairs."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.spatial.distance import cdist
from scipy.special import rel_entr, softmax

from prunebench.toolbox import class_quotas
from uncertainty_evidence import logits_of, moved, run, sample


def brute_cal(evidence: dict[str, Any], k: int, *, scope: str, divergence: str) -> list[float]:
    """The definition, sample by sample, over the full matrix of distances."""
    features, labels = evidence["features"].astype(np.float64), evidence["labels"]
    p, distance = softmax(evidence["logits"].astype(np.float64), axis=1), cdist(features, features)
    scores = []
    for i in range(len(labels)):
        pool = [j for j in range(len(labels)) if j != i and (scope == "global" or labels[j] == labels[i])]
        near = sorted(pool, key=lambda j: distance[i, j])[:k]
        towards = [rel_entr(p[j], p[i]).sum() for j in near]
        back = [rel_entr(p[i], p[j]).sum() for j in near]
        pairs = towards if divergence == "neighbour" else [(a + b) / 2 for a, b in zip(towards, back, strict=True)]
        scores.append(float(np.mean(pairs)))
    return scores


@pytest.mark.parametrize("divergence", ["symmetric", "neighbour"])
@pytest.mark.parametrize("scope", ["class", "global"])
@pytest.mark.parametrize("k", [1, 10, 40])
def test_cal_is_the_mean_divergence_from_the_nearest_neighbours(k: int, scope: str, divergence: str) -> None:
    expected = brute_cal(sample(), k, scope=scope, divergence=divergence)
    params = {"k": k, "graph_scope": scope, "divergence": divergence}
    assert run("cal", sample(), **params) == pytest.approx(expected, rel=1e-9, abs=1e-12)
    assert (run("cal", sample(), mode="release", **params) == -run("cal", sample(), **params)).all()


def test_a_planted_contrastive_sample_comes_first_and_in_the_release_last() -> None:
    features = np.arange(20, dtype=np.float32)[:, None]
    logits = np.tile(np.array([4, 0], dtype=np.float32), (20, 1))
    logits[7] = [0, 4]
    evidence = {"features": features, "logits": logits, "labels": np.zeros(20, dtype=np.int64)}
    assert run("cal", evidence, k=2).argmax() == 7
    assert run("cal", evidence, k=2, mode="release").argmin() == 7


def test_cal_is_finite_where_probabilities_underflow_to_zero() -> None:
    logits = np.array([[2000, 0], [0, 2000], [2000, 0]], dtype=np.float32)
    evidence = {"features": np.eye(3, dtype="f4"), "logits": logits, "labels": np.zeros(3, dtype=np.int64)}
    assert run("cal", evidence).tolist() == [1000, 2000, 1000]


def test_a_sample_alone_in_its_class_contrasts_with_nothing() -> None:
    evidence = {"features": np.eye(3, dtype="f4"), "logits": np.eye(3, dtype="f4"), "labels": np.array([0, 0, 1])}
    values = run("cal", evidence)
    assert values[2] == 0
    assert (values[:2] > 0).all()


def test_neighbours_at_equal_distance_are_chosen_by_the_seed() -> None:
    evidence = {**sample(), "features": np.ones((60, 3), "f4")}
    assert not np.array_equal(run("cal", evidence, k=1, seed=0), run("cal", evidence, k=1, seed=1))


# ---------------------------------------------------------------------------------- contextual diversity


def divergences(logits: NDArray[np.float32]) -> NDArray[np.float64]:
    """Symmetric KL between all pairs of softmax outputs, clipped at 1e-12."""
    p = np.maximum(softmax(logits.astype(np.float64), axis=1), 1e-12)
    return np.array([[((a - b) * (np.log(a) - np.log(b))).sum() / 2 for b in p] for a in p])


def is_greedy(order: list[int], distance: NDArray[np.float64]) -> bool:
    """Whether every pick is the farthest from the picks before it."""
    for step in range(1, len(order)):
        reach = distance[:, order[:step]].min(axis=1)
        left = [i for i in range(len(distance)) if i not in order[:step]]
        if reach[order[step]] < reach[left].max() - 1e-9:
            return False
    return True


@pytest.mark.parametrize("seed", range(4))
def test_contextual_diversity_is_k_centre_greedy(seed: int) -> None:
    evidence = sample(n=14)
    order = run("contextual-diversity", evidence, seed=seed, budget=9, per_class=False)
    assert is_greedy(order[:9].tolist(), divergences(evidence["logits"]))
    reach = divergences(evidence["logits"])[:, order[:9]].min(axis=1)
    assert order[9:].tolist() == sorted(order[9:], key=lambda i: -reach[i])


def test_contextual_diversity_is_greedy_in_every_class_with_proportional_budgets() -> None:
    evidence = sample(n=50, classes=3)
    order = run("contextual-diversity", evidence, budget=17)
    chosen, labels = order[:17], evidence["labels"]
    assert np.bincount(labels[chosen]).tolist() == class_quotas(labels, 3, 17).tolist()
    for label in range(3):
        members = np.flatnonzero(labels == label)
        picks = [int(np.flatnonzero(members == i)[0]) for i in chosen if labels[i] == label]
        assert is_greedy(picks, divergences(evidence["logits"][members]))


def test_contextual_diversity_survives_probabilities_of_zero() -> None:
    evidence = logits_of([1, 0, 0], [0, 1, 0], [1, 0, 0], [0, 0, 1], [0.5, 0.5, 0], [1, 0, 0])
    for seed in range(5):
        order = run("contextual-diversity", evidence, seed=seed, budget=4, per_class=False)
        assert is_greedy(order[:4].tolist(), divergences(evidence["logits"]))
        assert len({0, 2, 5} & set(order[:3].tolist())) <= 1


def test_a_clipped_probability_does_not_outweigh_a_different_prediction() -> None:
    logits = np.array([[0, -5000, -100], [np.log(4), 0, -20], [-20, -20, 0]], dtype=np.float32)
    evidence = {"logits": logits, "labels": np.zeros(3, dtype=np.int64)}
    orders = [run("contextual-diversity", evidence, seed=s, budget=3, per_class=False) for s in range(12)]
    assert {tuple(order.tolist()) for order in orders if order[0] == 0} == {(0, 2, 1)}


def test_the_first_centre_follows_the_seed() -> None:
    firsts = {int(run("contextual-diversity", sample(), seed=s, budget=5, per_class=False)[0]) for s in range(20)}
    assert len(firsts) > 10


def test_contextual_diversity_of_a_shuffled_file_is_greedy_as_well() -> None:
    evidence = moved(sample(n=14), np.random.default_rng(4).permutation(14))
    order = run("contextual-diversity", evidence, budget=6, per_class=False)
    assert is_greedy(order[:6].tolist(), divergences(evidence["logits"]))
