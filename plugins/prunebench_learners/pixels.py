"""Images that stay on the device as bytes: placed once, then cropped, flipped and normalised in batches."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn.functional import interpolate

from prunebench import DataError, TrainContext
from prunebench_learners.switches import REFERENCE, Switches

_RESIZED_AT_ONCE = 1000


@dataclass(frozen=True, kw_only=True)
class Pixels:
    """Both splits on the device.

    train: uint8 [n, c, h + 2p, w + 2p], with its reflected border of p = `padding` pixels.
    test: uint8 [m, c, h, w].  labels: int64.  scale, shift: float32 [c, 1, 1], so that
    byte * scale + shift is the normalised value.  fused, channels_last, precision: see `Switches`.
    """

    train: torch.Tensor
    train_labels: torch.Tensor
    test: torch.Tensor
    test_labels: torch.Tensor
    scale: torch.Tensor
    shift: torch.Tensor
    padding: int
    fused: bool = False
    channels_last: bool = True
    precision: torch.dtype | None = None

    def normalised(self, images: torch.Tensor) -> torch.Tensor:
        """Return uint8 [b, c, h, w] as float32, or in `precision`."""
        values = torch.addcmul(self.shift, images.float(), self.scale)
        order = torch.channels_last if self.channels_last else torch.contiguous_format
        return values.contiguous(memory_format=order).to(self.precision or torch.float32)


@dataclass(frozen=True, kw_only=True)
class Draw:
    """What chance decides for one pass, on the device.

    order: int64 [m] sample of each place.  rows, columns: int64 [m] offsets of the crop in the padded image;
    flips: bool [m]; these three are None without augmentation.
    """

    order: torch.Tensor
    rows: torch.Tensor | None = None
    columns: torch.Tensor | None = None
    flips: torch.Tensor | None = None

    def at(self, places: slice | torch.Tensor) -> Draw:
        """Return what was drawn for some places: a slice, or int64 [b]."""
        parts = (self.rows, self.columns, self.flips)
        rows, columns, flips = (None if part is None else part[places] for part in parts)
        return Draw(order=self.order[places], rows=rows, columns=columns, flips=flips)


def place_pixels(ctx: TrainContext, image_size: int, padding: int) -> Pixels:
    """Copy the images of `ctx` to its device, resized to `image_size` a side (0: as they are) and padded.

    Without channel statistics in `ctx` values are scaled to 0..1 alone.  Raises DataError for images that are
    missing, empty, not bytes, or whose channels do not match the statistics.
    """
    train = _to_device(ctx.train_images, "training", image_size, ctx.device)
    test = _to_device(ctx.test_images, "test", image_size, ctx.device)
    scale, shift = normalisation(ctx.mean, ctx.std, train.shape[1])
    return Pixels(
        train=reflect_pad(train, padding),
        train_labels=torch.tensor(ctx.train_labels, dtype=torch.int64, device=ctx.device),
        test=test,
        test_labels=torch.tensor(ctx.test_labels, dtype=torch.int64, device=ctx.device),
        scale=scale.to(ctx.device),
        shift=shift.to(ctx.device),
        padding=padding,
    )


def _to_device(images: NDArray[np.uint8] | None, split: str, image_size: int, device: str) -> torch.Tensor:
    if images is None or len(images) == 0:
        raise DataError(f"the {split} split has no images", "this learner trains on pixels; use `probe` on features")
    if images.dtype != np.uint8 or images.ndim != 4:
        raise DataError(
            f"the {split} images are {images.dtype} with {images.ndim} axes",
            "expected uint8 [n, height, width, channels]",
        )
    placed = torch.from_numpy(np.array(images.transpose(0, 3, 1, 2), order="C")).to(device)
    if image_size in (0, placed.shape[2]) and image_size in (0, placed.shape[3]):
        return placed
    return torch.cat([_resized(part, image_size) for part in torch.split(placed, _RESIZED_AT_ONCE)])


def _resized(images: torch.Tensor, image_size: int) -> torch.Tensor:
    size = (image_size, image_size)
    values = interpolate(images.float(), size=size, mode="bilinear", antialias=True, align_corners=False)
    return values.round_().clamp_(0, 255).to(torch.uint8)


def normalisation(mean: Sequence[float], std: Sequence[float], channels: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Return scale and shift, float32 [channels, 1, 1], from statistics in fractions of 1.

    One statistic serves all channels; a deviation of 0 counts as 1.  Raises DataError for another number.
    """
    mean, std = tuple(mean) or (0.0,), tuple(std) or (1.0,)
    if {len(mean), len(std)} - {1, channels}:
        raise DataError(
            f"images have {channels} channels, but there are {len(mean)} means and {len(std)} deviations",
            "give one number, or one per channel",
        )
    centre = torch.tensor(mean, dtype=torch.float64).expand(channels)
    spread = torch.tensor([value or 1.0 for value in std], dtype=torch.float64).expand(channels)
    scale, shift = 1 / (255 * spread), -centre / spread
    return scale.float().view(-1, 1, 1), shift.float().view(-1, 1, 1)


def reflect_pad(images: torch.Tensor, padding: int) -> torch.Tensor:
    """Return uint8 [n, c, h + 2p, w + 2p] with a border mirrored about the edge pixel, which is not repeated.

    The border may be wider than the image, which torch's own padding refuses.
    """
    if padding == 0:
        return images
    rows, columns = (
        torch.from_numpy(np.pad(np.arange(side), padding, mode="reflect")).to(images.device)
        for side in images.shape[2:]
    )
    return images.index_select(2, rows).index_select(3, columns)


def draw_epoch(
    n: int,
    draws: int,
    padding: int | None,
    generators: tuple[torch.Generator, torch.Generator],
    device: torch.device,
) -> Draw:
    """Draw the order of `draws` places over `n` samples and, unless `padding` is None, crops and flips.

    generators: of the order and of the augmentation, both of the processor, so that all devices see the same.
    """
    by_order, by_crop = generators
    order = torch.randperm(draws, generator=by_order).remainder_(n).to(device)
    if padding is None:
        return Draw(order=order)
    offsets = torch.randint(0, 2 * padding + 1, (2, draws), generator=by_crop).to(device)
    flips = torch.randint(0, 2, (draws,), generator=by_crop).to(device=device, dtype=torch.bool)
    return Draw(order=order, rows=offsets[0], columns=offsets[1], flips=flips)


def crop_flip(
    padded: torch.Tensor,
    padding: int,
    index: torch.Tensor,
    rows: torch.Tensor,
    columns: torch.Tensor,
    flips: torch.Tensor,
) -> torch.Tensor:
    """Return uint8 [b, c, h, w]: each sample's window of its padded image, mirrored where it flips.

    padded: uint8 [n, c, h + 2p, w + 2p].  index: int64 [b].  rows, columns: int64 [b], offsets in 0..2p.
    flips: bool [b].
    """
    height, width = padded.shape[2] - 2 * padding, padded.shape[3] - 2 * padding
    # All windows are a view; the batch alone is copied.
    windows = padded.unfold(2, height, 1).unfold(3, width, 1)
    crops = windows[index, :, rows, columns]
    return torch.where(flips.view(-1, 1, 1, 1), crops.flip(3), crops)


def gather_crops(
    padded: torch.Tensor,
    padding: int,
    index: torch.Tensor,
    rows: torch.Tensor,
    columns: torch.Tensor,
    flips: torch.Tensor,
) -> torch.Tensor:
    """Return what `crop_flip` does, channels last, by one gather; `padded` should be channels last, too.

    A pixel is a row of its channels, and each has the address of the one that it comes from.
    """
    n, channels, height, width = padded.shape
    down = torch.arange(height - 2 * padding, device=padded.device)
    along = torch.arange(width - 2 * padding, device=padded.device)
    across = torch.where(flips[:, None], along.flip(0), along) + columns[:, None]
    row = (index * height + rows)[:, None] + down
    address = (row * width)[:, :, None] + across[:, None, :]
    pixels = padded.permute(0, 2, 3, 1).reshape(n * height * width, channels)
    gathered = pixels.index_select(0, address.flatten())
    return gathered.view(len(index), len(down), len(along), channels).permute(0, 3, 1, 2)


def drawn_images(pixels: Pixels, draw: Draw) -> torch.Tensor:
    """Return the normalised images float32 [b, c, h, w] of all places of `draw`, or in the precision of `pixels`."""
    if draw.rows is None or draw.columns is None or draw.flips is None:
        return pixels.normalised(pixels.train[draw.order])
    cut = gather_crops if pixels.fused else crop_flip
    return pixels.normalised(cut(pixels.train, pixels.padding, draw.order, draw.rows, draw.columns, draw.flips))


def training_batch(pixels: Pixels, draw: Draw, start: int, stop: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Return sample indices int64 [b] and normalised images float32 [b, c, h, w] of places start..stop-1."""
    part = draw.at(slice(start, stop))
    return part.order, drawn_images(pixels, part)


def switched(pixels: Pixels, switches: Switches) -> Pixels:
    """Return the images as the switches want them."""
    if switches == REFERENCE:
        return pixels
    train = pixels.train
    if switches.fused_gather:
        train = train.contiguous(memory_format=torch.channels_last)
    return replace(
        pixels,
        train=train,
        fused=switches.fused_gather,
        channels_last=switches.channels_last,
        precision=switches.precision if switches.fused_gather else None,
    )
