"""Methods without labels against scikit-learn, brute force, slow loops and quotas counted by hand."""

from __future__ import annotations

import importlib
import tracemalloc
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.spatial.distance import cdist
from scipy.stats import kstest, triang
from sklearn.cluster import KMeans, MiniBatchKMeans, kmeans_plusplus
from sklearn.metrics.pairwise import cosine_distances, cosine_similarity

import prunebench_clusters
from prunebench import DataError, PluginContractError, ScoreContext, Scores
from prunebench_clusters.duplicates import keep_order, similarity_before
from prunebench_clusters.hierarchy import build, level_sizes
from prunebench_clusters.kmeans import Settings, kmeans, plus_plus, unit_rows
from prunebench_clusters.quotas import draw, level_out, share
from prunebench_clusters.zcore import draw_points, triangular

SPECS = {spec.name: spec for spec in prunebench_clusters.prunebench_scorers()}
FAST = {"zcore": {"draws": 500}}
SETTINGS = Settings(n_init=1, max_iter=100, minibatch_above=10_000)


def context(
    name: str,
    features: NDArray[Any],
    *,
    seed: int = 0,
    n_classes: int = 3,
    threads: int = 1,
    budget: int = 1,
    **params: Any,
) -> ScoreContext:
    features.setflags(write=False)
    spec = SPECS[name]
    return ScoreContext(
        params=spec.resolve_params({**FAST.get(name, {}), **params}),
        seed=seed,
        threads=threads,
        n=len(features),
        n_classes=n_classes,
        scorer=name,
        evidence={"features": features},
        budget=budget if spec.budget_dependent else None,
    )


def raw(name: str, ctx: ScoreContext) -> Any:
    module, function = SPECS[name].load.split(":")
    return getattr(importlib.import_module(module), function)(ctx)


def score(name: str, features: NDArray[Any], **options: Any) -> NDArray[Any]:
    """Run a method with the evidence that it declares and nothing else, and check what every method promises."""
    returned = raw(name, context(name, features, **options))
    values: NDArray[Any] = returned.values if isinstance(returned, Scores) else returned
    assert values.shape == (len(features),)
    if SPECS[name].output == "order":
        assert values.dtype == np.int64
        assert np.array_equal(np.sort(values), np.arange(len(features)))
    else:
        assert values.dtype == np.float64
        assert np.isfinite(values).all()
    return values


def blobs(n: int = 90, d: int = 6, k: int = 3, spread: float = 0.3) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Well-separated groups, so that any start of k-means finds them, of sizes 1 : 2 : 3 and so on."""
    generator = np.random.default_rng(4)
    group = np.sort(generator.choice(k, n, p=np.arange(1, k + 1) / np.arange(1, k + 1).sum()))
    centres = 10 * np.eye(k, d) + 3
    return (centres[group] + spread * generator.normal(size=(n, d))).astype(np.float32), group


# every method


@pytest.mark.parametrize("name", SPECS)
def test_the_same_seed_gives_the_same_bytes_and_no_global_random_state_is_used(name: str) -> None:
    features, _ = blobs()
    before = np.random.get_state()[1].copy()  # noqa: NPY002 - the global state is what is checked
    first, second = (score(name, features, budget=20) for _ in range(2))
    assert first.tobytes() == second.tobytes()
    assert np.array_equal(before, np.random.get_state()[1])  # noqa: NPY002


@pytest.mark.parametrize("name", SPECS)
@pytest.mark.parametrize("dtype", ["f2", "f4"])
@pytest.mark.parametrize(
    "features",
    [
        np.zeros((1, 3)),
        np.ones((2, 3)),
        np.zeros((7, 1)),
        np.ones((7, 4)),
        np.eye(3),
        np.arange(8.0)[:, None] * np.ones(3),
        np.repeat(np.eye(4), 5, axis=0),
    ],
    ids=["one", "two-alike", "one-feature", "constant", "three", "collinear", "repeated"],
)
def test_degenerate_features_are_accepted(name: str, dtype: str, features: NDArray[np.float64]) -> None:
    for n_classes in (1, 5):
        score(name, features.astype(dtype), n_classes=n_classes)


@pytest.mark.parametrize("name", SPECS)
def test_values_that_are_not_finite_are_refused_with_their_count(name: str) -> None:
    features, _ = blobs()
    features[[3, 8], 2] = np.nan
    features[8, 3] = np.inf
    with pytest.raises(DataError, match="2 samples"):
        score(name, features)


@pytest.mark.parametrize("name", SPECS)
def test_a_method_reads_only_what_it_declares(name: str) -> None:
    spec = SPECS[name]
    ctx = ScoreContext(params=spec.resolve_params({}), n=3, n_classes=1, scorer=name, evidence={})
    with pytest.raises(PluginContractError, match="did not declare"):
        raw(name, ctx)


@pytest.mark.parametrize("name", SPECS)
def test_memory_grows_with_n_and_not_with_its_square(name: str) -> None:
    n = 6000
    features = np.random.default_rng(0).normal(size=(n, 8)).astype(np.float32)
    extra = {"clusters": 1} if name == "semdedup" else {}
    ctx = context(name, features, budget=100, **extra)
    score(name, features[:100])
    tracemalloc.start()
    raw(name, ctx)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < n * n * 4 / 2


# k-means


def test_euclidean_clusters_are_those_of_scikit_learn() -> None:
    points = np.random.default_rng(0).normal(size=(200, 5)).astype(np.float32)
    found = kmeans(points, 7, SETTINGS, np.random.default_rng(3))
    seed = int(np.random.default_rng(3).integers(2**31))
    expected = KMeans(7, init=plus_plus, n_init=1, max_iter=100, random_state=seed).fit(points)
    assert np.array_equal(found.labels, expected.labels_)
    assert found.centroids == pytest.approx(expected.cluster_centers_, abs=1e-5)


@pytest.mark.parametrize(("n", "k"), [(2000, 40), (12_000, 10)])
def test_starts_are_as_good_as_those_of_scikit_learn(n: int, k: int) -> None:
    points = np.random.default_rng(0).normal(size=(n, 8)).astype(np.float32)

    def cost(starts: Any) -> float:
        return float(np.square(cdist(points, starts).min(axis=1)).sum())

    ours = [cost(plus_plus(points, k, np.random.RandomState(seed))) for seed in range(5)]
    theirs = [cost(kmeans_plusplus(points, k, random_state=seed)[0]) for seed in range(5)]
    uniform = [cost(points[np.random.RandomState(seed).permutation(n)[:k]]) for seed in range(5)]
    assert np.mean(ours) == pytest.approx(np.mean(theirs), rel=0.02)
    assert np.mean(ours) < np.mean(uniform)


def test_starts_are_points_far_apart_and_duplicates_serve_where_too_few_differ() -> None:
    corners = np.array([[0, 0], [9, 0], [0, 9], [9, 9]], dtype=np.float32)
    points = np.repeat(corners, 50, axis=0) - corners.mean(axis=0)
    starts = plus_plus(points, 4, np.random.RandomState(0))
    assert len(np.unique(starts, axis=0)) == 4
    assert plus_plus(points, 9, np.random.RandomState(0)).shape == (9, 2)


def test_many_samples_are_clustered_in_mini_batches() -> None:
    points, few = blobs()[0], Settings(n_init=1, max_iter=100, minibatch_above=50)
    found = kmeans(points, 3, few, np.random.default_rng(3))
    seed = int(np.random.default_rng(3).integers(2**31))
    assert np.array_equal(
        found.labels, MiniBatchKMeans(3, init=plus_plus, n_init=1, random_state=seed).fit_predict(points)
    )


def test_spherical_clusters_are_a_fixed_point_of_the_cosine() -> None:
    points = unit_rows(np.random.default_rng(1).normal(size=(300, 4)).astype(np.float32))
    found = kmeans(points, 6, SETTINGS, np.random.default_rng(0), spherical=True)
    assert np.linalg.norm(found.centroids, axis=1) == pytest.approx(np.ones(6), abs=1e-6)
    assert np.array_equal(found.labels, cosine_similarity(points, found.centroids).argmax(axis=1))
    for cluster in range(6):
        mean = points[found.labels == cluster].astype(np.float64).mean(axis=0)
        assert found.centroids[cluster] == pytest.approx(mean / np.linalg.norm(mean), abs=1e-5)


def test_rows_of_any_magnitude_become_unit_vectors_and_zero_stays_zero() -> None:
    rows = np.array([[3, 4], [3e30, 4e30], [3e-30, 4e-30], [0, 0]], dtype=np.float32)
    assert unit_rows(rows) == pytest.approx(np.array([[0.6, 0.8]] * 3 + [[0, 0]]), abs=1e-6)


# prototypes


@pytest.mark.parametrize("spherical", [False, True])
def test_the_prototype_score_is_the_cosine_distance_to_the_nearest_centroid(spherical: bool) -> None:
    features = np.random.default_rng(0).normal(size=(150, 5)).astype(np.float32)
    values = score("ssl-prototypes", features, clusters=8, spherical=spherical, seed=3)
    points = unit_rows(features) if spherical else features
    found = kmeans(points, 8, SETTINGS, np.random.default_rng(3), spherical=spherical)
    assert values == pytest.approx(cosine_distances(features, found.centroids).min(axis=1), abs=1e-6)
    near = score("ssl-prototypes", features, clusters=8, spherical=spherical, seed=3, prefer="near")
    assert (near == -values).all()


def test_there_are_as_many_prototypes_as_classes_unless_said_otherwise() -> None:
    features = np.random.default_rng(0).normal(size=(150, 5)).astype(np.float32)
    assert np.array_equal(
        score("ssl-prototypes", features, n_classes=8),
        score("ssl-prototypes", features, n_classes=2, clusters=8),
    )


def test_prototypes_of_separate_groups_are_their_means_in_any_order_of_the_file() -> None:
    features, group = blobs()
    moved = np.random.default_rng(1).permutation(len(features))
    straight = score("ssl-prototypes", features, n_init=5)
    means = np.stack([features[group == g].mean(axis=0) for g in range(3)])
    assert straight == pytest.approx(cosine_distances(features, means).min(axis=1), abs=1e-6)
    assert score("ssl-prototypes", features[moved], n_init=5) == pytest.approx(straight[moved], abs=1e-6)


def test_a_planted_outlier_is_the_farthest_from_the_prototypes() -> None:
    features, _ = blobs()
    features[40] *= -1
    assert score("ssl-prototypes", features, n_init=5).argmax() == 40


# semantic duplicates


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


# hierarchical k-means


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


@pytest.mark.parametrize("budget", [1, 2, 3, 10, 89, 90])
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


# zero-shot coresets


def slow_zcore(features: NDArray[np.float32], n_draws: int, k: int, exponent: int, seed: int) -> NDArray[np.float64]:
    """The description, draw by draw: sort all distances, with the same random numbers."""
    rng = np.random.default_rng(seed)
    start = rng.random(len(features))
    shuffled = rng.permutation(len(features))
    points = features[shuffled].astype(np.float64)
    scores = np.zeros(len(points))
    draws = draw_points(np.ascontiguousarray(features[shuffled].T), n_draws, rng)
    for plane, target in zip(draws.dimensions, draws.points, strict=True):
        flat = points[:, plane]
        hit = int(np.abs(flat - target).sum(axis=1).argmin())
        scores[hit] += 1
        distance = np.abs(flat - flat[hit]).sum(axis=1)
        distance[hit] = np.inf
        limit = np.sort(distance)[min(k, len(points) - 1) - 1]
        if distance.min() == 0:
            weights = (distance == 0).astype(float)
        else:
            weights = np.where(distance <= limit, distance, np.inf) ** -float(exponent)
        scores -= weights / weights.sum()
    total = start
    total[shuffled] += scores
    return (total - total.min()) / (total.max() - total.min())


@pytest.mark.parametrize(
    ("n", "d", "k", "exponent"),
    [(60, 5, 10, 4), (60, 5, 1, 4), (60, 5, 1000, 4), (700, 3, 40, 2), (1500, 30, 300, 4)],
)
def test_zcore_is_the_described_loop(n: int, d: int, k: int, exponent: int) -> None:
    features = np.random.default_rng(d).gamma(1.0, size=(n, d)).astype(np.float32)
    values = score("zcore", features, draws=800, neighbours=k, exponent=exponent, seed=6)
    assert values == pytest.approx(slow_zcore(features, 800, k, exponent, 6), abs=1e-9)


@pytest.mark.parametrize("levels", [2, 4, 20])
def test_zcore_is_the_described_loop_where_distances_tie(levels: int) -> None:
    features = np.random.default_rng(levels).integers(0, levels, (300, 4)).astype(np.float32)
    values = score("zcore", features, draws=400, neighbours=25, seed=6)
    assert values == pytest.approx(slow_zcore(features, 400, 25, 4, 6), abs=1e-9)


def test_zcore_does_not_depend_on_the_number_of_threads() -> None:
    features = np.random.default_rng(0).normal(size=(500, 6)).astype(np.float32)
    one, four = (score("zcore", features, draws=5000, threads=threads) for threads in (1, 4))
    assert one.tobytes() == four.tobytes()


def test_of_two_copies_in_zcore_one_is_covered_and_the_other_redundant() -> None:
    generator = np.random.default_rng(3)
    features = generator.random((200, 4)).astype(np.float32)
    features[17] = features[120] = 5.0
    values = score("zcore", features, draws=20_000, neighbours=20)
    assert {int(values.argmin()), int(values.argmax())} == {17, 120}


def test_zcore_prefers_a_sparse_region_to_a_crowd() -> None:
    generator = np.random.default_rng(3)
    crowd, spread = generator.normal(0, 0.05, (300, 4)), generator.uniform(-3, 3, (100, 4))
    values = score("zcore", np.concatenate([crowd, spread]).astype(np.float32), draws=20_000, neighbours=20)
    assert np.median(values[300:]) > np.median(values[:300])


def test_draws_are_triangular_in_uniform_planes() -> None:
    columns = np.random.default_rng(0).gamma(2.0, size=(4, 500)).astype(np.float32)
    draws = draw_points(columns, 12_000, np.random.default_rng(1))
    assert (draws.dimensions[:, 0] < draws.dimensions[:, 1]).all()
    planes, counts = np.unique(draws.dimensions, axis=0, return_counts=True)
    assert len(planes) == 6
    assert counts.min() > 1800
    low, high, middle = (
        columns.min(axis=1),
        columns.max(axis=1),
        np.median(columns.astype(np.float64), axis=1),
    )
    for axis in range(2):
        for dimension in range(4):
            values = draws.points[draws.dimensions[:, axis] == dimension, axis]
            width = high[dimension] - low[dimension]
            law = triang((middle[dimension] - low[dimension]) / width, low[dimension], width)
            assert len(values) == 0 or kstest(values, law.cdf).pvalue > 0.001


def test_the_quantiles_of_a_triangle_are_those_of_scipy_and_a_point_is_itself() -> None:
    uniform = np.linspace(0, 1, 50)
    low, high = np.full(50, -2.0), np.full(50, 5.0)
    for mode in (-2.0, 0.5, 5.0):
        expected = triang((mode + 2) / 7, -2, 7).ppf(uniform)
        assert triangular(uniform, low, np.full(50, mode), high) == pytest.approx(expected, abs=1e-9)
    assert (triangular(uniform, high, high, high) == 5).all()


def test_a_random_start_is_an_option() -> None:
    features = np.random.default_rng(0).normal(size=(50, 3)).astype(np.float32)
    assert len(np.unique(score("zcore", features, draws=1, neighbours=1))) == 50
    assert len(np.unique(score("zcore", features, draws=1, neighbours=1, random_start=False))) == 3
