"""Weight files: read without running code, and loaded only where they fit."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from prunebench import WeightsMissing

HEADS = ("linear.weight", "fc.weight", "head.fc.weight", "head.weight", "classifier.weight", "fc_3.weight")


def read_weights(path: Path) -> dict[str, Tensor]:
    """Return the tensors of a safetensors or torch file; raises WeightsMissing when it is neither."""
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        raise WeightsMissing(
            f"weights file {path.name} cannot be read: {type(error).__name__}: {error}",
            "give a safetensors file, or a torch file that holds tensors alone",
        ) from error
    if isinstance(state, dict) and isinstance(state.get("state_dict"), dict):
        state = state["state_dict"]
    return {name.removeprefix("module."): value for name, value in state.items() if isinstance(value, Tensor)}


def head_width(state: Mapping[str, Tensor]) -> int | None:
    """Return the number of outputs of the classifier in a state, None when it has none."""
    return next((int(state[name].shape[0]) for name in HEADS if name in state and state[name].ndim == 2), None)


def load_into(model: nn.Module, state: Mapping[str, Tensor], name: str, path: Path) -> None:
    """Load a state strictly; raises WeightsMissing that says what is missing, unexpected or of another shape."""
    own = model.state_dict()
    # A counter that evaluation does not read; older files leave it out.
    missing = [key for key in own if key not in state and not key.endswith("num_batches_tracked")]
    unexpected = [key for key in state if key not in own]
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
