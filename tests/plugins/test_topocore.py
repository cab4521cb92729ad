"""TopoCore against multipers, gudhi, scikit-learn, closed forms, brute force and finite differences."""

from __future__ import annotations

from dataclasses import replace

import gudhi
import multipers
import numpy as np
import pytest
from scipy.optimize import linear_sum_assignment
from scipy.spatial import Delaunay
from scipy.spatial.distance import cdist
from sklearn.neighbors import KernelDensity

from prunebench import DataError, NotApplicable, ScoreContext
from prunebench.plugins import load_plugins
from prunebench_topocore import complexes, measure
from prunebench_topocore.density import codensity, codensity_gradient, density, kernel_sums
from prunebench_topocore.displacement import Optimisation, displacement, loss_and_gradient
from prunebench_topocore.insertion import insertion_edges
from prunebench_topocore.loss import evaluate, norm_l1, transport
from prunebench_topocore.score import score

DEFAULTS = load_plugins().scorer("topocore").spec.resolve_params({})


def cloud(kind: str, n: int, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    if kind == "clusters":
        return rng.normal(size=(n, 2)) * 0.2 + rng.integers(0, 4, size=(n, 1)) * np.array([[1.0, 0.3]])
    if kind == "ring":
        angle = rng.random(n) * 2 * np.pi
        return np.stack([np.cos(angle), np.sin(angle)], axis=1) + rng.normal(size=(n, 2)) * 0.05
    if kind == "lattice":
        side = int(np.ceil(np.sqrt(n)))
        return np.stack(np.meshgrid(np.arange(side), np.arange(side)), axis=-1).reshape(-1, 2)[:n].astype(float)
    return rng.normal(size=(n, 2))


def multipers_delaunay_rips(x: np.ndarray, g: np.ndarray) -> dict[tuple[float, float], int]:
    """The measure of the same complex by the library, triangles with their own grade."""
    edges, triangles = complexes.delaunay(x)
    lengths = np.linalg.norm(x[edges[:, 0]] - x[edges[:, 1]], axis=1) / 2
    top = g[edges].max(axis=1)
    tree = multipers.SimplexTreeMulti(num_parameters=2, dtype=np.float64)
    tree.insert_batch(np.arange(len(x), dtype=np.int32)[None], np.stack([np.zeros(len(x)), g], 1))
    tree.insert_batch(edges.T.astype(np.int32), np.stack([lengths, top], 1))
    corners = np.array([np.unique(edges[t]) for t in triangles], dtype=np.int32)
    tree.insert_batch(corners.T, np.stack([lengths[triangles].max(1), top[triangles].max(1)], 1))
    ((points, weights),) = multipers.signed_measure(tree, degree=1)
    return summed(points, weights)


def summed(points: np.ndarray, weights: np.ndarray) -> dict[tuple[float, float], int]:
    found: dict[tuple[float, float], int] = {}
    for point, weight in zip(np.round(points, 9), weights, strict=True):
        found[tuple(point)] = found.get(tuple(point), 0) + int(weight)
    return {point: weight for point, weight in found.items() if weight}


@pytest.mark.parametrize("kind", ["normal", "clusters", "ring", "lattice"])
@pytest.mark.parametrize("n", [4, 5, 9, 25, 60])
def test_the_near_linear_engine_gives_the_measure_of_multipers(kind, n):
    for seed in range(4):
        x = cloud(kind, n, seed)
        g = codensity(x, 0.4) if seed % 2 else np.random.default_rng(seed).permutation(n) / n
        found = measure.delaunay_rips(x, g)
        assert summed(found.points(x, g), found.weights) == multipers_delaunay_rips(x, g)


@pytest.mark.parametrize("kind", ["normal", "clusters", "ring", "lattice"])
@pytest.mark.parametrize("n", [5, 9, 25, 60, 120])
def test_the_basis_of_triangles_gives_the_measure_of_multipers(kind, n):
    for seed in range(3):
        x = cloud(kind, n, seed)
        g = codensity(x, 0.4) if seed % 2 else np.random.default_rng(seed).permutation(n) / n
        edges = complexes.weak_delaunay_edges(x, g)
        ours, theirs = measure.by_circuits(x, g, edges), measure.by_multipers(x, g, edges, 0.5)
        assert summed(ours.points(x, g), ours.weights) == summed(theirs.points(x, g), theirs.weights)


@pytest.mark.parametrize("density_of_edges", [0.2, 0.6, 1.0])
def test_the_basis_of_triangles_is_right_on_graphs_that_are_not_planar(density_of_edges):
    rng = np.random.default_rng(7)
    x, g = rng.random((16, 2)), rng.permutation(16) / 16
    u, v = np.triu_indices(16, 1)
    kept = rng.random(len(u)) < density_of_edges
    edges = np.stack([u[kept], v[kept]], axis=1).astype(np.int64)
    ours, theirs = measure.by_circuits(x, g, edges), measure.by_multipers(x, g, edges, 0.5)
    assert summed(ours.points(x, g), ours.weights) == summed(theirs.points(x, g), theirs.weights)


def test_the_basis_of_triangles_is_right_around_a_vertex_with_very_many_neighbours():
    rng = np.random.default_rng(3)
    n = 601
    angles = np.arange(n - 1) * 2 * np.pi / (n - 1)
    radii = 1 + 0.2 * rng.random(n - 1)
    x = np.concatenate([np.stack([radii * np.cos(angles), radii * np.sin(angles)], axis=1), [[0.01, 0.02]]])
    g = np.append(rng.permutation(n - 1) / n, 1.0)  # the hub comes last, to all neighbours at once
    rim = np.stack([np.arange(n - 1), (np.arange(n - 1) + 1) % (n - 1)], axis=1)
    chords = np.stack([np.arange(n - 3), np.arange(n - 3) + 2], axis=1)
    spokes = np.stack([np.arange(n - 1), np.full(n - 1, n - 1)], axis=1)
    edges = np.sort(np.concatenate([rim, chords, spokes]), axis=1).astype(np.int64)
    ours, theirs = measure.by_circuits(x, g, edges), measure.by_multipers(x, g, edges, 0.5)
    assert (ours.points(x, g)[:, 1] == 1.0).any()
    assert summed(ours.points(x, g), ours.weights) == summed(theirs.points(x, g), theirs.weights)


@pytest.mark.parametrize("seed", range(3))
def test_the_near_linear_engine_survives_coinciding_and_collinear_points(seed):
    rng = np.random.default_rng(seed)
    doubled = np.repeat(rng.normal(size=(15, 2)), 2, axis=0)
    line = np.stack([rng.random(20), np.zeros(20)], axis=1)
    for x in (doubled, line):
        spread = complexes.general_position(x, rng)
        g = rng.permutation(len(x)) / len(x)
        try:
            found = measure.delaunay_rips(spread, g)
        except complexes.QhullError:
            continue
        assert summed(found.points(spread, g), found.weights) == multipers_delaunay_rips(spread, g)


@pytest.mark.parametrize("engine", ["delaunay_rips", "weak_delaunay", "rips"])
def test_the_total_mass_is_zero(engine):
    x = cloud("ring", 40, 0)
    assert measure.COMPLEXES[engine](x, codensity(x, 0.4)).weights.sum() == 0


@pytest.mark.parametrize("n", [5, 12, 40])
def test_weak_delaunay_edges_are_the_union_over_all_sublevel_sets(n):
    for seed in range(5):
        x = cloud("normal", n, seed)
        g = np.random.default_rng(seed).permutation(n).astype(float)
        union = set()
        for level in np.sort(g)[2:]:
            below = np.flatnonzero(g <= level)
            for simplex in below[Delaunay(x[below]).simplices]:
                union |= {tuple(sorted(pair)) for pair in (simplex[[0, 1]], simplex[[1, 2]], simplex[[0, 2]])}
        assert {tuple(edge) for edge in complexes.weak_delaunay_edges(x, g)} == union


@pytest.mark.parametrize("kind", ["normal", "clusters", "ring"])
def test_our_insertion_finds_the_edges_and_triangles_of_qhull(kind):
    for seed in range(15):
        x = cloud(kind, int(np.random.default_rng(seed).integers(4, 90)), seed)
        edges, triangles, arrived = insertion_edges(x)
        assert arrived
        assert {tuple(e) for e in np.sort(edges, axis=1)} == {
            tuple(e) for e in np.sort(complexes.qhull_insertions(x), axis=1)
        }
        assert {tuple(t) for t in np.sort(triangles, axis=1)} == {
            tuple(t) for t in np.sort(Delaunay(x).simplices, axis=1)
        }


def test_qhull_takes_over_where_our_triangulation_is_not_its_own(monkeypatch):
    x = cloud("normal", 30, 0)
    expected = complexes.weak_delaunay_edges(x, codensity(x, 0.4))
    wrong = (np.zeros((0, 2), np.int64), np.zeros((0, 3), np.int64), True)
    monkeypatch.setattr(complexes, "insertion_edges", lambda points: wrong)
    np.testing.assert_array_equal(complexes.weak_delaunay_edges(x, codensity(x, 0.4)), expected)


@pytest.mark.parametrize("engine", ["delaunay_rips", "weak_delaunay"])
def test_every_slice_of_the_measure_is_the_barcode_of_gudhi(engine):
    x = cloud("ring", 45, 3)
    g = codensity(x, 0.4)
    found = measure.COMPLEXES[engine](x, g)
    points = found.points(x, g)
    edges = complexes.delaunay(x)[0] if engine == "delaunay_rips" else complexes.weak_delaunay_edges(x, g)
    for level in np.quantile(g, [0.3, 0.6, 0.9, 1.0]):
        tree = gudhi.SimplexTree()
        for vertex in np.flatnonzero(g <= level):
            tree.insert([vertex], 0.0)
        for u, v in edges[(g[edges] <= level).all(axis=1)]:
            tree.insert([u, v], float(np.linalg.norm(x[u] - x[v])) / 2)
        if engine == "weak_delaunay":
            tree.expansion(2)
        else:
            for corners in np.unique(np.sort(Delaunay(x).simplices, axis=1), axis=0):
                if (g[corners] <= level).all():
                    tree.insert(
                        list(corners), max(tree.filtration(list(p)) for p in (corners[:2], corners[1:], corners[::2]))
                    )
        tree.compute_persistence(persistence_dim_max=True)
        bars = np.array(tree.persistence_intervals_in_dimension(1)).reshape(-1, 2)
        expected = summed(
            np.concatenate([bars[:, :1], bars[np.isfinite(bars[:, 1]), 1:]]),
            np.concatenate([np.ones(len(bars)), -np.ones(int(np.isfinite(bars[:, 1]).sum()))]),
        )
        below = points[:, 1] <= level
        assert summed(points[below, :1], found.weights[below]) == expected


def test_a_square_has_the_measure_and_the_losses_of_the_closed_form():
    a, s = 2.0, np.array([0.1, 0.2, 0.3, 0.4])
    x = np.array([[0, 0], [a, 0], [a, a], [0, a]]) + np.array([[1e-12, 0], [0, 0], [0, 0], [0, 0]])
    found = measure.weak_delaunay(x, s)
    points = found.points(x, s)
    assert summed(np.round(points, 6), found.weights) == {(1.0, 0.4): 1, (round(a / np.sqrt(2), 6), 0.4): -1}
    gap = a * (np.sqrt(2) - 1) / 2
    assert norm_l1(points, found.weights)[0] == pytest.approx(-gap / 2)
    for cost, expected in (("l1", gap), ("l2", gap), ("sqeuclidean", gap**2)):
        assert transport(points, found.weights, cost)[0] == pytest.approx(-expected)


def test_the_density_is_that_of_scikit_learn():
    x = cloud("clusters", 80, 0)
    log_density = KernelDensity(bandwidth=0.4).fit(x).score_samples(x)
    np.testing.assert_allclose(-codensity(x, 0.4), log_density, atol=1e-10)
    np.testing.assert_allclose(density(x, 0.4), np.exp(log_density), rtol=1e-10)


def test_far_points_add_nothing_to_the_density():
    x = np.array([[0.0, 0.0], [0.1, 0.0], [1e3, 0.0], [1e8, -1e8]])
    near = 1 + np.exp(-0.5 * (0.1 / 0.4) ** 2)
    np.testing.assert_allclose(kernel_sums(x, 0.4), [near, near, 1, 1], rtol=1e-12)


def test_the_gradient_of_the_codensity_is_its_finite_difference():
    x, weights = cloud("normal", 12, 1), np.random.default_rng(0).normal(size=12)
    gradient = codensity_gradient(x, codensity(x, 0.4), weights, 0.4)
    np.testing.assert_allclose(gradient, differences(lambda y: weights @ codensity(y, 0.4), x), atol=1e-6)


def differences(function, x: np.ndarray, step: float = 1e-6) -> np.ndarray:
    found = np.zeros_like(x)
    for index in np.ndindex(*x.shape):
        up, down = x.copy(), x.copy()
        up[index] += step
        down[index] -= step
        found[index] = (function(up) - function(down)) / (2 * step)
    return found


@pytest.mark.parametrize("loss", ["norm_l1", "l1", "l2", "sqeuclidean"])
@pytest.mark.parametrize("engine", ["delaunay_rips", "weak_delaunay", "rips"])
def test_the_gradient_of_every_loss_is_its_finite_difference(engine, loss):
    how = Optimisation(engine, loss, "sgd", 0.01, 1, 0.4)
    x = cloud("ring", 25, 5)
    _, gradient = loss_and_gradient(x, how)
    np.testing.assert_allclose(gradient, differences(lambda y: loss_and_gradient(y, how)[0], x), atol=2e-5)


@pytest.mark.parametrize("cost", ["l1", "l2", "sqeuclidean"])
def test_transport_is_the_best_assignment_of_unit_masses(cost):
    rng = np.random.default_rng(0)
    points, weights = rng.random((9, 2)), np.array([2, 1, 1, 3, -1, -2, -1, -2, -1])
    up, down = np.repeat(points[:4], weights[:4], axis=0), np.repeat(points[4:], -weights[4:], axis=0)
    metric = {"l1": "cityblock", "l2": "euclidean", "sqeuclidean": "sqeuclidean"}[cost]
    costs = cdist(up, down, metric)
    rows, columns = linear_sum_assignment(costs)
    assert transport(points, weights, cost)[0] == pytest.approx(-costs[rows, columns].sum())


def test_the_cheap_loss_is_a_lower_bound_of_transport():
    x = cloud("ring", 60, 2)
    g = codensity(x, 0.4)
    found = measure.weak_delaunay(x, g)
    points = found.points(x, g)
    bound = -norm_l1(points, found.weights)[0] * np.abs(found.weights).sum()
    assert bound <= -transport(points, found.weights, "l1")[0] + 1e-9


@pytest.mark.parametrize("engine", ["delaunay_rips", "weak_delaunay"])
def test_the_loss_does_not_change_under_translation_and_rotation(engine):
    how = Optimisation(engine, "norm_l1", "sgd", 0.01, 1, 0.4)
    x = cloud("ring", 30, 1)
    turn = np.array([[np.cos(1.0), -np.sin(1.0)], [np.sin(1.0), np.cos(1.0)]])
    assert loss_and_gradient(x @ turn + 5.0, how)[0] == pytest.approx(loss_and_gradient(x, how)[0], rel=1e-9)


def test_steps_increase_persistence():
    how = Optimisation("delaunay_rips", "norm_l1", "sgd", 0.05, 1, 0.4)
    x = cloud("ring", 60, 0)
    value, gradient = loss_and_gradient(x, how)
    assert loss_and_gradient(x - 0.05 * gradient, how)[0] < value


def test_adam_takes_the_steps_of_torch():
    import torch

    how = Optimisation("delaunay_rips", "norm_l1", "adam", 0.01, 3, 0.4)
    x = cloud("ring", 40, 4)
    parameter = torch.tensor(x, requires_grad=True)
    optimiser = torch.optim.Adam([parameter], lr=0.01)
    for _ in range(3):
        parameter.grad = torch.tensor(loss_and_gradient(parameter.detach().numpy(), how)[1])
        optimiser.step()
    expected = np.linalg.norm(parameter.detach().numpy() - x, axis=1)
    np.testing.assert_allclose(displacement(x, how, np.random.default_rng(0)), expected, atol=1e-12)


def test_no_steps_move_nothing():
    how = Optimisation("delaunay_rips", "norm_l1", "adam", 0.01, 0, 0.4)
    assert displacement(cloud("ring", 20, 0), how, np.random.default_rng(0)).max() == 0


def test_an_empty_measure_has_no_loss_and_no_gradient():
    value, gradient = evaluate("norm_l1", np.zeros((0, 2)), np.zeros(0, dtype=np.int64))
    assert (value, gradient.shape) == (0.0, (0, 2))


def context(points: np.ndarray, labels: np.ndarray, wrong: tuple[int, ...] = (), **params) -> ScoreContext:
    n_classes = int(labels.max()) + 1
    logits = np.full((len(labels), n_classes), 0.0, dtype=np.float32)
    logits[np.arange(len(labels)), labels] = 5.0 + np.arange(len(labels)) * 0.01
    logits[list(wrong)] = -logits[list(wrong)]
    evidence = {"projection": points.astype(np.float32), "labels": labels, "logits": logits}
    for array in evidence.values():
        array.flags.writeable = False
    return ScoreContext(
        n=len(labels), n_classes=n_classes, scorer="topocore", evidence=evidence, params={**DEFAULTS, **params}, seed=0
    )


def three_classes(n: int = 30) -> tuple[np.ndarray, np.ndarray]:
    return np.concatenate([cloud("ring", n, s) + 5 * s for s in range(3)]), np.repeat(np.arange(3), n)


def test_a_score_is_half_displacement_and_half_density_within_each_class():
    points, labels = three_classes()
    result = score(context(points, labels))
    assert result.values.shape == (90,)
    how = Optimisation("weak_delaunay", "norm_l1", "adam", 0.01, 6, 0.4)
    members = labels == 1
    x = points.astype(np.float32).astype(np.float64)[members]
    moved, dense = displacement(x, how, np.random.default_rng(0)), density(x, 0.4)
    expected = 0.5 * (moved - moved.min()) / np.ptp(moved) + 0.5 * (dense - dense.min()) / np.ptp(dense)
    np.testing.assert_allclose(result.values[members], expected, atol=1e-12)
    assert 0 <= result.diagnostics["fraction_unmoved"] < 1


def test_one_term_alone_ranks_by_that_term():
    points, labels = three_classes()
    alone = score(context(points, labels, alpha=0.0, beta=1.0)).values
    rare = score(context(points, labels, alpha=0.0, beta=1.0, density_direction="rarity")).values
    np.testing.assert_allclose(alone, 1 - rare)


def test_ranks_normalise_to_equal_steps():
    points, labels = three_classes(11)
    values = score(context(points, labels, alpha=0.0, beta=1.0, normalise="rank")).values
    np.testing.assert_allclose(np.sort(values[labels == 0]), np.linspace(0, 1, 11))


def test_permuting_the_samples_permutes_the_scores():
    points, labels = three_classes()
    shuffle = np.random.default_rng(0).permutation(len(labels))
    straight = score(context(points, labels, complex="delaunay_rips", optimiser="sgd")).values
    shuffled = score(context(points[shuffle], labels[shuffle], complex="delaunay_rips", optimiser="sgd")).values
    np.testing.assert_allclose(shuffled, straight[shuffle], atol=1e-6)


def test_misclassified_samples_are_excluded_and_return_by_lowest_loss():
    points, labels = three_classes()
    result = score(context(points, labels, wrong=(3, 40)))
    assert np.flatnonzero(result.excluded).tolist() == [3, 40]
    assert result.diagnostics["n_filtered"] == 2
    kept = score(context(np.delete(points, [3, 40], axis=0), np.delete(labels, [3, 40])))
    np.testing.assert_allclose(np.delete(result.values, [3, 40]), kept.values, atol=1e-12)
    assert result.refill[3] > result.refill[40]  # its logits are less wrong


def test_without_the_filter_nothing_is_excluded():
    points, labels = three_classes()
    assert not score(context(points, labels, wrong=(3,), filter_misclassified=False)).excluded.any()


def test_chunks_bound_the_size_of_a_persistence_computation():
    points, labels = three_classes(50)
    result = score(context(points, labels, max_class_points=20))
    assert np.isfinite(result.values).all()
    assert not np.array_equal(result.values, score(context(points, labels)).values)


@pytest.mark.parametrize("engine", ["weak_delaunay", "delaunay_rips", "rips"])
@pytest.mark.parametrize(
    "points",
    [
        np.zeros((1, 2)),
        np.zeros((6, 2)),
        np.array([[0.0, 0.0], [1.0, 1.0], [2.0, 2.0]]),
        np.stack([np.arange(9.0), np.arange(9.0)], axis=1),
        np.repeat(np.array([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]]), 4, axis=0),
        np.stack(np.meshgrid(np.arange(4.0), np.arange(4.0)), axis=-1).reshape(-1, 2),
    ],
    ids=["one", "equal", "three", "collinear", "repeated", "lattice"],
)
def test_a_degenerate_class_never_crashes(engine, points):
    values = score(context(points, np.zeros(len(points), dtype=np.int64), complex=engine)).values
    assert np.isfinite(values).all()


def test_coordinates_that_are_not_finite_are_refused():
    points, labels = three_classes()
    points[4, 0] = np.nan
    with pytest.raises(DataError, match="not finite"):
        score(context(points, labels))


def test_a_projection_that_is_not_planar_is_declined():
    _, labels = three_classes()
    with pytest.raises(NotApplicable, match="64 dimensions"):
        score(context(np.zeros((90, 64)), labels))


def test_classes_in_parallel_give_the_same_bytes():
    points, labels = three_classes()
    points[labels == 1] = points[labels == 1][:1]  # coinciding points draw random numbers
    alone = score(context(points, labels))
    together = score(replace(context(points, labels), threads=4))
    assert alone.values.tobytes() == together.values.tobytes()
    assert alone.diagnostics == together.diagnostics


def test_the_same_seed_gives_the_same_bytes():
    points, labels = three_classes()
    assert score(context(points, labels)).values.tobytes() == score(context(points, labels)).values.tobytes()
