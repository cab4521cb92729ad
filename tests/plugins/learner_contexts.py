"""What the tests of learners share: small networks, contexts of digits or of features, a reference crop."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from sklearn.datasets import load_digits
from torch import nn

from prunebench import (
    Arch,
    LearnerSpec,
    TrainContext,
    TrainResult,
)
from prunebench_learners import prunebench_learners

SPECS: dict[str, LearnerSpec] = {spec.name: spec for spec in prunebench_learners()}


ARCH = Arch(name="tiny", provider="test", model="tiny")


def conv_net(channels: int = 1, n_classes: int = 10) -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(channels, 16, 3, padding=1, bias=False),
        nn.BatchNorm2d(16),
        nn.ReLU(),
        nn.Conv2d(16, 32, 3, stride=2, padding=1, bias=False),
        nn.BatchNorm2d(32),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(2),
        nn.Flatten(),
        nn.Linear(128, n_classes),
    )


def linear_net() -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 10))


def digits() -> tuple[np.ndarray, np.ndarray]:
    values, labels = load_digits(return_X_y=True)
    return (values * 15).astype(np.uint8).reshape(-1, 8, 8, 1), labels.astype(np.int64)


def image_context(
    n: int = 300, build: Callable[[], nn.Module] = conv_net, n_test: int = 200, **changes: Any
) -> TrainContext:
    """Digits as a read-only subset of n, with `params` completed by the defaults of the spec."""
    images, labels = digits()
    images.flags.writeable = labels.flags.writeable = False
    fields: dict[str, Any] = {
        "train_images": images[:n],
        "train_labels": labels[:n],
        "test_images": images[-n_test:],
        "test_labels": labels[-n_test:],
        "n_classes": 10,
        "mean": (0.3,),
        "std": (0.35,),
        "arch": ARCH,
        "build": build,
    }
    params = SPECS["deepcore"].resolve_params(changes.pop("params", {}))
    return TrainContext(**{**fields, **changes, "params": params})


def feature_context(
    features: np.ndarray, labels: np.ndarray, test: np.ndarray, test_labels: np.ndarray, **changes: Any
) -> TrainContext:
    params = SPECS["probe"].resolve_params(changes.pop("params", {}))
    fields: dict[str, Any] = {"n_classes": int(max(labels.max(), test_labels.max())) + 1, **changes}
    return TrainContext(
        params=params,
        train_images=None,
        train_labels=labels,
        test_images=None,
        test_labels=test_labels,
        arch=ARCH,
        build=conv_net,
        train_features=features,
        test_features=test,
        **fields,
    )


def mixture(n: int, n_classes: int, dimensions: int, seed: int, spread: float = 1.5) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    centres = np.random.default_rng(1000).normal(size=(n_classes, dimensions))
    labels = rng.integers(0, n_classes, n)
    return (centres[labels] + rng.normal(scale=spread, size=(n, dimensions))).astype(np.float32), labels


def crop_flip_reference(image: np.ndarray, padding: int, row: int, column: int, flip: bool) -> np.ndarray:
    """One image [c, h, w], by the definition: pad with reflection, cut the window, mirror."""
    _, height, width = image.shape
    border = ((0, 0), (padding, padding), (padding, padding))
    window = np.pad(image, border, mode="reflect")[:, row : row + height, column : column + width]
    return window[:, :, ::-1] if flip else window


class Recorder(nn.Module):
    """A network that keeps what it is trained on."""

    def __init__(self, batches: list[torch.Tensor]) -> None:
        super().__init__()
        self.net, self.batches = conv_net(), batches

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        if self.training:
            self.batches.append(images.detach().clone())
        return torch.as_tensor(self.net(images))


def assert_equal_weights(found: TrainResult, expected: TrainResult, atol: float) -> None:
    assert found.weights is not None
    assert expected.weights is not None
    assert found.weights.keys() == expected.weights.keys()
    for name, array in expected.weights.items():
        assert found.weights[name].dtype == array.dtype
        np.testing.assert_allclose(found.weights[name], array, atol=atol, err_msg=name)
