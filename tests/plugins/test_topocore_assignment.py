"""The assignment without a matrix of costs against scipy's dense one, on random and on degenerate points."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linear_sum_assignment
from scipy.spatial.distance import cdist

from prunebench import DataError
from prunebench_topocore import displacement as steps
from prunebench_topocore.assignment import Assigner
from prunebench_topocore.displacement import Optimisation, displacement
from prunebench_topocore.loss import transport

METRICS = {"l1": "cityblock", "l2": "euclidean", "sqeuclidean": "sqeuclidean"}
COSTS = pytest.mark.parametrize("cost", METRICS)


def dense(rows: np.ndarray, columns: np.ndarray, cost: str) -> np.ndarray:
    return cdist(rows, columns, METRICS[cost])  # type: ignore[call-overload, no-any-return]


def least(costs: np.ndarray) -> float:
    return float(costs[linear_sum_assignment(costs)].sum())


def points(kind: str, n: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Return two sets of n points each: anywhere, on a small grid, on few lines, on a line, or all at one place."""
    both = rng.normal(size=(2, n, 2)) * rng.choice([1e-6, 1.0, 1e6])
    if kind == "grid":
        both = rng.integers(0, 4, (2, n, 2)) * 0.1
    elif kind == "lines":  # as the masses of one edge, or of one vertex
        axis = rng.integers(0, 2, (2, n))
        np.put_along_axis(both, axis[..., None], rng.integers(0, 3, (2, n, 1)) / 3, axis=2)
    elif kind == "line":
        both[..., 1] = both[..., 0]
    elif kind == "place":
        both[:] = both[0, 0]
    return both[0], both[1]


@settings(max_examples=300, deadline=None)
@given(
    cost=st.sampled_from(list(METRICS)), kind=st.sampled_from(["any", "grid", "lines", "line", "place"]),
    n=st.one_of(st.integers(1, 12), st.integers(1, 90)), seed=st.integers(0, 2**32 - 1),
)  # fmt: skip
def test_the_assignment_costs_as_little_as_that_of_scipy_whatever_was_solved_before(
    cost: str, kind: str, n: int, seed: int
) -> None:
    rng, assigner = np.random.default_rng(seed), Assigner()
    rows, columns = points(kind, n, rng)
    # moved a little, as between two steps; then other points, and another number of them
    nearby = (rows + 1e-3 * rng.normal(size=rows.shape), columns)
    other = points("any", int(rng.integers(1, 40)), rng)
    for x, y in ((rows, columns), nearby, other):
        chosen, costs = assigner.assign(x, y, cost), dense(x, y, cost)
        assert np.array_equal(np.sort(chosen), np.arange(len(x)))
        size = float(np.abs(costs).max(initial=0.0)) * len(x)
        assert costs[np.arange(len(x)), chosen].sum() == pytest.approx(least(costs), rel=1e-12, abs=1e-13 * size)


@COSTS
def test_masses_of_any_weight_are_moved_at_the_cost_of_the_dense_assignment(cost: str) -> None:
    rng = np.random.default_rng(1)
    places, weights = rng.random((60, 2)), np.concatenate([rng.integers(1, 9, 30), np.zeros(30, dtype=np.int64)])
    weights[30:] = -rng.multinomial(weights.sum(), np.full(30, 1 / 30))
    up, down = np.repeat(places, np.maximum(weights, 0), axis=0), np.repeat(places, np.maximum(-weights, 0), axis=0)
    assert -transport(places, weights, cost)[0] == pytest.approx(least(dense(up, down, cost)), rel=1e-12)


def by_scipy(name: str, places: np.ndarray, weights: np.ndarray, assigner: Any = None) -> tuple[float, np.ndarray, int]:
    class Dense(Assigner):
        def assign(self, rows: np.ndarray, columns: np.ndarray, cost: str) -> np.ndarray:
            found: np.ndarray = linear_sum_assignment(dense(rows, columns, cost))[1]
            return found

    return *transport(places, weights, name, Dense()), 1


@COSTS
@pytest.mark.parametrize("engine", ["weak_delaunay", "delaunay_rips"])
def test_points_move_as_far_as_with_the_dense_assignment(
    engine: str, cost: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = np.random.default_rng(2)
    cloud = np.concatenate([rng.normal(size=(120, 2)), rng.normal(3, 0.5, (60, 2))]).astype(np.float32)
    how = Optimisation(engine, cost, "adam", 0.01, 6, 0.4)
    found = displacement(cloud.astype(np.float64), how, np.random.default_rng(0))
    monkeypatch.setattr(steps, "evaluate", by_scipy)
    expected = displacement(cloud.astype(np.float64), how, np.random.default_rng(0))
    if cost == "l1":  # whole numbers: whichever of the best assignments is found, their sums are equal
        assert found.tobytes() == expected.tobytes()
    np.testing.assert_allclose(found, expected, atol=1e-9)


def test_points_too_far_apart_for_a_finite_cost_are_named() -> None:
    with pytest.raises(DataError, match="too far apart for transport costs"):
        transport(np.array([[0.0, 0.0], [1e200, 0.0]]), np.array([1, -1]), "sqeuclidean")
