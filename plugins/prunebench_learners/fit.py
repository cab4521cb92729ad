"""One run from initialisation to the last epoch, at one micro-batch size."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from prunebench import Diverged, TrainContext
from prunebench_learners.engine import Engine, Penalty, evaluate, make_engine
from prunebench_learners.pixels import Draw, Pixels, draw_epoch, switched
from prunebench_learners.recipe import Plan, Recipe, cosine_rate, draws_per_epoch
from prunebench_learners.steps import PlainSteps, StaticSteps, Steps
from prunebench_learners.switches import REFERENCE, Switches, kernels

_ITERATIONS_PER_DEADLINE_CHECK = 50


@dataclass(frozen=True, kw_only=True)
class Fitted:
    """A trained network, its test accuracy where measured (last one last) and by class, test loss, and dynamics."""

    model: torch.nn.Module
    accuracies: tuple[float, ...]
    by_class: tuple[float | None, ...]
    loss: float
    dynamics: NDArray[np.float16] | None


def fit(
    ctx: TrainContext,
    recipe: Recipe,
    plan: Plan,
    pixels: Pixels,
    micro_batch: int,
    penalty: Penalty | None = None,
    switches: Switches = REFERENCE,
) -> Fitted:
    """Train from scratch; the global torch generators are as before afterwards.

    The seed of `ctx` seeds the initialisation and then dropout; order and augmentation have generators of
    their own.  Raises Diverged for a loss that is not finite, CellTimeout past the deadline, and CannotPrepare,
    before the first update, for a network that the switches do not suit.
    """
    device = torch.device(ctx.device)
    with torch.random.fork_rng(devices=_cuda_devices(device)), kernels(switches):
        torch.manual_seed(ctx.seed)
        engine = make_engine(ctx.build, recipe, device, micro_batch, penalty, switches)
        return _run(ctx, recipe, plan, switched(pixels, switches), engine)


def _cuda_devices(device: torch.device) -> list[int]:
    if device.type != "cuda":
        return []
    return [torch.cuda.current_device() if device.index is None else device.index]


def _generators(seed: int) -> tuple[torch.Generator, torch.Generator]:
    by_order, by_crop = (int(word) for word in np.random.SeedSequence(seed).generate_state(2, np.uint64))
    return torch.Generator().manual_seed(by_order), torch.Generator().manual_seed(by_crop)


def _run(ctx: TrainContext, recipe: Recipe, plan: Plan, pixels: Pixels, engine: Engine) -> Fitted:
    n = len(pixels.train_labels)
    generators = _generators(ctx.seed)
    padding = recipe.padding if recipe.augment == "crop_flip" else None
    seen, dynamics = _recorders(ctx, plan, n, engine.device)
    accuracies: list[float] = []
    loss = math.nan
    by_class: tuple[float | None, ...] = ()
    engine.model.train()
    steps: Steps | None = None
    for epoch in range(plan.n_epochs):
        ctx.check_deadline()
        draw = draw_epoch(n, draws_per_epoch(n), padding, generators, engine.device)
        if steps is None:
            steps = (StaticSteps if engine.switches.graph else PlainSteps)(engine, pixels, plan, recipe, draw, seen)
        train_loss = _pass(ctx, recipe, plan, steps, draw, epoch)
        if seen is not None and dynamics is not None:
            dynamics[epoch] = seen.cpu().numpy()
        text = f"epoch {epoch + 1}/{plan.n_epochs}, loss {train_loss:.4g}"
        if epoch + 1 in plan.evaluated:
            accuracy, loss, by_class = evaluate(engine, pixels)
            accuracies.append(accuracy)
            text += f", test accuracy {accuracy:.4f}"
        ctx.progress((epoch + 1) / plan.n_epochs, text)
    _require_finite(loss, "test loss", plan.n_epochs, plan, recipe, plan.n_iterations - 1)
    return Fitted(
        model=engine.finished(), accuracies=tuple(accuracies), by_class=by_class, loss=loss, dynamics=dynamics
    )


def _recorders(
    ctx: TrainContext, plan: Plan, n: int, device: torch.device
) -> tuple[torch.Tensor | None, NDArray[np.float16] | None]:
    if not ctx.record_dynamics:
        return None, None
    seen = torch.full((n, ctx.n_classes), math.nan, dtype=torch.float16, device=device)
    return seen, np.empty((plan.n_epochs, n, ctx.n_classes), dtype=np.float16)


def _pass(ctx: TrainContext, recipe: Recipe, plan: Plan, steps: Steps, draw: Draw, epoch: int) -> float:
    """Make the updates of one pass and return their mean loss, fetched from the device once."""
    done = epoch * len(plan.batches)
    windows = plan.batches[: plan.n_iterations - done]
    steps.begin(draw)
    for iteration, (start, stop) in enumerate(windows, start=done):
        if iteration % _ITERATIONS_PER_DEADLINE_CHECK == 0:
            ctx.check_deadline()
        steps.step(stop - start)
    mean = float(steps.total) / len(windows)
    _require_finite(mean, "training loss", epoch + 1, plan, recipe, done + len(windows) - 1)
    return mean


def _require_finite(value: float, what: str, epoch: int, plan: Plan, recipe: Recipe, iteration: int) -> None:
    if math.isfinite(value):
        return
    rate = cosine_rate(iteration, plan.n_iterations, recipe.learning_rate, recipe.eta_min)
    raise Diverged(
        f"the {what} became {value} in epoch {epoch} of {plan.n_epochs}, at learning rate {rate:.3g}",
        "lower learning_rate",
    )
