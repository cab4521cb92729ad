"""timm models as backbones: build them, load their weights, and embed images with the right preprocessing."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import timm
import timm.data.config
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from prunebench import Arch, DataError, EmbedContext, Embedding, OutOfMemory, WeightsMissing

from . import networks
from .weights import head_width, input_channels, load_into, read_weights

# What torch says for a device and for main memory.
OUT_OF_MEMORY = ("out of memory", "can't allocate memory", "not enough memory")
DTYPES = ("float32", "float16")
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
        """Return how many classes given weights predict, None for a head that is made for the data set.

        Raises WeightsMissing for a name that timm does not know, and for weights that are not published.
        """
        _require_known(arch.model)
        if source == "hub":
            config = timm.get_pretrained_cfg(arch.model)
            if config is None or not config.has_weights:
                raise WeightsMissing(
                    f"timm has no published weights of {arch.model!r}", 'name a file, or write weights = "random"'
                )
            return int(config.num_classes)
        if weights is None:
            return None
        return head_width(create(arch, 1, 3, arch.image_size), read_weights(weights))

    def embed(self, ctx: EmbedContext) -> Embedding:
        """Return penultimate features float32 [n, d] and logits float32 [n, c] in eval mode.

        They are computed in float16 where the arch says so and the device is CUDA, and in float32 otherwise; the
        preprocessing names which.  Raises WeightsMissing when the weights cannot be had or do not fit, DataError for
        an unknown dtype or interpolation, OutOfMemory when memory does not suffice for one image.
        """
        dtype = precision(ctx.arch, ctx.device)
        model, preprocessing = _prepared(ctx)
        model.eval().to(ctx.device)
        with torch.inference_mode():
            features, logits, batch, retries = _in_batches(ctx, model, preprocessing, dtype)
        return Embedding(
            features=features,
            logits=logits,
            preprocessing={
                **asdict(preprocessing),
                "mean": list(preprocessing.mean),
                "std": list(preprocessing.std),
                "dtype": dtype,
            },
            batch_size_used=batch,
            oom_retries=retries,
        )


TIMM = TimmProvider()


def precision(arch: Arch, device: str) -> str:
    """Return the type in which a device computes features: float16 is for CUDA, others compute in float32.

    Raises DataError for a type or an interpolation that is unknown.
    """
    known = {"dtype": DTYPES, "interpolation": INTERPOLATIONS}
    for field, given in (("dtype", arch.dtype), ("interpolation", arch.interpolation or INTERPOLATIONS[0])):
        if given not in known[field]:
            raise DataError(f"network {arch.name!r}: {field} = {given!r}", f"expected {' or '.join(known[field])}")
    return arch.dtype if device.startswith("cuda") else "float32"


def create(arch: Arch, n_classes: int, channels: int, image_size: int | None) -> nn.Module:
    """Make a model by its timm name; a side in pixels is passed on to models that fix it when they are made.

    Raises WeightsMissing for a model that timm does not know or cannot make with the arguments of the arch.
    """
    _require_known(arch.model)
    try:
        return _sized(arch, image_size, pretrained=False, num_classes=n_classes, in_chans=channels)
    except (AssertionError, AttributeError, KeyError, RuntimeError, TypeError, ValueError) as error:
        raise WeightsMissing(
            f"timm cannot make {arch.model} with image_size = {image_size} and kwargs = {dict(arch.kwargs)}: "
            f"{_one_line(error)}",
            f"correct image_size or kwargs of network {arch.name!r}",
        ) from error


def _require_known(model: str) -> None:
    """Raise WeightsMissing with the nearest names when timm knows no such model, or no such tag of it."""
    architecture, _, tag = model.partition(".")
    if timm.is_model(model):
        known = timm.list_models(f"{architecture}.*", include_tags=True)
        if not tag or model in known:
            return
        near = difflib.get_close_matches(model, [architecture, *known], n=3, cutoff=0.4)
    else:
        near = difflib.get_close_matches(architecture, timm.list_models(), n=3, cutoff=0.4)
    hint = f"did you mean {' or '.join(near)}?" if near else "timm.list_models() has the names"
    raise WeightsMissing(f"timm {timm.__version__} knows no model {model!r}", hint)


def _one_line(error: Exception) -> str:
    return " ".join(f"{type(error).__name__}: {error}".split())


def _sized(arch: Arch, image_size: int | None, **options: Any) -> nn.Module:
    options |= arch.kwargs
    if image_size is not None:
        try:
            # Transformers fix the size of their images when they are made; other models do not know the argument.
            sized: nn.Module = timm.create_model(arch.model, **{"img_size": image_size, **options})
            return sized
        except TypeError as error:
            if "img_size" not in str(error):
                raise
    model: nn.Module = timm.create_model(arch.model, **options)
    return model


def _prepared(ctx: EmbedContext) -> tuple[nn.Module, Preprocessing]:
    if ctx.source == "hub":
        model = _from_hub(ctx.arch)
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
    state = read_weights(ctx.weights)
    with torch.random.fork_rng(devices=[]):
        if ctx.source == "trained":
            model = _shaped(ctx, state, channels, size)
        else:
            model = _shaped(ctx, state, None, ctx.arch.image_size)
    load_into(model, state, ctx.arch.model, ctx.weights)
    if ctx.source == "trained":
        return model, _data_preprocessing(ctx, channels, size)
    return model, _own_preprocessing(ctx, model)


def _shaped(ctx: EmbedContext, state: Mapping[str, Tensor], channels: int | None, size: int | None) -> nn.Module:
    """Make the model with the classes, and where `channels` is None with the channels, that a state has."""
    model = create(ctx.arch, ctx.n_classes, channels or 3, size)
    width = head_width(model, state) or ctx.n_classes
    channels_found = channels or input_channels(model, state) or 3
    if (width, channels_found) == (ctx.n_classes, channels or 3):
        return model
    return create(ctx.arch, width, channels_found, size)


def _from_hub(arch: Arch) -> nn.Module:
    if ":" not in arch.model:  # hf-hub:owner/name is for the hub to know
        _require_known(arch.model)
    try:
        with torch.random.fork_rng(devices=[]):
            return _sized(arch, arch.image_size, pretrained=True)
    except Exception as error:
        raise WeightsMissing(
            f"the weights of {arch.model} cannot be had from the hub: {_one_line(error)}",
            'without a network, name a file: weights = { file = "...", sha256 = "..." }',
        ) from error


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


def _in_batches(
    ctx: EmbedContext, model: nn.Module, preprocessing: Preprocessing, dtype: str
) -> tuple[NDArray[np.float32], NDArray[np.float32], int, int]:
    features: list[NDArray[np.float32]] = []
    logits: list[NDArray[np.float32]] = []
    begin, batch, retries = 0, ctx.batch_size, 0
    while begin < len(ctx.images):
        ctx.check_deadline()
        try:
            found = _batch(ctx.images[begin : begin + batch], model, preprocessing, ctx.device, dtype)
        except RuntimeError as error:  # torch's OutOfMemoryError is one
            text = str(error).lower()
            if "illegal" in text or not any(phrase in text for phrase in OUT_OF_MEMORY):
                raise
            if batch == 1:
                raise OutOfMemory(
                    f"{ctx.arch.model}: one image does not fit into memory", "use a smaller image_size"
                ) from error
            batch, retries = max(1, batch // 2), retries + 1
            if ctx.device.startswith("cuda"):
                torch.cuda.empty_cache()
            continue
        features.append(found[0])
        logits.append(found[1])
        begin += batch
        ctx.progress(min(begin / len(ctx.images), 1.0), f"embedding, {ctx.arch.model}")
    return np.concatenate(features), np.concatenate(logits), batch, retries


def _batch(
    images: NDArray[np.uint8], model: nn.Module, preprocessing: Preprocessing, device: str, dtype: str
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    x = preprocess(torch.tensor(images).to(device), preprocessing)
    with torch.autocast("cuda", dtype=torch.float16, enabled=dtype == "float16"):
        features, logits = networks.penultimate(model, x)
    return features.float().cpu().numpy(), logits.float().cpu().numpy()


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
