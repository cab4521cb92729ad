"""Hierarchical k-means: levels, nesting, and quotas counted by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.cluster import KMeans

from prunebench_clusters.hierarchy import build, level_sizes
from prunebench_clusters.kmeans import plus_plus
from prunebench_clusters.quotas import draw, level_out, share
from unlabelled_problems import blobs, context, score


def test_levels_shrink_by_one_factor_down_to_the_top() -> None:
    assert level_sizes(10_000, 1, 4) == [1000, 100, 10, 1]
    assert level_sizes(50_000, 10, 2) == [707, 10]
    assert level_sizes(5, 100, 3) == [5, 5, 5]
    assert level_sizes(100, 10, 1) == [10]


def test_a_budget_is_levelled_out_over_the_sizes() -> None:
    rng = np.random.default_rng(0)
    assert level_out(np.array([1, 5, 100]), 3, rng).tolist() == [1, 1, 1]
    assert level_out(np.array([1, 5, 100]), 21, rng).tolist() == [1, 5, 15]
    assert level_out(np.array([1, 5, 100]), 999, rng).tolist() == [1, 5, 100]
    assert level_out(np.array([4, 4]), 0, rng).tolist() == [0, 0]
    assert sorted(level_out(np.array([1, 9, 9, 9]), 12, rng).tolist()) == [1, 3, 4, 4]


@given(
    sizes=st.lists(st.integers(0, 50), min_size=1, max_size=8),
    total=st.integers(0, 500),
    seed=st.integers(0, 9),
)
@settings(max_examples=100, deadline=None, derandomize=True)
def test_levelled_quotas_are_exact_and_as_even_as_the_sizes_allow(sizes: list[int], total: int, seed: int) -> None:
    limits = np.array(sizes, dtype=np.int64)
    quotas = level_out(limits, total, np.random.default_rng(seed))
    assert quotas.sum() == min(total, limits.sum())
    assert (quotas <= limits).all()
    open_ended = quotas[quotas < limits]
    if len(open_ended):
        assert quotas.max() <= open_ended.min() + 1


def test_quotas_go_down_the_hierarchy_level_by_level() -> None:
    # two groups of 12 and 6: clusters 0, 1, 2 of 2, 3, 7 samples, clusters 3, 4 of 5 and 1
    lowest = np.repeat(np.arange(5), [2, 3, 7, 5, 1])
    above = np.array([0, 0, 0, 1, 1])
    rng = np.random.default_rng(0)
    assert share([lowest, above], 12, rng).tolist() == [2, 2, 2, 5, 1]
    assert share([lowest, above, np.array([0, 0])], 12, rng).tolist() == [2, 2, 2, 5, 1]
    assert share([lowest, above], 16, rng).tolist() == [2, 3, 5, 5, 1]
    assert share([lowest, above], 18, rng).tolist() == [2, 3, 7, 5, 1]
    assert share([lowest], 5, rng).tolist() == [1, 1, 1, 1, 1]


def test_a_lowest_cluster_gives_its_nearest_samples_or_random_ones() -> None:
    labels, distance = np.array([0, 1, 0, 1, 0]), np.array([3.0, 2.0, 1.0, 5.0, 2.0])
    rng = np.random.default_rng(0)
    assert sorted(draw(labels, np.array([2, 1]), rng, distance)) == [1, 2, 4]
    taken = np.bincount(np.concatenate([draw(labels, np.array([1, 0]), rng) for _ in range(300)]), minlength=5)
    assert taken[[1, 3]].tolist() == [0, 0]
    assert taken[[0, 2, 4]].min() > 60


@pytest.mark.parametrize("budget", [1, 10, 90])
@pytest.mark.parametrize("options", [{}, {"levels": 1}, {"levels": 3, "resample_from": 1}, {"sampling": "closest"}])
def test_an_order_starts_with_the_budget_shared_evenly_among_the_groups(budget: int, options: dict[str, Any]) -> None:
    features, group = (part[np.random.default_rng(2).permutation(90)] for part in blobs())
    order = score("hierarchical-kmeans", features, budget=budget, n_init=5, **options)
    counts = np.bincount(group[order[:budget]], minlength=3)
    allowed = level_out(np.bincount(group), budget, np.random.default_rng(0))
    assert sorted(counts) == sorted(allowed)


def test_the_hierarchy_nests_and_no_cluster_is_empty() -> None:
    features = np.random.default_rng(0).normal(size=(400, 5)).astype(np.float32)
    hierarchy = build(context("hierarchical-kmeans", features, resample_from=1), features, [60, 12, 3])
    assert len(hierarchy.parents[0]) == 400
    for below, above in zip(hierarchy.parents, hierarchy.parents[1:], strict=False):
        assert np.array_equal(np.unique(below), np.arange(len(above)))
    assert hierarchy.parents[-1].max() <= 2


def test_without_resampling_a_level_is_k_means_of_the_centroids_below() -> None:
    features = np.random.default_rng(0).normal(size=(300, 5)).astype(np.float32)
    ctx = context("hierarchical-kmeans", features, resamples=0, seed=5)
    hierarchy = build(ctx, features, [30, 4])
    rng = np.random.default_rng(5)
    first = KMeans(30, init=plus_plus, n_init=1, max_iter=50, random_state=int(rng.integers(2**31))).fit(features)
    second = KMeans(4, init=plus_plus, n_init=1, max_iter=50, random_state=int(rng.integers(2**31))).fit(
        first.cluster_centers_
    )
    assert np.array_equal(hierarchy.parents[0], first.labels_)
    assert np.array_equal(hierarchy.parents[1], second.labels_)
    exact = np.linalg.norm(features - first.cluster_centers_[first.labels_], axis=1)
    assert hierarchy.distance == pytest.approx(exact, rel=1e-4)


def test_resampling_spreads_the_centroids_into_sparse_regions() -> None:
    generator = np.random.default_rng(2)
    dense, sparse = generator.normal(0, 0.1, (2000, 2)), generator.uniform(-10, 10, (200, 2))
    features = np.concatenate([dense, sparse]).astype(np.float32)
    in_sparse = []
    for resamples in (0, 10):
        ctx = context("hierarchical-kmeans", features, resamples=resamples, resample_from=1)
        clusters = build(ctx, features, [40]).parents[0]
        in_sparse.append(len(np.unique(clusters[2000:])))
    assert in_sparse[1] > in_sparse[0]


def test_the_budget_is_read_and_two_budgets_need_not_nest() -> None:
    features = np.random.default_rng(0).normal(size=(200, 3)).astype(np.float32)
    few, many = (set(score("hierarchical-kmeans", features, budget=b)[:b]) for b in (40, 60))
    assert (len(few), len(many)) == (40, 60)
