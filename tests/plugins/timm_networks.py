"""Noise with structure, and networks that embed it."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import timm
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from prunebench import Arch, EmbedContext, Embedding
from prunebench_timm.provider import TIMM

CIFAR_RESNETS = (20, 32, 44, 56)
REGISTERED = ("deepcore_resnet18", "deepcore_lenet", *(f"cifar_resnet{depth}" for depth in CIFAR_RESNETS))
TINY = ("test_resnet", "test_efficientnet", "test_vit", "test_convnext", "test_nfnet", "test_byobnet", "test_mambaout")


def photos(n: int = 12, size: int = 32, channels: int = 3) -> NDArray[np.uint8]:
    """Read-only noise with structure: a coarse pattern and a fine one."""
    generator = np.random.default_rng(7)
    coarse = generator.integers(0, 200, (n, size // 4, size // 4, channels)).repeat(4, axis=1).repeat(4, axis=2)
    images = (coarse + generator.integers(0, 56, (n, size, size, channels))).astype(np.uint8)
    images.setflags(write=False)
    return images


def network(model: str, **fields: Any) -> Arch:
    return Arch(name=model, provider="timm", model=model, **fields)


def embed(model: str = "cifar_resnet20", images: NDArray[np.uint8] | None = None, **fields: Any) -> Embedding:
    """Embed with an untrained network, unless fields say otherwise."""
    images = photos() if images is None else images
    arch = network(model, **fields.pop("arch", {}))
    given = {"source": "random", "n_classes": 10, "mean": (0.4,), "std": (0.25,), **fields}
    return TIMM.embed(EmbedContext(images=images, arch=arch, **given))


def untrained(model: str, n_classes: int = 10, channels: int = 3, seed: int = 0, **options: Any) -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        made: nn.Module = timm.create_model(model, num_classes=n_classes, in_chans=channels, **options)
    return made.eval()


def by_hand(model: nn.Module, x: Tensor) -> tuple[Tensor, Tensor]:
    """What enters the classifier, caught by a hook, and what leaves the network."""
    caught: list[Tensor] = []
    classifier: Any = model.get_classifier()  # type: ignore[operator]
    handle = classifier.register_forward_pre_hook(lambda _, inputs: caught.append(inputs[0]))
    with torch.no_grad():
        logits = model(x)
    handle.remove()
    return caught[0], logits


def normalised(images: NDArray[np.uint8], mean: Any, std: Any) -> Tensor:
    values = (images.astype(np.float64) / 255 - np.asarray(mean)) / np.asarray(std)
    return torch.tensor(values.transpose(0, 3, 1, 2), dtype=torch.float32)


def state_of(model: nn.Module) -> dict[str, Tensor]:
    return {name: value.contiguous() for name, value in model.state_dict().items()}


def one_sentence(error: Any) -> str:
    assert "\n" not in error.message
    assert error.hint
    return str(error.message)


def global_states() -> tuple[Any, ...]:
    return (
        torch.get_rng_state().tolist(),
        np.random.get_state()[1].tolist(),  # noqa: NPY002 - the global state is what is checked
        random.getstate(),
    )
