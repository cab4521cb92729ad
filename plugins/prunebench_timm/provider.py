"""timm models as backbones: build them, load their weights, and embed images with the right preprocessing."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import timm.data.config
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from prunebench import Arch, DataError, EmbedContext, Embedding, OutOfMemory, WeightsMissing

from .computing import memory_ran_out, precision, run
from .loading import create, from_file, from_hub, outputs_of_file, published_outputs
from .weights import input_channels

INTERPOLATIONS = ("bilinear", "bicubic")


@dataclass(frozen=True)
class Preprocessing:
    """How images enter a network: side in pixels, channels, normalisation of values in [0, 1]."""

    image_size: int
    channels: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    interpolation: str


class TimmProvider:
    """Builds and runs anything that `timm.create_model` knows."""

    def build(self, arch: Arch, n_classes: int, channels: int, image_size: int) -> nn.Module:
        """Return an untrained network; raises WeightsMissing for a name that timm does not know."""
        return create(arch, n_classes, channels, image_size)

    def outputs(self, arch: Arch, source: str, weights: Path | None = None) -> int | None:
        """Return how many classes given weights predict: 0 for weights without a classifier, None for a head that is
        made for the data set, or that only the hub knows.

        Raises WeightsMissing for a name that timm does not know, and for weights that are not published.
        """
        if source == "hub":
            return published_outputs(arch.model)
        if weights is None:
            create(arch, 1, 3, arch.image_size)
            return None
        return outputs_of_file(arch, weights)

    def embed(self, ctx: EmbedContext) -> Embedding:
        """Return penultimate features float32 [n, d] and logits float32 [n, c] in eval mode; c is 0 for weights without
        a classifier.

        They are computed in half precision where the arch says so and the device is CUDA, and in float32 otherwise; the
        preprocessing names which, and in how many rows the half precision overflowed and float32 stands instead.
        Raises WeightsMissing when the weights cannot be had or do not fit, DataError for an unknown dtype or
        interpolation, OutOfMemory when memory does not suffice for one image.
        """
        _check_interpolation(ctx.arch)
        dtype = precision(ctx.arch, ctx.device)
        model, preprocessing = _prepared(ctx)
        model.eval().to(ctx.device)
        with torch.inference_mode():
            found = _in_batches(ctx, model, preprocessing, dtype)
        repeated = {"rows_in_float32": found.n_repeated} if found.n_repeated else {}
        return Embedding(
            features=np.concatenate(found.features),
            logits=np.concatenate(found.logits),
            preprocessing={
                **asdict(preprocessing),
                "mean": list(preprocessing.mean),
                "std": list(preprocessing.std),
                "dtype": dtype,
                **repeated,
            },
            batch_size_used=found.batch_size,
            oom_retries=found.oom_retries,
        )


TIMM = TimmProvider()


def _check_interpolation(arch: Arch) -> None:
    if arch.interpolation and arch.interpolation not in INTERPOLATIONS:
        raise DataError(
            f"network {arch.name!r}: interpolation = {arch.interpolation!r}", f"expected {' or '.join(INTERPOLATIONS)}"
        )


def _prepared(ctx: EmbedContext) -> tuple[nn.Module, Preprocessing]:
    if ctx.source == "hub":
        model = from_hub(ctx.arch)
        return model, _own_preprocessing(ctx, model)
    channels = int(ctx.images.shape[3])
    size = ctx.arch.image_size or int(ctx.images.shape[1])
    if ctx.source == "random":
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(ctx.seed)
            model = create(ctx.arch, ctx.n_classes, channels, size)
        return model, _data_preprocessing(ctx, channels, size)
    if ctx.weights is None:
        raise WeightsMissing(f"no weights were given for {ctx.arch.model}", "name a file, or train the network here")
    with torch.random.fork_rng(devices=[]):
        if ctx.source == "trained":
            model, _ = from_file(ctx.arch, ctx.weights, channels=channels, image_size=size)
            return model, _data_preprocessing(ctx, channels, size)
        model, _ = from_file(ctx.arch, ctx.weights)
    return model, _own_preprocessing(ctx, model)


def _own_preprocessing(ctx: EmbedContext, model: nn.Module) -> Preprocessing:
    """Take what the weights were trained with, except where the registry says otherwise."""
    config: dict[str, Any] = timm.data.config.resolve_data_config({}, model=model)  # type: ignore[no-untyped-call]
    channels, size, _ = config["input_size"]
    channels = input_channels(model, model.state_dict()) or channels  # what timm says is for its own weights
    mean, std = ctx.arch.mean or tuple(config["mean"]), ctx.arch.std or tuple(config["std"])
    trained_with = str(config["interpolation"])
    interpolation = ctx.arch.interpolation or (trained_with if trained_with in INTERPOLATIONS else "bicubic")
    return _normalised(ctx.arch.image_size or size, channels, mean, std, interpolation)


def _data_preprocessing(ctx: EmbedContext, channels: int, size: int) -> Preprocessing:
    mean, std = ctx.arch.mean or ctx.mean, ctx.arch.std or ctx.std
    return _normalised(size, channels, mean, std, ctx.arch.interpolation or "bilinear")


def _normalised(
    size: int, channels: int, mean: tuple[float, ...], std: tuple[float, ...], interpolation: str
) -> Preprocessing:
    # No statistics leave values in [0, 1]; one serves all channels, as in training.
    mean, std = mean or (0.0,), std or (1.0,)
    if {len(mean), len(std)} - {1, channels}:
        raise DataError(
            f"images have {channels} channels, but there are {len(mean)} means and {len(std)} deviations",
            "give one number, or one per channel",
        )
    return Preprocessing(size, channels, mean, tuple(value or 1.0 for value in std), interpolation)


@dataclass
class _Found:
    """Rows that are embedded, batch by batch, and what it took.  n_repeated: rows that were computed in float32."""

    batch_size: int
    features: list[NDArray[np.float32]]
    logits: list[NDArray[np.float32]]
    oom_retries: int = 0
    n_repeated: int = 0


def _in_batches(ctx: EmbedContext, model: nn.Module, preprocessing: Preprocessing, dtype: str) -> _Found:
    found, done = _Found(ctx.batch_size, [], []), 0
    for images in _ahead(ctx.images, ctx.batch_size):
        begin = 0
        while begin < len(images):
            ctx.check_deadline()
            part = images[begin : begin + found.batch_size]
            try:
                features, logits, n_repeated = _batch(part, model, preprocessing, ctx.device, dtype)
            except (RuntimeError, MemoryError) as error:  # torch's OutOfMemoryError is a RuntimeError
                if not memory_ran_out(error):
                    raise
                if found.batch_size == 1:
                    text = f"{ctx.arch.model}: one image does not fit into memory"
                    raise OutOfMemory(text, "use a smaller image_size") from error
                found.batch_size, found.oom_retries = max(1, found.batch_size // 2), found.oom_retries + 1
                if ctx.device.startswith("cuda"):
                    torch.cuda.empty_cache()
                continue
            found.features.append(features)
            found.logits.append(logits)
            found.n_repeated += n_repeated
            begin += len(part)
            done += len(part)
            ctx.progress(done / len(ctx.images), f"embedding, {ctx.arch.model}")
    return found


def _ahead(images: NDArray[np.uint8], size: int) -> Iterator[Tensor]:
    """Yield the images as tensors, so many at a time: a thread reads the next ones, which may lie on disk."""
    # A copy that keeps the order of the axes in memory, which decides the kernels and with them the last bits.
    with ThreadPoolExecutor(1, thread_name_prefix="images") as pool:
        following = pool.submit(torch.tensor, images[:size])
        for begin in range(0, len(images), size):
            current = following.result()
            following = pool.submit(torch.tensor, images[begin + size : begin + 2 * size])
            yield current


def _batch(
    images: Tensor, model: nn.Module, preprocessing: Preprocessing, device: str, dtype: str
) -> tuple[NDArray[np.float32], NDArray[np.float32], int]:
    return run(model, preprocess(images.to(device), preprocessing), dtype)


def preprocess(images: Tensor, how: Preprocessing) -> Tensor:
    """Turn uint8 [n, h, w, c] into normalised float32 [n, channels, size, size]."""
    x = images.permute(0, 3, 1, 2).float() / 255.0
    if x.shape[1] == 1 and how.channels > 1:
        x = x.expand(-1, how.channels, -1, -1)
    elif x.shape[1] > 1 and how.channels == 1:
        x = x.mean(dim=1, keepdim=True)
    if x.shape[-1] != how.image_size or x.shape[-2] != how.image_size:
        size = (how.image_size, how.image_size)
        x = functional.interpolate(x, size, mode=how.interpolation, antialias=True, align_corners=False).clamp(0, 1)
    mean = torch.tensor(how.mean, device=x.device).reshape(1, -1, 1, 1)
    std = torch.tensor(how.std, device=x.device).reshape(1, -1, 1, 1)
    return (x - mean) / std
