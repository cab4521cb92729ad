"""The DeepCore recipe, with a retreat to smaller micro-batches where memory runs out."""

from __future__ import annotations

import gc
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from prunebench import DataError, OutOfMemory, TrainContext, TrainResult
from prunebench_learners.engine import Penalty
from prunebench_learners.fit import Fitted, fit
from prunebench_learners.pixels import place_pixels
from prunebench_learners.recipe import Plan, Recipe, draws_per_epoch, plan_of, recipe_of
from prunebench_learners.steps import CannotPrepare
from prunebench_learners.switches import Switches, default_switches

_SMALLEST_MICRO_BATCH = 2
_MEMORY_PHRASES = (
    "out of memory",
    "can't allocate memory",
    "not enough memory",
    "cublas_status_alloc_failed",
)


def train(ctx: TrainContext) -> TrainResult:
    """Train a network of `ctx.build` on the subset and report its test accuracy after the last epoch.

    Mean cross-entropy, cosine learning rate per iteration, all samples in every pass.  Where memory runs out
    training starts again with half the micro-batch and accumulated gradients, so that a result depends on
    `batch_size_used` and not on the moment of the failure: the gradient is that of the whole batch, but batch
    normalisation sees each micro-batch alone.  With `record_dynamics`, row [e, i] holds the
    probabilities of sample i as it was last seen up to epoch e, in train mode and augmented; NaN where a
    first, partial pass has not reached it.  Same seed, same bytes on a processor.

    Raises DataError for images that do not fit, Diverged for a loss that is not finite, OutOfMemory at a
    micro-batch of two, CellTimeout past the deadline.  Source: Guo et al. 2022, arXiv:2204.08499.
    """
    return train_with(ctx, None)


def train_with(
    ctx: TrainContext, penalty: Penalty | None, *, fixed_shapes: bool = False, switches: Switches | None = None
) -> TrainResult:
    """Train as `train` does, with `penalty` added to the loss of every micro-batch.

    fixed_shapes: the penalty is a function of its arguments whose shapes do not depend on values, so that a graph can
    replay it.  switches: None for those of the device.
    """
    recipe, n = recipe_of(ctx), len(ctx.train_labels)
    if n == 0:
        raise DataError("the subset is empty", "raise the budget")
    plan, device = plan_of(recipe, n), torch.device(ctx.device)
    on_cuda = device.type == "cuda"
    if on_cuda:
        torch.cuda.reset_peak_memory_stats(ctx.device)
    if switches is None:
        switches = default_switches(device, recipe.amp, plan.n_iterations)
        if penalty is not None and not fixed_shapes:
            switches = replace(switches, graph=False, compiled=False)
    micro_batch, retries = min(recipe.batch_size, draws_per_epoch(n)), 0
    while (fitted := _attempt(ctx, recipe, plan, micro_batch, penalty, switches)) is None:
        if micro_batch <= _SMALLEST_MICRO_BATCH:
            raise OutOfMemory(
                f"memory ran out on {ctx.device} even at a micro-batch of {micro_batch}",
                "use a smaller network, smaller images, or another device",
            )
        micro_batch, retries = max(_SMALLEST_MICRO_BATCH, micro_batch // 2), retries + 1
        _release_memory(on_cuda)
    return TrainResult(
        accuracy=fitted.accuracies[-1],
        accuracy_best=max(fitted.accuracies),
        loss=fitted.loss,
        epochs=plan.n_epochs,
        iterations=plan.n_iterations,
        accuracy_per_epoch=fitted.accuracies,
        class_accuracy=fitted.by_class,
        weights=_arrays(fitted.model) if ctx.keep_weights else None,
        dynamics=fitted.dynamics,
        batch_size_used=micro_batch,
        oom_retries=retries,
        peak_gpu_bytes=torch.cuda.max_memory_allocated(ctx.device) if on_cuda else 0,
    )


def _attempt(
    ctx: TrainContext, recipe: Recipe, plan: Plan, micro_batch: int, penalty: Penalty | None, switches: Switches
) -> Fitted | None:
    """Return a fitted network, or None where memory ran out.

    A network that cannot be compiled or captured trains without, and says so: slower, by the same recipe.
    """
    image_size = recipe.image_size or ctx.arch.image_size or 0
    try:
        pixels = place_pixels(ctx, image_size, recipe.padding)
        try:
            return fit(ctx, recipe, plan, pixels, micro_batch, penalty, switches)
        except CannotPrepare as error:
            ctx.progress(0.0, f"trains without graphs and compilation: {error}")
        return fit(ctx, recipe, plan, pixels, micro_batch, penalty, replace(switches, graph=False, compiled=False))
    except RuntimeError as error:
        if not memory_ran_out(error):
            raise
        return None


def memory_ran_out(error: RuntimeError) -> bool:
    """Say whether a smaller batch can help: not after an "illegal" access, which ruins the device."""
    text = str(error).lower()
    if "illegal" in text:
        return False
    return isinstance(error, torch.OutOfMemoryError) or any(phrase in text for phrase in _MEMORY_PHRASES)


def _release_memory(on_cuda: bool) -> None:
    gc.collect()
    if on_cuda:
        torch.cuda.empty_cache()


def _arrays(model: torch.nn.Module) -> Mapping[str, NDArray[Any]]:
    """Return the state dict as contiguous arrays in their own memory."""
    return {
        name: np.array(value.detach().cpu().contiguous().numpy(), order="C")
        for name, value in model.state_dict().items()
    }
