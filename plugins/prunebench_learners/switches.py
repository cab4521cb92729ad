"""Ways to train faster, each a switch of its own, so that the benchmark of training can measure each alone."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch

_ITERATIONS_THAT_REPAY_COMPILATION = 1000


@dataclass(frozen=True, kw_only=True)
class Switches:
    """How an update is computed; what it computes is the same up to rounding, and all off is the reference.

    precision: of the forward pass; None is float32.
    channels_last: memory order of images and weights.
    cudnn_benchmark: cuDNN times its algorithms for each shape and keeps the fastest.
    tf32: matrix products of float32 round their factors to 10 bits; torch allows that in convolutions anyway.
    cached_weights: the weights of convolutions and linear layers are kept in `precision` beside the float32 ones that
    the optimiser updates, and cast once for each update.
    fused_gather: crop, flip and memory order in one gather from the padded bytes; normalised straight to `precision`.
    compiled: the network and the augmentation through torch.compile, for full batches alone.
    graph: everything that an update reads lies at fixed addresses on the device, order and learning rate too; on CUDA
    one graph for each batch size replays it.
    evaluation_factor: micro-batches in one batch of the evaluation.
    """

    precision: torch.dtype | None = None
    channels_last: bool = True
    cudnn_benchmark: bool = False
    tf32: bool = False
    cached_weights: bool = False
    fused_gather: bool = False
    compiled: bool = False
    graph: bool = False
    evaluation_factor: int = 4


# On a processor, LeNet trains 1.6 times as fast with channels last.
REFERENCE = Switches()


def default_switches(device: torch.device, amp: bool, n_iterations: int) -> Switches:
    """Return the reference, or on CUDA with `amp` all that is made for it.

    A graphics card without bfloat16 gets float16, whose scaled loss is checked on the host at each update: no graph.
    """
    if device.type != "cuda" or not amp:
        return REFERENCE
    if not torch.cuda.is_bf16_supported():
        return Switches(precision=torch.float16, cudnn_benchmark=True, tf32=True, evaluation_factor=16)
    return Switches(
        precision=torch.bfloat16,
        cudnn_benchmark=True,
        tf32=True,
        cached_weights=True,
        fused_gather=True,
        compiled=n_iterations >= _ITERATIONS_THAT_REPAY_COMPILATION,
        graph=True,
        evaluation_factor=16,
    )


@contextmanager
def kernels(switches: Switches) -> Iterator[None]:
    """Choose the kernels of cuDNN and of matrix products; the choices of the process are as before afterwards."""
    before = torch.get_float32_matmul_precision()
    cudnn = torch.backends.cudnn
    with cudnn.flags(
        enabled=cudnn.enabled,
        benchmark=switches.cudnn_benchmark or cudnn.benchmark,
        deterministic=cudnn.deterministic,
        allow_tf32=cudnn.allow_tf32,
    ):
        if switches.tf32:
            torch.set_float32_matmul_precision("high")
        try:
            yield
        finally:
            torch.set_float32_matmul_precision(before)
