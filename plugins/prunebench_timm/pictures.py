"""timm models for pictures of any size: each through the transform that timm gives the model, in its own aspect."""

from __future__ import annotations

import hashlib
import importlib.metadata
from collections.abc import Mapping
from typing import Any

import numpy as np
import timm.data.config
import torch
from numpy.typing import NDArray
from PIL.Image import Image
from timm.data.transforms_factory import create_transform
from torch import Tensor, nn

from prunebench import Arch, DataError, OutOfMemory, PictureContext, WeightsMissing

from .computing import memory_ran_out, precision, run
from .folding import folded
from .loading import CLASSES, create, from_file, from_hub
from .weights import in_evaluation, input_channels

BATCH_SIZES = {"cpu": 8, "cuda": 64}  # on a core no slower than greater ones, and a picture takes up to 15 MB in it
LONGEST = 16  # times the breadth: what is longer is cropped to its middle, of which the network sees a part anyway


class TimmPictures:
    """A timm model in eval mode, and the way of a picture into it; see `prunebench.PictureNetwork`."""

    def __init__(self, model: nn.Module, ctx: PictureContext, origin: Mapping[str, Any]) -> None:
        self._dtype, self._device = precision(ctx.arch, ctx.device), ctx.device
        config = data_config(model, ctx.arch)
        self._name, self._channels = ctx.arch.model, int(config["input_size"][0])
        self._is_squashed = config["crop_mode"] == "squash"
        # The transform ends before the normalisation, which the batch gets as a whole: uint8 loses nothing until then.
        self._transform = create_transform(**config, is_training=False, normalize=False)
        self._mean, self._std = (
            torch.tensor(config[name], dtype=torch.float32, device=ctx.device).reshape(1, -1, 1, 1)
            for name in ("mean", "std")
        )
        self.batch_size = BATCH_SIZES.get(ctx.device.partition(":")[0], 8)
        preprocessing = {name: list(v) if isinstance(v, tuple) else v for name, v in config.items()}
        self.facts: Mapping[str, Any] = {
            "model": ctx.arch.model,
            "parameters": parameters_digest(model),
            "preprocessing": {**preprocessing, "longest": LONGEST},
            "dtype": self._dtype,
            "device": ctx.device.partition(":")[0],
            "batch_size": self.batch_size,
            "versions": {name: importlib.metadata.version(name) for name in ("pillow", "timm", "torch", "torchvision")},
        }
        self.origin = origin
        probe = torch.zeros(2, *config["input_size"]).uniform_(-2, 2, generator=torch.Generator().manual_seed(0))
        self._model = folded(model, probe).to(ctx.device)

    def prepare(self, picture: Image) -> NDArray[np.uint8]:
        """Return a picture as the model's evaluation transform leaves it before normalisation."""
        if self._channels == 1:
            picture = picture.convert("L")
        if not self._is_squashed:
            picture = without_excess(picture)
        found: Tensor = self._transform(picture)
        array: NDArray[np.uint8] = found.permute(1, 2, 0).numpy()
        return array

    def run(self, batch: NDArray[np.uint8]) -> tuple[NDArray[np.float32], NDArray[np.float32] | None]:
        """Return features and logits; raises OutOfMemory where the device has no room for a batch."""
        try:
            with torch.inference_mode():
                # Channels last, as they lie in memory: convolutions are faster by half in this order.
                x = torch.from_numpy(batch).to(self._device).permute(0, 3, 1, 2).float().div_(255)
                features, logits, _ = run(self._model, x.sub_(self._mean).div_(self._std), self._dtype)
        except (RuntimeError, MemoryError) as error:
            if not memory_ran_out(error):
                raise
            what = f"{self._name}: {len(batch)} pictures of {batch.shape[2]} x {batch.shape[1]} do not fit into memory"
            raise OutOfMemory(what, "use a smaller model, or fewer workers") from error
        return features, logits if logits.shape[1] else None


def open_pictures(ctx: PictureContext) -> TimmPictures:
    """Return a timm model that is ready for pictures; the target of `pictures` in the BackboneSpec.

    Raises WeightsMissing when the model is unknown, or its weights cannot be had or do not fit; DataError for an
    unknown dtype or interpolation, or a number of channels that no picture has.
    """
    if ctx.source == "file" and ctx.weights is None:
        raise WeightsMissing(f"no weights were given for {ctx.arch.model}", "give a file with --weights FILE")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(ctx.seed)
        if ctx.source == "hub":
            model, origin = from_hub(ctx.arch), {"weights": "hub"}
        elif ctx.weights is not None:
            model, origin = from_file(ctx.arch, ctx.weights)
        else:
            model, origin = create(ctx.arch, CLASSES, 3, ctx.arch.image_size), {"weights": "random"}
    return TimmPictures(model.eval(), ctx, origin)


def data_config(model: nn.Module, arch: Arch) -> dict[str, Any]:
    """Return how timm prepares pictures for a model, except where the arch says otherwise."""
    channels = input_channels(model, model.state_dict()) or 3
    if channels not in (1, 3):
        raise DataError(f"network {arch.model} takes images of {channels} channels", "pictures have 1 or 3")
    given = {"img_size": arch.image_size, "interpolation": arch.interpolation}
    config: dict[str, Any] = timm.data.config.resolve_data_config(  # type: ignore[no-untyped-call]
        {name: value for name, value in given.items() if value}, model=model
    )
    for name in ("mean", "std"):
        values = tuple(float(value) for value in getattr(arch, name) or config[name])
        if len(values) not in (1, channels):
            what = f"network {arch.model} takes images of {channels} channels, and has {len(values)} values of {name}"
            raise DataError(what, f"give {name} as one number, or one per channel")
        config[name] = values * channels if len(values) == 1 else values
    return {**config, "input_size": (channels, *config["input_size"][1:])}


def without_excess(picture: Image) -> Image:
    """Return the middle of a picture that is more than LONGEST times as long as broad, and others as they are.

    A resize keeps the aspect: a strip of 1 x 20,000 pixels would become one of 256 x 5,120,000 before it is cropped.
    """
    width, height = picture.size
    breadth = min(width, height)
    cut = [max(0, side - LONGEST * breadth) // 2 for side in (width, height)]
    return picture.crop((cut[0], cut[1], width - cut[0], height - cut[1])) if any(cut) else picture


def parameters_digest(model: nn.Module) -> str:
    """Return the blake2b-128 of all tensors of a model with their names, types and shapes."""
    found = hashlib.blake2b(digest_size=16)
    for name, value in sorted(in_evaluation(model.state_dict()).items()):
        found.update(f"{name} {value.dtype} {tuple(value.shape)}\n".encode())
        found.update(value.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return found.hexdigest()
