"""Train networks of other families on all of CIFAR-10 and write their weights in pieces: a step of `gpu/run.py`.

`cat NAME.safetensors.* > NAME.safetensors` puts the pieces together; its line of backbones.jsonl says how it was
trained, what it reaches, and the SHA-256 of the whole for the registry.  All networks make eight files with the log.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import save

from prunebench.contexts import Arch, DataContext, Dataset, TrainContext
from prunebench.errors import PrunebenchError
from prunebench.plugins import load_plugins

PIECE_BYTES = 15 * 2**20


@dataclass(frozen=True, kw_only=True)
class Backbone:
    """A network of timm with what it takes to train; image_size: images are enlarged for stems made for larger ones.

    epochs: enough for the accuracy that the family is known for from scratch with crops and flips, in %.
    """

    model: str
    image_size: int
    epochs: int
    known_percent: float
    kwargs: Mapping[str, Any] = field(default_factory=dict)
    params: Mapping[str, Any] = field(default_factory=dict)


BACKBONES = {
    "mobilenetv2": Backbone(model="mobilenetv2_100", image_size=64, epochs=40, known_percent=92.0),
    "vgg16_bn": Backbone(
        model="vgg16_bn", image_size=32, epochs=60, known_percent=93.0, kwargs={"mlp_ratio": 1 / 32},
        params={"learning_rate": 0.05},
    ),
    "vit_tiny": Backbone(
        model="vit_tiny_patch16_224", image_size=32, epochs=100, known_percent=80.0,
        kwargs={"img_size": 32, "patch_size": 4},
        params={"optimiser": "adamw", "learning_rate": 1e-3, "weight_decay": 0.05},
    ),
    "densenet121": Backbone(model="densenet121", image_size=64, epochs=30, known_percent=93.0),
}  # fmt: skip


def train(name: str, data: Dataset, device: str, epochs: int, images: int) -> tuple[bytes, dict[str, Any]]:
    """Return the weights as a safetensors file in float16, and the facts of the training."""
    backbone, plugins = BACKBONES[name], load_plugins()
    arch = Arch(
        name=name, provider="timm", model=backbone.model, image_size=backbone.image_size, kwargs=backbone.kwargs
    )
    chosen = {"epochs": epochs or backbone.epochs, "augment": "crop_flip", "crop_padding": backbone.image_size // 8}
    provider, learner = plugins.backbone("timm").load(), plugins.learner("deepcore")
    assert data.train.images is not None
    assert data.test.images is not None
    context = TrainContext(
        params=learner.spec.resolve_params({**chosen, **backbone.params}), device=device,
        train_images=data.train.images[:images], train_labels=data.train.labels[:images],
        test_images=data.test.images[:images], test_labels=data.test.labels[:images], n_classes=data.n_classes,
        mean=data.mean, std=data.std, arch=arch, keep_weights=True, progress=partial(_say, name),
        build=lambda: provider.build(arch, data.n_classes, 3, backbone.image_size),
    )  # fmt: skip
    started = time.perf_counter()
    result = learner.load()(context)
    content = save({key: _halved(value) for key, value in result.weights.items()})
    facts = {
        "name": name, "model": backbone.model, "kwargs": dict(backbone.kwargs), "image_size": backbone.image_size,
        "params": dict(context.params), "accuracy": result.accuracy, "known_percent": backbone.known_percent,
        "mean": data.mean, "std": data.std, "seconds": round(time.perf_counter() - started, 1), "device": device,
        "images": len(context.train_labels), "sha256": hashlib.sha256(content).hexdigest(),
    }  # fmt: skip
    return content, facts


def _say(name: str, fraction: float, text: str) -> None:
    print(f"{name}: {fraction:.0%} {text}", file=sys.stderr, flush=True)  # noqa: T201


def _halved(value: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    return value.astype(np.float16) if value.dtype == np.float32 else value


def write(content: bytes, facts: Mapping[str, Any], out: Path) -> None:
    """Write the pieces and the facts."""
    for number, start in enumerate(range(0, len(content), PIECE_BYTES)):
        (out / f"{facts['name']}.safetensors.{number}").write_bytes(content[start : start + PIECE_BYTES])
    with (out / "backbones.jsonl").open("a", encoding="utf-8") as file:
        file.write(json.dumps(facts) + "\n")


def main(arguments: Sequence[str] | None = None) -> int:
    """Train one network after the other, the longest last; one that fails is reported, and the next begins."""
    import torch

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--only", choices=BACKBONES, action="append", help="repeatable; default: all")
    parser.add_argument("--epochs", type=int, default=0, help="0: of each network its own")
    parser.add_argument("--images", type=int, default=50_000)
    options = parser.parse_args(arguments)
    data = load_plugins().dataset("cifar10").load()(DataContext(roots=(options.data,)))
    failed = False
    for name in options.only or BACKBONES:
        device = "cuda" if torch.cuda.is_available() else "cpu"
        try:
            content, facts = train(name, data, device, options.epochs, options.images)
        except PrunebenchError as error:
            print(f"{name}: {error}")  # noqa: T201
            failed = True
            continue
        write(content, facts, options.out)
        print(f"{name}: {facts['accuracy']:.2%} in {facts['seconds']} s, {len(content) / 2**20:.1f} MiB")  # noqa: T201
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
