"""Pixels on their way into a network: normalised, resized, cropped and flipped as by a reference."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from torch import nn

from learner_contexts import ARCH, crop_flip_reference, image_context
from prunebench import (
    Arch,
    DataError,
)
from prunebench_learners import deepcore
from prunebench_learners.pixels import (
    crop_flip,
    draw_epoch,
    normalisation,
    place_pixels,
    reflect_pad,
)


@given(
    height=st.integers(1, 9),
    width=st.integers(1, 9),
    channels=st.integers(1, 3),
    padding=st.integers(0, 5),
    seed=st.integers(0, 99),
)
@settings(deadline=None)
def test_crop_flip_equals_a_reference_for_each_image(
    height: int, width: int, channels: int, padding: int, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    images = rng.integers(0, 256, (5, channels, height, width), dtype=np.uint8)
    index = rng.integers(0, 5, 7)
    rows, columns = rng.integers(0, 2 * padding + 1, (2, 7))
    flips = rng.random(7) < 0.5
    padded = reflect_pad(torch.from_numpy(images), padding)
    arguments = [torch.from_numpy(array) for array in (index, rows, columns, flips)]
    found = crop_flip(padded, padding, *arguments).numpy()
    expected = [
        crop_flip_reference(images[i], padding, row, column, flip)
        for i, row, column, flip in zip(index, rows, columns, flips, strict=True)
    ]
    np.testing.assert_array_equal(found, np.stack(expected))


def test_a_pass_draws_every_sample_once_and_every_offset_and_flip() -> None:
    generators = torch.Generator().manual_seed(0), torch.Generator().manual_seed(1)
    draw = draw_epoch(2000, 2000, 2, generators, torch.device("cpu"))
    assert sorted(draw.order.tolist()) == list(range(2000))
    assert draw.rows is not None
    assert draw.columns is not None
    assert draw.flips is not None
    for offsets in (draw.rows, draw.columns):
        np.testing.assert_allclose(np.bincount(offsets.numpy(), minlength=5) / 2000, 0.2, atol=0.04)
    assert float(draw.flips.float().mean()) == pytest.approx(0.5, abs=0.05)


def test_images_are_normalised_by_the_statistics_of_the_context() -> None:
    ctx = image_context(5)
    pixels = place_pixels(ctx, 0, 0)
    assert ctx.train_images is not None
    expected = (ctx.train_images.transpose(0, 3, 1, 2) / 255 - 0.3) / 0.35
    np.testing.assert_allclose(pixels.normalised(pixels.train).numpy(), expected, atol=1e-6)


def test_images_without_statistics_are_scaled_to_the_unit_interval() -> None:
    scale, shift = normalisation((), (), 3)
    np.testing.assert_allclose(scale.flatten().numpy(), 1 / 255, rtol=1e-6)
    assert shift.abs().max() == 0


def test_statistics_for_another_number_of_channels_are_refused() -> None:
    with pytest.raises(DataError, match="3 channels"):
        normalisation((0.1, 0.2), (0.1, 0.2), 3)


@pytest.mark.parametrize("by_arch", [True, False])
def test_images_are_resized_once_to_the_size_of_the_parameter_or_of_the_arch(by_arch: bool) -> None:
    sizes: list[tuple[int, ...]] = []

    class Spy(nn.Linear):
        def forward(self, images: torch.Tensor) -> torch.Tensor:
            sizes.append(tuple(images.shape[1:]))
            return super().forward(images.mean(dim=(2, 3)))

    arch = Arch(name="a", provider="p", model="m", image_size=12) if by_arch else ARCH
    params = {"epochs": 1} if by_arch else {"epochs": 1, "image_size": 12}
    deepcore.train(image_context(20, lambda: Spy(1, 10), arch=arch, params=params))
    assert set(sizes) == {(1, 12, 12)}


def test_resizing_equals_the_antialiased_bilinear_resize_of_pillow() -> None:
    images = np.random.default_rng(0).integers(0, 256, (3, 16, 12, 1), dtype=np.uint8)
    ctx = image_context(3, train_images=images)
    resized = place_pixels(ctx, 6, 0).train.numpy()
    for found, image in zip(resized[:, 0], images[..., 0], strict=True):
        expected = np.asarray(Image.fromarray(image).resize((6, 6), Image.Resampling.BILINEAR))
        np.testing.assert_allclose(found.astype(int), expected.astype(int), atol=1)
