"""D2 pruning against the worked example, dense brute force, and the degenerate inputs."""

from __future__ import annotations

import importlib
import itertools
import math
import tracemalloc
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.spatial.distance import cdist
from sklearn.neighbors import NearestNeighbors

import prunebench_d2
from prunebench import DataError, ScoreContext, Scores
from prunebench_d2.difficulty import measure
from prunebench_d2.graph import Graph, neighbour_graph
from prunebench_d2.picking import pick_order
from prunebench_d2.score import Settings, d2_order

(SPEC,) = prunebench_d2.prunebench_scorers()
CODE = Settings(k=5, gamma_f=1.0, gamma_r=0.1, distance_power=1, message="sum", reverse="weighted", clip=False)
LINE = np.array([[0.0], [1.0], [3.0]])


def context(
    features: Any, labels: Any, dynamics: Any = None, *, n_classes: int = 0, seed: int = 0, **params: Any
) -> ScoreContext:
    labels = np.asarray(labels, dtype=np.int64)
    n_classes = n_classes or int(labels.max()) + 1
    if dynamics is None:
        generator = np.random.default_rng(8)
        dynamics = generator.dirichlet(np.ones(n_classes + 1), size=(12, len(labels))).astype(np.float16)
    evidence = {"features": np.asarray(features), "labels": labels, "dynamics": np.asarray(dynamics)}
    for array in evidence.values():
        array.setflags(write=False)
    return ScoreContext(
        params=SPEC.resolve_params(params),
        seed=seed,
        n=len(labels),
        n_classes=n_classes,
        scorer="d2",
        evidence=evidence,
    )


def d2(*args: Any, **params: Any) -> Scores:
    module, function = SPEC.load.split(":")
    ctx = context(*args, **params)
    scores: Scores = getattr(importlib.import_module(module), function)(ctx)
    assert scores.values.dtype == np.float64
    assert scores.values.shape == (ctx.n,)
    assert np.isfinite(scores.values).all()
    return scores


def brute_force(features: NDArray[np.float64], x: NDArray[np.float64], how: Settings) -> list[int]:
    """The method with dense matrices and a full scan at each pick, from the paper's formulas."""
    n = len(x)
    distance = cdist(features, features)
    joined = np.zeros((n, n), dtype=bool)
    for i in range(n):
        others = sorted((j for j in range(n) if j != i), key=lambda j: distance[i, j])
        joined[i, others[: how.k]] = True
    joined |= joined.T
    forward = np.where(joined, np.exp(-how.gamma_f * distance**how.distance_power), 0.0)
    backward = np.where(joined, np.exp(-how.gamma_r * distance**how.distance_power), 0.0)
    if how.reverse == "absolute":
        backward = joined.astype(float)
    told = forward @ np.maximum(x, 1e-7)
    u = x * told if how.message == "product" else x + told
    order: list[int] = []
    while len(order) < n:
        pick = max((i for i in range(n) if i not in order), key=lambda i: u[i])
        order.append(pick)
        u = u - backward[pick] * (max(u[pick], 0.0) if how.clip else u[pick])
    return order


def scan_order(values: list[float], weights: NDArray[np.float64], clip: bool) -> list[int]:
    """Picks by a full scan with ties to the lowest index; NaN in `weights` means no edge."""
    u, left, order = list(values), list(range(len(values))), []
    while left:
        pick = max(left, key=lambda i: (u[i], -i))
        left.remove(pick)
        order.append(pick)
        for j in left:
            if not math.isnan(weights[pick, j]):
                u[j] -= weights[pick, j] * (max(u[pick], 0.0) if clip else u[pick])
    return order


def test_the_worked_example_on_a_line() -> None:
    x, e = np.array([1.0, 2.0, 3.0]), math.e
    graph = neighbour_graph(LINE, 1)
    assert graph.starts.tolist() == [0, 1, 3, 4]
    assert graph.neighbours.tolist() == [1, 0, 2, 1]
    u = x + graph.neighbour_sum(np.exp(-graph.distance), x)
    assert u == pytest.approx([1 + 2 / e, 2 + 1 / e + 3 / e**2, 3 + 2 / e**2])
    assert u == pytest.approx([1.7358, 2.7739, 3.2707], abs=5e-5)
    assert u[1] - math.exp(-0.5 * 2) * u[2] == pytest.approx(1.5707, abs=5e-5)
    assert d2_order(LINE, x, replace(CODE, k=1, gamma_r=0.5))[0].tolist() == [2, 0, 1]


@pytest.mark.parametrize("power", [1, 2])
@pytest.mark.parametrize("message", ["sum", "product"])
@pytest.mark.parametrize("reverse", ["weighted", "absolute"])
@pytest.mark.parametrize("clip", [False, True])
def test_picks_equal_dense_brute_force(power: int, message: str, reverse: str, clip: bool) -> None:
    for seed, n in enumerate((2, 5, 17, 50)):
        generator = np.random.default_rng(seed)
        features, x = generator.normal(size=(n, 3)), generator.gamma(2.0, size=n)
        if seed % 2:  # most difficulties near 0: the least message counts, and no more than it should
            x[1:] = 10.0 ** -generator.uniform(1, 12, n - 1)
        how = Settings(
            k=1 + 2 * seed,
            gamma_f=0.7,
            gamma_r=0.3,
            distance_power=power,
            message=message,
            reverse=reverse,
            clip=clip,
        )
        assert d2_order(features, x, how)[0].tolist() == brute_force(features, x, how)


@given(st.integers(1, 12), st.data(), st.booleans())
@settings(max_examples=150, deadline=None)
def test_the_heap_equals_a_full_scan_with_ties_to_the_lowest_index(n: int, data: st.DataObject, clip: bool) -> None:
    values = data.draw(st.lists(st.sampled_from([-1.0, 0.0, 0.5, 1.0, 2.0]), min_size=n, max_size=n))
    pairs = [(i, j) for i in range(n) for j in range(i)]
    drawn = data.draw(st.lists(st.sampled_from([math.nan, 0.25, 0.5, 1.0]), min_size=len(pairs), max_size=len(pairs)))
    weights = np.full((n, n), math.nan)
    for (i, j), weight in zip(pairs, drawn, strict=True):
        weights[i, j] = weights[j, i] = weight
    sources, neighbours = np.nonzero(~np.isnan(weights))
    starts = np.concatenate([[0], np.cumsum(np.bincount(sources, minlength=n))])
    graph = Graph(starts=starts, neighbours=neighbours, distance=np.zeros(len(neighbours)))
    picked = pick_order(np.array(values), graph, weights[sources, neighbours], clip=clip)
    assert picked.tolist() == scan_order(values, weights, clip)


@pytest.mark.parametrize("seed", range(60))
def test_the_heap_equals_a_full_scan_on_graphs_of_neighbours_with_ties(seed: int) -> None:
    generator = np.random.default_rng(seed)
    n, k = int(generator.integers(2, 80)), int(generator.integers(1, 6))
    # a lattice and counts, as of forgetting events: many distances and many values are equal
    features = generator.integers(0, 4, (n, 3)).astype(np.float64)
    x = generator.integers(0, 3, n).astype(np.float64)
    graph = neighbour_graph(features, k)
    received = graph.neighbour_sum(np.exp(-graph.distance), np.maximum(x, 1e-7))
    taken = np.exp(-0.1 * graph.distance) if seed % 3 else np.ones_like(graph.distance)
    weights = np.full((n, n), math.nan)
    sources = np.repeat(np.arange(n), np.diff(graph.starts))
    weights[sources, graph.neighbours] = taken
    for u in (x + received, x * received, x):
        for clip in (False, True):
            assert pick_order(u, graph, taken, clip=clip).tolist() == scan_order(u.tolist(), weights, clip)


@pytest.mark.parametrize("k", [1, 4, 29])
def test_the_graph_is_the_symmetric_union_of_nearest_neighbours(k: int) -> None:
    points = np.random.default_rng(1).normal(size=(30, 3)) + 1e4
    graph = neighbour_graph(points, k)
    dense = np.zeros((30, 30))
    dense[np.repeat(np.arange(30), np.diff(graph.starts)), graph.neighbours] = graph.distance
    tree = NearestNeighbors(n_neighbors=k, algorithm="kd_tree").fit(points)
    reference = tree.kneighbors_graph(mode="distance").toarray()
    assert dense == pytest.approx(np.maximum(reference, reference.T), rel=1e-12)


def test_a_pick_takes_nothing_where_the_reverse_weight_vanishes() -> None:
    generator = np.random.default_rng(0)
    features, x = generator.normal(size=(40, 2)), generator.gamma(2.0, size=40)
    graph = neighbour_graph(features, 5)
    u = x + graph.neighbour_sum(np.exp(-graph.distance), x)
    order = d2_order(features, x, replace(CODE, gamma_r=1e6))[0]
    assert order.tolist() == np.argsort(-u, kind="stable").tolist()


def test_equal_difficulty_and_absolute_messages_cover_every_cluster_first() -> None:
    generator = np.random.default_rng(0)
    centres = np.repeat(np.eye(6) * 100, 4, axis=0)
    features = centres + generator.normal(size=centres.shape)
    order = d2_order(features, np.ones(24), replace(CODE, k=3, gamma_r=0.0, reverse="absolute"))[0]
    assert sorted(order[:6] // 4) == list(range(6))


def test_clipped_messages_differ_only_after_values_turn_negative() -> None:
    generator = np.random.default_rng(3)
    features, x = generator.normal(size=(60, 2)), generator.gamma(2.0, size=60)
    plain, clipped = (d2_order(features, x, replace(CODE, clip=c))[0].tolist() for c in (False, True))
    assert plain[:5] == clipped[:5]
    assert plain != clipped


def test_values_are_the_negative_fraction_of_the_class_picked_before() -> None:
    generator = np.random.default_rng(4)
    features, labels = generator.normal(size=(30, 3)), np.arange(30) % 3
    ctx = context(features, labels, score="el2n")
    scores, x = d2(features, labels, score="el2n"), measure(ctx).el2n
    for label in range(3):
        members = np.flatnonzero(labels == label)
        order = brute_force(features[members], x[members], CODE)
        assert scores.values[members[order]].tolist() == [-place / 10 for place in range(10)]


def test_the_global_scope_uses_one_graph() -> None:
    generator = np.random.default_rng(4)
    features, labels = generator.normal(size=(30, 3)), np.arange(30) % 3
    x = measure(context(features, labels)).named("aum")
    values = d2(features, labels, score="aum", graph_scope="global").values
    assert np.argsort(-values).tolist() == brute_force(features, x, CODE)


def test_difficulties_match_a_loop_over_samples() -> None:
    ctx = context(np.zeros((25, 1)), np.arange(25) % 4)
    found, exact = measure(ctx), ctx.dynamics.astype(np.float64)
    for i, label in enumerate(ctx.labels):
        gaps = [epoch[i, label] - np.delete(epoch[i], label).max() for epoch in exact]
        errors = [np.linalg.norm(epoch[i] - np.eye(5)[label]) for epoch in exact[:10]]
        right = [gap > 0 for gap in gaps]
        assert found.margin[i] == pytest.approx(np.mean(gaps), abs=1e-6)
        assert found.el2n[i] == pytest.approx(sum(errors), rel=1e-6)
        assert found.forgetting[i] == sum(a and not b for a, b in itertools.pairwise(right))
    assert (found.named("aum") == (1 - found.margin) / 2).all()
    assert (found.named("uniform") == 1).all()


def test_the_mislabel_cut_excludes_the_lowest_margins_and_returns_the_best_of_them_first() -> None:
    generator = np.random.default_rng(6)
    features, labels = generator.normal(size=(20, 3)), np.arange(20) % 2
    margin = measure(context(features, labels)).margin
    scores = d2(features, labels, mis_ratio=0.35)
    assert scores.excluded is not None
    assert np.flatnonzero(scores.excluded).tolist() == sorted(np.argsort(margin)[:7].tolist())
    assert scores.refill is not None
    assert (scores.refill == margin).all()
    assert scores.values[scores.excluded].max() < scores.values[~scores.excluded].min()
    for label in range(2):
        members = np.flatnonzero((labels == label) & ~scores.excluded)
        x = measure(context(features, labels)).forgetting[members]
        assert np.argsort(-scores.values[members]).tolist() == brute_force(features[members], x, CODE)


@pytest.mark.parametrize("scope", ["class", "global"])
def test_neither_the_order_of_the_file_nor_the_seed_decides_distinct_samples(scope: str) -> None:
    generator = np.random.default_rng(7)
    features, labels = generator.normal(size=(60, 4)), np.arange(60) % 4
    ctx = context(features, labels)
    moved = generator.permutation(60)
    straight = d2(features, labels, ctx.dynamics, graph_scope=scope).values
    shuffled = d2(features[moved], labels[moved], ctx.dynamics[:, moved], graph_scope=scope, seed=5).values
    assert shuffled.tolist() == straight[moved].tolist()


def test_ties_among_duplicates_are_drawn_by_the_seed() -> None:
    features, dynamics = np.zeros((40, 2), dtype=np.float32), np.full((3, 40, 2), 0.5, dtype=np.float16)
    firsts = [int(d2(features, np.zeros(40), dynamics, seed=seed).values.argmax()) for seed in range(30)]
    assert len(set(firsts)) > 10
    again = d2(features, np.zeros(40), dynamics, seed=3).values
    assert again.tobytes() == d2(features, np.zeros(40), dynamics, seed=3).values.tobytes()


@pytest.mark.parametrize("score", ["forgetting", "aum", "el2n", "uniform"])
@pytest.mark.parametrize("dtype", ["f2", "f4"])
def test_tiny_classes_duplicates_and_large_k_give_a_full_order(score: str, dtype: str) -> None:
    labels = np.array([0, 2, 2, 3, 3, 3])
    for features in (np.zeros((6, 3), dtype), np.arange(18).reshape(6, 3).astype(dtype)):
        scores = d2(features, labels, n_classes=5, score=score, k=50)
        for label in (0, 2, 3):
            size = int((labels == label).sum())
            assert sorted(-scores.values[labels == label] * size) == pytest.approx(list(range(size)))
    assert d2(np.ones((1, 3), dtype), [0], score=score, mis_ratio=0.9).values.tolist() == [0.0]


def test_a_class_that_the_cut_empties_is_no_error() -> None:
    dynamics = np.full((2, 4, 2), [0.9, 0.1], dtype=np.float16)  # wrong for class 1, right for class 0
    scores = d2(np.arange(4.0)[:, None], [1, 1, 0, 0], dynamics, mis_ratio=0.5)
    assert scores.excluded is not None
    assert scores.excluded.tolist() == [True, True, False, False]
    assert sorted(scores.values) == [-1.0, -1.0, -0.5, 0.0]


def test_no_global_random_state_is_touched() -> None:
    before = np.random.get_state()[1].copy()  # noqa: NPY002 - the global state is what is checked
    d2(np.random.default_rng(0).normal(size=(20, 3)), np.arange(20) % 2)
    assert np.array_equal(before, np.random.get_state()[1])  # noqa: NPY002


def test_features_and_dynamics_that_are_not_finite_are_refused() -> None:
    features, labels = np.zeros((4, 2)), np.zeros(4, dtype=np.int64)
    with pytest.raises(DataError, match="features"):
        d2(np.full((4, 2), np.nan), labels)
    with pytest.raises(DataError, match="epoch 0"):
        d2(features, labels, np.full((2, 4, 2), np.nan, dtype=np.float16))
    with pytest.raises(DataError, match="shape"):
        d2(features, labels, np.zeros((2, 3, 2), dtype=np.float16))


def test_memory_stays_far_below_a_square_matrix() -> None:
    n = 6000
    features = np.random.default_rng(0).normal(size=(n, 8)).astype(np.float32)
    ctx = context(features, np.zeros(n), score="uniform")
    module, function = SPEC.load.split(":")
    score = getattr(importlib.import_module(module), function)
    tracemalloc.start()
    try:
        score(ctx)
        peak_bytes = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak_bytes < n * n  # bytes, a quarter of the distances in float32
