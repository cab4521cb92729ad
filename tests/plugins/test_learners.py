"""The DeepCore recipe against closed forms and by-hand steps, and what goes wrong in training."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import softmax
from sklearn.metrics import log_loss
from torch import nn

from learner_contexts import SPECS, conv_net, crop_flip_reference, digits, feature_context, image_context, linear_net
from prunebench import (
    DataError,
    Diverged,
    OutOfMemory,
)
from prunebench.errors import CellTimeout, UsageError
from prunebench_learners import deepcore, probe
from prunebench_learners.engine import evaluate, make_engine, update
from prunebench_learners.fit import fit
from prunebench_learners.pixels import (
    draw_epoch,
    place_pixels,
    training_batch,
)
from prunebench_learners.recipe import (
    batch_windows,
    cosine_rate,
    evaluated_epochs,
    micro_windows,
    plan_of,
    recipe_of,
)
from prunebench_learners.switches import Switches

# --- the recipe as data


@given(
    n_iterations=st.integers(1, 60),
    peak=st.floats(1e-3, 1.0),
    floor=st.floats(0.0, 1e-3),
)
@settings(max_examples=40, deadline=None)
def test_the_schedule_is_the_cosine_of_torch_at_every_iteration(n_iterations: int, peak: float, floor: float) -> None:
    optimiser = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=peak)
    scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, T_max=n_iterations, eta_min=floor)
    for iteration in range(n_iterations):
        expected = optimiser.param_groups[0]["lr"]
        assert cosine_rate(iteration, n_iterations, peak, floor) == pytest.approx(expected, rel=1e-9)
        optimiser.step()
        scheduler.step()


def test_the_optimiser_runs_at_the_scheduled_rates(monkeypatch: pytest.MonkeyPatch) -> None:
    rates: list[float] = []
    step = torch.optim.SGD.step

    def spying(self: torch.optim.SGD, closure: Any = None) -> Any:
        rates.append(self.param_groups[0]["lr"])
        return step(self, closure)

    monkeypatch.setattr(torch.optim.SGD, "step", spying)
    deepcore.train(image_context(50, linear_net, params={"epochs": 3, "batch_size": 20}))
    assert rates == [cosine_rate(t, 9, 0.1, 1e-4) for t in range(9)]
    assert rates[0] == 0.1


@given(n=st.integers(1, 400), batch_size=st.integers(2, 70))
def test_batches_cover_every_sample_once_and_none_is_alone(n: int, batch_size: int) -> None:
    windows = batch_windows(n, batch_size)
    assert [place for start, stop in windows for place in range(start, stop)] == list(range(n))
    assert all(stop - start <= batch_size + 1 for start, stop in windows)
    assert n == 1 or all(stop - start >= 2 for start, stop in windows)


@given(start=st.integers(0, 9), size=st.integers(2, 300), micro_batch=st.integers(2, 80))
def test_micro_batches_cover_a_batch_and_none_is_alone(start: int, size: int, micro_batch: int) -> None:
    windows = micro_windows(start, start + size, micro_batch)
    assert [place for first, last in windows for place in range(first, last)] == [*range(start, start + size)]
    assert all(2 <= last - first <= micro_batch + 1 for first, last in windows)


def test_evaluations_are_about_ten_spread_over_training_and_include_the_last_epoch() -> None:
    assert sorted(evaluated_epochs(200, 0)) == list(range(20, 201, 20))
    assert sorted(evaluated_epochs(3, 0)) == [1, 2, 3]
    assert sorted(evaluated_epochs(7, 3)) == [3, 6, 7]


# --- training


def test_the_recipe_learns_digits_in_a_few_epochs() -> None:
    result = deepcore.train(image_context(1200, n_test=500, params={"epochs": 6, "batch_size": 64}))
    assert result.accuracy > 0.9
    assert result.accuracy_best == max(result.accuracy_per_epoch) >= result.accuracy
    assert result.accuracy == result.accuracy_per_epoch[-1]
    assert (result.epochs, len(result.accuracy_per_epoch), result.batch_size_used) == (6, 6, 64)
    assert result.weights is None
    assert result.dynamics is None


def test_adamw_with_crops_and_label_smoothing_learns_too() -> None:
    params = {
        "epochs": 8,
        "batch_size": 50,
        "optimiser": "adamw",
        "learning_rate": 0.01,
        "augment": "crop_flip",
        "crop_padding": 1,
        "label_smoothing": 0.1,
    }
    assert deepcore.train(image_context(800, params=params)).accuracy > 0.7


def test_accuracy_and_loss_are_those_of_the_returned_weights_on_the_test_split() -> None:
    ctx = image_context(200, keep_weights=True, params={"epochs": 2, "batch_size": 30})
    result = deepcore.train(ctx)
    assert result.weights is not None
    assert ctx.test_images is not None
    net = conv_net()
    net.load_state_dict({name: torch.from_numpy(np.array(value)) for name, value in result.weights.items()})
    images = (ctx.test_images.transpose(0, 3, 1, 2) / 255 - 0.3) / 0.35
    with torch.no_grad():
        logits = net.eval()(torch.from_numpy(images).float()).numpy().astype(np.float64)
    right = logits.argmax(axis=1) == ctx.test_labels
    assert result.accuracy == pytest.approx(right.mean())
    assert result.class_accuracy == pytest.approx([right[ctx.test_labels == label].mean() for label in range(10)])
    assert result.loss == pytest.approx(log_loss(ctx.test_labels, softmax(logits, axis=1)), rel=1e-4)


def dropout_net() -> nn.Module:
    return nn.Sequential(conv_net(), nn.Dropout(0.2))


@pytest.mark.parametrize("augment", ["none", "crop_flip"])
def test_one_seed_gives_the_same_bytes_and_another_seed_others(augment: str) -> None:
    def weights(seed: int) -> bytes:
        params = {"epochs": 2, "batch_size": 32, "augment": augment}
        result = deepcore.train(image_context(100, dropout_net, seed=seed, keep_weights=True, params=params))
        assert result.weights is not None
        return b"".join(array.tobytes() for array in result.weights.values())

    first = weights(3)
    torch.rand(7)
    assert weights(3) == first
    assert weights(4) != first


def test_the_global_generators_are_as_before() -> None:
    torch_state, numpy_state = torch.get_rng_state(), np.random.get_state()[1]  # noqa: NPY002
    deepcore.train(image_context(60, dropout_net, params={"epochs": 1, "augment": "crop_flip"}))
    assert torch.equal(torch.get_rng_state(), torch_state)
    np.testing.assert_array_equal(np.random.get_state()[1], numpy_state)  # noqa: NPY002


def softmax_regression_step(
    weight: np.ndarray, bias: np.ndarray, inputs: np.ndarray, labels: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Gradients of the mean cross-entropy of softmax regression."""
    residual = softmax(inputs @ weight.T + bias, axis=1) - np.eye(10)[labels]
    return residual.T @ inputs / len(inputs), residual.mean(axis=0)


@pytest.mark.parametrize("nesterov", [True, False])
def test_three_updates_equal_momentum_steps_by_hand(nesterov: bool) -> None:
    params = {"epochs": 3, "nesterov": nesterov}
    ctx = image_context(40, linear_net, seed=11, keep_weights=True, params=params)
    result = deepcore.train(ctx)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(ctx.seed)
        start = linear_net().state_dict()
    state = [start["1.weight"].double().numpy(), start["1.bias"].double().numpy()]
    velocity = [np.zeros_like(array) for array in state]
    assert ctx.train_images is not None
    inputs = ((ctx.train_images / 255 - 0.3) / 0.35).reshape(40, 64)
    for iteration in range(3):
        gradients = softmax_regression_step(state[0], state[1], inputs, ctx.train_labels)
        rate = 1e-4 + (0.1 - 1e-4) * (1 + np.cos(np.pi * iteration / 3)) / 2
        for i, gradient in enumerate(gradients):
            decayed = gradient + 5e-4 * state[i]
            velocity[i] = 0.9 * velocity[i] + decayed
            state[i] = state[i] - rate * (decayed + 0.9 * velocity[i] if nesterov else velocity[i])
    assert result.weights is not None
    np.testing.assert_allclose(result.weights["1.weight"], state[0], atol=1e-5)
    np.testing.assert_allclose(result.weights["1.bias"], state[1], atol=1e-5)


def test_without_momentum_the_recipe_is_plain_gradient_descent() -> None:
    ctx = image_context(40, linear_net, params={"epochs": 1, "momentum": 0.0})
    assert deepcore.train(ctx).epochs == 1


def test_iterations_are_counted_exactly_whatever_the_size_of_the_subset() -> None:
    batches: list[int] = []

    class Spy(nn.Linear):
        def forward(self, images: torch.Tensor) -> torch.Tensor:
            if self.training:
                batches.append(len(images))
            return super().forward(images.flatten(1))

    ctx = image_context(50, lambda: Spy(64, 10), params={"iterations": 8, "batch_size": 20, "epochs": 1})
    result = deepcore.train(ctx)
    assert batches == [20, 20, 10, 20, 20, 10, 20, 20]
    assert result.epochs == 3


@pytest.mark.parametrize(("n", "expected"), [(33, [33]), (65, [32, 33]), (1, [2])])
def test_a_lone_last_sample_joins_the_batch_before_it(n: int, expected: list[int]) -> None:
    batches: list[int] = []

    class Spy(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            # On a 1 x 1 map, batch normalisation refuses to train on a batch of one.
            self.net = nn.Sequential(nn.Flatten(), nn.Linear(64, 8), nn.BatchNorm1d(8), nn.Linear(8, 10))

        def forward(self, images: torch.Tensor) -> torch.Tensor:
            if self.training:
                batches.append(len(images))
            return torch.as_tensor(self.net(images))

    result = deepcore.train(image_context(n, Spy, params={"epochs": 1, "batch_size": 32}))
    assert batches == expected
    assert 0 <= result.accuracy <= 1


def test_a_subset_of_one_class_trains() -> None:
    ctx = image_context(60, train_labels=np.full(60, 4, dtype=np.int64), params={"epochs": 2})
    assert np.isfinite(deepcore.train(ctx).loss)


def test_progress_reaches_one_and_names_every_epoch() -> None:
    reports: list[tuple[float, str]] = []
    params = {"epochs": 4}
    deepcore.train(image_context(30, progress=lambda fraction, text: reports.append((fraction, text)), params=params))
    assert [fraction for fraction, _ in reports] == [0.25, 0.5, 0.75, 1.0]
    assert "test accuracy" in reports[-1][1]


# --- training dynamics


def test_dynamics_of_a_network_that_stands_still_are_its_softmax() -> None:
    params = {"epochs": 3, "learning_rate": 0.0, "eta_min": 0.0, "batch_size": 32}
    ctx = image_context(70, linear_net, seed=12, record_dynamics=True, params=params)
    result = deepcore.train(ctx)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(ctx.seed)
        state = linear_net().state_dict()
    assert ctx.train_images is not None
    inputs = ((ctx.train_images / 255 - 0.3) / 0.35).reshape(70, 64)
    expected = softmax(inputs @ state["1.weight"].numpy().T + state["1.bias"].numpy(), axis=1)
    assert result.dynamics is not None
    assert result.dynamics.shape == (3, 70, 10)
    assert result.dynamics.dtype == np.float16
    for epoch in range(3):
        np.testing.assert_allclose(result.dynamics[epoch], expected, atol=1e-3)


def test_rows_of_the_dynamics_sum_to_one_and_change_with_training() -> None:
    params = {"epochs": 4, "augment": "crop_flip", "batch_size": 32}
    result = deepcore.train(image_context(65, record_dynamics=True, params=params))
    assert result.dynamics is not None
    np.testing.assert_allclose(result.dynamics.astype(np.float64).sum(axis=2), 1, atol=5e-3)
    assert not np.array_equal(result.dynamics[0], result.dynamics[-1])


def test_a_partial_last_pass_keeps_what_was_seen_before() -> None:
    params = {"iterations": 5, "batch_size": 20}
    result = deepcore.train(image_context(60, linear_net, record_dynamics=True, params=params))
    assert result.dynamics is not None
    assert result.dynamics.shape == (2, 60, 10)
    kept = (result.dynamics[0] == result.dynamics[1]).all(axis=1)
    assert kept.sum() == 20


# --- what goes wrong


def starving(limit: int, build: Callable[[], nn.Module]) -> Callable[[], nn.Module]:
    """Return a builder of networks that run out of memory in training above `limit` samples."""

    class Starving(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.net = build()

        def forward(self, images: torch.Tensor) -> torch.Tensor:
            if self.training and len(images) > limit:
                raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 1 GiB")
            return torch.as_tensor(self.net(images))

    return Starving


@pytest.mark.parametrize("augment", ["none", "crop_flip"])
def test_half_the_micro_batch_with_accumulation_gives_the_same_network(augment: str) -> None:
    def run(build: Callable[[], nn.Module]) -> Any:
        params = {"epochs": 3, "batch_size": 64, "augment": augment}
        return deepcore.train(image_context(129, build, keep_weights=True, params=params))

    whole, parts = run(starving(1000, linear_net)), run(starving(17, linear_net))
    assert (whole.oom_retries, whole.batch_size_used) == (0, 64)
    assert (parts.oom_retries, parts.batch_size_used) == (2, 16)
    for name, array in whole.weights.items():
        np.testing.assert_allclose(parts.weights[name], array, atol=1e-5)


def test_memory_that_never_suffices_is_reported() -> None:
    with pytest.raises(OutOfMemory, match="micro-batch of 2"):
        deepcore.train(image_context(40, starving(0, linear_net), params={"epochs": 1}))


def test_an_illegal_access_is_not_retried() -> None:
    calls: list[int] = []

    class Illegal(nn.Linear):
        def forward(self, images: torch.Tensor) -> torch.Tensor:
            calls.append(len(images))
            raise RuntimeError("CUDA error: an illegal memory access was encountered; out of memory")

    with pytest.raises(RuntimeError, match="illegal"):
        deepcore.train(image_context(40, lambda: Illegal(64, 10), params={"epochs": 1}))
    assert len(calls) == 1


def test_the_error_of_the_host_allocator_counts_as_out_of_memory() -> None:
    text = "[enforce fail at alloc_cpu.cpp:117] DefaultCPUAllocator: can't allocate memory"
    assert deepcore.memory_ran_out(RuntimeError(text))
    assert not deepcore.memory_ran_out(RuntimeError("shapes cannot be multiplied"))


def test_a_loss_that_is_not_finite_is_a_divergence_with_its_epoch_and_rate() -> None:
    params = {"epochs": 5, "learning_rate": 1e20}
    with pytest.raises(Diverged, match=r"epoch \d of 5, at learning rate \S+"):
        deepcore.train(image_context(100, params=params))


def test_weights_lost_in_the_very_last_update_are_a_divergence() -> None:
    params = {"epochs": 1, "learning_rate": 1e38, "momentum": 0.0}
    with pytest.raises(Diverged, match="test loss"):
        deepcore.train(image_context(40, lambda: nn.Sequential(linear_net(), nn.Linear(10, 10)), params=params))


def test_a_deadline_in_the_past_stops_both_learners() -> None:
    images, labels = digits()
    features, past = images.reshape(-1, 64).astype(np.float32), time.time() - 1
    with pytest.raises(CellTimeout):
        deepcore.train(image_context(100, deadline=past))
    with pytest.raises(CellTimeout):
        probe.train(feature_context(features, labels, features, labels, deadline=past))


def test_images_that_are_missing_empty_or_not_bytes_are_refused() -> None:
    with pytest.raises(DataError, match="no images"):
        deepcore.train(image_context(20, train_images=None))
    with pytest.raises(DataError, match="no images"):
        deepcore.train(image_context(20, test_images=np.zeros((0, 8, 8, 1), dtype=np.uint8)))
    with pytest.raises(DataError, match="subset is empty"):
        deepcore.train(image_context(0))
    with pytest.raises(DataError, match="float32"):
        deepcore.train(image_context(20, train_images=np.zeros((20, 8, 8, 1), dtype=np.float32)))


def test_parameters_out_of_range_are_refused_by_the_spec() -> None:
    for wrong in ({"batch_size": 1}, {"optimiser": "lion"}, {"epochs": 0}, {"augment": "cutout"}):
        with pytest.raises(UsageError):
            SPECS["deepcore"].resolve_params(wrong)


def test_mixed_precision_trains_to_nearly_the_same_loss() -> None:
    ctx = image_context(100, params={"epochs": 5, "batch_size": 50})
    recipe = recipe_of(ctx)
    pixels = place_pixels(ctx, 0, 0)
    generators = torch.Generator().manual_seed(0), torch.Generator().manual_seed(1)
    draw = draw_epoch(100, 100, None, generators, torch.device("cpu"))
    losses: dict[torch.dtype | None, float] = {}
    for precision in (None, torch.bfloat16):
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            engine = make_engine(conv_net, recipe, torch.device("cpu"), 50, None, Switches(precision=precision))
        losses[precision] = float([update(engine, pixels, draw, (0, 100), 0.05, None) for _ in range(5)][-1])
    assert losses[torch.bfloat16] == pytest.approx(losses[None], rel=0.1)
    assert losses[None] < 2.0


def test_evaluation_in_small_batches_equals_evaluation_in_one() -> None:
    ctx = image_context(60, params={"epochs": 1})
    pixels = place_pixels(ctx, 0, 0)
    found = []
    for micro_batch in (2, 256):
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            engine = make_engine(conv_net, recipe_of(ctx), torch.device("cpu"), micro_batch)
        found.append(evaluate(engine, pixels))
    assert found[0][:2] == pytest.approx(found[1][:2], rel=1e-5)
    assert found[0][2] == found[1][2]


def test_training_batches_are_crops_of_the_drawn_samples() -> None:
    ctx = image_context(30, params={"augment": "crop_flip"})
    pixels = place_pixels(ctx, 0, 4)
    generators = torch.Generator().manual_seed(0), torch.Generator().manual_seed(1)
    draw = draw_epoch(30, 30, 4, generators, torch.device("cpu"))
    index, images = training_batch(pixels, draw, 10, 25)
    assert ctx.train_images is not None
    assert draw.rows is not None
    assert draw.columns is not None
    assert draw.flips is not None
    for place, (sample, found) in enumerate(zip(index.tolist(), images.numpy(), strict=True), start=10):
        expected = crop_flip_reference(
            ctx.train_images[sample].transpose(2, 0, 1),
            4,
            int(draw.rows[place]),
            int(draw.columns[place]),
            bool(draw.flips[place]),
        )
        np.testing.assert_allclose(found, (expected / 255 - 0.3) / 0.35, atol=1e-6)


def test_a_run_of_the_fit_alone_is_what_the_learner_reports() -> None:
    ctx = image_context(80, params={"epochs": 3, "evaluate_every": 2})
    recipe = recipe_of(ctx)
    fitted = fit(ctx, recipe, plan_of(recipe, 80), place_pixels(ctx, 0, 0), 80)
    assert deepcore.train(ctx).accuracy_per_epoch == fitted.accuracies
    assert len(fitted.accuracies) == 2
