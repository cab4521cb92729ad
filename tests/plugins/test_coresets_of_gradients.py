"""CRAIG, GradMatch and GLISTER against naive greedy, ridge regression, SciPy, scikit-learn and torch."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import nnls
from scipy.spatial.distance import cdist
from sklearn.linear_model import orthogonal_mp

from coreset_problems import (
    Array,
    cover,
    evidence_of,
    material,
    naive_by_class,
    picks_of,
    problem,
    run,
    selected,
    taken,
)
from prunebench import Scores
from prunebench.toolbox import class_quotas
from prunebench_coresets.craig import medoids
from prunebench_coresets.glister import Step, glister_order
from prunebench_coresets.gradmatch import nonnegative, pursue
from prunebench_coresets.kernels import Factors, softmax, softmax_twice, with_one

# CRAIG


def test_craig_matches_naive_greedy_on_distances_of_written_out_gradients() -> None:
    evidence = problem()

    def value(members: Array, picks: list[int]) -> float:
        g = material(evidence, members)
        distance = cdist(g, g)
        return cover(distance.max() - distance, picks)

    assert picks_of(run("craig", evidence, 24)).tolist() == naive_by_class(evidence, 24, value)


@pytest.mark.parametrize("copies", [1, 3])
def test_the_weights_of_craig_count_the_nearest_samples_and_sum_to_the_class_sizes(copies: int) -> None:
    evidence = taken(problem(), np.tile(np.arange(90), copies))
    result = run("craig", evidence, 60)
    assert isinstance(result, Scores)
    picks, weights, labels = picks_of(result), np.array(result.diagnostics["weights"]), evidence["labels"]
    assert len(weights) == len(picks)
    assert weights.min() >= 1
    for label in range(3):
        own = picks[labels[picks] == label]
        assert weights[labels[picks] == label].sum() == (labels == label).sum()
        if copies == 1:
            members = np.flatnonzero(labels == label)
            nearest = cdist(material(evidence, own), material(evidence, members)).argmin(axis=0)
            assert weights[labels[picks] == label].tolist() == np.bincount(nearest, minlength=len(own)).tolist()


def test_the_first_pick_of_craig_is_the_medoid() -> None:
    generator = np.random.default_rng(10)
    factors = Factors(left=np.ones((40, 1)), right=generator.normal(size=(40, 3)))
    assert medoids(factors, 1).picks[0] == cdist(factors.right, factors.right).sum(axis=1).argmin()


# GradMatch


def naive_pursuit(g: Array, n_picks: int, ridge: float) -> list[int]:
    target, residual, picks = g.mean(axis=0), g.mean(axis=0), []
    for _ in range(n_picks):
        correlation = g @ residual
        correlation[picks] = -np.inf
        picks.append(int(np.argmax(correlation)))
        a = g[picks]
        residual = target - a.T @ np.linalg.solve(a @ a.T + ridge * np.eye(len(picks)), a @ target)
    return picks


@pytest.mark.parametrize("ridge", [0.01, 1.0, 30.0])
def test_gradmatch_matches_a_ridge_regression_from_scratch_at_every_pick(ridge: float) -> None:
    evidence = problem(n=40)
    g = material(evidence, np.arange(40))
    factors = Factors(left=evidence["gradients"][0].astype(np.float64), right=with_one(evidence["features"]))
    found = pursue(factors, 15, ridge)
    assert found.picks.tolist() == naive_pursuit(g, 15, ridge)
    a = g[found.picks]
    padded = np.vstack([a.T, np.sqrt(ridge) * np.eye(15)])
    assert found.weights == pytest.approx(nnls(padded, np.append(g.mean(axis=0), np.zeros(15)))[0], abs=1e-8)


def test_gradmatch_on_orthonormal_atoms_is_orthogonal_matching_pursuit() -> None:
    generator = np.random.default_rng(11)
    atoms = np.linalg.qr(generator.normal(size=(12, 12)))[0] * np.sign(generator.normal(size=12))
    scaled = atoms * np.linspace(1, 2, 12)[:, None]
    found = pursue(Factors(left=np.ones((12, 1)), right=scaled), 5, 1e-6)
    theirs = orthogonal_mp(scaled.T, scaled.mean(axis=0), n_nonzero_coefs=5)
    assert sorted(found.picks) == np.flatnonzero(theirs).tolist()
    assert found.weights == pytest.approx(theirs[found.picks], rel=1e-4)


@given(st.integers(0, 10**6), st.integers(1, 25))
def test_non_negative_weights_are_those_of_scipy(seed: int, k: int) -> None:
    generator = np.random.default_rng(seed)
    a, target = generator.normal(size=(k + 3, k)), generator.normal(size=k + 3)
    padded, extended = np.vstack([a, 0.3 * np.eye(k)]), np.append(target, np.zeros(k))
    assert nonnegative(padded.T @ padded, padded.T @ extended) == pytest.approx(nnls(padded, extended)[0], abs=1e-7)


def test_gradmatch_fills_what_its_weights_leave_and_counts_it() -> None:
    evidence = problem()
    result = run("gradmatch", evidence, 60, ridge=0.01)
    assert isinstance(result, Scores)
    assert result.excluded is not None
    picks, weights = picks_of(result), np.array(result.diagnostics["weights"])
    assert (weights >= 0).all()
    assert (weights == 0).any()
    assert (~result.excluded[picks]).tolist() == (weights > 0).tolist()
    chosen = selected(result, evidence["labels"], 60)
    assert chosen.indices.tolist() == picks.tolist()
    assert chosen.filled == (weights == 0).sum()


def test_gradmatch_at_a_large_share_comes_close_to_the_mean_gradient() -> None:
    evidence = problem()
    members = np.flatnonzero(evidence["labels"] == 0)
    g = material(evidence, members)
    factors = Factors(
        left=evidence["gradients"][0][members].astype(np.float64), right=with_one(evidence["features"][members])
    )
    errors = []
    for n_picks in (1, 5, len(members)):
        found = pursue(factors, n_picks, 1e-6)
        errors.append(np.linalg.norm(found.weights @ g[found.picks] - g.mean(axis=0)))
    assert errors[0] > errors[1] > errors[2]
    assert errors[2] < 1e-4 * np.linalg.norm(g.mean(axis=0))


# GLISTER


def test_static_glister_takes_the_largest_inner_products_with_the_mean_gradient() -> None:
    evidence = problem()
    picks = picks_of(run("glister", evidence, 30, mode="release"))
    for label, quota in enumerate(class_quotas(evidence["labels"], 3, 30)):
        members = np.flatnonzero(evidence["labels"] == label)
        g = material(evidence, members)
        expected = members[np.argsort(-(g @ g.mean(axis=0)))[:quota]]
        assert sorted(expected) == picks[evidence["labels"][picks] == label].tolist()
    assert picks_of(run("glister", evidence, 30, eta=0.0)).tolist() == picks.tolist()


@pytest.mark.parametrize("mean", [False, True])
@pytest.mark.parametrize("twice", [False, True])
def test_glister_follows_the_held_out_gradient_of_a_stepped_last_layer(mean: bool, twice: bool) -> None:
    generator = torch.Generator().manual_seed(2)
    z = torch.randn(25, 4, generator=generator, dtype=torch.float64)
    start = torch.randn(3, 5, generator=generator, dtype=torch.float64)
    labels = torch.arange(25) % 3
    extended = torch.cat([z, torch.ones(25, 1)], dim=1)

    def gradient(layer: torch.Tensor, rows: list[int]) -> torch.Tensor:
        layer = layer.clone().requires_grad_(True)
        seen = extended[rows] @ layer.T
        loss = torch.nn.functional.cross_entropy(seen.softmax(dim=1) if twice else seen, labels[rows])
        return torch.autograd.grad(loss, layer)[0]

    each, picks = torch.stack([gradient(start, [i]) for i in range(25)]), []
    for t in range(8):
        moved = each[picks].sum(dim=0) / (max(t, 1) if mean else 1)
        held_out = gradient(start - 0.3 * moved, list(range(25)))
        gains = (each * held_out).sum(dim=(1, 2))
        gains[picks] = -torch.inf
        picks.append(int(gains.argmax()))
    onehot, logits = np.eye(3)[labels], (extended @ start.T).numpy()
    p = softmax(logits)
    factors = Factors(left=softmax_twice(p, onehot) if twice else p - onehot, right=extended.numpy())
    order = glister_order(factors, logits, onehot, 8, Step(eta=0.3, mean=mean, twice=twice))
    assert order[:8].tolist() == picks
    assert sorted(order) == list(range(25))


def test_glister_in_mode_paper_leaves_the_static_choice() -> None:
    evidence = problem()
    static, updated = (picks_of(run("glister", evidence, 30, mode=mode, eta=0.3)) for mode in ("release", "paper"))
    assert static.tolist() != updated.tolist()


def fitted(scale: float) -> dict[str, Any]:
    """Evidence of a network that is ever surer of its right answers, `scale` times."""
    evidence = problem()
    logits = evidence["logits"] + scale * np.eye(3, dtype=np.float32)[evidence["labels"]]
    return evidence_of(evidence["features"], logits, evidence["labels"])


@pytest.mark.parametrize("name", ["gradmatch", "glister"])
def test_on_a_fitted_network_pursuit_and_steps_keep_the_static_choice_and_say_so(name: str) -> None:
    evidence = fitted(20.0)
    result = run(name, evidence, 30)
    assert isinstance(result, Scores)
    assert picks_of(result).tolist() == picks_of(run("glister", evidence, 30, mode="release")).tolist()
    assert result.diagnostics["moved"] == 0
    assert "agreement with the mean gradient" in result.caveat


@pytest.mark.parametrize(("name", "params"), [("gradmatch", {}), ("glister", {"eta": 0.3})])
def test_the_share_of_picks_that_updates_moved_is_counted(name: str, params: dict[str, Any]) -> None:
    evidence = fitted(0.0)
    result = run(name, evidence, 30, **params)
    assert isinstance(result, Scores)
    changed = np.setdiff1d(picks_of(result), picks_of(run("glister", evidence, 30, mode="release")))
    quotas, sizes = class_quotas(evidence["labels"], 3, 30), np.bincount(evidence["labels"])
    assert (2 * quotas <= sizes).all()
    assert result.diagnostics["moved"] == pytest.approx(len(changed) / (30 - 3))
    assert result.diagnostics["moved"] > 0.1
    assert result.caveat == ""


@pytest.mark.parametrize("name", ["gradmatch", "glister"])
@pytest.mark.parametrize("budget", [3, 90])
def test_where_no_update_could_change_a_pick_none_is_missed(name: str, budget: int) -> None:
    result = run(name, fitted(20.0), budget)
    assert isinstance(result, Scores)
    assert "moved" not in result.diagnostics
    assert result.caveat == ""
