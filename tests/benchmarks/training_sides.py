"""The two sides of the benchmark of training: a plain loop, and the engine, alone and several at once."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from functools import partial
from pathlib import Path

import numpy as np
import timm
import torch
from PIL import Image
from torch import nn
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms

import prunebench_timm.networks  # noqa: F401  # registers the networks of the papers with timm
from prunebench.contexts import Arch, DataContext, TrainContext
from prunebench.errors import DatasetMissing
from prunebench.plugins import load_plugins
from prunebench_learners.engine import make_engine
from prunebench_learners.pixels import Draw, draw_epoch, place_pixels, switched, training_batch
from prunebench_learners.recipe import plan_of, recipe_of
from prunebench_learners.steps import PlainSteps, StaticSteps, Steps
from prunebench_learners.switches import Switches, kernels
from stacked_seeds import StackedSeeds

BATCH, PADDING, RATE = 256, 4, 0.05
Sides = Mapping[str, tuple[int, Callable[[], Callable[[], None]]]]  # images in a pass, and a maker of passes


def context(device: str, n: int, *, augment: bool, roots: Sequence[Path]) -> TrainContext:
    """Return `n` images for the network that suits the device; random bytes where the data set is not at hand."""
    name, network, side, channels = "fashion-mnist", "deepcore_lenet", 28, 1
    if device != "cpu":
        name, network, side, channels = "cifar10", "deepcore_resnet18", 32, 3
    plugins, generator = load_plugins(), np.random.default_rng(0)
    try:
        train = plugins.dataset(name).load()(DataContext(roots=tuple(roots))).train
        chosen = generator.permutation(len(train.labels))[:n]
        images, labels = train.images[chosen], train.labels[chosen]
    except DatasetMissing:
        print(f"{name} is not at hand: random images", file=sys.stderr)
        images = generator.integers(0, 256, (n, side, side, channels), dtype=np.uint8)
        labels = generator.integers(0, 10, n)
    wanted = {"batch_size": BATCH, "augment": "crop_flip" if augment else "none", "learning_rate": RATE}
    return TrainContext(
        params=plugins.learner("deepcore").spec.resolve_params({**wanted, "epochs": 10_000}),
        device=device, train_images=images, train_labels=labels, test_images=images[:BATCH],
        test_labels=labels[:BATCH], n_classes=10, mean=(0.5,) * channels, std=(0.25,) * channels,
        arch=Arch(name=network, provider="timm", model=network),
        build=lambda: timm.create_model(network, num_classes=10, in_chans=channels),
    )  # fmt: skip


# --- the two sides; each returns a function that trains for one pass over the images and waits for its end


class Pictures(Dataset[tuple[torch.Tensor, int]]):
    """Images as pictures of PIL through a transform, as torchvision's own data sets give them."""

    def __init__(self, ctx: TrainContext, transform: Callable[[Image.Image], torch.Tensor]) -> None:
        assert ctx.train_images is not None
        self.images, self.labels, self.transform = ctx.train_images, ctx.train_labels.tolist(), transform

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
        image = self.images[index]
        return self.transform(Image.fromarray(image[..., 0] if image.shape[2] == 1 else image)), self.labels[index]


def plain_pass(ctx: TrainContext, workers: int, threads: int) -> Callable[[], None]:
    """The loop of a tutorial: DataLoader, transforms, float32, SGD and the cosine scheduler, on so many threads."""
    side = ctx.train_images.shape[1]  # type: ignore[union-attr]
    crops = [transforms.RandomCrop(side, PADDING, padding_mode="reflect"), transforms.RandomHorizontalFlip()]
    augment = crops if ctx.params["augment"] == "crop_flip" else []
    steps = [*augment, transforms.ToTensor(), transforms.Normalize(ctx.mean, ctx.std)]
    pictures, on_cuda = Pictures(ctx, transforms.Compose(steps)), ctx.device != "cpu"
    loader = DataLoader(
        pictures, BATCH, shuffle=True, num_workers=workers, pin_memory=on_cuda, persistent_workers=workers > 0
    )
    model = ctx.build().to(ctx.device)
    optimiser = torch.optim.SGD(model.parameters(), RATE, momentum=0.9, nesterov=True, weight_decay=5e-4)
    scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, 10_000 * len(loader), 1e-4)
    criterion = nn.CrossEntropyLoss()

    def one_pass() -> None:
        total, before = 0.0, torch.get_num_threads()
        torch.set_num_threads(threads)
        for images, labels in loader:
            optimiser.zero_grad()
            loss = criterion(model(images.to(ctx.device)), labels.to(ctx.device))
            loss.backward()
            optimiser.step()
            scheduler.step()
            total += loss.item()
        torch.set_num_threads(before)

    return one_pass


def plain_sides(ctx: TrainContext, workers: Sequence[int], threads: Sequence[int]) -> Sides:
    """Return the plain loop with all settings: a researcher would keep the fastest."""
    n = len(ctx.train_labels)
    return {
        f"plain loop, {w} workers, {t} thread(s)": (n, partial(plain_pass, ctx, w, t))
        for w in workers
        for t in sorted({*threads})
    }


def begun(ctx: TrainContext, switches: Switches) -> tuple[Steps, Callable[[], Draw], list[int]]:
    """Return the engine's updates, the next draw, and the sizes of the batches of a pass."""
    recipe, n, device = recipe_of(ctx), len(ctx.train_labels), torch.device(ctx.device)
    plan, padding = plan_of(recipe, n), recipe.padding if recipe.augment == "crop_flip" else None
    pixels = switched(place_pixels(ctx, 0, recipe.padding), switches)
    generators = torch.Generator().manual_seed(0), torch.Generator().manual_seed(1)
    draw = partial(draw_epoch, n, n, padding, generators, device)
    engine = make_engine(ctx.build, recipe, device, BATCH, None, switches)
    engine.model.train()
    make = StaticSteps if switches.graph else PlainSteps
    return make(engine, pixels, plan, recipe, draw(), None), draw, [stop - start for start, stop in plan.batches]


def engine_pass(ctx: TrainContext, switches: Switches) -> Callable[[], None]:
    """The engine of the harness."""
    with kernels(switches):
        steps, draw, sizes = begun(ctx, switches)

    def one_pass() -> None:
        with kernels(switches):
            steps.begin(draw())
            for size in sizes:
                steps.step(size)
            float(steps.total)

    return one_pass


def streams_pass(ctx: TrainContext, switches: Switches, together: int) -> Callable[[], None]:
    """Several trainings in one process, each with its graphs on a stream of its own."""
    with kernels(switches):
        all_begun = [begun(ctx, switches) for _ in range(together)]
    streams = [torch.cuda.Stream() for _ in range(together)] if ctx.device != "cpu" else []

    def one_pass() -> None:
        for steps, draw, _ in all_begun:
            steps.begin(draw())
        if streams:
            torch.cuda.synchronize()
        for size in all_begun[0][2]:
            for number, (steps, _, _) in enumerate(all_begun):
                with torch.cuda.stream(streams[number]) if streams else nullcontext():
                    steps.step(size)
        if streams:
            torch.cuda.synchronize()

    return one_pass


def stacked_pass(ctx: TrainContext, precision: torch.dtype | None, together: int) -> Callable[[], None]:
    """Several trainings as one network with torch.func; full batches alone."""
    recipe, n, device = recipe_of(ctx), len(ctx.train_labels), torch.device(ctx.device)
    pixels = place_pixels(ctx, 0, recipe.padding)
    models = [ctx.build().to(device) for _ in range(together)]
    stacked = StackedSeeds(models, momentum=0.9, nesterov=True, weight_decay=5e-4, precision=precision)
    generators = torch.Generator().manual_seed(0), torch.Generator().manual_seed(1)
    padding = recipe.padding if recipe.augment == "crop_flip" else None

    def one_pass() -> None:
        draws = [draw_epoch(n, n, padding, generators, device) for _ in range(together)]
        total = torch.zeros(together, device=device)
        for start in range(0, n - BATCH + 1, BATCH):
            batches = [training_batch(pixels, draw, start, start + BATCH) for draw in draws]
            labels = torch.stack([pixels.train_labels[index] for index, _ in batches])
            total += stacked.update(torch.stack([images for _, images in batches]), labels, RATE)
        total.sum().item()

    return one_pass
