"""Noise with structure, and networks that embed it."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import pytest
import timm
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from prunebench import Arch, DataError, EmbedContext, Embedding, WeightsMissing
from prunebench_timm.provider import TIMM

REGISTERED = ("deepcore_resnet18", "deepcore_lenet", "cifar_resnet20")
TINY = ("test_resnet", "test_efficientnet", "test_vit", "test_convnext", "test_nfnet", "test_byobnet", "test_mambaout")


def photos(n: int = 6, size: int = 32, channels: int = 3) -> NDArray[np.uint8]:
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


def assert_close(found: Any, expected: Any) -> None:
    """Equal up to float32, in the norm.

    A rounding is 6e-8; sums have up to 4,608 terms and networks up to 60 layers, whose errors add up like a random
    walk: 6e-8 * sqrt(4608 * 60) = 3e-5, and three times that is allowed.
    """
    found, expected = np.asarray(found), np.asarray(expected)
    assert found.shape == expected.shape
    assert np.linalg.norm(found - expected) <= 1e-4 * np.linalg.norm(expected)


def refusal(
    model: str = "cifar_resnet20", *, error: type[DataError] = WeightsMissing, **fields: Any
) -> tuple[str, str]:
    """Return the one sentence and the hint with which embedding is refused."""
    with pytest.raises(error) as caught:
        embed(model, **fields)
    assert "\n" not in caught.value.message
    assert caught.value.hint
    return caught.value.message, caught.value.hint


def global_states() -> tuple[Any, ...]:
    return (
        torch.get_rng_state().tolist(),
        np.random.get_state()[1].tolist(),  # noqa: NPY002 - the global state is what is checked
        random.getstate(),
    )
