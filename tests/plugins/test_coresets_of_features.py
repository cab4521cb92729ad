"""Herding and k-center against brute force, closed forms and exact optima."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.distance import cdist

from coreset_problems import Array, picks_of, problem, run, values_of
from prunebench import Scores
from prunebench.toolbox import class_quotas
from prunebench_coresets.herding import herding_order
from prunebench_coresets.kcenter import Cloud, farthest_first

# herding


def naive_herding(points: Array, n_picks: int, best: Callable[..., Any] = np.argmin) -> list[int]:
    picks: list[int] = []
    for t in range(n_picks):
        target = (t + 1) * points.mean(axis=0) - points[picks].sum(axis=0)
        rest = [i for i in range(len(points)) if i not in picks]
        picks.append(rest[int(best(np.linalg.norm(points[rest] - target, axis=1)))])
    return picks


@pytest.mark.parametrize("farthest", [False, True])
def test_herding_matches_brute_force_and_the_release_takes_the_maximum(farthest: bool) -> None:
    points = np.random.default_rng(1).normal(size=(60, 5))
    expected = naive_herding(points, 25, np.argmax if farthest else np.argmin)
    order = herding_order(points, 25, farthest=farthest)
    assert order[:25].tolist() == expected
    assert sorted(order) == list(range(60))


def test_the_first_pick_of_herding_is_the_sample_nearest_to_the_mean() -> None:
    points = np.random.default_rng(2).normal(size=(50, 3))
    distance = np.linalg.norm(points - points.mean(axis=0), axis=1)
    assert herding_order(points, 1)[0] == np.argmin(distance)
    assert herding_order(points, 1, farthest=True)[0] == np.argmax(distance)


def test_the_mean_error_of_herding_falls_as_one_over_t_and_below_random_and_release() -> None:
    generator = np.random.default_rng(3)
    points = generator.normal(size=(2000, 4))
    order, release = (herding_order(points, 200, farthest=farthest) for farthest in (False, True))

    def error(picks: Array) -> float:
        return float(np.linalg.norm(points[picks].mean(axis=0) - points.mean(axis=0)))

    assert max(t * error(order[:t]) for t in range(1, 201)) < 3
    random = np.mean([error(generator.permutation(2000)[:200]) for _ in range(50)])
    assert error(order[:200]) < random / 5
    assert error(release[:200]) > random


def test_herding_ignores_translation_and_scale() -> None:
    points = np.random.default_rng(4).normal(size=(80, 4))
    assert herding_order(points, 30).tolist() == herding_order(3 * points + 100, 30).tolist()


def test_herding_of_the_whole_set_follows_the_mean_of_the_whole_set() -> None:
    evidence = problem()
    values = run("herding", evidence, 20, scope="global")
    assert picks_of(values).tolist() == sorted(naive_herding(evidence["features"].astype(np.float64), 20))


# k-center


def naive_farthest(points: Array, n_picks: int, first: int) -> list[int]:
    distance, picks = cdist(points, points), [first]
    while len(picks) < n_picks:
        nearest = distance[picks].min(axis=0)
        nearest[picks] = -1
        picks.append(int(np.argmax(nearest)))
    return picks


@pytest.mark.parametrize(("n", "d", "n_picks"), [(40, 3, 40), (1500, 2, 200), (4000, 16, 150), (3000, 1, 60)])
def test_k_center_matches_brute_force_also_where_it_looks_at_candidates_alone(n: int, d: int, n_picks: int) -> None:
    points = np.random.default_rng(n).normal(size=(n, d)).astype(np.float32) + 5
    members = np.random.default_rng(0).permutation(n)
    picks, nearest = farthest_first(Cloud(features=points, members=members), n_picks, 3)
    expected = naive_farthest(points[members].astype(np.float64), n_picks, 3)
    assert picks.tolist() == expected
    exact = cdist(points[members].astype(np.float64), points[members[picks]].astype(np.float64)).min(axis=1)
    rest = nearest >= 0
    assert np.flatnonzero(~rest).tolist() == sorted(expected)
    assert np.sqrt(nearest[rest]) == pytest.approx(exact[rest], rel=1e-6)


@given(st.integers(0, 10**6), st.integers(3, 12), st.integers(1, 4))
def test_the_radius_of_k_center_is_at_most_twice_the_optimum(seed: int, n: int, k: int) -> None:
    k = min(k, n)
    points = np.random.default_rng(seed).normal(size=(n, 2)).astype(np.float32)
    distance = cdist(points, points)
    optimum = min(distance[list(centres)].min(axis=0).max() for centres in itertools.combinations(range(n), k))
    picks, _ = farthest_first(Cloud(features=points, members=np.arange(n)), k, seed % n)
    assert distance[picks].min(axis=0).max() <= 2 * optimum + 1e-4


def test_k_center_starts_at_random_or_at_the_mean_and_reports_its_radius() -> None:
    evidence = problem()
    points = evidence["features"].astype(np.float64)
    starts = {int(np.argmax(values_of(run("k-center", evidence, 9, seed=s, scope="global")))) for s in range(12)}
    assert len(starts) > 6
    result = run("k-center", evidence, 9, first="mean", scope="global")
    assert isinstance(result, Scores)
    assert np.argmax(result.values) == np.argmin(np.linalg.norm(points - points.mean(axis=0), axis=1))
    radius = cdist(points, points[picks_of(result)]).min(axis=1).max()
    assert result.diagnostics["radius"] == pytest.approx(radius, rel=1e-4)


def test_k_center_of_a_class_does_not_see_the_others() -> None:
    evidence = problem()
    picks = picks_of(run("k-center", evidence, 30, first="mean"))
    for label, quota in enumerate(class_quotas(evidence["labels"], 3, 30)):
        members = np.flatnonzero(evidence["labels"] == label)
        points = evidence["features"][members].astype(np.float64)
        first = int(np.argmin(np.linalg.norm(points - points.mean(axis=0), axis=1)))
        expected = members[naive_farthest(points, int(quota), first)]
        assert sorted(expected) == picks[evidence["labels"][picks] == label].tolist()


def test_k_center_takes_each_distinct_sample_before_any_copy() -> None:
    points = np.repeat(np.arange(12.0)[:, None] ** 2, 5, axis=0).astype(np.float32)
    picks, _ = farthest_first(Cloud(features=points, members=np.arange(60)), 12, 0)
    assert sorted(points[picks, 0]) == [i**2 for i in range(12)]
