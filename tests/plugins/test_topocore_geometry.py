"""TopoCore's geometry where it is hard: exact predicates, coinciding and aligned points, far away, tiny and huge."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.spatial import ConvexHull, QhullError
from scipy.stats import spearmanr

from prunebench import DataError
from prunebench_topocore import complexes, displacement, measure
from prunebench_topocore.cloud import cloud
from prunebench_topocore.density import codensity, codensity_gradient, density
from prunebench_topocore.displacement import Optimisation
from prunebench_topocore.loss import evaluate
from prunebench_topocore.predicates import in_circle, turn

Floats = NDArray[np.float64]

LOSSES = ["l1", "l2", "sqeuclidean", "norm_l1"]
WHOLE = st.integers(-(2**50), 2**50)
AROUND = st.integers(-2, 2)


def moved(points: Floats, engine: str = "weak_delaunay", loss: str = "l1", seed: int = 0, steps: int = 2) -> Floats:
    how = Optimisation(engine, loss, "adam", 0.01, steps, 0.4)
    return displacement.displacement(np.asarray(points, dtype=np.float64), how, np.random.default_rng(seed))


def normal(n: int, seed: int = 0) -> Floats:
    return np.random.default_rng(seed).normal(size=(n, 2))


def determinants(points: list[tuple[int, int]]) -> tuple[int, int]:
    """Twice the area of the first three, and the circle determinant of all four, in whole numbers."""
    (ax, ay), (bx, by), (cx, cy), (px, py) = points
    area = (bx - ax) * (cy - ay) - (by - ay) * (cx - ax)
    (au, av), (bu, bv), (cu, cv) = ((u - px, v - py) for u, v in ((ax, ay), (bx, by), (cx, cy)))
    lifted = [u * u + v * v for u, v in ((au, av), (bu, bv), (cu, cv))]
    circle = lifted[0] * (bu * cv - bv * cu) + lifted[1] * (cu * av - cv * au) + lifted[2] * (au * bv - av * bu)
    return area, circle


FOUR = st.lists(st.tuples(AROUND, AROUND), min_size=4, max_size=4)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(WHOLE, WHOLE), min_size=4, max_size=4), FOUR)
def test_predicates_have_the_sign_of_whole_arithmetic(far: list[tuple[int, int]], near: list[tuple[int, int]]) -> None:
    corner, square = far[0], [(1, 1), (-1, 1), (-1, -1), (1, -1)]
    almost_aligned = [(corner[0] * k // 4 + u, corner[1] * k // 4 + v) for k, (u, v) in enumerate(near)]
    almost_on_a_circle = [(x * 2**49 + u, y * 2**49 + v) for (x, y), (u, v) in zip(square, near, strict=True)]
    for points in (far, almost_aligned, almost_on_a_circle):
        area, circle = determinants(points)
        x = np.array(points, dtype=np.float64)
        assert np.sign(turn(x, 0, 1, 2)) == np.sign(area)
        assert np.sign(in_circle(x, 0, 1, 2, 3)) == np.sign(circle)


def area(corners: list[tuple[int, int]]) -> int:
    return abs(determinants([*corners, (0, 0)])[0])


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), min_size=1, max_size=25), st.integers(0, 3))
def test_any_points_of_a_lattice_are_triangulated_with_empty_circles(points: list[tuple[int, int]], seed: int) -> None:
    x = np.array(points, dtype=np.float64)
    order = np.random.default_rng(seed).permutation(len(x))
    edges, triangles, twins = complexes._inserted(complexes.snapped(x), order)
    distinct = set(points)
    for triangle in triangles:
        corners = [points[i] for i in triangle]
        sign = determinants([*corners, (0, 0)])[0]
        assert sign != 0
        assert all(determinants([*corners, p])[1] * sign <= 0 for p in distinct)
    assert len(twins) == len(points) - len(distinct)
    assert all(points[u] == points[v] for u, v in twins)
    assert {frozenset(pair) for triangle in triangles for pair in itertools.combinations(triangle, 2)} <= {
        frozenset(edge) for edge in edges
    }
    try:
        hull = ConvexHull(x).volume
    except (QhullError, ValueError):  # too few points, or all on a line
        assert len(triangles) == 0
        assert len(edges) >= len(distinct) - 1
    else:
        assert sum(area([points[i] for i in triangle]) for triangle in triangles) / 2 == pytest.approx(hull)
        assert len({points[i] for i in triangles.ravel()}) == len(distinct)


def test_points_on_a_line_are_joined_to_the_neighbours_that_they_had_when_they_came() -> None:
    x, g = np.array([[0.0, 0.0], [4.0, 8.0], [2.0, 4.0], [3.0, 6.0]]), np.arange(4.0)
    assert complexes.weak_delaunay_edges(x, np.argsort(g)).tolist() == [[0, 1], [0, 2], [1, 2], [1, 3], [2, 3]]
    edges, triangles = complexes.delaunay(x)
    assert (edges.tolist(), len(triangles)) == ([[0, 2], [1, 3], [2, 3]], 0)


@pytest.mark.parametrize("engine", ["delaunay_rips", "weak_delaunay"])
def test_a_measure_is_the_same_far_from_the_origin_and_at_any_scale(engine: str) -> None:
    x = normal(200)
    g = codensity(x, 0.4)
    build = measure.COMPLEXES[engine]
    expected = build(x, g)
    for offset in (1e3, 1e5, 1e6, 1e8):
        found = build(x + np.array([offset, -offset]), g)
        np.testing.assert_array_equal(found.edges, expected.edges)
        np.testing.assert_array_equal(found.weights, expected.weights)
    for factor in (1e-30, 1.7, 1e30):
        found = build(factor * x, g)
        np.testing.assert_array_equal(found.edges, expected.edges)
        np.testing.assert_allclose(found.points(factor * x, g)[:, 0], factor * expected.points(x, g)[:, 0], rtol=1e-12)


@pytest.mark.parametrize("loss", ["l1", "norm_l1"])
@pytest.mark.parametrize("engine", ["delaunay_rips", "weak_delaunay"])
def test_displacement_does_not_depend_on_the_origin(engine: str, loss: str) -> None:
    x, expected = normal(150), moved(normal(150), engine, loss)
    assert expected.max() > 0.01
    for offset in (1e3, 1e5):
        np.testing.assert_allclose(moved(x + offset, engine, loss), expected, atol=1e-6)


@pytest.mark.parametrize("distance", [1e6, 1e12, 1e30])
@pytest.mark.parametrize("engine", ["delaunay_rips", "weak_delaunay"])
def test_one_point_far_away_leaves_the_others_as_they_are(engine: str, distance: float) -> None:
    x = normal(150)
    for loss in ("l1", "norm_l1"):
        found = moved(np.concatenate([x, [[distance, distance / 3]]]), engine, loss)[:-1]
        assert spearmanr(found, moved(x, engine, loss)).statistic > 0.99, loss


def degenerate() -> dict[str, Floats]:
    rng = np.random.default_rng(1)
    line = np.outer(rng.normal(size=40), [0.3, 0.7]) + 5.0
    return {
        "none": np.zeros((0, 2)),
        "one": np.ones((1, 2)),
        "two": normal(2),
        "three": normal(3),
        "equal": np.full((50, 2), 0.1),
        "all but two equal": np.concatenate([np.zeros((60, 2)), [[1.0, 0.0], [0.0, 1.0]]]),
        "line": line,
        "line in single precision": line.astype(np.float32).astype(np.float64),
        "upright line": np.stack([np.ones(20), rng.normal(size=20)], axis=1),
        "repeated": np.repeat(normal(8), 5, axis=0),
        "lattice": np.stack(np.meshgrid(np.arange(6.0), np.arange(6.0)), axis=-1).reshape(-1, 2),
        "circle": np.exp(2j * np.pi * np.arange(24) / 24).view(np.float64).reshape(-1, 2),
        "tiny": 1e-30 * normal(40),
        "least": 1e-44 * normal(40),
        "huge": 1e30 * normal(40),
        "greatest": 3e38 * np.tanh(normal(40)),
        "far": np.concatenate([normal(40), [[1e30, 1e30]]]),
    }


@pytest.mark.parametrize("kind", list(degenerate()))
def test_no_class_is_too_degenerate(kind: str) -> None:
    points = degenerate()[kind]
    shuffle = np.random.default_rng(2).permutation(len(points))
    for engine, loss in [*itertools.product(["delaunay_rips", "weak_delaunay"], LOSSES), ("rips", "l1")]:
        found = moved(points, engine, loss)
        assert np.isfinite(found).all(), (engine, loss)
        if loss == "l1":
            assert moved(points[shuffle], engine, loss).tobytes() == found[shuffle].tobytes(), engine
    if "line" in kind or len(np.unique(points, axis=0)) < 4:
        assert moved(points).max(initial=0.0) == 0.0


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)), min_size=1, max_size=14),
    st.sampled_from([0.3, 100.0]),
    st.randoms(use_true_random=False),
)
def test_the_order_of_the_file_changes_nothing(points: list[tuple[int, int]], spacing: float, random) -> None:
    shuffle = list(range(len(points)))
    random.shuffle(shuffle)
    x = spacing * np.array(points, dtype=np.float64)
    for engine in ("weak_delaunay", "delaunay_rips"):
        found = moved(x, engine)
        assert moved(x[shuffle], engine).tobytes() == found[shuffle].tobytes()
        for i, j in itertools.combinations(range(len(x)), 2):
            assert points[i] != points[j] or found[i] == found[j]


def test_the_seed_decides_between_equal_codensities_and_nothing_else() -> None:
    assert moved(normal(150), seed=0).tobytes() == moved(normal(150), seed=1).tobytes()
    changed = 0
    for number in range(10):
        scattered = 5000 * normal(40, number)  # each point alone in its kernel
        assert len(np.unique(codensity(scattered, 0.4))) == 1
        changed += not np.allclose(moved(scattered, seed=0), moved(scattered, seed=1))
    assert changed >= 2


def test_points_that_coincide_are_one_with_more_weight() -> None:
    x, counts = normal(12), np.random.default_rng(0).integers(1, 5, 12)
    repeated = np.repeat(x, counts, axis=0)
    np.testing.assert_allclose(density(x, 0.4, counts), density(repeated, 0.4)[np.cumsum(counts) - 1], rtol=1e-12)
    weights = np.random.default_rng(1).normal(size=12)
    found, step = codensity_gradient(x, codensity(x, 0.4, counts), weights, 0.4, counts), 1e-5
    for index in np.ndindex(12, 2):
        shift = np.zeros((12, 2))
        shift[index] = step
        up, down = (weights @ codensity(x + sign * shift, 0.4, counts) for sign in (1, -1))
        assert found[index] == pytest.approx((up - down) / (2 * step), abs=1e-6)
    places = cloud(repeated)
    assert sorted(places.counts) == sorted(counts)
    np.testing.assert_array_equal(np.ptp(places.points[places.place] - repeated, axis=0) < 1e-12, True)


def test_many_copies_make_no_more_edges() -> None:
    x = normal(300)
    x[:20] = x[0]
    for seed in range(3):
        edges = complexes.weak_delaunay_edges(x, np.random.default_rng(seed).permutation(300))
        coincide = (x[edges[:, 0]] == x[edges[:, 1]]).all(axis=1)
        assert coincide.sum() == 19
        assert (np.bincount(edges[~coincide].ravel(), minlength=300)[:20] > 0).sum() == 1


def with_other_codensities(monkeypatch: pytest.MonkeyPatch, x: Floats, engine: str, loss: str) -> Iterator[Floats]:
    """Displacements under increasing functions of the codensity, whose derivative is left as it is."""
    for change in (lambda g: g / 100, np.log, lambda g: np.exp(2 * g)):
        with monkeypatch.context() as patch:
            patch.setattr(displacement, "codensity", lambda *given, change=change: change(codensity(*given)))
            yield moved(x, engine, loss)


@pytest.mark.parametrize(
    ("engine", "loss", "cancels"),
    [
        ("weak_delaunay", "norm_l1", True),
        ("weak_delaunay", "l1", False),
        ("weak_delaunay", "l2", False),
        ("delaunay_rips", "norm_l1", True),
        ("delaunay_rips", "l1", True),
        ("delaunay_rips", "sqeuclidean", False),
    ],
)
def test_where_codensities_cancel_only_their_order_decides(
    engine: str, loss: str, cancels: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    x = normal(120)
    expected = moved(x, engine, loss)
    for found in with_other_codensities(monkeypatch, x, engine, loss):
        if cancels:
            assert found.tobytes() == expected.tobytes()
        else:
            assert spearmanr(found, expected).statistic < 0.99


@pytest.mark.parametrize("engine", ["delaunay_rips", "weak_delaunay"])
def test_the_masses_at_each_codensity_add_up_to_zero(engine: str) -> None:
    x = normal(120)
    found = measure.COMPLEXES[engine](x, codensity(x, 0.4))
    assert np.bincount(found.vertices, found.weights).any() == 0
    assert len(np.unique(found.vertices)) > 30


def test_the_norm_loss_of_delaunay_rips_is_its_transport() -> None:
    """Each codensity has its own pairs of a birth and a later death, so no plan is cheaper than the bound."""
    x = normal(120)
    g = codensity(x, 0.4)
    for engine, tight in (("delaunay_rips", True), ("weak_delaunay", False)):
        found = measure.COMPLEXES[engine](x, g)
        bound, exact = (evaluate(loss, found.points(x, g), found.weights)[0] for loss in ("norm_l1", "l1"))
        assert (exact == pytest.approx(bound)) is tight
        assert exact <= bound + 1e-9


def test_the_least_turn_is_not_lost() -> None:
    """A point 2^-48 of the extent off a line makes a triangle; on the line it makes none."""
    x = np.array([[0.0, 0.0], [1.0, 1.0], [0.5, 0.5]])
    assert len(complexes.delaunay(x)[1]) == 0
    x[2, 1] += 2.0**-48
    assert len(complexes.delaunay(x)[1]) == 1


def test_steps_that_grow_without_bound_are_refused() -> None:
    how = Optimisation("delaunay_rips", "sqeuclidean", "sgd", 1.7e308, 5, 0.4)
    with pytest.raises(DataError, match="diverges"), np.errstate(all="ignore"):
        displacement.displacement(1e3 * normal(20), how, np.random.default_rng(0))
