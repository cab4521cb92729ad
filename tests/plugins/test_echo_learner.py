"""ECHO's structure loss against a double loop and finite differences, and its learner against `deepcore`."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.datasets import load_digits
from torch import nn

from prunebench import Arch, Diverged, TrainContext, TrainResult
from prunebench.errors import UsageError
from prunebench_learners import deepcore, echo, prunebench_learners
from prunebench_learners.echo import structure_loss
from prunebench_learners.fit import fit
from prunebench_learners.pixels import place_pixels
from prunebench_learners.recipe import plan_of, recipe_of

SPECS = {spec.name: spec for spec in prunebench_learners()}
SHORT = {"epochs": 3, "batch_size": 64, "learning_rate": 0.05}


def network() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(1, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(), nn.Flatten(), nn.Linear(8 * 64, 10)
    )


def context(learner: str, n: int, build: Callable[[], nn.Module], **params: Any) -> TrainContext:
    values, labels = load_digits(return_X_y=True)
    images = (values * 15).astype(np.uint8).reshape(-1, 8, 8, 1)
    return TrainContext(
        params=SPECS[learner].resolve_params(params),
        seed=3,
        train_images=images[:n],
        train_labels=labels[:n].astype(np.int64),
        test_images=images[-200:],
        test_labels=labels[-200:].astype(np.int64),
        n_classes=10,
        mean=(0.3,),
        std=(0.35,),
        arch=Arch(name="tiny", provider="test", model="tiny"),
        build=build,
        keep_weights=True,
        record_dynamics=True,
    )


def trained(learner: str, n: int = 300, **params: Any) -> TrainResult:
    train = {"deepcore": deepcore.train, "echo": echo.train}[learner]
    return train(context(learner, n, network, **params))


def by_double_loop(outputs: np.ndarray, labels: np.ndarray, margin: float) -> float:
    near, far = [], []
    for i in range(len(labels)):
        for j in range(i + 1, len(labels)):
            distance = math.dist(outputs[i], outputs[j])
            if labels[i] == labels[j]:
                near.append(distance**2)
            else:
                far.append(max(0.0, margin - distance))
    return sum(near) / max(1, len(near)) + sum(far) / max(1, len(far))


def problem(seed: int, n: int, classes: int, scale: float = 0.4) -> tuple[torch.Tensor, torch.Tensor]:
    generator = np.random.default_rng(seed)
    outputs = torch.from_numpy(scale * generator.normal(size=(n, 3)))
    return outputs, torch.from_numpy(generator.integers(0, classes, n))


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    n=st.integers(1, 20),
    classes=st.integers(1, 5),
    margin=st.sampled_from([0.0, 0.5, 1.0, 3.0]),
)
def test_the_structure_loss_is_that_of_a_double_loop(seed: int, n: int, classes: int, margin: float) -> None:
    outputs, labels = problem(seed, n, classes)
    expected = by_double_loop(outputs.numpy(), labels.numpy(), margin)
    assert float(structure_loss(outputs, labels, margin)) == pytest.approx(expected, rel=1e-12, abs=1e-12)


def test_two_near_and_one_far_by_hand() -> None:
    outputs = torch.tensor([[0.0, 0.0], [0.0, 2.0], [0.6, 0.0]], dtype=torch.float64)
    # the pair of one label is 2 apart; of the others one is within the margin of 1, at 0.6, and one beyond it
    assert float(structure_loss(outputs, torch.tensor([0, 0, 1]), 1.0)) == pytest.approx(4.0 + 0.4 / 2)


@pytest.mark.parametrize("seed", range(5))
def test_the_gradient_of_the_structure_loss_is_that_of_finite_differences(seed: int) -> None:
    outputs, labels = problem(seed, 9, 3)
    outputs.requires_grad_()
    assert torch.autograd.gradcheck(lambda values: structure_loss(values, labels, 1.0), (outputs,), eps=1e-7)


def test_outputs_that_coincide_have_a_finite_gradient() -> None:
    outputs = torch.zeros(6, 3, requires_grad=True)
    structure_loss(outputs, torch.tensor([0, 0, 1, 1, 2, 2]), 1.0).backward()  # type: ignore[no-untyped-call]
    assert outputs.grad is not None
    assert torch.equal(outputs.grad, torch.zeros(6, 3))


def test_the_structure_loss_ignores_the_order_of_the_batch_and_the_names_of_the_labels() -> None:
    outputs, labels = problem(1, 12, 3)
    order = torch.randperm(12, generator=torch.Generator().manual_seed(0))
    loss = float(structure_loss(outputs, labels, 1.0))
    assert float(structure_loss(outputs[order], labels[order], 1.0)) == pytest.approx(loss)
    assert float(structure_loss(outputs, 7 - labels, 1.0)) == pytest.approx(loss)


def test_without_weight_the_learner_is_deepcore_byte_for_byte() -> None:
    ours, theirs = trained("echo", structure_weight=0.0, **SHORT), trained("deepcore", **SHORT)
    assert ours.weights is not None
    assert theirs.weights is not None
    assert {name: value.tobytes() for name, value in ours.weights.items()} == {
        name: value.tobytes() for name, value in theirs.weights.items()
    }
    assert ours.accuracy_per_epoch == theirs.accuracy_per_epoch
    assert ours.loss == theirs.loss
    assert ours.dynamics is not None
    assert theirs.dynamics is not None
    assert ours.dynamics.tobytes() == theirs.dynamics.tobytes()


def test_the_first_update_is_a_step_along_both_gradients() -> None:
    plain = {"epochs": 1, "batch_size": 300, "momentum": 0.0, "weight_decay": 0.0, "learning_rate": 0.01}
    start = trained("deepcore", **{**plain, "learning_rate": 0.0, "eta_min": 0.0}).weights
    assert start is not None
    values, labels = load_digits(return_X_y=True)
    images = torch.from_numpy((values[:300] * 15).astype(np.uint8).reshape(-1, 1, 8, 8)).float() / 255
    model = network()
    model.load_state_dict({name: torch.from_numpy(value) for name, value in start.items()})
    outputs, targets = model((images - 0.3) / 0.35), torch.from_numpy(labels[:300])
    loss = nn.functional.cross_entropy(outputs, targets) + 0.5 * structure_loss(outputs, targets, 1.0)
    loss.backward()
    after = trained("echo", **plain).weights
    assert after is not None
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None
        expected = (parameter - 0.01 * parameter.grad).detach().numpy()
        np.testing.assert_allclose(after[name], expected, atol=2e-5, err_msg=name)


def test_the_loss_draws_the_outputs_of_a_class_together_and_the_task_is_still_learnt() -> None:
    def spread(result: TrainResult) -> float:
        model = network()
        assert result.weights is not None
        model.load_state_dict({name: torch.from_numpy(value) for name, value in result.weights.items()})
        values, labels = load_digits(return_X_y=True)
        images = torch.from_numpy((values[-200:] * 15).astype(np.uint8).reshape(-1, 1, 8, 8)).float() / 255
        with torch.no_grad():
            outputs = model.eval()((images - 0.3) / 0.35)
        targets = torch.from_numpy(labels[-200:])
        return float(structure_loss(outputs, targets, 0.0))

    longer = {**SHORT, "epochs": 6}
    with_structure, without = trained("echo", n=700, **longer), trained("deepcore", n=700, **longer)
    assert spread(with_structure) < 0.1 * spread(without)
    assert with_structure.accuracy > 0.85


def test_a_weight_that_is_far_too_large_is_named_as_divergence() -> None:
    with pytest.raises(Diverged, match="training loss"):
        trained("echo", structure_weight=1e12, **{**SHORT, "learning_rate": 10.0})


def test_a_negative_weight_is_refused() -> None:
    with pytest.raises(UsageError, match="at least 0"):
        SPECS["echo"].resolve_params({"structure_weight": -0.1})


def test_a_penalty_counts_the_pieces_of_a_batch_by_their_size() -> None:
    def linear() -> nn.Module:
        return nn.Sequential(nn.Flatten(), nn.Linear(64, 10))

    def mean_square(outputs: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        return outputs.square().mean()

    ctx = context("deepcore", 70, linear, epochs=20, batch_size=70)
    recipe = recipe_of(ctx)
    pixels = place_pixels(ctx, 0, 0)
    whole, pieces = (fit(ctx, recipe, plan_of(recipe, 70), pixels, size, mean_square) for size in (70, 32))
    for ours, theirs in zip(whole.model.parameters(), pieces.model.parameters(), strict=True):
        assert torch.allclose(ours, theirs, atol=1e-6)
    without = fit(ctx, recipe, plan_of(recipe, 70), pixels, 70)
    assert whole.loss != without.loss
