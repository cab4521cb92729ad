"""TopoCore's losses, displacement and score against scikit-learn, closed forms, brute force and finite differences."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import ot
import pytest
from sklearn.neighbors import KernelDensity

from prunebench import DataError, NotApplicable, ScoreContext, SelectContext
from prunebench.plugins import load_plugins
from prunebench.toolbox import class_quotas, preference_order
from prunebench_topocore import measure
from prunebench_topocore.density import codensity, codensity_gradient, density, kernel_sums
from prunebench_topocore.displacement import Optimisation, displacement, loss_and_gradient
from prunebench_topocore.loss import evaluate, transport
from prunebench_topocore.score import score

DEFAULTS = load_plugins().scorer("topocore").spec.resolve_params({})


def cloud(kind: str, n: int, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    if kind == "clusters":
        return rng.normal(size=(n, 2)) * 0.2 + rng.integers(0, 4, size=(n, 1)) * np.array([[1.0, 0.3]])
    if kind == "ring":
        angle = rng.random(n) * 2 * np.pi
        return np.stack([np.cos(angle), np.sin(angle)], axis=1) + rng.normal(size=(n, 2)) * 0.05
    return rng.normal(size=(n, 2))


def test_a_square_has_the_measure_and_the_losses_of_the_closed_form():
    a, s = 2.0, np.array([0.1, 0.2, 0.3, 0.4])
    x = np.array([[0, 0], [a, 0], [a, a], [0, a]]) + np.array([[1e-12, 0], [0, 0], [0, 0], [0, 0]])
    found = measure.weak_delaunay(x, s)
    points = found.points(x, s)
    assert found.weights[np.argsort(points[:, 0])].tolist() == [1, -1]
    np.testing.assert_allclose(np.sort(points, axis=0), [[a / 2, 0.4], [a / np.sqrt(2), 0.4]], atol=1e-9)
    gap = a * (np.sqrt(2) - 1) / 2
    assert evaluate("norm_l1", points, found.weights)[0] == pytest.approx(-gap)
    assert evaluate("norm_l1", points, found.weights)[2] == 2
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
    x, rng = cloud("ring", 25, 5), np.random.default_rng(0)
    _, gradient = loss_and_gradient(x, how)
    for _ in range(3):
        way = rng.normal(size=x.shape)
        up, down = (loss_and_gradient(x + step * way, how)[0] for step in (1e-6, -1e-6))
        assert (gradient * way).sum() == pytest.approx((up - down) / 2e-6, rel=1e-4, abs=1e-5)


@pytest.mark.parametrize("cost", ["l1", "l2", "sqeuclidean"])
def test_transport_is_that_of_the_network_simplex_of_pot(cost: str) -> None:
    rng = np.random.default_rng(0)
    points, weights = rng.random((40, 2)), rng.integers(1, 4, 40)
    weights[20:] = -weights[:20]
    metric = {"l1": "cityblock", "l2": "euclidean", "sqeuclidean": "sqeuclidean"}[cost]
    expected = ot.emd2(weights[:20] / 1.0, -weights[20:] / 1.0, ot.dist(points[:20], points[20:], metric=metric))
    assert transport(points, weights, cost)[0] == pytest.approx(-expected)


def test_the_cheap_loss_is_a_lower_bound_of_transport():
    x = cloud("ring", 60, 2)
    g = codensity(x, 0.4)
    found = measure.weak_delaunay(x, g)
    points = found.points(x, g)
    bound, exact = (-evaluate(loss, points, found.weights)[0] for loss in ("norm_l1", "l1"))
    assert 0 < bound <= exact * (1 + 1e-9)


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
    value, gradient, _ = evaluate("norm_l1", np.zeros((0, 2)), np.zeros(0, dtype=np.int64))
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
    how = Optimisation("weak_delaunay", "l1", "adam", 0.01, 6, 0.4)
    members = labels == 1
    x = points.astype(np.float32).astype(np.float64)[members]
    moved, dense = displacement(x, how, np.random.default_rng(0)), density(x, 0.4)
    expected = 0.5 * (moved - moved.min()) / np.ptp(moved) + 0.5 * (dense - dense.min()) / np.ptp(dense)
    np.testing.assert_allclose(result.values[members], expected, atol=1e-9)
    assert 0 <= result.diagnostics["fraction_unmoved"] < 1


def test_one_term_alone_is_that_term() -> None:
    points, labels = three_classes()
    how = Optimisation("weak_delaunay", "l1", "adam", 0.01, 6, 0.4)
    moved = score(context(points, labels, alpha=1.0, beta=0.0)).values
    dense = score(context(points, labels, alpha=0.0, beta=1.0)).values
    for label in range(3):
        x = points.astype(np.float32).astype(np.float64)[labels == label]
        for values, term in ((moved, displacement(x, how, np.random.default_rng(0))), (dense, density(x, 0.4))):
            np.testing.assert_allclose(values[labels == label], (term - term.min()) / np.ptp(term), atol=1e-9)
    rare = score(context(points, labels, alpha=0.0, beta=1.0, density_direction="rarity")).values
    np.testing.assert_allclose(dense, 1 - rare)
    typical, rarity = (score(context(points, labels, density_direction=way)).values for way in ("density", "rarity"))
    np.testing.assert_allclose(typical + rarity, moved + 0.5, atol=1e-12)


@pytest.mark.parametrize(
    ("name", "alpha", "beta"), [("topocore-density", 0.0, 1.0), ("topocore-persistence", 1.0, 0.0)]
)
def test_the_scorers_of_one_term_are_topocore_with_one_weight(name: str, alpha: float, beta: float) -> None:
    points, labels = three_classes()
    found = load_plugins().scorer(name)
    alone = replace(context(points, labels, wrong=(3, 40)), params=found.spec.resolve_params({}))
    expected = score(context(points, labels, wrong=(3, 40), alpha=alpha, beta=beta))
    returned = found.load()(alone)
    assert returned.values.tobytes() == expected.values.tobytes()
    assert returned.excluded.tolist() == expected.excluded.tolist()


@pytest.mark.parametrize("budget", [1, 3, 20, 44, 90])
def test_strata_keep_the_budget_of_every_class_and_fill_up_with_misclassified_samples(budget: int) -> None:
    points, labels = three_classes()
    wrong = tuple(range(25))  # five of class 0 are left
    result = score(context(points, labels, wrong=wrong))
    select = load_plugins().selector("strata")
    order = preference_order(result.values, np.random.default_rng(0), ~result.excluded, result.refill)
    given = SelectContext(
        params=select.spec.resolve_params({"strata": 50, "balanced": True}),
        scores=result.values, labels=labels, n_classes=3, n_keep=budget, order=order, eligible=~result.excluded,
    )  # fmt: skip
    selection = select.load()(given)
    quotas = class_quotas(labels, 3, budget)
    assert np.bincount(labels[selection.indices], minlength=3).tolist() == quotas.tolist()
    assert selection.filled == max(0, quotas[0] - 5)
    refilled = np.intersect1d(selection.indices, wrong)
    assert refilled.tolist() == sorted(np.argsort(-result.refill[:25])[: len(refilled)])


def test_ranks_normalise_to_equal_steps():
    points, labels = three_classes(11)
    values = score(context(points, labels, alpha=0.0, beta=1.0, normalise="rank")).values
    np.testing.assert_allclose(np.sort(values[labels == 0]), np.linspace(0, 1, 11))


def test_misclassified_samples_are_excluded_and_return_by_lowest_loss():
    points, labels = three_classes()
    result = score(context(points, labels, wrong=(3, 40)))
    assert np.flatnonzero(result.excluded).tolist() == [3, 40]
    assert result.diagnostics["n_filtered"] == 2
    kept = score(context(np.delete(points, [3, 40], axis=0), np.delete(labels, [3, 40])))
    np.testing.assert_allclose(np.delete(result.values, [3, 40]), kept.values, atol=1e-9)
    assert result.refill[3] > result.refill[40]  # its logits are less wrong


@pytest.mark.parametrize("name", ["topocore", "topocore-density", "topocore-persistence"])
def test_what_is_filtered_out_needs_no_place_in_the_projection(name: str) -> None:
    points, labels = three_classes()
    entry = load_plugins().scorer(name)
    assert entry.spec.projection_rows == "projected"
    assert entry.spec.params["projected"].default == "classified"

    def run(given: np.ndarray, wrong: tuple[int, ...], **params: str | bool) -> np.ndarray:
        return entry.load()(replace(context(given, labels, wrong), params=entry.spec.resolve_params(params))).values

    holes = points.copy()
    holes[[3, 40]] = np.nan
    assert run(holes, (3, 40)).tobytes() == run(points, (3, 40)).tobytes()
    assert run(points, (3, 40), projected="all").tobytes() == run(points, (3, 40)).tobytes()
    everything_wrong = tuple(range(90))
    assert run(np.full_like(points, np.nan), everything_wrong).tolist() == [0.0] * 90
    with pytest.raises(DataError, match="1 of 89 samples"):
        run(holes, (3,))
    with pytest.raises(DataError, match="2 of 90 samples"):
        run(holes, (3, 40), projected="all")
    with pytest.raises(NotApplicable) as refused:
        run(points, (3,), filter_misclassified=False)
    assert "projected" in refused.value.message
    assert 'projected = "all"' in refused.value.hint


def test_without_the_filter_nothing_is_excluded():
    points, labels = three_classes()
    result = score(context(points, labels, wrong=(3,), filter_misclassified=False, projected="all"))
    assert not result.excluded.any()
    assert result.values[3] > 0


def test_chunks_bound_the_size_of_a_persistence_computation():
    points, labels = three_classes(50)
    result = score(context(points, labels, max_class_points=20))
    assert np.isfinite(result.values).all()
    assert not np.array_equal(result.values, score(context(points, labels)).values)


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
    points[labels == 1] = 50 * np.round(points[labels == 1])  # equal codensities draw random numbers
    alone = score(context(points, labels))
    together = score(replace(context(points, labels), threads=4))
    assert alone.values.tobytes() == together.values.tobytes()
    assert alone.diagnostics == together.diagnostics
