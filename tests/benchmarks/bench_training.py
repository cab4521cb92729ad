"""Images per second of training, beside a plain DataLoader loop with torchvision's transforms, in one run.

On a processor LeNet on Fashion-MNIST, on CUDA ResNet-18 on CIFAR-10, first the plain loop in float32, then the engine
with each of its switches added to those before, then several trainings at once.  A rate is the median of passes that
take turns, order, crops and the fetch of the loss included, evaluation not.  MFU: floating-point operations of the
convolutions and matrix products over those of a large matrix product, measured in the same run.

`python tests/benchmarks/bench_training.py --out rows.json`; `--images 2000 --seconds 1` for a quick try.
"""

from __future__ import annotations

import argparse
import math
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import replace
from functools import partial
from pathlib import Path

import msgspec
import numpy as np
import pytest
import timm
import torch
from PIL import Image
from torch import nn
from torch.utils.data import DataLoader, Dataset
from torch.utils.flop_counter import FlopCounterMode
from torchvision import transforms

import prunebench_timm.networks  # noqa: F401  # registers the networks of the papers with timm
from prunebench.contexts import Arch, DataContext, TrainContext
from prunebench.errors import DatasetMissing
from prunebench.plugins import load_plugins
from prunebench_learners.engine import make_engine
from prunebench_learners.pixels import Draw, draw_epoch, place_pixels, switched, training_batch
from prunebench_learners.recipe import plan_of, recipe_of
from prunebench_learners.steps import PlainSteps, StaticSteps, Steps
from prunebench_learners.switches import REFERENCE, Switches, kernels
from stacked_seeds import StackedSeeds

BATCH, PADDING, RATE = 256, 4, 0.05
BF16 = torch.bfloat16
# Each row adds one switch to those of the row before; `today` is what trained before there were switches.
CUDA_ROWS: dict[str, Switches] = {"float32": REFERENCE, "bf16 (the engine before)": Switches(precision=BF16)}
for _title, _change in {
    "+ cudnn.benchmark": {"cudnn_benchmark": True},
    "+ TF32": {"tf32": True},
    "+ fused gather": {"fused_gather": True},
    "+ cached weights": {"cached_weights": True},
    "+ one graph for a step": {"graph": True},
    "+ torch.compile": {"compiled": True},
}.items():
    CUDA_ROWS[_title] = replace(list(CUDA_ROWS.values())[-1], **_change)
CPU_ROWS = {
    "float32 (the engine)": REFERENCE,
    "fixed addresses": Switches(graph=True),
    "fused gather": Switches(fused_gather=True),
}


Sides = Mapping[str, tuple[int, Callable[[], Callable[[], None]]]]  # images in a pass, and a maker of passes


class Row(msgspec.Struct, frozen=True):
    """One way to train: images per second, those of all trainings together where there are several, and the share of
    the device's rate in matrix products (MFU); seconds_to_first: until its first pass had ended."""

    name: str
    images_per_second: float
    mfu: float | None = None
    seconds_to_first: float = 0.0


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


# --- measuring


def measure(sides: Sides, seconds: float, turns: int) -> list[Row]:
    """Return a row for each side; the passes of all sides take turns.

    A side trains once before, which does not count: compilation, capture, and the start of a loader's processes.  One
    that fails is reported with a rate of nan, and the others go on.
    """
    passes: dict[str, tuple[int, Callable[[], None]]] = {}
    first: dict[str, float] = {}
    rows = []
    for name, (images, make) in sides.items():
        started = time.perf_counter()
        try:
            passes[name] = images, make()
            passes[name][1]()
        except Exception as error:
            print(f"{name}: {type(error).__name__}: {error}", file=sys.stderr)
            passes.pop(name, None)
            rows.append(Row(name, math.nan))
        first[name] = round(time.perf_counter() - started, 2)
    rates: dict[str, list[float]] = {name: [] for name in passes}
    for _ in range(turns):
        for name, (images, one_pass) in passes.items():
            started, done = time.perf_counter(), 0
            while done == 0 or time.perf_counter() - started < seconds:
                one_pass()
                done += images
            rates[name].append(done / (time.perf_counter() - started))
    return [*(Row(name, statistics.median(rates[name]), None, first[name]) for name in passes), *rows]


def operations_per_image(ctx: TrainContext) -> float:
    """Return the floating-point operations of forward and backward pass, two for each multiply and add."""
    model, size = ctx.build(), 8
    counter = FlopCounterMode(display=False)
    _, side, _, channels = ctx.train_images.shape  # type: ignore[union-attr]
    with counter:
        model(torch.rand(size, channels, side, side)).sum().backward()
    return float(counter.get_total_flops()) / size


def rate_of_products(device: str, seconds: float = 0.5) -> float:
    """Return operations per second of a large matrix product of random numbers, bfloat16 on CUDA, else float32."""
    size, dtype = (8192, torch.bfloat16) if device != "cpu" else (1024, torch.float32)
    left, right = (torch.randn(size, size, device=device, dtype=dtype) for _ in range(2))
    wait = torch.cuda.synchronize if device != "cpu" else int
    best = 0.0
    for _ in range(5):
        started, done = time.perf_counter(), 0
        while done == 0 or time.perf_counter() - started < seconds / 5:
            for _ in range(5):
                left @ right
            wait()
            done += 5
        best = max(best, done * 2 * size**3 / (time.perf_counter() - started))
    return best


def processes_rate(options: argparse.Namespace, together: int) -> Row:
    """Return the rate of several processes that train at once, each by the last row of the engine."""
    command = [sys.executable, __file__, "--child", "--device", options.device, "--images", str(options.images)]
    command += ["--seconds", str(options.seconds), *(f"--data={root}" for root in options.data)]
    children = [
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(together)
    ]
    try:
        for child in children:
            assert child.stdout is not None
            child.stdout.readline()  # it has compiled, captured and trained once
        for child in children:
            assert child.stdin is not None
            child.stdin.write("go\n")
            child.stdin.flush()
        rates = [float(child.communicate(timeout=600)[0]) for child in children]
    finally:
        for child in children:
            child.kill()
    return Row(f"{together} processes", sum(rates))


def train_beside_others(options: argparse.Namespace) -> None:
    """Train until told to, and then for the seconds that were asked for."""
    torch.set_num_threads(options.threads)
    ctx = context(options.device, options.images, augment=True, roots=options.data)
    one_pass = engine_pass(ctx, best_switches(options))
    one_pass()
    print("ready", flush=True)
    sys.stdin.readline()
    started, done = time.perf_counter(), 0
    while done == 0 or time.perf_counter() - started < options.seconds * 2:
        one_pass()
        done += len(ctx.train_labels)
    print(done / (time.perf_counter() - started), flush=True)


def best_switches(options: argparse.Namespace) -> Switches:
    """Return those of the last row of the engine."""
    return list(CUDA_ROWS.values())[-1] if options.device != "cpu" else REFERENCE


def measured(options: argparse.Namespace) -> Iterator[Row]:
    """Yield all rows, those that matter most first."""
    ctx = context(options.device, options.images, augment=True, roots=options.data)
    n, on_cuda = len(ctx.train_labels), options.device != "cpu"
    share = operations_per_image(ctx) / rate_of_products(options.device)
    small = replace(
        ctx,
        train_images=ctx.train_images[: options.plain_images],
        train_labels=ctx.train_labels[: options.plain_images],
    )
    loaders = plain_sides(small, options.workers, [options.threads, torch.get_num_threads()])
    torch.set_num_threads(options.threads)
    rows = CUDA_ROWS if on_cuda else CPU_ROWS
    engines = {name: (n, partial(engine_pass, ctx, switches)) for name, switches in rows.items()}
    k, best = options.together, best_switches(options)
    several = {
        f"{k} trainings, streams of one process": (n * k, partial(streams_pass, ctx, replace(best, graph=True), k)),
        f"{k} trainings, stacked": (n // BATCH * BATCH * k, partial(stacked_pass, ctx, best.precision, k)),
    }
    for row in measure({**loaders, **engines}, options.seconds, options.turns):
        yield replace_row(row, share)
    yield replace_row(processes_rate(options, k), share)
    for name, side in several.items():  # one at a time: each takes memory for all of its trainings
        yield from (replace_row(row, share) for row in measure({name: side}, options.seconds, 1))


def replace_row(row: Row, share: float) -> Row:
    """Return the row with its MFU."""
    return msgspec.structs.replace(row, mfu=row.images_per_second * share)


def table(rows: Sequence[Row]) -> str:
    """Return the rows as Markdown, with the ratio to the fastest plain loop."""
    plain = max((row.images_per_second for row in rows if row.name.startswith("plain")), default=math.nan)
    lines = ["| | images/s | of the plain loop | MFU | s to the end of the first pass |", "|---|---|---|---|---|"]
    for row in rows:
        ratio = row.images_per_second / plain
        mfu = "" if row.mfu is None else f"{row.mfu:.1%}"
        lines.append(f"| {row.name} | {row.images_per_second:,.0f} | {ratio:.2f} | {mfu} | {row.seconds_to_first} |")
    return "\n".join(lines)


# --- the bars


@pytest.mark.timeout(1800)
@pytest.mark.parametrize("augment", [True, False], ids=["crop and flip", "as they are"])
def test_a_processor_trains_lenet_three_times_as_fast_as_a_plain_loader(augment: bool) -> None:
    ctx = context("cpu", 5000, augment=augment, roots=())
    plain = plain_sides(ctx, (0, 2), [1, torch.get_num_threads()])
    before = torch.get_num_threads()
    torch.set_num_threads(1)  # as workers of the harness have by default
    rows = measure({**plain, "engine": (5000, partial(engine_pass, ctx, REFERENCE))}, seconds=1, turns=3)
    torch.set_num_threads(before)
    print(f"\n{table(rows)}")
    rates = {row.name: row.images_per_second for row in rows}
    assert rates.pop("engine") >= 3 * max(rates.values())


@pytest.mark.gpu
@pytest.mark.timeout(1800)
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_cuda_trains_resnet18_eight_times_as_fast_as_a_plain_loader() -> None:
    ctx = context("cuda", 20_000, augment=True, roots=())
    engine = {"engine": (20_000, partial(engine_pass, ctx, list(CUDA_ROWS.values())[-1]))}
    rows = measure({**plain_sides(ctx, (0, 8), [1]), **engine}, seconds=1, turns=3)
    print(f"\n{table(rows)}")
    rates = {row.name: row.images_per_second for row in rows}
    assert rates.pop("engine") >= 8 * max(rates.values())


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    on_cuda = torch.cuda.is_available()
    parser.add_argument("--out", type=Path, help="JSON: all rows, written again after each of them")
    parser.add_argument("--data", type=Path, action="append", default=[], help="folder of data sets")
    parser.add_argument("--device", default="cuda" if on_cuda else "cpu")
    parser.add_argument("--images", type=int, default=20_000 if on_cuda else 5_000, help="of a pass")
    parser.add_argument("--plain-images", type=int, default=10_000 if on_cuda else 5_000, help="of a plain pass")
    parser.add_argument("--workers", type=int, nargs="+", default=[0, 8] if on_cuda else [0, 2])
    parser.add_argument("--seconds", type=float, default=1.0, help="of one turn of one side, at least one pass")
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1, help="of torch, as the workers of the harness have")
    parser.add_argument("--together", type=int, default=4 if on_cuda else 2, help="trainings at once")
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.child:
        train_beside_others(options)
        return
    rows = []
    for row in measured(options):
        rows.append(row)
        print(row, flush=True)
        if options.out is not None:
            options.out.write_bytes(msgspec.json.encode(rows))
    print(torch.cuda.get_device_name() if on_cuda else f"processor, {options.threads} thread(s)")
    print(table(rows))


if __name__ == "__main__":
    main()
