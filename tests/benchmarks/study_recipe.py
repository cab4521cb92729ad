"""What each part of the training recipe moves for a small random subset: the tables in docs/recipe.md.

`python tests/benchmarks/study_recipe.py DATA_ROOT --out FILE`, where DATA_ROOT holds CIFAR-10: Random at 90 % pruning,
ResNet-18, 200 epochs.  On a processor: `--network lenet --epochs 30`.  Every training is written to FILE when it ends,
and one that is there already is not repeated; `--seconds` ends the run between two trainings, and `--seconds 0` only
prints what FILE says.  All arms of a seed share the subset and the initial weights, those of the plain loop also the
order and the crops, so that each factor has a paired difference.
"""

from __future__ import annotations

import argparse
import math
import os
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import msgspec
import torch

from prunebench.contexts import DataContext, Dataset
from prunebench.plugins import load_plugins
from prunebench.stats import mean_intervals
from recipe_loops import NETWORKS, Setting, Work, by_engine, by_loop, random_subset

PLAIN, BEST = "plain loop", "best epoch in place of the last"


class Arm(NamedTuple):
    """A setting, and the arm that differs from it in one thing."""

    setting: Setting
    against: str = PLAIN
    needs_cuda: bool = False


ARMS = {  # in the order in which they are trained
    PLAIN: Arm(Setting(), ""),
    "batch 128": Arm(Setting(batch_size=128)),
    "the engine, float32": Arm(Setting("engine")),
    "the engine, bf16": Arm(Setting("engine", bf16=True), "the engine, float32", needs_cuda=True),
    "the engine, bf16, batch 128": Arm(Setting("engine", 128, bf16=True), "the engine, bf16", needs_cuda=True),
    "DataLoader and torchvision": Arm(Setting("loader"), "the engine, float32"),
    "twice the epochs": Arm(Setting(length=2.0)),
    "bf16": Arm(Setting(bf16=True)),
    "no TF32": Arm(Setting(tf32=False), needs_cuda=True),
    "border black": Arm(Setting(border="black")),
    "border of the mean colour": Arm(Setting(border="mean")),
    "subset without class balance": Arm(Setting(balanced=False)),
    "last batch dropped": Arm(Setting(keep_last=False)),
    "no Nesterov": Arm(Setting(nesterov=False)),
    "no decay of normalisation and biases": Arm(Setting(decay_all=False)),
    "He initialisation": Arm(Setting(he_init=True)),
    "batch 32": Arm(Setting(batch_size=32)),
}


class Place(msgspec.Struct, frozen=True):
    """Which training a line of the file is; equal places are one training."""

    arm: str
    seed: int
    network: str
    epochs: int
    subset: int
    setting: Setting
    device: str

    @property
    def kind(self) -> tuple[str, int, int, str]:
        """What the trainings of one table share."""
        return self.network, self.epochs, self.subset, self.device


class Training(msgspec.Struct, frozen=True):
    """A finished training: test accuracy (fraction) after the last epoch and at the best of the last tenth of them."""

    place: Place
    accuracy: float
    best: float
    iterations: int
    seconds: float
    torch: str


def train(place: Place, data: Dataset, workers: int = 0) -> Training:
    """Return one finished training; only the plain loop is tested before its end, for the best epoch."""
    torch.backends.cudnn.allow_tf32 = place.setting.tf32  # on by default, so DeepCore's float32 is this on a GPU
    index = random_subset(data.train.labels, place.subset, place.seed, place.setting.balanced)
    watched = max(1, place.epochs // 10) if place.arm == PLAIN else 1
    work = Work(place.setting, place.network, place.epochs, place.seed, place.device, watched, workers)
    started = time.perf_counter()
    loop = by_engine if place.setting.loop == "engine" else by_loop
    last, best, iterations = loop(work, data, index)
    return Training(place, last, best, iterations, round(time.perf_counter() - started, 2), str(torch.__version__))


def finished(file: Path) -> list[Training]:
    """Return the trainings that a file holds; a last line that was cut off while it was written is removed."""
    if not file.exists():
        return []
    *lines, rest = file.read_bytes().split(b"\n")
    if rest:
        os.truncate(file, file.stat().st_size - len(rest))
    return [msgspec.json.decode(line, type=Training) for line in lines]


def run(places: Sequence[Place], data: Dataset, file: Path, seconds: float, workers: int = 0) -> None:
    """Train what the file does not hold yet, as long as the next training should end within `seconds`."""
    began, before = time.monotonic(), finished(file)
    took = {one.place.arm: one.seconds for one in before}
    done = {one.place for one in before}
    for place in places:
        expected = took.get(place.arm, max(took.values(), default=0.0))
        if place in done or time.monotonic() - began + expected >= seconds:
            continue
        result = train(place, data, workers)
        took[place.arm] = result.seconds
        with file.open("ab") as out:
            out.write(msgspec.json.encode(result) + b"\n")
        print(f"{place.arm}, seed {place.seed}: {result.accuracy:.4f} in {result.seconds} s", file=sys.stderr)


def report(trainings: Sequence[Training]) -> str:
    """Return one Markdown table for each network, length, subset size and device."""
    parts = []
    for kind in sorted({one.place.kind for one in trainings}):
        network, epochs, subset, device = kind
        mine = [one for one in trainings if one.place.kind == kind]
        parts.append(f"{network}, {epochs} epochs of {subset:,} images, {device}\n\n{table(mine)}")
    return "\n\n".join(parts)


def table(trainings: Sequence[Training]) -> str:
    """Return the rows of one table: mean of each arm, and its paired difference to the arm that it is held against."""
    found: dict[str, dict[int, float]] = {}
    for one in trainings:
        found.setdefault(one.place.arm, {})[one.place.seed] = one.accuracy
        if one.place.arm == PLAIN:
            found.setdefault(BEST, {})[one.place.seed] = one.best
    against = {name: arm.against for name, arm in ARMS.items()} | {BEST: PLAIN}
    iterations = {one.place.arm: one.iterations for one in trainings}
    iterations |= {BEST: iterations[PLAIN]} if PLAIN in iterations else {}
    means = mean_intervals({name: list(values.values()) for name, values in found.items()})
    lines = ["| arm | iterations | accuracy | against | difference | seeds |", "|:--|--:|--:|:--|--:|--:|"]
    for name in [one for one in (*ARMS, BEST) if one in found]:
        # Each pair shares far more than the effect of its seed, so the differences themselves are what varies.
        other = found.get(against[name], {})
        rows = {arm: paired(values, other) for arm, values in found.items() if against[arm] == against[name]}
        gain = mean_intervals({arm: row for arm, row in rows.items() if row}).get(name) if against[name] else None
        shown = "" if gain is None else signed(gain.mean, gain.half_width)
        facts = (name, f"{iterations[name]:,}", f"{100 * means[name].mean:.2f}", against[name], shown)
        lines.append(f"| {' | '.join(facts)} | {gain.n if gain else means[name].n} |")
    return "\n".join(lines)


def paired(one: Mapping[int, float], other: Mapping[int, float]) -> list[float]:
    """Return the differences at the seeds that both have; equal ones to 12 digits are equal."""
    return [round(one[seed] - other[seed], 12) for seed in sorted(one.keys() & other.keys())]


def signed(value: float, half: float | None) -> str:
    """Return a difference of fractions in points."""
    return f"{100 * value:+.2f}" + ("" if half is None else f" ± {100 * half:.2f}")


def chosen(options: argparse.Namespace, device: str) -> list[Place]:
    """Return the trainings to make, all arms of one seed before those of the next."""
    names = [name for name in options.arm or ARMS if device == "cuda" or not ARMS[name].needs_cuda]
    return [
        Place(name, seed, options.network, options.epochs, options.subset, ARMS[name].setting, device)
        for seed in range(options.seeds)
        for name in names
    ]


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("root", type=Path, help="folder that holds CIFAR-10")
    parser.add_argument("--out", type=Path, required=True, help="JSON Lines, one line for each finished training")
    parser.add_argument("--network", choices=NETWORKS, default="resnet18")
    parser.add_argument("--epochs", type=int, default=200)
    parser.add_argument("--subset", type=int, default=5000, help="images")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--arm", action="append", choices=ARMS, help="repeatable; default: all that the device can run")
    parser.add_argument("--seconds", type=float, default=math.inf, help="start no training that should end later")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--workers", type=int, default=0, help="of the DataLoader")
    options = parser.parse_args(arguments)
    torch.set_num_threads(options.threads)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    data: Dataset = load_plugins().dataset("cifar10").load()(DataContext(roots=(options.root,)))
    run(chosen(options, device), data, options.out, options.seconds, options.workers)
    print(report(finished(options.out)))


if __name__ == "__main__":
    main()
