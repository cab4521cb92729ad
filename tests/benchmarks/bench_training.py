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
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import msgspec
import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

import prunebench_timm.networks  # noqa: F401  # registers the networks of the papers with timm
from prunebench.contexts import TrainContext
from prunebench_learners.switches import REFERENCE, Switches
from training_sides import BATCH, Sides, context, engine_pass, plain_sides, stacked_pass, streams_pass

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


class Row(msgspec.Struct, frozen=True):
    """One way to train: images per second, those of all trainings together where there are several, and the share of
    the device's rate in matrix products (MFU); seconds_to_first: until its first pass had ended."""

    name: str
    images_per_second: float
    mfu: float | None = None
    seconds_to_first: float = 0.0


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
    """Return the rate of several processes that train at once, each by the last row of the engine; nan where one fails.

    A library may print before a process is ready, and between its two lines.
    """
    command = [sys.executable, __file__, "--child", "--device", options.device, "--images", str(options.images)]
    command += ["--seconds", str(options.seconds), *(f"--data={root}" for root in options.data)]
    children = [
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(together)
    ]
    try:
        for child in children:
            assert child.stdout is not None
            while child.stdout.readline() not in ("ready\n", ""):  # it has compiled, captured and trained once
                pass
        for child in children:
            assert child.stdin is not None
            child.stdin.write("go\n")
            child.stdin.flush()
        rates = [float(child.communicate(timeout=600)[0].splitlines()[-1]) for child in children]
    except (OSError, IndexError, ValueError) as error:
        print(f"{together} processes: {type(error).__name__}: {error}", file=sys.stderr)
        rates = [math.nan]
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
    loaders = plain_sides(
        small, options.workers, [options.threads] if on_cuda else [options.threads, torch.get_num_threads()]
    )
    torch.set_num_threads(options.threads)
    rows = CUDA_ROWS if on_cuda else CPU_ROWS
    engines = {name: (n, partial(engine_pass, ctx, switches)) for name, switches in rows.items()}
    k, best = options.together, best_switches(options)
    groups: list[Sides] = [{**loaders, **{name: engines[name] for name in rows if not rows[name].compiled}}]
    groups += [{name: engines[name]} for name in rows if rows[name].compiled]
    for group in groups:  # what compiles comes after all that is certain to end in time
        yield from (with_mfu(row, share) for row in measure(group, options.seconds, options.turns))
    yield with_mfu(processes_rate(options, k), share)
    several: Sides = {
        f"{k} trainings, streams of one process": (n * k, partial(streams_pass, ctx, replace(best, graph=True), k)),
        f"{k} trainings, stacked": (n // BATCH * BATCH * k, partial(stacked_pass, ctx, best.precision, k)),
    }
    for name, side in several.items():  # one at a time: each takes memory for all of its trainings
        yield from (with_mfu(row, share) for row in measure({name: side}, options.seconds, 1))


def with_mfu(row: Row, share: float) -> Row:
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
@pytest.mark.parametrize(("augment", "bar"), [(True, 3.0), (False, 1.5)], ids=["crop and flip", "as they are"])
def test_a_processor_trains_lenet_faster_than_a_plain_loader(augment: bool, bar: float) -> None:
    ctx = context("cpu", 5000, augment=augment, roots=())
    plain = plain_sides(ctx, (0, 2), [1, torch.get_num_threads()])
    before = torch.get_num_threads()
    torch.set_num_threads(1)  # as workers of the harness have by default
    rows = measure({**plain, "engine": (5000, partial(engine_pass, ctx, REFERENCE))}, seconds=1, turns=3)
    torch.set_num_threads(before)
    print(f"\n{table(rows)}")
    rates = {row.name: row.images_per_second for row in rows}
    assert rates.pop("engine") >= bar * max(rates.values())


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
    parser.add_argument(
        "--seconds", type=float, default=0.7 if on_cuda else 1.0, help="of one turn of one side, at least one pass"
    )
    parser.add_argument("--turns", type=int, default=2 if on_cuda else 3)
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
