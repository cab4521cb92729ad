"""Models with their weights: untrained, from a file, or from the hub where there is a network."""

from __future__ import annotations

import contextlib
import difflib
import hashlib
import http.client
import queue
import ssl
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import timm
import torch
from huggingface_hub import constants
from torch import nn

from prunebench import Arch, WeightsMissing

from . import networks  # noqa: F401 - importing it makes timm know the networks of the papers
from .weights import head_width, input_channels, load_into, matched, read_weights

CLASSES = 1000  # of a head that is not to be used, as ImageNet has
HUB = "hf-hub:"  # before owner/name: such models are for the hub to know
SECONDS_TO_REACH = 5.0
UNREACHABLE = (407, 502, 503, 504)  # what a proxy answers that does not reach the hub


def create(arch: Arch, n_classes: int, channels: int, image_size: int | None) -> nn.Module:
    """Make a model by its timm name; a side in pixels is passed on to models that fix it when they are made.

    Raises WeightsMissing for a model that timm does not know or cannot make with the arguments of the arch.
    """
    require_known(arch.model)
    try:
        return _sized(arch, image_size, pretrained=False, num_classes=n_classes, in_chans=channels)
    except (AssertionError, AttributeError, KeyError, RuntimeError, TypeError, ValueError) as error:
        raise WeightsMissing(
            f"timm cannot make {arch.model} with image_size = {image_size} and kwargs = {dict(arch.kwargs)}: "
            f"{_one_line(error)}",
            f"correct image_size or kwargs of network {arch.name!r}",
        ) from error


def require_known(model: str) -> None:
    """Raise WeightsMissing with the nearest names when timm knows no such model, or no such tag of it."""
    architecture, _, tag = model.partition(".")
    if timm.is_model(model):
        if not tag or model in (known := timm.list_models(f"{architecture}.*", include_tags=True)):
            return
        near = difflib.get_close_matches(model, [architecture, *known], n=3, cutoff=0.4)
    else:
        near = difflib.get_close_matches(architecture.lower(), timm.list_models(), n=3, cutoff=0.4)
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


def from_file(
    arch: Arch, path: Path, *, channels: int | None = None, image_size: int | None = None
) -> tuple[nn.Module, dict[str, Any]]:
    """Return a model with the weights of a file, and where they are from: its name, its SHA-256, how names matched.

    It has the classes of the file, none where the file has no classifier, and its channels unless these are given.
    Raises WeightsMissing where the file cannot be read or does not fit.
    """
    size = image_size or arch.image_size
    template = create(arch, CLASSES, channels or 3, size)
    state, names = matched(template, read_weights(path), resized=size is not None)
    wanted = (head_width(template, state), channels or input_channels(template, state) or 3)
    model = template if wanted == (CLASSES, channels or 3) else create(arch, *wanted, size)
    load_into(model, state, arch.model, path)
    with path.open("rb") as file:
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    return model, {"weights": path.name, "sha256": sha256, "matched": names}


def outputs_of_file(arch: Arch, path: Path) -> int:
    """Return how many classes the weights of a file predict, 0 for those without a classifier."""
    template = create(arch, CLASSES, 3, arch.image_size)
    return head_width(template, matched(template, read_weights(path))[0])


def published_outputs(model: str) -> int | None:
    """Return how many classes the weights of the hub predict, None where only the hub knows.

    Raises WeightsMissing for a name that timm does not know, and for weights that are not published.
    """
    if model.startswith(HUB):
        return None
    require_known(model)
    config = timm.get_pretrained_cfg(model)
    if config is None or not config.has_weights:
        raise WeightsMissing(f"timm has no published weights of {model!r}", 'name a file, or write weights = "random"')
    return int(config.num_classes)


def from_hub(arch: Arch) -> nn.Module:
    """Return a model with the weights of the hub, or those that were fetched before.

    Raises WeightsMissing where they cannot be had; without a network within seconds.
    """
    published_outputs(arch.model)
    with hub_if_reachable() as is_reached:
        try:
            with torch.random.fork_rng(devices=[]):
                return _sized(arch, arch.image_size, pretrained=True)
        except Exception as error:
            why = (
                _one_line(error) if is_reached else f"{constants.ENDPOINT} cannot be reached, and they are not here yet"
            )
            raise WeightsMissing(
                f"the weights of {arch.model} cannot be fetched from the hub: {why}",
                'without a network, give a file: weights = { file = "..." } in registry.toml, or --weights FILE',
            ) from error


@contextlib.contextmanager
def hub_if_reachable() -> Iterator[bool]:
    """Keep the client of the hub offline inside the block where there is no network, and tell whether there is one.

    Offline it takes what it fetched before; otherwise it would try again and again for a minute.
    """
    before = constants.HF_HUB_OFFLINE
    is_reached = not before and answers(constants.ENDPOINT)
    constants.HF_HUB_OFFLINE = not is_reached
    try:
        yield is_reached
    finally:
        constants.HF_HUB_OFFLINE = before


def answers(address: str, seconds: float = SECONDS_TO_REACH) -> bool:
    """Tell whether a server answers, directly or through the proxy of the environment, within some seconds."""
    found: queue.Queue[bool] = queue.Queue()

    def ask() -> None:
        try:
            urllib.request.urlopen(urllib.request.Request(address, method="HEAD"), timeout=seconds).close()
            found.put(True)
        except urllib.error.HTTPError as error:
            found.put(error.code not in UNREACHABLE)
        except urllib.error.URLError as error:
            found.put(isinstance(error.reason, ssl.SSLError))  # the client may know other certificates
        except (OSError, ValueError, http.client.HTTPException):
            found.put(False)

    # In a thread, as looking up a name may take longer than any time limit of a connection.
    threading.Thread(target=ask, daemon=True).start()
    try:
        return found.get(timeout=2 * seconds)
    except queue.Empty:
        return False
