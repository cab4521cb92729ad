"""Weight files: read without running code, and loaded only where they fit."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from prunebench import WeightsMissing


def read_weights(path: Path) -> dict[str, Tensor]:
    """Return the tensors of a safetensors or torch file; raises WeightsMissing when it is neither."""
    try:
        state: Any = load_file(path) if path.suffix == ".safetensors" else _torch_file(path)
    except Exception as error:
        raise _unreadable(path, _reason(error)) from error
    if isinstance(state, dict) and isinstance(state.get("state_dict"), dict):
        state = state["state_dict"]
    if not isinstance(state, dict):
        raise _unreadable(path, f"it holds a {type(state).__name__} instead of named tensors")
    # DataParallel puts "module." before every name.
    return {str(name).removeprefix("module."): value for name, value in state.items() if isinstance(value, Tensor)}


def _torch_file(path: Path) -> Any:
    return torch.load(path, map_location="cpu", weights_only=True)


def _reason(error: Exception) -> str:
    if isinstance(error, (OSError, SafetensorError)):
        return " ".join(str(error).split())
    # torch's own text is a paragraph, and advises to run what is in the file.
    return "it is damaged, or holds objects other than tensors"


def _unreadable(path: Path, reason: str) -> WeightsMissing:
    return WeightsMissing(
        f"weights file {path.name} cannot be read: {reason}",
        "give a safetensors file, or a torch file that holds tensors alone",
    )


def head_width(model: nn.Module, state: Mapping[str, Tensor]) -> int | None:
    """Return the number of outputs that the classifier of `model` has in a state, None when it is not there."""
    timm_model: Any = model  # timm's interface is a convention, not a type
    classifier = timm_model.get_classifier()
    names = [f"{name}.weight" for name, module in model.named_modules() if module is classifier]
    return next((int(state[name].shape[0]) for name in names if name in state), None)


def input_channels(model: nn.Module, state: Mapping[str, Tensor]) -> int | None:
    """Return the channels of the images that a state takes, None when `model` has no convolution first.

    The order of the model decides which one is first: a file may be sorted by name.
    """
    first = next((name for name, value in model.named_parameters() if value.ndim == 4), "")
    return int(state[first].shape[1]) if first in state and state[first].ndim == 4 else None


def load_into(model: nn.Module, state: Mapping[str, Tensor], name: str, path: Path) -> None:
    """Load a state strictly; raises WeightsMissing that says what is missing, unexpected or of another shape."""
    own = model.state_dict()
    # num_batches_tracked is a counter that evaluation does not read; older files leave it out.
    missing = [key for key in own if key not in state and not key.endswith("num_batches_tracked")]
    unexpected = [key for key in state if key not in own and not key.endswith("num_batches_tracked")]
    reshaped = [
        f"{key}: {list(state[key].shape)} for {list(own[key].shape)}"
        for key in own
        if key in state and state[key].shape != own[key].shape
    ]
    problems = [
        f"{title}: {', '.join(keys[:3])}{f' and {len(keys) - 3} more' if len(keys) > 3 else ''}"
        for title, keys in (("missing", missing), ("unexpected", unexpected), ("of another shape", reshaped))
        if keys
    ]
    if problems:
        raise WeightsMissing(
            f"weights file {path.name} does not fit {name}: {'; '.join(problems)}",
            "name the model that these weights were made with, or other weights",
        )
    model.load_state_dict(dict(state), strict=False)
