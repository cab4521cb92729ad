"""Weights of every layout, and files that are none."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from prunebench import DataContext
from prunebench_datasets.cifar import load_cifar10
from prunebench_timm import provider
from timm_networks import (
    assert_close,
    by_hand,
    embed,
    global_states,
    normalised,
    photos,
    refusal,
    state_of,
    untrained,
)


def prefixed(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {f"module.{name}": value for name, value in state.items()}


@pytest.mark.parametrize(
    ("layout", "source"),
    [
        ("safetensors", "file"),
        ("safetensors", "trained"),
        ("torch", "trained"),
        ("nested", "file"),
        ("parallel torch", "file"),
        ("parallel safetensors", "trained"),
        ("old", "file"),
    ],
)
def test_weights_of_every_layout_are_loaded(layout: str, source: str, tmp_path: Path) -> None:
    model = untrained("cifar_resnet20", 10, seed=5)
    state = state_of(model)
    path = tmp_path / ("w.safetensors" if "safetensors" in layout else "w.pth")
    if layout == "old":
        state = {name: value for name, value in state.items() if not name.endswith("num_batches_tracked")}
    content: Any = prefixed(state) if "parallel" in layout else state
    if path.suffix == ".safetensors":
        save_file(content, path)
    else:
        torch.save({"state_dict": content, "epoch": 3} if layout == "nested" else content, path)
    found = embed(source=source, weights=path, arch={"mean": (0.5,), "std": (0.25,)})
    features, logits = by_hand(model, normalised(photos(), 0.5, 0.25))
    assert_close(found.features, features)
    assert_close(found.logits, logits)


@pytest.mark.parametrize(
    ("model", "channels"), [("test_resnet", 1), ("test_efficientnet", 3), ("test_vit", 1), ("test_mambaout", 3)]
)
def test_a_file_brings_its_own_classes_channels_and_size(model: str, channels: int, tmp_path: Path) -> None:
    # Sorted by name, as safetensors files are, the first convolution is somewhere in the middle.
    reference = untrained(model, 23, channels)
    path = tmp_path / "w.safetensors"
    save_file(state_of(reference), path)
    found = embed(model, photos(2), source="file", weights=path, arch={"mean": (0.5,), "std": (0.25,)})
    assert found.logits.shape == (2, 23)
    assert found.preprocessing["channels"] == channels
    size = found.preprocessing["image_size"]
    assert size == reference.default_cfg["input_size"][1]  # type: ignore[index]
    how = provider.Preprocessing(size, channels, (0.5,), (0.25,), found.preprocessing["interpolation"])
    features, _ = by_hand(reference, provider.preprocess(torch.tensor(photos(2)), how))
    assert_close(found.features, features.flatten(1))


class _Touches:
    """Pickles into a command that leaves a trace."""

    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self) -> Any:
        return os.system, (f"touch {self.trace}",)


def test_a_torch_file_that_runs_a_command_is_refused_and_nothing_runs(tmp_path: Path) -> None:
    path, trace = tmp_path / "w.pth", tmp_path / "trace"
    torch.save({**state_of(untrained("cifar_resnet20")), "more": _Touches(trace)}, path)
    assert "w.pth cannot be read: it is damaged, or holds objects" in refusal(source="file", weights=path)[0]
    assert not trace.exists()


@pytest.mark.parametrize("name", ["w.pth", "w.safetensors"])
@pytest.mark.parametrize("content", ["missing", "empty", "text", "half"])
def test_a_file_without_weights_is_refused_in_one_sentence_that_names_it(
    name: str, content: str, tmp_path: Path
) -> None:
    path = tmp_path / name
    if path.suffix == ".safetensors":
        save_file(state_of(untrained("deepcore_lenet")), path)
    else:
        torch.save(state_of(untrained("deepcore_lenet")), path)
    raw = path.read_bytes()
    if content == "missing":
        path.unlink()
    else:
        path.write_bytes({"empty": b"", "text": b"these are no weights", "half": raw[: len(raw) // 2]}[content])
    message, _ = refusal("deepcore_lenet", source="file", weights=path)
    assert f"weights file {name} cannot be read: " in message
    assert len(message) < 300


def test_a_torch_file_without_names_is_refused(tmp_path: Path) -> None:
    torch.save(torch.zeros(3), tmp_path / "w.pth")
    assert "holds a Tensor instead of named tensors" in refusal(source="file", weights=tmp_path / "w.pth")[0]


def test_weights_that_do_not_fit_are_refused_in_one_sentence_that_says_why(tmp_path: Path) -> None:
    path = tmp_path / "w.safetensors"
    save_file(state_of(untrained("cifar_resnet32")), path)
    message, _ = refusal("cifar_resnet20", source="file", weights=path)
    assert "does not fit cifar_resnet20: unexpected: layer1.3.bn1.bias" in message
    assert "and 57 more" in message
    message, _ = refusal("cifar_resnet44", source="file", weights=path)
    assert "does not fit cifar_resnet44: missing: layer1.5.conv1.weight" in message
    state = state_of(untrained("cifar_resnet20"))
    save_file({**state, "layer2.0.conv1.weight": torch.zeros(32, 16, 5, 5)}, path)
    message, _ = refusal("cifar_resnet20", source="file", weights=path)
    assert "of another shape: layer2.0.conv1.weight: [32, 16, 5, 5] for [32, 16, 3, 3]" in message
    del state["linear.weight"]
    save_file(state, path)
    assert "missing: linear.weight" in refusal("cifar_resnet20", source="file", weights=path)[0]


def test_without_a_network_the_hub_says_so_and_leaves_the_random_state_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    before = global_states()
    message, hint = refusal("test_resnet.r160_in1k", source="hub")
    assert "the weights of test_resnet.r160_in1k cannot be fetched from the hub" in message
    assert "cannot be reached" in message
    assert "file" in hint
    assert global_states() == before


def below_roots(name: str) -> Path | None:
    """Return where a file is below the data roots, those of PRUNEBENCH_DATA."""
    roots = os.environ.get("PRUNEBENCH_DATA", "").split(os.pathsep)
    return next((path for root in filter(None, roots) if (path := Path(root, name)).exists()), None)


WEIGHTS, CIFAR = below_roots("weights/cifar10_resnet20.safetensors"), below_roots("cifar10.npz")


@pytest.mark.skipif(
    not (WEIGHTS and CIFAR), reason="CIFAR-10 and the weights of a ResNet-20 are not below PRUNEBENCH_DATA"
)
def test_the_published_resnet20_classifies_cifar10() -> None:
    assert CIFAR is not None
    test = load_cifar10(DataContext(roots=(CIFAR.parent,))).test
    assert test.images is not None
    arch = {"mean": (0.485, 0.456, 0.406), "std": (0.229, 0.224, 0.225)}
    found = embed(images=test.images[:1000], source="file", weights=WEIGHTS, arch=arch)
    # 91.7 % is published: of 1,000 images that is 917, give or take 9.
    assert (found.logits.argmax(axis=1) == test.labels[:1000]).mean() == pytest.approx(0.917, abs=4 * 0.0087)
