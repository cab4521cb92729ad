"""A learner's context on a small problem, with a network that needs no backbone."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from prunebench.contexts import Arch, TrainContext
from prunebench.plugins import Entry
from prunebench.testing.problems import Problem, ordinary

if TYPE_CHECKING:
    import torch


def train_context(entry: Entry[Any], problem: Problem, shared: Mapping[str, Any]) -> TrainContext:
    """Return the context for training on a problem and testing on another one of the same kind."""
    test = ordinary(90, seed=1, n_classes=problem.n_classes)
    wants_features = "features" in entry.spec.needs
    images, test_images = problem.evidence["pixels"], test.evidence["pixels"]
    return TrainContext(
        **shared,
        train_images=images,
        train_labels=problem.evidence["labels"],
        test_images=test_images,
        test_labels=test.labels,
        n_classes=problem.n_classes,
        mean=(0.5,),
        std=(0.25,),
        arch=Arch(name="small", provider="testing", model="small"),
        build=lambda: _network(np.shape(test_images)[1:], problem.n_classes),
        train_features=problem.evidence["features"] if wants_features else None,
        test_features=test.evidence["features"] if wants_features else None,
        keep_weights=True,
    )


def _network(image_shape: tuple[int, ...], n_classes: int) -> torch.nn.Module:
    import torch

    height, _, channels = image_shape
    return torch.nn.Sequential(
        torch.nn.Conv2d(channels, 4, 3, padding=1),
        torch.nn.BatchNorm2d(4),
        torch.nn.ReLU(),
        torch.nn.Flatten(),
        torch.nn.Linear(4 * height * height, n_classes),
    )
