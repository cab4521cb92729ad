"""The registered networks against closed forms, the papers and timm itself."""

from __future__ import annotations

from typing import Any

import pytest
import timm
import torch
from torch import nn

from prunebench_timm import networks
from prunebench_timm.provider import TIMM
from timm_networks import (
    REGISTERED,
    assert_close,
    by_hand,
    network,
    normalised,
    photos,
    refusal,
    untrained,
)


def cifar_resnet_parameters(depth: int) -> int:
    blocks = (depth - 2) // 6
    convolutions = 9 * 3 * 16
    inputs = 16
    for width in (16, 32, 64):
        convolutions += 9 * inputs * width + (2 * blocks - 1) * 9 * width * width
        inputs = width
    norms = 2 * 16 + 2 * 2 * blocks * (16 + 32 + 64)
    return convolutions + norms + 64 * 10 + 10


@pytest.mark.parametrize(
    ("model", "channels", "count"),
    [
        ("deepcore_resnet18", 3, 11_173_962),
        ("deepcore_resnet18", 1, 11_173_962 - 2 * 9 * 64),
        ("deepcore_lenet", 1, 61_706),
        ("cifar_resnet20", 3, 269_722),
        *((f"cifar_resnet{depth}", 3, cifar_resnet_parameters(depth)) for depth in (20, 32, 44, 56)),
    ],
)
def test_registered_networks_have_the_parameters_of_their_papers(model: str, channels: int, count: int) -> None:
    with torch.device("meta"):
        built = TIMM.build(network(model), n_classes=10, channels=channels, image_size=32)
    assert sum(parameter.numel() for parameter in built.parameters()) == count


def test_the_small_resnet18_is_timms_with_another_stem() -> None:
    ours = untrained("deepcore_resnet18", 10)
    theirs = timm.create_model("resnet18", num_classes=10).eval()
    theirs.conv1, theirs.maxpool = nn.Conv2d(3, 64, 3, 1, 1, bias=False), nn.Identity()
    with torch.no_grad():
        for norm in (module for module in ours.modules() if isinstance(module, nn.BatchNorm2d)):
            norm.weight.uniform_(0.5, 1.5, generator=torch.Generator().manual_seed(norm.num_features))
    own, other = ours.state_dict(), theirs.state_dict()
    theirs.load_state_dict(dict(zip(other, own.values(), strict=True)))
    x = normalised(photos(2, size=16), 0.5, 0.25)
    for mine, reference in zip(networks.penultimate(ours, x), by_hand(theirs, x), strict=True):
        assert_close(mine.detach(), reference)


def test_shortcuts_of_the_cifar_resnet_have_no_parameters() -> None:
    model: Any = untrained("cifar_resnet20")
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "layer" in name and parameter.ndim == 4:
                parameter.zero_()
        x = normalised(photos(2), 0.5, 0.25)
        maps = model.forward_features(x)
        stem = torch.relu(model.bn1(model.conv1(x)))
    # Every second pixel twice; the new channels are zeros, half of them before: 8 of 16, then 16 of 32.
    assert torch.equal(maps[:, 24:40], stem[:, :, ::4, ::4])
    assert not maps[:, :24].any()
    assert not maps[:, 40:].any()


@pytest.mark.parametrize(
    ("model", "channels", "size"),
    [("deepcore_resnet18", 1, 8), ("cifar_resnet20", 3, 8), ("deepcore_lenet", 3, 32), ("deepcore_lenet", 1, 28)],
)
def test_registered_networks_offer_the_interface_of_timm(model: str, channels: int, size: int) -> None:
    made: Any = untrained(model, 7, channels)
    x = torch.zeros(2, channels, size, size)
    features, logits = by_hand(made, x)
    assert (features.shape, logits.shape) == ((2, made.num_features), (2, 7))
    assert made.default_cfg["input_size"][0] == len(made.default_cfg["mean"]) == channels
    made.reset_classifier(3)
    assert made(x).shape == (2, 3)
    made.reset_classifier(0)
    assert torch.equal(made(x), features)


@pytest.mark.parametrize("model", REGISTERED)
def test_registered_networks_say_that_the_hub_has_no_weights_for_them(model: str) -> None:
    message, hint = refusal(model, source="hub")
    assert message == f"timm has no published weights of {model!r}"
    assert hint == 'name a file, or write weights = "random"'
