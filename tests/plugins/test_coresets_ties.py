"""Ties of greedy methods: the seed and the content of the samples decide them, and what nothing decides is said."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy.spatial.distance import cdist

from coreset_problems import EVERY, Array, evidence_of, picks_of, problem, run, taken
from prunebench import Scores
from prunebench_coresets.kernels import Factors, cosine_rows
from prunebench_coresets.lazy import facility_location


def one_class(features: Array) -> dict[str, Any]:
    """Evidence of one class in which all predictions are alike: the features alone tell samples apart."""
    features = features.astype(np.float32)
    return evidence_of(features, np.zeros((len(features), 3), np.float32), np.zeros(len(features), dtype=np.int64))


def corners() -> dict[str, Any]:
    """24 samples of which none differs from the others by anything but a reflection or a swap of coordinates."""
    return one_class(np.concatenate([np.eye(12), -np.eye(12)]))


@EVERY
def test_exact_ties_are_decided_by_the_seed_and_go_with_the_samples(name: str, params: dict[str, Any]) -> None:
    evidence, moved = corners(), np.random.default_rng(9).permutation(24)
    chosen = set()
    for seed in range(5):
        picks = picks_of(run(name, evidence, 6, n_classes=1, seed=seed, **params))
        again = picks_of(run(name, taken(evidence, moved), 6, n_classes=1, seed=seed, **params))
        assert sorted(moved[again]) == picks.tolist()
        chosen.add(tuple(picks))
    assert len(chosen) > 1


def caveat_of(name: str, features: Array, budget: int, **params: Any) -> tuple[int, str]:
    result = run(name, one_class(features), budget, n_classes=1, **params)
    assert isinstance(result, Scores)
    return result.diagnostics["undetermined"], result.caveat


def test_picks_of_log_det_beyond_the_rank_of_its_kernel_are_ties_and_counted() -> None:
    features = np.random.default_rng(0).normal(size=(200, 20))
    count, caveat = caveat_of("log-det-embeddings", features, 60)
    assert count == 60 - 21  # 1/2 + cos/2 has one dimension more than the features
    assert caveat.startswith("39 of 60 picks are undetermined")
    assert caveat_of("log-det-embeddings", features, 21) == (0, "")
    assert caveat_of("log-det-embeddings", features, 200) == (0, "")  # all are kept: nothing is open


def test_before_they_are_exhausted_the_picks_of_log_det_survive_noise() -> None:
    generator = np.random.default_rng(1)
    features = generator.normal(size=(200, 20))
    noisy = features + 1e-7 * generator.normal(size=features.shape)
    first, second = (picks_of(run("log-det-embeddings", one_class(f), 21, n_classes=1)) for f in (features, noisy))
    assert first.tolist() == second.tolist()


@pytest.mark.parametrize("name", ["k-center", "facility-location-embeddings", "facility-location", "craig"])
def test_picks_among_copies_of_picks_are_counted(name: str) -> None:
    features = np.repeat(np.random.default_rng(2).normal(size=(6, 4)), 5, axis=0)
    assert caveat_of(name, features, 6) == (0, "")
    count, caveat = caveat_of(name, features, 10)
    assert count == 4
    assert "4 of 10 picks are undetermined" in caveat


def test_gradmatch_counts_the_picks_after_the_mean_gradient_is_met() -> None:
    evidence = corners()
    evidence = evidence_of(evidence["features"], np.tile([900.0, 0.0, 0.0], (24, 1)), evidence["labels"])
    result = run("gradmatch", evidence, 6, n_classes=1)  # certain answers: no gradient is left from the start
    assert isinstance(result, Scores)
    assert result.diagnostics["undetermined"] == 6
    assert "meet the mean gradient" in result.caveat


def test_the_radius_of_k_center_is_that_of_clusters_far_narrower_than_their_distance() -> None:
    generator = np.random.default_rng(3)
    features = (100 * np.eye(3, 16)[np.arange(300) % 3] + generator.uniform(0, 0.01, (300, 16))).astype(np.float32)
    result = run("k-center", one_class(features), 30, n_classes=1)
    assert isinstance(result, Scores)
    exact = features.astype(np.float64)
    radius = cdist(exact, exact[picks_of(result)]).min(axis=1).max()
    assert 0.005 < radius < 0.02
    assert result.diagnostics["radius"] == pytest.approx(radius, rel=1e-6)


@pytest.mark.parametrize("most_kept", [10**9, 12_000, 10])
def test_facility_location_is_the_same_however_many_pairs_fit(most_kept: int, monkeypatch: pytest.MonkeyPatch) -> None:
    generator = np.random.default_rng(7)
    unit = Factors(left=generator.normal(size=(300, 3)), right=generator.normal(size=(300, 5))).unit()
    expected = facility_location(cosine_rows(unit), 300, 80)
    monkeypatch.setattr("prunebench_coresets.coverage._MOST_KEPT", most_kept)
    found = facility_location(cosine_rows(unit), 300, 80)
    assert found.picks.tolist() == expected.picks.tolist()
    assert found.serving.tolist() == expected.serving.tolist()
    assert found.priority.tolist() == expected.priority.tolist()


def test_rows_of_similarity_are_computed_a_few_times_whatever_the_budget() -> None:
    generator, asked = np.random.default_rng(8), 0
    unit = Factors(left=np.ones((800, 1)), right=generator.normal(size=(800, 12)) + 1).unit()
    rows = cosine_rows(unit)

    def counted(chosen: Array) -> Array:
        nonlocal asked
        asked += len(chosen)
        return rows(chosen)

    facility_location(counted, 800, 400)
    assert asked < 8 * 800


def test_the_order_of_a_class_does_not_depend_on_the_numbers_of_the_classes() -> None:
    evidence = problem()
    renamed = {**evidence, "labels": np.array([2, 0, 1])[evidence["labels"]]}
    for name in ("herding", "k-center"):
        assert picks_of(run(name, evidence, 30)).tolist() == picks_of(run(name, renamed, 30)).tolist()
