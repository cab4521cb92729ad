"""One network on its device with its optimiser: an update, and an evaluation."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch.nn.functional import cross_entropy

from prunebench_learners.cached_weights import CachedWeights
from prunebench_learners.classes import class_accuracy
from prunebench_learners.pixels import Draw, Pixels, drawn_images
from prunebench_learners.recipe import Recipe, micro_windows
from prunebench_learners.switches import REFERENCE, Switches

Penalty = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]


@dataclass(frozen=True, kw_only=True)
class Engine:
    """What an update needs.

    network: the model, compiled where a batch is full and the switches say so.
    penalty: what the logits float32 [b, classes] and labels int64 [b] of a micro-batch add to its mean loss.
    """

    model: torch.nn.Module
    network: Callable[[torch.Tensor], torch.Tensor]
    augment: Callable[[Pixels, Draw], torch.Tensor]
    optimiser: torch.optim.Optimizer
    scaler: torch.amp.GradScaler
    cached: CachedWeights | None
    switches: Switches
    micro_batch: int
    label_smoothing: float
    device: torch.device
    penalty: Penalty | None = None

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Return the logits, in mixed precision where the engine has one."""
        network = self.network if self.model.training and len(images) == self.micro_batch else self.model
        if self.switches.precision is None:
            return torch.as_tensor(network(images))
        with torch.autocast(self.device.type, dtype=self.switches.precision):
            return torch.as_tensor(network(images))

    def finished(self) -> torch.nn.Module:
        """Return the model with its float32 parameters; the engine trains no further."""
        if self.cached is not None:
            self.cached.restore()
        return self.model


def make_engine(
    build: Callable[[], torch.nn.Module],
    recipe: Recipe,
    device: torch.device,
    micro_batch: int,
    penalty: Penalty | None = None,
    switches: Switches = REFERENCE,
) -> Engine:
    """Build the network, which consumes the global torch generator, and place it with its optimiser."""
    model = build().to(device)
    if switches.channels_last:
        model = model.to(memory_format=torch.channels_last)
    optimiser, precision = make_optimiser(model, recipe), switches.precision
    cached = CachedWeights(model, precision) if switches.cached_weights and precision is not None else None
    return Engine(
        model=model,
        network=torch.compile(model, dynamic=False) if switches.compiled else model,
        augment=torch.compile(drawn_images, dynamic=False) if switches.compiled else drawn_images,
        optimiser=optimiser,
        scaler=torch.amp.GradScaler(device.type, enabled=precision is torch.float16),
        cached=cached,
        switches=switches,
        micro_batch=micro_batch,
        label_smoothing=recipe.label_smoothing,
        device=device,
        penalty=penalty,
    )


def make_optimiser(model: torch.nn.Module, recipe: Recipe) -> torch.optim.Optimizer:
    """Return SGD or AdamW over all parameters, fused: three times faster than a loop on small networks."""
    if recipe.optimiser == "adamw":
        return torch.optim.AdamW(
            model.parameters(), lr=recipe.learning_rate, weight_decay=recipe.weight_decay, fused=True
        )
    return torch.optim.SGD(
        model.parameters(),
        lr=recipe.learning_rate,
        momentum=recipe.momentum,
        nesterov=recipe.nesterov and recipe.momentum > 0,
        weight_decay=recipe.weight_decay,
        fused=True,
    )


def update(
    engine: Engine,
    pixels: Pixels,
    draw: Draw,
    window: tuple[int, int],
    learning_rate: float,
    seen: torch.Tensor | None,
) -> torch.Tensor:
    """Make one update on places window[0]..window[1]-1 and return its mean loss, float32 [] on the device.

    seen: [n, classes], into which the probabilities of these samples are written.
    """
    for group in engine.optimiser.param_groups:
        group["lr"] = learning_rate
    return update_with(engine, pixels, draw.at(slice(*window)), seen)


def update_with(engine: Engine, pixels: Pixels, batch: Draw, seen: torch.Tensor | None) -> torch.Tensor:
    """Make one update on all samples of `batch`, at the learning rate that the optimiser has.

    Gradients of the micro-batches add up to that of the mean over the whole batch; batch normalisation and the
    penalty see each micro-batch alone.
    """
    engine.optimiser.zero_grad(set_to_none=True)
    total, size = torch.zeros((), device=engine.device), len(batch.order)
    for first, last in micro_windows(0, size, engine.micro_batch):
        part = batch.at(slice(first, last))
        index, labels = part.order, pixels.train_labels[part.order]
        augment = engine.augment if last - first == engine.micro_batch else drawn_images
        logits = engine.forward(augment(pixels, part)).float()
        loss = cross_entropy(logits, labels, reduction="sum", label_smoothing=engine.label_smoothing) / size
        if engine.penalty is not None:
            loss = loss + engine.penalty(logits, labels) * ((last - first) / size)
        engine.scaler.scale(loss).backward()  # type: ignore[no-untyped-call]
        if engine.cached is not None:
            engine.cached.collect(first=first == 0)
        total += loss.detach()
        if seen is not None:
            seen[index] = logits.detach().softmax(dim=1).to(seen.dtype)
    engine.scaler.step(engine.optimiser)
    engine.scaler.update()
    if engine.cached is not None:
        engine.cached.refresh()
    return total


def evaluate(engine: Engine, pixels: Pixels) -> tuple[float, float, tuple[float | None, ...]]:
    """Return accuracy (fraction), mean cross-entropy and accuracy of each class on the test split, in eval mode.

    A batch holds as many micro-batches as the switches say, or half as often as memory runs out, but four at least:
    without gradients these fit wherever an update fitted.
    """
    size = engine.switches.evaluation_factor * engine.micro_batch
    engine.model.eval()
    while (found := _evaluated(engine, pixels, size, last_try=size <= 4 * engine.micro_batch)) is None:
        size //= 2
    engine.model.train()
    return found


@torch.no_grad()
def _evaluated(
    engine: Engine, pixels: Pixels, size: int, *, last_try: bool
) -> tuple[float, float, tuple[float | None, ...]] | None:
    correct = torch.zeros((), dtype=torch.int64, device=engine.device)
    loss = torch.zeros((), dtype=torch.float64, device=engine.device)
    right = []
    try:
        for images, labels in zip(torch.split(pixels.test, size), torch.split(pixels.test_labels, size), strict=True):
            logits = engine.forward(pixels.normalised(images)).float()
            right.append(logits.argmax(dim=1) == labels)
            correct += right[-1].sum()
            loss += cross_entropy(logits, labels, reduction="sum")
    except torch.OutOfMemoryError:
        if last_try:
            raise
        return None
    n = len(pixels.test_labels)
    by_class = class_accuracy(torch.cat(right).cpu().numpy(), pixels.test_labels.cpu().numpy(), logits.shape[1])
    return int(correct) / n, float(loss) / n, by_class
