"""Training on CUDA against the reference: each switch, the default, and memory that runs out for real."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from learner_contexts import SPECS, Recorder, assert_equal_weights, conv_net, image_context, linear_net
from prunebench import TrainContext
from prunebench_learners import deepcore, echo
from prunebench_learners.deepcore import train_with
from prunebench_learners.switches import REFERENCE, Switches

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device"),
    pytest.mark.filterwarnings("ignore:Synchronization debug mode"),  # torch says so of what a rehearsal looks for
]
CROPPED = {"augment": "crop_flip", "crop_padding": 2, "batch_size": 32, "learning_rate": 0.05}


def captured(_: float, text: str) -> None:
    """Refuse a training that goes on without the graph or the compiler that its switches ask for."""
    assert "without graphs" not in text, text


def cuda_context(seed: int, build: Callable[[], nn.Module] = conv_net, **params: Any) -> TrainContext:
    chosen = {**CROPPED, "epochs": 20, **params}
    ctx = image_context(1000, build, n_test=700, device="cuda", seed=seed, keep_weights=True, params=chosen)
    return replace(ctx, progress=captured)


FAST = Switches(
    precision=torch.bfloat16,
    cudnn_benchmark=True,
    tf32=True,
    cached_weights=True,
    fused_gather=True,
    graph=True,
    evaluation_factor=16,
)


@pytest.mark.parametrize(
    "switches",
    [
        REFERENCE,
        Switches(channels_last=False),
        Switches(cudnn_benchmark=True),
        Switches(fused_gather=True),
        Switches(graph=True),
        Switches(graph=True, fused_gather=True),
    ],
)
def test_a_float32_switch_alone_trains_the_network_of_the_reference(
    switches: Switches, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", False)
    expected = train_with(cuda_context(0, epochs=1), None, switches=REFERENCE)
    found = train_with(cuda_context(0, epochs=1), None, switches=switches)
    assert_equal_weights(found, expected, atol=0.01)  # sums in any order, and 32 updates that amplify it
    assert found.accuracy == pytest.approx(expected.accuracy, abs=0.05)


@pytest.mark.parametrize("fast", [FAST, replace(FAST, compiled=True)], ids=["graph", "graph and compiled"])
@pytest.mark.filterwarnings("default")  # of torch's compiler
def test_accuracies_of_the_fast_path_differ_by_no_more_than_seeds_do(fast: Switches) -> None:
    seeds = range(5)
    plain = np.array([train_with(cuda_context(s), None, switches=REFERENCE).accuracy for s in seeds])
    quick = np.array([train_with(cuda_context(s), None, switches=fast).accuracy for s in seeds])
    # four standard errors of a difference of means, and a test image in a hundred
    noise = 4 * np.sqrt((plain.var(ddof=1) + quick.var(ddof=1)) / 5)
    assert abs(quick.mean() - plain.mean()) < noise + 0.01
    assert plain.mean() > 0.85


def test_batches_are_those_of_the_processor() -> None:
    seen: dict[str, list[torch.Tensor]] = {}
    for device in ("cpu", "cuda"):
        batches = seen[device] = []
        ctx = replace(cuda_context(3, lambda batches=batches: Recorder(batches), epochs=2), device=device)
        train_with(ctx, None, switches=Switches(fused_gather=device == "cuda"))
    for found, expected in zip(seen["cuda"], seen["cpu"], strict=True):
        torch.testing.assert_close(found.cpu(), expected, atol=1e-5, rtol=1e-5)


def test_a_graph_trains_the_network_of_its_steps_and_repeats_itself() -> None:
    switches = Switches(graph=True, fused_gather=True)
    first, second, plain = (
        train_with(cuda_context(1, linear_net, epochs=3), None, switches=chosen)
        for chosen in (switches, switches, REFERENCE)
    )
    assert_equal_weights(second, first, atol=1e-4)
    assert_equal_weights(first, plain, atol=1e-3)


@pytest.mark.parametrize("optimiser", ["sgd", "adamw"])
def test_the_default_learns_with_either_optimiser(optimiser: str) -> None:
    rate = 0.05 if optimiser == "sgd" else 0.005
    assert deepcore.train(cuda_context(2, optimiser=optimiser, learning_rate=rate)).accuracy > 0.8


def test_the_structure_loss_is_captured() -> None:
    ctx = cuda_context(2)
    result = echo.train(replace(ctx, params={**SPECS["echo"].resolve_params({}), **ctx.params}))
    assert result.accuracy > 0.5


def test_memory_that_runs_out_for_real_gives_smaller_micro_batches() -> None:
    def wide() -> nn.Module:
        return nn.Sequential(nn.Conv2d(1, 4096, 3, padding=1), nn.ReLU(), conv_net(4096))

    free = torch.cuda.get_device_properties(0).total_memory
    torch.cuda.empty_cache()
    torch.cuda.set_per_process_memory_fraction(min(1.0, 1.5 * 2**30 / free))
    try:
        result = deepcore.train(cuda_context(0, wide, batch_size=512, epochs=1))
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
    assert result.oom_retries > 0
    assert result.batch_size_used < 512


def test_a_network_that_looks_at_values_trains_without_a_graph() -> None:
    class Curious(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.net = conv_net()

        def forward(self, images: torch.Tensor) -> torch.Tensor:
            return torch.as_tensor(self.net(images)) * (1 if float(images.mean()) > -9 else 0)

    said: list[str] = []
    ctx = replace(cuda_context(0, Curious, epochs=2), progress=lambda _, text: said.append(text))
    assert np.isfinite(deepcore.train(ctx).loss)
    assert "without graphs" in said[0]
