"""SemDeDup against its description on the full matrix of similarities."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics.pairwise import cosine_similarity

from prunebench_clusters.duplicates import keep_order, similarity_before
from prunebench_clusters.kmeans import kmeans, unit_rows
from unlabelled_problems import SETTINGS, blobs, context, raw, score


@pytest.mark.parametrize("m", [1, 2, 50, 2500])
def test_the_similarity_before_is_the_largest_of_the_lower_triangle(m: int) -> None:
    units = unit_rows(np.random.default_rng(m).normal(size=(m, 3)))
    full = cosine_similarity(units)
    full[np.triu_indices(m)] = -1
    assert similarity_before(units) == pytest.approx(full.max(axis=1), abs=1e-12)


@pytest.mark.parametrize("keep", ["hard", "easy"])
def test_the_score_is_the_epsilon_of_the_described_algorithm(keep: str) -> None:
    features = np.random.default_rng(0).normal(size=(120, 4)).astype(np.float32)
    values = score("semdedup", features, clusters=5, keep=keep, seed=3)
    found = kmeans(unit_rows(features), 5, SETTINGS, np.random.default_rng(3), spherical=True)
    for cluster in range(5):
        members = np.flatnonzero(found.labels == cluster)
        units = unit_rows(features[members].astype(np.float64))
        order = np.argsort((units @ found.centroids[cluster]) * (1 if keep == "hard" else -1))
        for epsilon in (0.001, 0.01, 0.1, 0.5):
            similar = np.triu(units[order] @ units[order].T, k=1).max(axis=0)
            removed = set(members[order[similar > 1 - epsilon]])
            assert removed == set(members[values[members] < epsilon])


def test_of_each_group_of_duplicates_exactly_one_is_kept_before_all_others() -> None:
    generator = np.random.default_rng(7)
    originals = generator.normal(size=(60, 8)).astype(np.float32)
    copied = np.repeat(np.arange(20), 2)
    features = np.concatenate([originals, (originals[copied] * generator.uniform(0.5, 2, (40, 1))).astype("f4")])
    source = np.concatenate([np.arange(60), copied])
    moved = generator.permutation(100)
    for keep in ("hard", "easy", "random"):
        values = score("semdedup", features[moved], clusters=4, keep=keep)
        kept, removed = np.argsort(-values)[:60], np.argsort(-values)[60:]
        assert sorted(source[moved][kept]) == list(range(60))
        assert values[removed] == pytest.approx(np.zeros(40), abs=1e-6)


def test_the_hard_rule_keeps_the_copy_farther_from_the_centroid() -> None:
    units = unit_rows(np.array([[1.0, 0.0], [1.0, 0.1], [1.0, 0.5]]))
    centroid = np.array([1.0, 0.0])
    assert keep_order(units, centroid, "hard").tolist() == [2, 1, 0]
    assert keep_order(units, centroid, "easy").tolist() == [0, 1, 2]


def test_the_first_of_every_cluster_is_never_removed() -> None:
    features, group = blobs()
    values = score("semdedup", features, clusters=3, n_init=5)
    assert [int((values[group == g] == 2).sum()) for g in range(3)] == [1, 1, 1]


def test_epsilons_of_separate_groups_follow_a_permutation_of_the_samples() -> None:
    features, _ = blobs()
    moved = np.random.default_rng(1).permutation(len(features))
    straight = score("semdedup", features, clusters=3, n_init=5)
    assert score("semdedup", features[moved], clusters=3, n_init=5) == pytest.approx(straight[moved], abs=1e-6)


def test_there_is_a_cluster_for_every_thousand_samples_unless_said_otherwise() -> None:
    features = np.random.default_rng(0).normal(size=(2001, 3)).astype(np.float32)
    assert raw("semdedup", context("semdedup", features)).diagnostics["clusters"] == 3
