"""Classifiers of torchvision: made, given weights of a file, and run over images."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torchvision
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional

from prunebench import Arch, DataError, EmbedContext, Embedding, WeightsMissing

State = Mapping[str, Tensor]
IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of all weights that torchvision publishes


class TorchvisionProvider:
    """Builds and runs the networks that `torchvision.models.list_models` names and that classify images."""

    def build(self, arch: Arch, n_classes: int, channels: int, image_size: int) -> nn.Module:
        """Return an untrained network, which sees a grey image as three equal channels.

        Raises WeightsMissing for a name that torchvision does not know, DataError for other numbers of channels.
        """
        if channels not in (1, 3):
            raise DataError(f"{arch.model} takes images of 1 or 3 channels, not {channels}", "choose a model of timm")
        try:
            model: nn.Module = torchvision.models.get_model(arch.model, num_classes=n_classes, **arch.kwargs)
        except (KeyError, TypeError, ValueError) as error:
            near = difflib.get_close_matches(arch.model, torchvision.models.list_models(torchvision.models))
            text = f"torchvision {torchvision.__version__} cannot make {arch.model}: {error}"
            raise WeightsMissing(text, f"did you mean {' or '.join(near)}?" if near else "correct it") from error
        model.register_forward_pre_hook(_coloured)
        return model

    def outputs(self, arch: Arch, source: str, weights: Path | None = None) -> int | None:
        """Return how many classes the weights of a file predict, 0 for those without a classifier, and None for a head
        that is made for the data set.

        Raises WeightsMissing for an unknown model, for weights of the hub, and for a file that does not fit.
        """
        model = self.build(arch, 1, 3, 0)
        if source == "hub":
            raise WeightsMissing("weights of torchvision are not fetched here", "download them, and name the file")
        return None if weights is None else _width(model, _matched(model, _tensors(weights)))

    def embed(self, ctx: EmbedContext) -> Embedding:
        """Return the features float32 [n, d] that the last linear layer or convolution reads, their mean over the image
        for a convolution, and the logits float32 [n, c], in eval mode; always computed in float32.

        Raises WeightsMissing when the weights are missing or do not fit, DataError for another dtype.
        """
        if ctx.arch.dtype != "float32":
            text = f"network {ctx.arch.name!r}: dtype = {ctx.arch.dtype!r}, and torchvision's compute in float32 here"
            raise DataError(text, 'write dtype = "float32", or choose a model of timm')
        model, width, statistics = self._prepared(ctx)
        model = model.eval().to(device=ctx.device, memory_format=torch.channels_last)
        size, features, logits = ctx.arch.image_size or ctx.images.shape[1], [], []
        how = {"image_size": int(size), "interpolation": ctx.arch.interpolation or "bilinear", **statistics}
        with torch.inference_mode(), torch.backends.cudnn.flags(enabled=True, allow_tf32=False):
            for start in range(0, len(ctx.images), ctx.batch_size):
                ctx.check_deadline()
                images = torch.tensor(ctx.images[start : start + ctx.batch_size]).to(ctx.device)
                seen, predicted = penultimate(model, preprocess(images, **how))
                features.append(seen.cpu().numpy())
                logits.append(predicted[:, :width].cpu().numpy())
                ctx.progress(min(1.0, (start + ctx.batch_size) / len(ctx.images)), f"embedding, {ctx.arch.model}")
        facts = {**how, "mean": list(how["mean"]), "std": list(how["std"]), "dtype": "float32"}
        return Embedding(
            features=np.concatenate(features), logits=np.concatenate(logits), preprocessing=facts,
            batch_size_used=ctx.batch_size,
        )  # fmt: skip

    def _prepared(self, ctx: EmbedContext) -> tuple[nn.Module, int, dict[str, Any]]:
        """Return the network with its weights, how many classes it predicts, and the statistics of its images."""
        channels, width = int(ctx.images.shape[3]), ctx.n_classes
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(ctx.seed)
            if ctx.weights is None and ctx.source != "random":
                text = f"no weights were given for {ctx.arch.model}"
                raise WeightsMissing(text, "download those of torchvision and name the file, or train the network here")
            if ctx.weights is None:
                model = self.build(ctx.arch, width, channels, 0)
            else:
                state = _matched(template := self.build(ctx.arch, 1, channels, 0), _tensors(ctx.weights))
                width = _width(template, state)
                model = self.build(ctx.arch, max(1, width), channels, 0)
                _load(ctx.arch, model, state)
        own = (IMAGENET_MEAN, IMAGENET_STD) if ctx.source == "file" else (ctx.mean or (0.0,), ctx.std or (1.0,))
        return model, width, {"mean": ctx.arch.mean or own[0], "std": ctx.arch.std or own[1]}


TORCHVISION = TorchvisionProvider()


def _coloured(model: nn.Module, inputs: tuple[Tensor]) -> Tensor:
    return inputs[0].expand(-1, 3, -1, -1)


def _head(model: nn.Module) -> tuple[str, nn.Module]:
    """Return the last linear layer or convolution: the classifier in all classifiers of torchvision."""
    return [(name, one) for name, one in model.named_modules() if isinstance(one, nn.Linear | nn.Conv2d)][-1]


def penultimate(model: nn.Module, images: Tensor) -> tuple[Tensor, Tensor]:
    """Return (features [n, d], logits [n, c]) of images float32 [n, channels, h, w] in one pass."""
    seen: list[Tensor] = []
    handle = _head(model)[1].register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    try:
        logits: Tensor = model(images)
    finally:
        handle.remove()
    return (seen[0].mean(dim=(2, 3)) if seen[0].ndim == 4 else seen[0]), logits


def preprocess(
    images: Tensor, *, image_size: int, interpolation: str, mean: tuple[float, ...], std: tuple[float, ...]
) -> Tensor:
    """Turn uint8 [n, h, w, c] into normalised float32 [n, c, image_size, image_size]; with means and deviations of
    three channels, grey images get three."""
    x = images.permute(0, 3, 1, 2).float() / 255
    if x.shape[-2:] != (image_size, image_size):
        side = (image_size, image_size)
        x = functional.interpolate(x, side, mode=interpolation, antialias=True, align_corners=False).clamp(0, 1)
    shift, scale = (torch.tensor(values, device=x.device).view(1, -1, 1, 1) for values in (mean, std))
    return (x - shift) / torch.where(scale == 0, 1.0, scale)


def _tensors(path: Path) -> State:
    """Return the tensors of a safetensors or torch file; raises WeightsMissing when it holds anything else."""
    try:
        state: Any = load_file(path) if path.suffix == ".safetensors" else torch.load(path, "cpu", weights_only=True)
        if all(isinstance(value, Tensor) for value in state.values()):
            found: State = state
            return found
        reason = "it holds more than tensors by name"
    except Exception as error:  # each library has its own
        reason = " ".join(str(error).split())[:200]
    raise WeightsMissing(f"weights file {path.name} cannot be read: {reason}", "give a state dict of torchvision")


def _width(model: nn.Module, state: State) -> int:
    """Return how many classes a state of a model predicts, 0 where it has no classifier."""
    name = f"{_head(model)[0]}.weight"
    return int(state[name].shape[0]) if name in state else 0


def _matched(model: nn.Module, state: State) -> State:
    """Return a state under the names of a model: as they are, or else in their order where each has the last part of
    the name and the shape that the model has there.  The classifier may have another width or be missing."""
    own, given = _trained(model.state_dict()), _trained(state)
    body = {name: value for name, value in own.items() if not name.startswith(f"{_head(model)[0]}.")}
    for wanted in (own, body):
        is_alike = len(wanted) == len(given) and all(
            a.rpartition(".")[2] == b.rpartition(".")[2] and (a not in body or own[a].shape == given[b].shape)
            for a, b in zip(wanted, given, strict=True)
        )
        if is_alike and wanted.keys() != given.keys():
            return dict(zip(wanted, given.values(), strict=True))
    return given


def _trained(state: State) -> State:
    """Return a state without the counters of batches, which evaluation does not read."""
    return {name: value for name, value in state.items() if not name.endswith("num_batches_tracked")}


def _load(arch: Arch, model: nn.Module, state: State) -> None:
    own, head = model.state_dict(), f"{_head(model)[0]}."
    wrong = [f"no {name}" for name in _trained(own) if name not in state and not name.startswith(head)]
    wrong += [f"{name}, which it has not" for name in state if name not in own]
    wrong += [f"{name} of another shape" for name in state if name in own and own[name].shape != state[name].shape]
    if wrong:
        text = f"the weights do not fit {arch.model}: they have {'; '.join(wrong[:3])}"
        raise WeightsMissing(text, "name the model that they were made with")
    model.load_state_dict(dict(state), strict=False)
