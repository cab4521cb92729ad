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
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.data import DataLoader
from torchvision import transforms

from prunebench.contexts import Arch, DataContext, Dataset, TrainContext
from prunebench.plugins import load_plugins
from prunebench.stats import gains, mean_intervals
from prunebench_timm.networks import CifarResNet, LeNet, ResNet18

NETWORKS: dict[str, Callable[[], nn.Module]] = {
    "lenet": lambda: LeNet(10, 3),
    "resnet8": lambda: CifarResNet(1),
    "resnet20": lambda: CifarResNet(3),
    "resnet18": lambda: ResNet18(10),
}
PEAK, FLOOR, MOMENTUM, DECAY, PADDING = 0.1, 1e-4, 0.9, 5e-4, 4
Batches = Iterator[tuple[Tensor, Tensor]]


class Setting(msgspec.Struct, frozen=True):
    """DeepCore's recipe as TopoCore's Table 2 has it; an arm changes one thing.

    loop: "plain" (tensors on the device), "loader" (DataLoader and torchvision, as DeepCore trains) or "engine" (the
    learner of the harness).  border: of the image that is cropped, "reflect", "black" (zeros before normalisation) or
    "mean" (zeros after it).  length: epochs, as a multiple of those asked for.
    """

    loop: str = "plain"
    batch_size: int = 256
    length: float = 1.0
    bf16: bool = False
    tf32: bool = True
    border: str = "reflect"
    balanced: bool = True
    keep_last: bool = True
    nesterov: bool = True
    decay_all: bool = True
    he_init: bool = False


@dataclass(frozen=True)
class Arm:
    """A setting, and the arm that differs from it in one thing."""

    setting: Setting
    against: str = "plain loop"
    needs_cuda: bool = False


PLAIN = "plain loop"
BEST = "best epoch in place of the last"
ARMS = {
    PLAIN: Arm(Setting(), ""),
    "batch 128": Arm(Setting(batch_size=128)),
    "the engine, float32": Arm(Setting("engine")),
    "the engine, bf16": Arm(Setting("engine", bf16=True), "the engine, float32", needs_cuda=True),
    "the engine, bf16, batch 128": Arm(Setting("engine", 128, bf16=True), "the engine, bf16", needs_cuda=True),
    "DataLoader and torchvision": Arm(Setting("loader")),
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


class Training(msgspec.Struct, frozen=True):
    """One finished training: test accuracy (fraction) after the last epoch and at the best of the last tenth of the epochs."""

    place: Place
    accuracy: float
    best: float
    iterations: int
    seconds: float
    torch: str


def random_subset(labels: NDArray[np.int64], size: int, seed: int, balanced: bool) -> NDArray[np.int64]:
    """Return the sorted indices of a random subset, with equal shares of all classes or without."""
    generator = np.random.default_rng(seed)
    if not balanced:
        return np.sort(generator.choice(len(labels), size, replace=False))
    classes = np.unique(labels)
    shares = [size // len(classes) + (place < size % len(classes)) for place in range(len(classes))]
    drawn = [generator.choice(np.flatnonzero(labels == one), share, replace=False)
             for one, share in zip(classes, shares, strict=True)]  # fmt: skip
    return np.sort(np.concatenate(drawn))


def normalised(images: Tensor, data: Dataset) -> Tensor:
    """Return uint8 [n, h, w, 3] as float32 [n, 3, h, w]."""
    mean, std = (torch.tensor(values, device=images.device).view(-1, 1, 1) for values in (data.mean, data.std))
    return (images.permute(0, 3, 1, 2).float() / 255 - mean) / std


def bordered(images: Tensor, data: Dataset, border: str) -> Tensor:
    """Return normalised images with a border of 4 pixels; reflected, it is the same before and after normalisation."""
    if border == "black":
        return normalised(functional.pad(images, (0, 0, PADDING, PADDING, PADDING, PADDING)), data)
    return functional.pad(normalised(images, data), (PADDING,) * 4, mode="reflect" if border == "reflect" else "constant")


def windows(n: int, setting: Setting) -> list[tuple[int, int]]:
    """Return (start, stop) of the batches of an epoch."""
    starts = range(0, n - setting.batch_size + 1 if not setting.keep_last else n, setting.batch_size)
    return [(start, min(start + setting.batch_size, n)) for start in starts]


def tensor_epochs(images: Tensor, labels: Tensor, setting: Setting, seed: int) -> Callable[[], Batches]:
    """Return what yields the batches of the next epoch: a crop and a flip of each bordered image, gathered at once."""
    generator, n = torch.Generator().manual_seed(seed), len(labels)
    side = images.shape[2] - 2 * PADDING
    views = images.unfold(2, side, 1).unfold(3, side, 1)

    def epoch() -> Batches:
        order = torch.randperm(n, generator=generator).to(images.device)
        rows, columns = torch.randint(0, 2 * PADDING + 1, (2, n), generator=generator).to(images.device)
        flips = torch.randint(0, 2, (n, 1, 1, 1), generator=generator).bool().to(images.device)
        for start, stop in windows(n, setting):
            index = order[start:stop]
            crops = views[index, :, rows[start:stop], columns[start:stop]]
            yield torch.where(flips[start:stop], crops.flip(3), crops), labels[index]

    return epoch


def loader_epochs(
    images: NDArray[np.uint8], labels: NDArray[np.int64], data: Dataset, setting: Setting, seed: int, workers: int,
    device: torch.device,
) -> Callable[[], Batches]:  # fmt: skip
    """Return what yields the batches of the next epoch as DeepCore makes them: crop, flip, to tensor, normalise."""
    change = transforms.Compose([
        transforms.RandomCrop(images.shape[1], padding=PADDING, padding_mode="reflect"),
        transforms.RandomHorizontalFlip(), transforms.ToTensor(), transforms.Normalize(data.mean, data.std),
    ])  # fmt: skip
    torch.manual_seed(seed)

    class Subset(torch.utils.data.Dataset[tuple[Tensor, int]]):
        def __len__(self) -> int:
            return len(labels)

        def __getitem__(self, index: int) -> tuple[Tensor, int]:
            return change(Image.fromarray(images[index])), int(labels[index])

    loader = DataLoader(
        Subset(), setting.batch_size, shuffle=True, drop_last=not setting.keep_last, num_workers=workers,
        persistent_workers=workers > 0, pin_memory=device.type == "cuda",
    )  # fmt: skip
    return lambda: ((x.to(device, non_blocking=True), y.to(device, non_blocking=True)) for x, y in loader)


def make_network(network: str, seed: int, he_init: bool) -> nn.Module:
    """Build the network under its seed."""
    torch.manual_seed(seed)
    model = NETWORKS[network]()
    for layer in model.modules() if he_init else ():
        if isinstance(layer, nn.Conv2d):  # as torchvision's ResNet: the classifier stays as it is
            nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")
    return model


def optimiser_of(model: nn.Module, setting: Setting) -> torch.optim.SGD:
    """Return SGD; without `decay_all`, vectors (normalisation and biases) do not decay."""
    decaying = [one for one in model.parameters() if setting.decay_all or one.ndim > 1]
    others = [one for one in model.parameters() if not setting.decay_all and one.ndim <= 1]
    groups = [{"params": decaying, "weight_decay": DECAY}, {"params": others, "weight_decay": 0.0}]
    return torch.optim.SGD(
        [group for group in groups if group["params"]], lr=PEAK, momentum=MOMENTUM, nesterov=setting.nesterov
    )


def fit(
    model: nn.Module, epoch: Callable[[], Batches], per_epoch: int, epochs: int, setting: Setting,
    test: tuple[Tensor, Tensor], watched: int,
) -> tuple[float, float, int]:  # fmt: skip
    """Train and return the last accuracy, the best of the last `watched` epochs, and the iterations."""
    optimiser, total, done, found = optimiser_of(model, setting), per_epoch * epochs, 0, []
    for number in range(1, epochs + 1):
        model.train()
        for images, labels in epoch():
            for group in optimiser.param_groups:
                group["lr"] = FLOOR + (PEAK - FLOOR) * (1 + math.cos(math.pi * done / total)) / 2
            with torch.autocast(images.device.type, torch.bfloat16, enabled=setting.bf16):
                logits = model(images.contiguous(memory_format=torch.channels_last))
            loss = functional.cross_entropy(logits.float(), labels)
            optimiser.zero_grad(set_to_none=True)
            loss.backward()
            optimiser.step()
            done += 1
        if number > epochs - watched:
            found.append(accuracy(model, *test, setting.bf16))
    return found[-1], max(found), done


@torch.no_grad()
def accuracy(model: nn.Module, images: Tensor, labels: Tensor, bf16: bool) -> float:
    """Return the share of normalised images that are classified as labelled."""
    model.eval()
    right = 0
    for part, truth in zip(images.split(1000), labels.split(1000), strict=True):
        with torch.autocast(part.device.type, torch.bfloat16, enabled=bf16):
            right += int((model(part.contiguous(memory_format=torch.channels_last)).argmax(dim=1) == truth).sum())
    return right / len(labels)


def by_loop(place: Place, data: Dataset, index: NDArray[np.int64], workers: int) -> tuple[float, float, int]:
    """Train by one of the two loops of this file."""
    setting, device = place.setting, torch.device(place.device)
    images, labels = data.train.images[index], data.train.labels[index]
    model = make_network(place.network, place.seed, setting.he_init).to(device, memory_format=torch.channels_last)
    held = torch.from_numpy(np.ascontiguousarray(data.test.images)).to(device)
    test = (normalised(held, data), torch.from_numpy(data.test.labels).to(device))
    if setting.loop == "loader":
        epoch = loader_epochs(images, labels, data, setting, place.seed, workers, device)
    else:
        padded = bordered(torch.from_numpy(np.ascontiguousarray(images)).to(device), data, setting.border)
        epoch = tensor_epochs(padded, torch.from_numpy(labels).to(device), setting, place.seed)
    epochs = round(place.epochs * setting.length)
    watched = max(1, epochs // 10) if place.arm == PLAIN else 1
    return fit(model, epoch, len(windows(len(labels), setting)), epochs, setting, test, watched)


def by_engine(place: Place, data: Dataset, index: NDArray[np.int64]) -> tuple[float, float, int]:
    """Train by the learner of the harness."""
    setting, entry, epochs = place.setting, load_plugins().learner("deepcore"), round(place.epochs * place.setting.length)
    given = {"epochs": epochs, "batch_size": setting.batch_size, "augment": "crop_flip", "amp": setting.bf16}
    context = TrainContext(
        params=entry.spec.resolve_params(given | {"evaluate_every": epochs}), seed=place.seed, device=place.device,
        train_images=data.train.images[index], train_labels=data.train.labels[index], test_images=data.test.images,
        test_labels=data.test.labels, n_classes=10, mean=data.mean, std=data.std, threads=torch.get_num_threads(),
        arch=Arch(name=place.network, provider="timm", model=place.network),
        build=lambda: make_network(place.network, place.seed, setting.he_init),
    )  # fmt: skip
    result = entry.load()(context)
    return result.accuracy, result.accuracy_best, result.epochs * len(windows(len(index), setting))


def train(place: Place, data: Dataset, workers: int) -> Training:
    """Return one finished training."""
    torch.backends.cudnn.allow_tf32 = place.setting.tf32  # on by default, so DeepCore's float32 is this on a GPU
    index = random_subset(data.train.labels, place.subset, place.seed, place.setting.balanced)
    started = time.perf_counter()
    engine = place.setting.loop == "engine"
    last, best, iterations = by_engine(place, data, index) if engine else by_loop(place, data, index, workers)
    return Training(place, last, best, iterations, round(time.perf_counter() - started, 2), str(torch.__version__))


def finished(file: Path) -> list[Training]:
    """Return the trainings that a file holds; a last line that was cut off while it was written is not one."""
    lines = file.read_bytes().split(b"\n")[:-1] if file.exists() else []
    return [msgspec.json.decode(line, type=Training) for line in lines]


def run(places: Sequence[Place], data: Dataset, file: Path, seconds: float, workers: int) -> None:
    """Train what the file does not hold yet, as long as the next training should end within `seconds`."""
    began, took = time.monotonic(), {}
    for one in finished(file):
        took[one.place.arm] = max(one.seconds, took.get(one.place.arm, 0.0))
    done = {one.place for one in finished(file)}
    for place in places:
        expected = took.get(place.arm, max(took.values(), default=0.0))
        if place in done or time.monotonic() - began + expected > seconds:
            continue
        result = train(place, data, workers)
        took[place.arm] = max(result.seconds, took.get(place.arm, 0.0))
        with file.open("ab") as out:
            out.write(msgspec.json.encode(result) + b"\n")
        print(f"{place.arm}, seed {place.seed}: {result.accuracy:.4f} in {result.seconds} s", file=sys.stderr)


def report(trainings: Sequence[Training]) -> str:
    """Return one Markdown table for each network, length and subset size."""
    kinds = sorted({(one.place.network, one.place.epochs, one.place.subset, one.place.device) for one in trainings})
    parts = []
    for network, epochs, subset, device in kinds:
        mine = [one for one in trainings
                if (one.place.network, one.place.epochs, one.place.subset, one.place.device)
                == (network, epochs, subset, device)]  # fmt: skip
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
    means = mean_intervals({name: list(values.values()) for name, values in found.items()})
    lines = ["| arm | iterations | accuracy | against | difference | seeds |", "|:--|--:|--:|:--|--:|--:|"]
    for name in [one for one in (*ARMS, BEST) if one in found]:
        compared = {other: found[other] for other in found if against[other] == against[name]}
        gain = gains(compared, found.get(against[name], {})).get(name) if against[name] else None
        shown = "" if gain is None else signed(gain.mean, gain.half_width) + (" *" if gain.significant else "")
        count = gain.n if gain else means[name].n
        lines.append(f"| {name} | {iterations.get(name, iterations.get(PLAIN, 0)):,} | "
                     f"{100 * means[name].mean:.2f} | {against[name]} | {shown} | {count} |")  # fmt: skip
    return "\n".join(lines)


def signed(value: float, half: float | None) -> str:
    """Return a difference of fractions in points."""
    return f"{100 * value:+.2f}" + ("" if half is None else f" ± {100 * half:.2f}")


def chosen(options: argparse.Namespace, device: str) -> list[Place]:
    """Return the trainings to make, all arms of one seed before those of the next."""
    names = options.arm or list(ARMS)
    usable = {name: ARMS[name] for name in names if device == "cuda" or not ARMS[name].needs_cuda}
    return [
        Place(name, seed, options.network, options.epochs, options.subset, arm.setting, device)
        for seed in range(options.seeds)
        for name, arm in usable.items()
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
    options: Any = parser.parse_args(arguments)
    torch.set_num_threads(options.threads)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    data: Dataset = load_plugins().dataset("cifar10").load()(DataContext(roots=(options.root,)))
    run(chosen(options, device), data, options.out, options.seconds, options.workers)
    print(report(finished(options.out)))


if __name__ == "__main__":
    main()
