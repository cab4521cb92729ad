"""What trains faster against the reference, on a processor: the same samples, crops, rates and results."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from learner_contexts import Recorder, assert_equal_weights, conv_net, image_context, linear_net
from prunebench import OutOfMemory, TrainResult
from prunebench_learners.cached_weights import CachedWeights
from prunebench_learners.deepcore import train_with
from prunebench_learners.engine import evaluate, make_engine
from prunebench_learners.pixels import crop_flip, draw_epoch, gather_crops, place_pixels, reflect_pad, switched
from prunebench_learners.recipe import cosine_rate, plan_of, recipe_of
from prunebench_learners.steps import CannotPrepare, StaticSteps
from prunebench_learners.switches import REFERENCE, Switches, default_switches, kernels

STATIC = Switches(graph=True, fused_gather=True, evaluation_factor=16)
CROPPED = {"augment": "crop_flip", "crop_padding": 2, "batch_size": 32, "learning_rate": 0.05}


def trained(switches: Switches, build: Callable[[], nn.Module] = conv_net, **changes: Any) -> TrainResult:
    params = {**CROPPED, "epochs": 3, **changes.pop("params", {})}
    ctx = image_context(changes.pop("n", 150), build, keep_weights=True, params=params, **changes)
    return train_with(ctx, None, switches=switches)


@given(
    height=st.integers(1, 9),
    width=st.integers(1, 9),
    channels=st.integers(1, 4),
    padding=st.integers(0, 5),
    last=st.booleans(),
    seed=st.integers(0, 99),
)
@settings(deadline=None)
def test_one_gather_cuts_and_mirrors_exactly_as_the_reference(
    height: int, width: int, channels: int, padding: int, last: bool, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    images = torch.from_numpy(rng.integers(0, 256, (5, channels, height, width), dtype=np.uint8))
    padded = reflect_pad(images, padding)
    if last:
        padded = padded.contiguous(memory_format=torch.channels_last)
    index, rows, columns = (torch.from_numpy(rng.integers(0, high, 7)) for high in (5, *[2 * padding + 1] * 2))
    drawn = index, rows, columns, torch.from_numpy(rng.random(7) < 0.5)
    assert torch.equal(gather_crops(padded, padding, *drawn), crop_flip(padded, padding, *drawn))


@pytest.mark.parametrize("augment", ["none", "crop_flip"])
def test_the_fast_path_trains_on_the_same_images_in_the_same_order(augment: str) -> None:
    seen: dict[Switches, list[torch.Tensor]] = {REFERENCE: [], STATIC: []}
    for switches, batches in seen.items():
        # 33 + 32 + 32 + 32 + 21: batches of two sizes, and a last pass that is partial
        params = {"iterations": 12, "augment": augment}
        trained(switches, lambda batches=batches: Recorder(batches), params=params)
    assert [len(batch) for batch in seen[REFERENCE]] == [32, 32, 32, 32, 22] * 2 + [32, 32]
    for found, expected in zip(seen[STATIC], seen[REFERENCE], strict=True):
        assert torch.equal(found, expected)


def test_batches_for_low_precision_are_those_of_the_reference_rounded() -> None:
    ctx = image_context(40, params=CROPPED)
    pixels = place_pixels(ctx, 0, 2)
    low = switched(pixels, Switches(precision=torch.bfloat16, fused_gather=True))
    generators = torch.Generator().manual_seed(0), torch.Generator().manual_seed(1)
    draw = draw_epoch(40, 40, 2, generators, torch.device("cpu"))
    engine = make_engine(conv_net, recipe_of(ctx), torch.device("cpu"), 40)
    assert torch.equal(engine.augment(low, draw), engine.augment(pixels, draw).bfloat16())


@pytest.mark.parametrize(
    "params",
    [
        {},
        {"nesterov": False, "momentum": 0.0},
        {"optimiser": "adamw", "learning_rate": 0.002},
        {"label_smoothing": 0.1},
    ],
)
def test_steps_at_fixed_addresses_train_the_same_network(params: dict[str, Any]) -> None:
    expected, found = trained(REFERENCE, params=params), trained(STATIC, params=params)
    assert_equal_weights(found, expected, atol=1e-5)
    assert found.accuracy_per_epoch == pytest.approx(expected.accuracy_per_epoch, abs=0.011)
    assert found.loss == pytest.approx(expected.loss, rel=1e-3)


def test_the_rate_on_the_device_is_the_schedule(monkeypatch: pytest.MonkeyPatch) -> None:
    rates: list[float] = []
    step = torch.optim.SGD.step

    def spying(self: torch.optim.SGD, closure: Any = None) -> Any:
        rates.append(float(self.param_groups[0]["lr"]))
        return step(self, closure)

    monkeypatch.setattr(torch.optim.SGD, "step", spying)
    trained(STATIC, linear_net, n=50, params={"batch_size": 20})
    np.testing.assert_allclose(rates, [cosine_rate(t, 9, 0.05, 1e-4) for t in range(9)], rtol=1e-6)


def test_dynamics_are_those_of_the_reference() -> None:
    expected = trained(REFERENCE, record_dynamics=True).dynamics
    found = trained(STATIC, record_dynamics=True).dynamics
    assert expected is not None
    assert found is not None
    np.testing.assert_allclose(found.astype(np.float64), expected.astype(np.float64), atol=5e-3)


def test_a_rehearsal_leaves_no_trace() -> None:
    ctx = image_context(64, params={**CROPPED, "epochs": 1})
    recipe, device = recipe_of(ctx), torch.device("cpu")
    pixels = switched(place_pixels(ctx, 0, 2), STATIC)
    generators = torch.Generator().manual_seed(0), torch.Generator().manual_seed(1)
    draw = draw_epoch(64, 64, 2, generators, device)
    states = []
    for rehearsals in (0, 2):
        seen = torch.full((64, 10), torch.nan)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            engine = make_engine(lambda: nn.Sequential(conv_net(), nn.Dropout(0.2)), recipe, device, 20, None, STATIC)
            steps = StaticSteps(engine, pixels, plan_of(recipe, 64), recipe, draw, seen)
            for _ in range(rehearsals):
                steps.rehearse(lambda steps=steps: steps.step(32))
                assert seen.isnan().all()
            steps.begin(draw)
            steps.step(32)
            steps.step(32)
        states.append([*engine.model.state_dict().values(), seen, steps.total])
    for found, expected in zip(states[1], states[0], strict=True):
        assert torch.equal(found, expected)


# --- weights in low precision


def test_cached_weights_train_the_same_network_as_autocast() -> None:
    low = Switches(precision=torch.bfloat16)
    assert_equal_weights(trained(replace(low, cached_weights=True)), trained(low), atol=1e-6)


def test_cached_weights_add_up_the_gradients_of_micro_batches() -> None:
    found = []
    for cached in (False, True):
        low = Switches(precision=torch.bfloat16, cached_weights=cached)
        found.append(trained(low, starving(20, linear_net), n=64))
    assert found[0].oom_retries == found[1].oom_retries == 1
    assert_equal_weights(found[1], found[0], atol=1e-6)


def test_shared_and_frozen_weights_stay_shared_and_frozen() -> None:
    first, second, third = nn.Linear(4, 4), nn.Linear(4, 4), nn.Linear(4, 4)
    second.weight = first.weight
    third.weight.requires_grad = False
    model = nn.Sequential(first, second, third)
    before = dict(model.named_parameters())
    cached = CachedWeights(model, torch.bfloat16)
    assert first.weight is second.weight
    assert first.weight.dtype == torch.bfloat16
    assert third.weight.dtype == torch.float32
    cached.restore()
    assert all(model.get_parameter(name) is parameter for name, parameter in before.items())


# --- what goes wrong


def starving(limit: int, build: Callable[[], nn.Module], evaluation: int = 10**9) -> Callable[[], nn.Module]:
    """Return a builder of networks that run out of memory above so many samples in training and in evaluation."""

    class Starving(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.net = build()

        def forward(self, images: torch.Tensor) -> torch.Tensor:
            if len(images) > (limit if self.training else evaluation):
                raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 1 GiB")
            return torch.as_tensor(self.net(images))

    return Starving


def test_without_memory_the_fast_path_keeps_the_effective_batch_with_smaller_micro_batches() -> None:
    whole, parts = (trained(STATIC, starving(limit, linear_net), n=129) for limit in (99, 10))
    assert (whole.oom_retries, whole.batch_size_used) == (0, 32)
    assert (parts.oom_retries, parts.batch_size_used) == (2, 8)
    assert_equal_weights(parts, whole, atol=1e-5)
    assert parts.epochs == whole.epochs


def test_batch_normalisation_sees_each_micro_batch_alone() -> None:
    counts = {}
    for limit in (32, 16):
        result = trained(STATIC, starving(limit, conv_net), n=64, params={"epochs": 1})
        assert result.weights is not None
        counts[result.batch_size_used] = int(result.weights["net.1.num_batches_tracked"])
    assert counts == {32: 2, 16: 4}


def test_an_evaluation_without_memory_shrinks_its_own_batch_alone() -> None:
    expected = trained(STATIC)
    found = trained(STATIC, starving(10**9, conv_net, evaluation=130))
    assert (found.oom_retries, found.batch_size_used) == (0, 32)
    assert found.accuracy == expected.accuracy
    with pytest.raises(OutOfMemory):
        trained(STATIC, starving(10**9, conv_net, evaluation=1))


def test_a_network_that_cannot_be_captured_trains_by_the_same_recipe_and_says_so(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse(self: StaticSteps, sizes: Any) -> Any:
        raise CannotPrepare("the network looks at values")

    monkeypatch.setattr(StaticSteps, "_prepared", refuse)
    said: list[str] = []
    found = trained(STATIC, progress=lambda _, text: said.append(text))
    assert "looks at values" in said[0]
    assert_equal_weights(found, trained(replace(STATIC, graph=False)), atol=0)


# --- the choice of switches


def test_a_processor_and_full_precision_train_as_the_reference(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda: True)
    assert default_switches(torch.device("cpu"), True, 10**6) is REFERENCE
    assert default_switches(torch.device("cuda"), False, 10**6) is REFERENCE
    fast = default_switches(torch.device("cuda"), True, 10**6)
    assert fast.graph
    assert fast.precision is torch.bfloat16
    assert fast.compiled
    assert not default_switches(torch.device("cuda"), True, 10).compiled
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda: False)
    old = default_switches(torch.device("cuda"), True, 10**6)
    assert old.precision is torch.float16
    assert not old.graph


def test_the_kernels_of_the_process_are_as_before_after_a_training() -> None:
    def chosen() -> tuple[Any, ...]:
        cudnn = torch.backends.cudnn
        return cudnn.benchmark, cudnn.allow_tf32, cudnn.enabled, torch.get_float32_matmul_precision()

    before = chosen()
    with kernels(Switches(cudnn_benchmark=True, tf32=True)):
        assert torch.backends.cudnn.benchmark
        assert torch.get_float32_matmul_precision() == "high"
    assert chosen() == before


@pytest.mark.thorough
@pytest.mark.timeout(1200)
@pytest.mark.filterwarnings("default")  # of torch's compiler
def test_a_compiled_network_trains_like_the_reference(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path))
    params = {"batch_size": 50}
    expected = trained(REFERENCE, params=params)
    for switches in (Switches(compiled=True), replace(STATIC, compiled=True)):
        found = trained(switches, params=params)
        assert_equal_weights(found, expected, atol=1e-3)
    assert any(tmp_path.iterdir())


def test_evaluation_in_larger_batches_finds_the_same() -> None:
    ctx = image_context(60, params={"epochs": 1})
    pixels = place_pixels(ctx, 0, 0)
    found = []
    for factor in (4, 16):
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            switches = Switches(evaluation_factor=factor)
            engine = make_engine(conv_net, recipe_of(ctx), torch.device("cpu"), 8, None, switches)
        found.append(evaluate(engine, pixels))
    assert found[0][0] == found[1][0]
    assert found[0][1] == pytest.approx(found[1][1], rel=1e-5)
