"""Providers of networks that break one promise each; named after what they do."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import nn

from prunebench import Embedding

NOT_A_BACKBONE = 3


@dataclass(frozen=True)
class Provider:
    """A small network: keeps every promise unless a field says otherwise."""

    dtype: type = np.float32
    classes: int = 0
    built_classes: int = 0
    is_seeded: bool = True
    seed: int | None = None
    is_trained: bool = False
    has_nan: bool = False
    kept: tuple[nn.Module, ...] = ()

    def build(self, arch, n_classes, channels, image_size):
        if self.kept and self.kept[0][-1].out_features == n_classes and self.kept[0][0].in_channels == channels:
            return self.kept[0]
        return network(channels, self.built_classes or n_classes)

    def embed(self, ctx):
        with torch.random.fork_rng():
            if self.is_seeded:
                torch.manual_seed(ctx.seed if self.seed is None else self.seed)
            else:
                torch.seed()
            model = network(ctx.images.shape[3], self.classes or ctx.n_classes)
        model.train(self.is_trained)
        images = torch.from_numpy(ctx.images / np.float32(255)).permute(0, 3, 1, 2)
        with torch.inference_mode():
            batches = [model[:-1](batch) for batch in images.split(ctx.batch_size)]
            features = torch.cat(batches)
            logits = model[-1](features).numpy().astype(self.dtype)
        logits[0, 0] = np.nan if self.has_nan else logits[0, 0]
        return Embedding(features=features.numpy().astype(self.dtype), logits=logits)


def network(channels, n_classes):
    pooled = (nn.AdaptiveAvgPool2d(2), nn.Flatten())
    return nn.Sequential(nn.Conv2d(channels, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), *pooled, nn.Linear(16, n_classes))


@dataclass(frozen=True)
class Pictures:
    """Opens a small network for pictures: keeps every promise unless a field says otherwise."""

    has_facts: bool = True
    is_shaped: bool = True
    is_trained: bool = False
    dtype: type = np.float32

    def __call__(self, ctx):
        with torch.random.fork_rng():
            torch.manual_seed(ctx.seed)
            return Opened(self, network(3, 5).train(self.is_trained), ctx.seed)


@dataclass
class Opened:
    """The network that was opened."""

    how: Pictures
    model: nn.Module
    seed: int
    batch_size: int = 6
    origin: tuple[()] = ()

    @property
    def facts(self):
        return {"seed": self.seed} if self.how.has_facts else {}

    def prepare(self, picture):
        return np.asarray(picture.resize((16, 16)) if self.how.is_shaped else picture)

    def run(self, batch):
        with torch.inference_mode():
            x = torch.from_numpy(batch / np.float32(255)).permute(0, 3, 1, 2)
            weights = torch.linspace(0.5, 1.5, len(x)).reshape(-1, 1, 1, 1) if self.how.is_trained else 1
            features = self.model[:-1](x * weights)
        return features.numpy().astype(self.how.dtype), None


GOOD = Provider()
SEES = Pictures()
NO_FACTS = replace(SEES, has_facts=False)
SIZES_OF_THEIR_OWN = replace(SEES, is_shaped=False)
COMPANY = replace(SEES, is_trained=True)
PICTURES_IN_FLOAT64 = replace(SEES, dtype=np.float64)
FLOAT64 = replace(GOOD, dtype=np.float64)
TEN_CLASSES = replace(GOOD, classes=10)
NAN = replace(GOOD, has_nan=True)
WEIGHTS_BY_CHANCE = replace(GOOD, is_seeded=False)
ONE_SEED = replace(GOOD, seed=5)
IN_TRAIN_MODE = replace(GOOD, is_trained=True)
BUILDS_FOR_TEN_CLASSES = replace(GOOD, built_classes=10)
BUILDS_ONE_NETWORK = replace(GOOD, kept=(network(1, 3),))
