"""The complexes of TopoCore and their signed measures against multipers, gudhi, Qhull and a scaling law."""

from __future__ import annotations

from collections import Counter

import gudhi
import multipers
import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.spatial import Delaunay

from prunebench_topocore import complexes, measure
from prunebench_topocore.density import codensity

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Grades = dict[tuple[float, ...], int]

KINDS = [
    "normal", "uniform", "clusters", "ring", "lattice", "collinear", "duplicated", "circle", "stretched", "mixed",
]  # fmt: skip
SIDES = ([0, 1], [0, 2], [1, 2])


def cloud(kind: str, n: int, rng: np.random.Generator) -> Floats:
    points = rng.normal(size=(n, 2))
    angle = 2 * np.pi * (np.arange(n) / n if kind == "circle" else rng.random(n))
    round_ = np.stack([np.cos(angle), np.sin(angle)], axis=1)
    if kind == "uniform":
        return rng.random((n, 2))
    if kind == "clusters":
        return 0.05 * points + rng.integers(0, 4, (n, 1)) * np.array([[1.0, 0.3]])
    if kind == "ring":
        return round_ + 0.05 * points
    if kind == "circle":  # all points on one: every triangulation is Delaunay
        return round_
    if kind == "lattice":
        side = int(np.ceil(np.sqrt(n)))
        crossings = np.stack(np.meshgrid(np.arange(side), np.arange(side)), axis=-1).reshape(-1, 2)
        return crossings[rng.permutation(len(crossings))[:n]].astype(np.float64)
    if kind == "collinear":
        return np.outer(rng.normal(size=n), rng.normal(size=2)) + points[0]
    if kind == "duplicated":
        return points[rng.integers(0, -(-n // 3), n)]
    if kind == "stretched":
        return points * np.array([1e3, 1.0]) + 1e4
    if kind == "mixed":
        points[: n // 3] = np.round(points[: n // 3])
        points[n // 3 : n // 2] = points[0]
    return points


def sample(kind: str, number: int) -> tuple[Floats, Floats]:
    """One cloud of 1 to 60 points, with codensities of three sorts in turn."""
    rng = np.random.default_rng([number, KINDS.index(kind)])
    n = int(rng.integers(1, 61))
    points = cloud(kind, n, rng)
    sorts = (
        lambda: codensity(points, 0.4),
        lambda: rng.permutation(n) / n,
        lambda: rng.integers(0, 4, n).astype(np.float64),  # many at one level
    )
    return points, sorts[number % 3]()


def half_lengths(x: Floats, pairs: Ints) -> Floats:
    ends = x[pairs[:, 0]] - x[pairs[:, 1]]
    return 0.5 * np.hypot(ends[:, 0], ends[:, 1])


def summed(points: Floats, weights: Ints) -> Grades:
    found: Counter[tuple[float, ...]] = Counter()
    for point, weight in zip(np.asarray(points).tolist(), np.asarray(weights).tolist(), strict=True):
        found[tuple(point)] += int(weight)
    return {point: weight for point, weight in found.items() if weight}


def ours(found: measure.Measure, x: Floats, g: Floats) -> Grades:
    return summed(found.points(x, g), found.weights)


def multipers_measure(x: Floats, g: Floats, edges: Ints, triangles: Ints | None = None) -> Grades:
    """The measure by the library, of the flag complex or of the complex with these triangles (indices of points)."""
    tree = multipers.SimplexTreeMulti(num_parameters=2, dtype=np.float64)
    tree.insert_batch(np.arange(len(x), dtype=np.int32)[None], np.stack([np.zeros(len(x)), g], axis=1))
    tree.insert_batch(edges.T.astype(np.int32), np.stack([half_lengths(x, edges), g[edges].max(axis=1)], axis=1))
    if triangles is None:
        tree.expansion(2)
    else:
        longest = np.max([half_lengths(x, triangles[:, side]) for side in SIDES], axis=0)
        tree.insert_batch(triangles.T.astype(np.int32), np.stack([longest, g[triangles].max(axis=1)], axis=1))
    ((points, weights),) = multipers.signed_measure(tree, degree=1)
    return summed(points, weights)


def qhull(x: Floats) -> tuple[Ints, Ints]:
    """Edges and triangles of the Delaunay triangulation by Qhull, as indices of points."""
    triangles = np.unique(np.sort(Delaunay(x).simplices.astype(np.int64), axis=1), axis=0)
    return np.unique(np.concatenate([triangles[:, side] for side in SIDES]), axis=0), triangles


def triangulation(x: Floats) -> tuple[Ints, Ints]:
    """Our edges and triangles, as indices of points: where points are on a circle there are several."""
    edges, sides = complexes.delaunay(x)
    corners = [np.unique(edges[triangle]) for triangle in sides]
    return edges, np.array(corners, dtype=np.int64).reshape(-1, 3)


# 10 kinds of 9 clouds: 90, each compared grade by grade and without rounding
@pytest.mark.parametrize("kind", KINDS)
def test_both_engines_give_the_measure_of_multipers(kind: str) -> None:
    for number in range(9):
        x, g = sample(kind, number)
        assert ours(measure.delaunay_rips(x, g), x, g) == multipers_measure(x, g, *triangulation(x)), number
        edges = complexes.weak_delaunay_edges(x, measure.sweep(g))
        assert ours(measure.weak_delaunay(x, g), x, g) == multipers_measure(x, g, edges), number


@pytest.mark.parametrize("kind", ["normal", "duplicated"])
def test_both_engines_give_the_measure_of_multipers_on_a_larger_cloud(kind: str) -> None:
    x = cloud(kind, 200, np.random.default_rng(5))
    g = codensity(x, 0.4)
    assert ours(measure.delaunay_rips(x, g), x, g) == multipers_measure(x, g, *triangulation(x))
    edges = complexes.weak_delaunay_edges(x, measure.sweep(g))
    assert ours(measure.weak_delaunay(x, g), x, g) == ours(measure.by_multipers(x, g, edges, 0.5), x, g)


@pytest.mark.parametrize("fraction_of_edges", [0.2, 0.6, 1.0])
def test_the_basis_of_triangles_is_right_on_graphs_that_are_not_planar(fraction_of_edges: float) -> None:
    rng = np.random.default_rng(7)
    x, g = rng.random((16, 2)), rng.permutation(16) / 16
    u, v = np.triu_indices(16, 1)
    kept = rng.random(len(u)) < fraction_of_edges
    edges = np.stack([u[kept], v[kept]], axis=1).astype(np.int64)
    assert ours(measure.by_circuits(x, g, edges), x, g) == multipers_measure(x, g, edges)


def test_the_basis_of_triangles_is_right_around_a_vertex_with_very_many_neighbours() -> None:
    rng = np.random.default_rng(3)
    n = 520  # more than the table of pairs holds
    angles, radii = np.arange(n) * 2 * np.pi / n, 1 + 0.2 * rng.random(n)
    x = np.concatenate([np.stack([radii * np.cos(angles), radii * np.sin(angles)], axis=1), [[0.01, 0.02]]])
    g = np.append(rng.permutation(n) / (n + 1), 1.0)  # the hub comes last, to all neighbours at once
    rim = np.stack([np.arange(n), (np.arange(n) + 1) % n], axis=1)
    chords = np.stack([np.arange(n - 2), np.arange(n - 2) + 2], axis=1)
    spokes = np.stack([np.arange(n), np.full(n, n)], axis=1)
    edges = np.sort(np.concatenate([rim, chords, spokes]), axis=1).astype(np.int64)
    found = measure.by_circuits(x, g, edges)
    assert (found.points(x, g)[:, 1] == 1.0).any()
    assert ours(found, x, g) == multipers_measure(x, g, edges)


@pytest.mark.parametrize("kind", ["normal", "ring", "lattice"])
def test_the_rips_measure_is_that_of_all_pairs_within_the_enclosing_radius(kind: str) -> None:
    rng = np.random.default_rng(2)
    x = cloud(kind, 20, rng)
    g = codensity(x, 0.4)
    lengths = np.array([[np.hypot(*(p - q)) for q in x] for p in x])
    radius = min(max(row) for row in lengths)
    pairs = np.array([(i, j) for i in range(20) for j in range(i + 1, 20) if lengths[i, j] <= radius])
    assert complexes.enclosing_edges(x).tolist() == pairs.tolist()
    # the library's reference has half lengths; the whole lengths of twice as near points are the same numbers
    assert ours(measure.rips(x, g), x, g) == {(2 * r, s): w for (r, s), w in multipers_measure(x, g, pairs).items()}


@pytest.mark.parametrize("engine", ["delaunay_rips", "weak_delaunay", "rips"])
def test_the_total_mass_is_zero(engine: str) -> None:
    for kind in KINDS[:4]:
        x = cloud(kind, 40, np.random.default_rng(0))
        weights = measure.COMPLEXES[engine](x, codensity(x, 0.4)).weights
        assert len(weights) > 0
        assert weights[weights > 0].sum() == -weights[weights < 0].sum()


@pytest.mark.parametrize("engine", ["delaunay_rips", "weak_delaunay", "rips"])
@pytest.mark.parametrize("factor", [0.25, 8.0])
def test_scaling_a_cloud_and_its_bandwidth_scales_lengths_and_shifts_codensities(engine: str, factor: float) -> None:
    x = cloud("ring", 40, np.random.default_rng(1))
    g, scaled = codensity(x, 0.4), codensity(factor * x, factor * 0.4)
    np.testing.assert_allclose(scaled, g + 2 * np.log(factor), atol=1e-12)
    before, after = measure.COMPLEXES[engine](x, g), measure.COMPLEXES[engine](factor * x, scaled)
    expected = before.points(x, g) * [factor, 1] + [0, 2 * np.log(factor)]
    found = after.points(factor * x, scaled)
    order, theirs = np.lexsort(expected.round(9).T), np.lexsort(found.round(9).T)
    np.testing.assert_allclose(found[theirs], expected[order], rtol=1e-9, atol=1e-9)
    assert after.weights[theirs].tolist() == before.weights[order].tolist()


@pytest.mark.parametrize("n", [5, 12, 40])
def test_weak_delaunay_edges_are_the_union_over_all_sublevel_sets(n: int) -> None:
    for seed in range(3):
        rng = np.random.default_rng(seed)
        x, g = cloud("normal", n, rng), rng.permutation(n).astype(float)
        union: set[tuple[int, ...]] = set()
        for level in np.sort(g)[2:]:
            below = np.flatnonzero(g <= level)
            union |= {tuple(edge) for edge in np.sort(below[qhull(x[below])[0]], axis=1).tolist()}
        assert {tuple(edge) for edge in complexes.weak_delaunay_edges(x, measure.sweep(g)).tolist()} == union


@pytest.mark.parametrize("kind", ["normal", "clusters", "ring"])
def test_our_triangulation_is_that_of_qhull(kind: str) -> None:
    for seed in range(8):
        rng = np.random.default_rng(seed)
        x = cloud(kind, int(rng.integers(4, 90)), rng)
        for found, expected in zip(triangulation(x), qhull(x), strict=True):
            np.testing.assert_array_equal(np.unique(found, axis=0), expected)


def barcode_sums(x: Floats, g: Floats, engine: str, edges: Ints, level: float) -> Grades:
    """Births minus finite deaths of the loops of the subcomplex with codensity at most `level`, by gudhi."""
    scale = 1.0 if engine == "rips" else 0.5
    tree = gudhi.SimplexTree()
    for vertex in np.flatnonzero(g <= level):
        tree.insert([vertex], 0.0)
    for u, v in edges[(g[edges] <= level).all(axis=1)]:
        tree.insert([u, v], scale * float(np.hypot(*(x[u] - x[v]))))
    if engine == "delaunay_rips":
        for corners in triangulation(x)[1]:
            if (g[corners] <= level).all():
                tree.insert(list(corners), max(tree.filtration(list(corners[side])) for side in SIDES))
    else:
        tree.expansion(2)
    tree.compute_persistence(persistence_dim_max=True)
    bars = np.array(tree.persistence_intervals_in_dimension(1)).reshape(-1, 2)
    deaths = bars[np.isfinite(bars[:, 1]), 1:]
    return summed(
        np.concatenate([bars[:, :1], deaths]).round(12),
        np.concatenate([np.ones(len(bars)), -np.ones(len(deaths))]).astype(np.int64),
    )


@pytest.mark.parametrize("engine", ["delaunay_rips", "weak_delaunay", "rips"])
@pytest.mark.parametrize(("kind", "n"), [("ring", 45), ("circle", 24), ("lattice", 36), ("clusters", 60)])
def test_every_slice_of_the_measure_is_the_barcode_of_gudhi(engine: str, kind: str, n: int) -> None:
    if engine == "rips":
        n = min(n, 24)  # all pairs
    rng = np.random.default_rng(3)
    x = cloud(kind, n, rng)
    g = codensity(x, 0.4).round(9)  # points of a lattice are level, up to rounding
    found = measure.COMPLEXES[engine](x, g)
    points = found.points(x, g).round(12)
    edges = {
        "delaunay_rips": lambda: complexes.delaunay(x)[0],
        "weak_delaunay": lambda: complexes.weak_delaunay_edges(x, measure.sweep(g)),
        "rips": lambda: complexes.enclosing_edges(x),
    }[engine]()
    for level in np.quantile(g, [0.3, 0.6, 0.9, 1.0], method="lower"):
        below = points[:, 1] <= level + 1e-12
        assert summed(points[below, :1], found.weights[below]) == barcode_sums(x, g, engine, edges, level)
