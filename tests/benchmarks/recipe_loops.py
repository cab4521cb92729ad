"""Three ways to train one network on one subset by DeepCore's recipe, in which any one part can be another."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Iterator

import msgspec
import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.data import DataLoader
from torchvision import transforms

from prunebench.contexts import Arch, Dataset, TrainContext
from prunebench.plugins import load_plugins
from prunebench_timm.networks import CifarResNet, LeNet, ResNet18

PEAK, FLOOR, MOMENTUM, DECAY, PADDING = 0.1, 1e-4, 0.9, 5e-4, 4
NETWORKS: dict[str, Callable[[], nn.Module]] = {
    "lenet": lambda: LeNet(10, 3),
    "resnet8": lambda: CifarResNet(1),
    "resnet20": lambda: CifarResNet(3),
    "resnet18": lambda: ResNet18(10),
}
Batches = Iterator[tuple[Tensor, Tensor]]


class Setting(msgspec.Struct, frozen=True):
    """The recipe; the defaults are those of DeepCore's code and of TopoCore's Table 2.

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


class Work(msgspec.Struct, frozen=True):
    """One training; watched: after how many of the last epochs it is tested."""

    setting: Setting
    network: str
    epochs: int
    seed: int
    device: str
    watched: int = 1
    workers: int = 0

    @property
    def n_epochs(self) -> int:
        return round(self.epochs * self.setting.length)


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
    sides = (PADDING,) * 4
    if border == "black":
        return normalised(functional.pad(images, (0, 0, *sides)), data)
    return functional.pad(normalised(images, data), sides, mode="reflect" if border == "reflect" else "constant")


def windows(n: int, setting: Setting) -> list[tuple[int, int]]:
    """Return (start, stop) of the batches of an epoch."""
    starts = range(0, n if setting.keep_last else n - setting.batch_size + 1, setting.batch_size)
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


class Pictures(torch.utils.data.Dataset[tuple[Tensor, int]]):
    """Images that torchvision changes one by one."""

    def __init__(self, images: NDArray[np.uint8], labels: NDArray[np.int64], data: Dataset) -> None:
        self.images, self.labels = images, labels
        self.change = transforms.Compose([
            transforms.RandomCrop(images.shape[1], padding=PADDING, padding_mode="reflect"),
            transforms.RandomHorizontalFlip(), transforms.ToTensor(), transforms.Normalize(data.mean, data.std),
        ])  # fmt: skip

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        return self.change(Image.fromarray(self.images[index])), int(self.labels[index])


def loader_epochs(pictures: Pictures, work: Work) -> Callable[[], Batches]:
    """Return what yields the batches of the next epoch as DeepCore makes them."""
    torch.manual_seed(work.seed)
    loader = DataLoader(
        pictures, work.setting.batch_size, shuffle=True, drop_last=not work.setting.keep_last,
        num_workers=work.workers, persistent_workers=work.workers > 0, pin_memory=work.device == "cuda",
    )  # fmt: skip
    return lambda: ((x.to(work.device, non_blocking=True), y.to(work.device, non_blocking=True)) for x, y in loader)


def make_network(work: Work) -> nn.Module:
    """Build the network under its seed."""
    torch.manual_seed(work.seed)
    model = NETWORKS[work.network]()
    for layer in model.modules() if work.setting.he_init else ():
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


def by_loop(work: Work, data: Dataset, index: NDArray[np.int64]) -> tuple[float, float, int]:
    """Train by one of the two loops of this file; return the last accuracy, the best watched, and the iterations."""
    setting, images, labels = work.setting, data.train.images[index], data.train.labels[index]
    model = make_network(work).to(work.device, memory_format=torch.channels_last)
    if setting.loop == "loader":
        epoch = loader_epochs(Pictures(images, labels, data), work)
    else:
        padded = bordered(torch.from_numpy(images).to(work.device), data, setting.border)
        epoch = tensor_epochs(padded, torch.from_numpy(labels).to(work.device), setting, work.seed)
    held = torch.from_numpy(np.ascontiguousarray(data.test.images)).to(work.device)
    test = (normalised(held, data), torch.from_numpy(data.test.labels).to(work.device))
    optimiser, total = optimiser_of(model, setting), len(windows(len(labels), setting)) * work.n_epochs
    done, found = 0, []
    for number in range(1, work.n_epochs + 1):
        done = one_epoch(model, optimiser, epoch(), setting, done, total)
        if number > work.n_epochs - work.watched:
            found.append(accuracy(model, *test, setting.bf16))
    return found[-1], max(found), done


def one_epoch(
    model: nn.Module, optimiser: torch.optim.Optimizer, batches: Batches, setting: Setting, done: int, total: int
) -> int:
    """Make the updates of one epoch and return how many of the `total` are done."""
    model.train()
    for images, labels in batches:
        for group in optimiser.param_groups:
            group["lr"] = FLOOR + (PEAK - FLOOR) * (1 + math.cos(math.pi * done / total)) / 2
        with torch.autocast(images.device.type, torch.bfloat16, enabled=setting.bf16):
            logits = model(images.contiguous(memory_format=torch.channels_last))
        loss = functional.cross_entropy(logits.float(), labels)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        optimiser.step()
        done += 1
    return done


@torch.no_grad()
def accuracy(model: nn.Module, images: Tensor, labels: Tensor, bf16: bool) -> float:
    """Return the share of normalised images that are classified as labelled."""
    model.eval()
    right = 0
    for part, truth in zip(images.split(1000), labels.split(1000), strict=True):
        with torch.autocast(part.device.type, torch.bfloat16, enabled=bf16):
            right += int((model(part.contiguous(memory_format=torch.channels_last)).argmax(dim=1) == truth).sum())
    return right / len(labels)


def told(_: float, text: str) -> None:
    """Print what the engine says of its graphs: it trains on without, and slower."""
    if "without graphs" in text:
        print(text, file=sys.stderr)


def by_engine(work: Work, data: Dataset, index: NDArray[np.int64]) -> tuple[float, float, int]:
    """Train by the learner of the harness; return the last accuracy, the best measured, and the iterations."""
    setting, entry = work.setting, load_plugins().learner("deepcore")
    given = {"epochs": work.n_epochs, "batch_size": setting.batch_size, "augment": "crop_flip", "amp": setting.bf16}
    context = TrainContext(
        params=entry.spec.resolve_params(given | {"evaluate_every": work.n_epochs}), seed=work.seed,
        train_images=data.train.images[index], train_labels=data.train.labels[index], test_images=data.test.images,
        test_labels=data.test.labels, n_classes=10, mean=data.mean, std=data.std, threads=torch.get_num_threads(),
        arch=Arch(name=work.network, provider="timm", model=work.network), device=work.device,
        build=lambda: make_network(work), progress=told,
    )  # fmt: skip
    result = entry.load()(context)
    return result.accuracy, result.accuracy_best, result.epochs * len(windows(len(index), setting))
