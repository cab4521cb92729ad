"""Weight files of any usual layout: read without running code, and loaded only where they fit."""

from __future__ import annotations

import argparse
import contextlib
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from prunebench import WeightsMissing

State = Mapping[str, Tensor]
# Names under which checkpoints keep their tensors; averaged ones first, as timm takes them: those were evaluated.
CONTAINERS = (
    "state_dict_ema", "model_ema", "ema_state_dict", "ema", "state_dict", "model", "model_state_dict", "model_state",
    "net", "network", "module", "weights", "params_ema", "params",
)  # fmt: skip
WRAPPERS = ("model.", "module.", "_orig_mod.")  # of Lightning and others, of DataParallel, of torch.compile


def read_weights(path: Path) -> dict[str, Tensor]:
    """Return the tensors of a safetensors or torch file, out of whatever dictionaries they are nested in.

    Raises WeightsMissing when it is neither, or holds no named tensors.
    """
    try:
        content: Any = load_file(path) if path.suffix == ".safetensors" else _torch_file(path)
    except Exception as error:
        raise _unreadable(path, _reason(error)) from error
    if not isinstance(content, Mapping):
        raise _unreadable(path, f"it holds a {type(content).__name__} instead of named tensors")
    if not (state := _tensors(content)):
        raise _unreadable(path, f"it holds no named tensors, only {', '.join(map(str, [*content][:5])) or 'nothing'}")
    return state


def _tensors(content: Mapping[Any, Any]) -> dict[str, Tensor]:
    """Return the named tensors of a checkpoint: those of the first container that has some, else its own, else those of
    the only dictionary in it that has some."""
    for name in CONTAINERS:
        if isinstance(content.get(name), Mapping) and (found := _tensors(content[name])):
            return found
    if own := {str(name): value for name, value in content.items() if isinstance(value, Tensor)}:
        return own
    below = [found for value in content.values() if isinstance(value, Mapping) and (found := _tensors(value))]
    return below[0] if len(below) == 1 else {}


def _torch_file(path: Path) -> Any:
    # Training scripts put their arguments beside the weights: of all objects, these alone are let in.
    allowed: Any = getattr(torch.serialization, "safe_globals", lambda _: contextlib.nullcontext())
    with allowed([argparse.Namespace]):
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


def matched(model: nn.Module, state: State, *, resized: bool = False) -> tuple[dict[str, Tensor], str]:
    """Return a state under the names of a model, and in words how they were found.

    They are taken by name without what wrappers put before it; else as timm converts checkpoints of the authors of a
    model; else in their order, where each has the shape and the last part of the name that the model has there.  The
    classifier may have another width or be missing.  resized: let timm fit position embeddings to the image size.
    """
    plain = _unwrapped(state, model.state_dict())
    if _fits(model, plain) and not (resized and _has_other_positions(model, plain)):
        return plain, "by name"
    converted = _converted(model, plain)
    if _fits(model, converted):
        return converted, "as timm converts them"
    if renamed := _in_order(model, plain):
        return renamed, "in the order of the model: their names differ"
    return plain, "by name"


def _unwrapped(state: State, own: State) -> dict[str, Tensor]:
    found: dict[str, Tensor] = {}
    for full, value in state.items():
        name = full
        while name not in own and (wrapper := next((one for one in WRAPPERS if name.startswith(one)), "")):
            name = name.removeprefix(wrapper)
        if name in found:
            return dict(state)  # two networks in one file: which one is meant is not known
        found[name] = value
    return found


def _has_other_positions(model: nn.Module, state: State) -> bool:
    """Tell whether a tensor has another shape, apart from those that go with the numbers of classes and channels."""
    first = next((name for name, value in model.named_parameters() if value.ndim == 4), "")
    left_out = {*_classifier_names(model), first}
    own = {name: value for name, value in model.state_dict().items() if name not in left_out}
    return bool(_reshaped(own, state))


def _fits(model: nn.Module, state: State) -> bool:
    """Tell whether a state has the names of a model, apart from its classifier."""
    head = _classifier_names(model)
    own, given = ({*in_evaluation(one)} - {*head} for one in (model.state_dict(), state))
    return own == given


def _converted(model: nn.Module, state: State) -> dict[str, Tensor]:
    convert: Callable[[Any, nn.Module], Any] | None
    convert = getattr(sys.modules.get(type(model).__module__), "checkpoint_filter_fn", None)
    with contextlib.suppress(Exception):  # it is written for the files that it knows
        return dict(convert(dict(state), model)) if convert else {}
    return {}


def _in_order(model: nn.Module, state: State) -> dict[str, Tensor]:
    own, given = in_evaluation(model.state_dict()), in_evaluation(state)
    if len(own) != len(given) or own.keys() & given.keys():
        return {}
    head = _classifier_names(model)
    for (name, value), (other, found) in zip(own.items(), given.items(), strict=True):
        start = 1 if name in head else 0
        if name.rpartition(".")[2] != other.rpartition(".")[2] or value.shape[start:] != found.shape[start:]:
            return {}
    return dict(zip(own, given.values(), strict=True))


def in_evaluation(state: State) -> dict[str, Tensor]:
    """Return a state without the counters of batches, which evaluation does not read and older files do not have."""
    return {name: value for name, value in state.items() if not name.endswith("num_batches_tracked")}


def _classifier_names(model: nn.Module) -> list[str]:
    """Return the names of the tensors of a classifier, in the order of the model; a distilled one has two heads."""
    timm_model: Any = model  # timm's interface is a convention, not a type
    classifier = timm_model.get_classifier()
    heads = classifier if isinstance(classifier, (tuple, list)) else (classifier,)
    prefixes = tuple(f"{name}." for name, one in model.named_modules() if any(one is head for head in heads) and name)
    return [name for name in in_evaluation(model.state_dict()) if name.startswith(prefixes)] if prefixes else []


def head_width(model: nn.Module, state: State) -> int:
    """Return the number of outputs that the classifier of `model` has in a state, 0 when nothing of it is there."""
    names = [name for name in _classifier_names(model) if name in state]
    # A normalisation or hidden layers may come first; a classifier may be a convolution.
    weights = [state[name] for name in names if state[name].ndim > 1] or [state[name] for name in names]
    return int(weights[-1].shape[0]) if weights else 0


def input_channels(model: nn.Module, state: State) -> int | None:
    """Return the channels of the images that a state takes, None when `model` has no convolution first.

    The order of the model decides which one is first: a file may be sorted by name.
    """
    first = next((name for name, value in model.named_parameters() if value.ndim == 4), "")
    return int(state[first].shape[1]) if first in state and state[first].ndim == 4 else None


def load_into(model: nn.Module, state: State, name: str, path: Path) -> None:
    """Load a state strictly; raises WeightsMissing that says what is missing, unexpected or of another shape."""
    own = model.state_dict()
    problems = {
        "missing": [key for key in in_evaluation(own) if key not in state],
        "unexpected": [key for key in in_evaluation(state) if key not in own],
        "of another shape": _reshaped(own, state),
    }
    told = [
        f"{title}: {', '.join(keys[:3])}{f' and {len(keys) - 3} more' if len(keys) > 3 else ''}"
        for title, keys in problems.items()
        if keys
    ]
    if told:
        hint = "name the model that these weights were made with, or other weights"
        if not problems["missing"] and not problems["unexpected"]:
            hint = "the names fit, the sizes do not: correct the model, its image_size or kwargs, or name other weights"
        raise WeightsMissing(f"weights file {path.name} does not fit {name}: {'; '.join(told)}", hint)
    model.load_state_dict(dict(state), strict=False)


def _reshaped(own: State, state: State) -> list[str]:
    return [
        f"{key}: {list(state[key].shape)} for {list(value.shape)}"
        for key, value in own.items()
        if key in state and state[key].shape != value.shape
    ]
