"""What happens to an image before a network sees it, against torchvision."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import timm
import torch
import torchvision.transforms.functional as vision
from safetensors.torch import save_file

from prunebench import DataError
from prunebench_timm import provider
from timm_networks import (
    assert_close,
    by_hand,
    embed,
    photos,
    refusal,
    state_of,
    untrained,
)


def test_an_untrained_network_takes_the_statistics_of_the_data_unless_it_has_its_own() -> None:
    plain = embed("test_resnet", mean=(0.1, 0.2, 0.3), std=(0.4, 0.5, 0.6)).preprocessing
    assert plain == {"image_size": 32, "channels": 3, "mean": [0.1, 0.2, 0.3], "std": [0.4, 0.5, 0.6],
                     "interpolation": "bilinear", "dtype": "float32"}  # fmt: skip
    arch = {"mean": (0.5,), "std": (0.125,), "image_size": 40, "interpolation": "bicubic"}
    own = embed("test_resnet", arch=arch).preprocessing
    assert own == plain | {"image_size": 40, "mean": [0.5], "std": [0.125], "interpolation": "bicubic"}


def test_weights_from_a_file_take_the_preprocessing_that_they_were_trained_with(tmp_path: Path) -> None:
    path = tmp_path / "w.safetensors"
    save_file(state_of(untrained("test_resnet")), path)
    found = embed("test_resnet", photos(2), source="file", weights=path)
    config = timm.create_model("test_resnet").default_cfg
    assert found.preprocessing == {
        "image_size": 160,
        "channels": 3,
        "mean": list(config["mean"]),
        "std": list(config["std"]),
        "interpolation": config["interpolation"],
        "dtype": "float32",
    }
    reference = untrained("test_resnet")
    pixels = torch.tensor(photos(2).transpose(0, 3, 1, 2)) / 255
    mode = vision.InterpolationMode(config["interpolation"])
    resized = vision.resize(pixels, [160, 160], mode, antialias=True).clamp(0, 1)
    features, _ = by_hand(reference, vision.normalize(resized, list(config["mean"]), list(config["std"])))
    assert_close(found.features, features)


@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
@pytest.mark.parametrize("size", [16, 32, 45])
def test_images_are_resized_as_torchvision_does(interpolation: str, size: int) -> None:
    how = provider.Preprocessing(size, 3, (0.0,), (1.0,), interpolation)
    images = torch.tensor(photos(3))
    found = provider.preprocess(images, how)
    pixels = images.permute(0, 3, 1, 2) / 255
    expected = vision.resize(pixels, [size, size], vision.InterpolationMode(interpolation), antialias=True)
    torch.testing.assert_close(found, expected.clamp(0, 1), rtol=0, atol=1e-5)


def test_grey_images_enter_a_colour_network_three_times_and_colours_enter_a_grey_one_as_their_mean() -> None:
    grey = torch.tensor(photos(3, channels=1))
    spread = provider.preprocess(grey, provider.Preprocessing(32, 3, (0.1, 0.2, 0.3), (1.0, 2.0, 4.0), "bilinear"))
    value = grey[..., 0] / 255
    torch.testing.assert_close(spread, torch.stack([value - 0.1, (value - 0.2) / 2, (value - 0.3) / 4], dim=1))
    colour = torch.tensor(photos(3))
    merged = provider.preprocess(colour, provider.Preprocessing(32, 1, (0.0,), (1.0,), "bilinear"))
    torch.testing.assert_close(merged[:, 0], colour.float().mean(dim=3) / 255)


def test_grey_images_get_a_grey_network_unless_weights_want_colours(tmp_path: Path) -> None:
    images = photos(channels=1, size=28)
    assert embed("deepcore_lenet", images).preprocessing["channels"] == 1
    path = tmp_path / "w.safetensors"
    save_file(state_of(untrained("cifar_resnet20")), path)
    found = embed("cifar_resnet20", images, source="file", weights=path)
    assert (found.preprocessing["channels"], found.preprocessing["image_size"]) == (3, 32)
    as_colours = embed("cifar_resnet20", images.repeat(3, axis=3), source="file", weights=path)
    assert_close(found.features, as_colours.features)


def test_data_without_statistics_stays_between_zero_and_one() -> None:
    plain, neutral, flat = (
        embed("deepcore_lenet", mean=mean, std=std) for mean, std in (((), ()), ((0.0,), (1.0,)), ((0.5,), (0.0,)))
    )
    assert plain.features.tobytes() == neutral.features.tobytes()
    assert np.isfinite(flat.features).all()


def test_statistics_for_another_number_of_channels_are_refused() -> None:
    arch = {"mean": (0.1, 0.2, 0.3)}
    message, _ = refusal("deepcore_lenet", error=DataError, images=photos(channels=1, size=28), arch=arch)
    assert "1 channels, but there are 3 means" in message
