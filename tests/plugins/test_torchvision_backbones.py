"""Classifiers of torchvision as backbones: against torchvision itself, and files of weights of every kind."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torchvision
from numpy.typing import NDArray
from safetensors.torch import save_file

from prunebench import Arch, DataError, EmbedContext, Embedding, WeightsMissing
from prunebench_torchvision.provider import TORCHVISION

MEAN, STD = (0.4, 0.5, 0.6), (0.2, 0.25, 0.3)
IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))


def photos(n: int = 3, channels: int = 3) -> NDArray[np.uint8]:
    return np.random.default_rng(0).integers(0, 256, (n, 32, 32, channels), dtype=np.uint8)


def embed(model: str, images: NDArray[np.uint8], weights: Path | None = None, **more: Any) -> Embedding:
    arch = Arch(name="net", provider="torchvision", model=model, **more.pop("arch", {}))
    given = {"n_classes": 5, "mean": MEAN, "std": STD, "source": "file" if weights else "random", **more}
    return TORCHVISION.embed(EmbedContext(images=images, arch=arch, weights=weights, **given))


def network(model: str, n_classes: int = 5) -> torch.nn.Module:
    torch.manual_seed(7)
    found: torch.nn.Module = torchvision.models.get_model(model, num_classes=n_classes).eval()
    return found


def saved(path: Path, state: dict[str, torch.Tensor]) -> Path:
    torch.save(state, path)
    return path


def by_hand(model: torch.nn.Module, images: NDArray[np.uint8], mean: Any, std: Any) -> tuple[Any, Any]:
    """Return what the last layer of SqueezeNet or MobileNetV2 reads, averaged over the image, and the logits."""
    shift, scale = (torch.tensor(values).view(-1, 1, 1) for values in (mean, std))
    x = (torch.tensor(images).permute(0, 3, 1, 2) / 255 - shift) / scale
    with torch.inference_mode():
        return model.features(x).mean(dim=(2, 3)).numpy(), model(x).numpy()  # type: ignore[operator]


@pytest.mark.parametrize("model", ["squeezenet1_1", "mobilenet_v2"])
def test_a_file_gives_the_features_and_logits_of_torchvision(model: str, tmp_path: Path) -> None:
    own, images = network(model), photos()
    file = tmp_path / "weights.safetensors"
    save_file({name: value.contiguous() for name, value in own.state_dict().items()}, file)
    found = embed(model, images, file, n_classes=11)
    features, logits = by_hand(own, images, *IMAGENET)
    np.testing.assert_allclose(found.features, features, rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose(found.logits, logits, rtol=1e-3, atol=1e-4)
    arch = Arch(name="net", provider="torchvision", model=model)
    assert TORCHVISION.outputs(arch, "file", file) == 5
    assert TORCHVISION.outputs(arch, "random") is None


def test_statistics_of_the_registry_come_before_those_of_imagenet(tmp_path: Path) -> None:
    own, images = network("squeezenet1_1"), photos()
    file = saved(tmp_path / "weights.pt", own.state_dict())
    found = embed("squeezenet1_1", images, file, arch={"mean": MEAN, "std": STD})
    np.testing.assert_allclose(found.features, by_hand(own, images, MEAN, STD)[0], rtol=1e-3, atol=1e-4)


def test_older_names_are_matched_in_order_and_a_classifier_may_be_missing(tmp_path: Path) -> None:
    own, images = network("mobilenet_v2"), photos()
    body = {name: value for name, value in own.state_dict().items() if not name.startswith("classifier")}
    renamed = {name.replace("conv.0.0", "conv.0").replace("features", "layers"): value for name, value in body.items()}
    assert renamed.keys() != body.keys()
    file = saved(tmp_path / "weights.pt", renamed)
    found = embed("mobilenet_v2", images, file)
    assert found.logits.shape == (len(images), 0)
    np.testing.assert_allclose(found.features, by_hand(own, images, *IMAGENET)[0], rtol=1e-3, atol=1e-4)
    assert TORCHVISION.outputs(Arch(name="net", provider="torchvision", model="mobilenet_v2"), "file", file) == 0


def test_a_grey_image_is_seen_as_three_equal_channels(tmp_path: Path) -> None:
    file = saved(tmp_path / "weights.pt", network("squeezenet1_1").state_dict())
    grey = photos(channels=1)
    for source in (file, None):
        seen = embed("squeezenet1_1", grey, source, mean=(0.5,), std=(0.25,))
        same = embed("squeezenet1_1", grey.repeat(3, axis=3), source, mean=(0.5,) * 3, std=(0.25,) * 3)
        np.testing.assert_allclose(seen.features, same.features, rtol=1e-4, atol=1e-5)
    with pytest.raises(DataError, match="1 or 3 channels"):
        embed("squeezenet1_1", photos(channels=2), mean=(0.5,), std=(0.25,))


@pytest.mark.parametrize(
    ("state", "complaint"),
    [
        ({"a": torch.zeros(1)}, "which it has not"),
        ({"features.0.weight": torch.zeros(64, 3, 5, 5)}, "another shape"),
        ({}, r"no features\.0\.weight"),
        ({"epoch": 3}, "more than tensors"),
    ],
)
def test_weights_that_do_not_fit_are_refused_with_what_is_wrong(state: Any, complaint: str, tmp_path: Path) -> None:
    own = network("squeezenet1_1").state_dict() if {"a", "features.0.weight"} & state.keys() else {}
    file = saved(tmp_path / "weights.pt", {**own, **state})
    with pytest.raises(WeightsMissing, match=complaint):
        embed("squeezenet1_1", photos(), file)


def test_a_damaged_file_an_unknown_model_and_missing_weights_are_refused(tmp_path: Path) -> None:
    file = tmp_path / "weights.pt"
    file.write_bytes(b"not weights")
    with pytest.raises(WeightsMissing, match="cannot be read"):
        embed("squeezenet1_1", photos(), file)
    with pytest.raises(WeightsMissing, match="cannot make squeezenet1_2") as error:
        embed("squeezenet1_2", photos())
    assert "squeezenet1_1" in error.value.hint
    with pytest.raises(WeightsMissing, match="no weights were given"):
        embed("squeezenet1_1", photos(), source="hub")
    with pytest.raises(DataError, match="float32"):
        embed("squeezenet1_1", photos(), arch={"dtype": "half"})
