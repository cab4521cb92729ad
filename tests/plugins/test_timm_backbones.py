"""Embedding: logits, batches, seeds, memory, real weights, and a GPU where one is."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from safetensors.torch import save_file

import prunebench_timm
from prunebench import DataContext, OutOfMemory, WeightsMissing
from prunebench.errors import CellTimeout
from prunebench_datasets.cifar import load_cifar10
from prunebench_timm import provider
from timm_networks import (
    REGISTERED,
    TINY,
    by_hand,
    embed,
    global_states,
    normalised,
    photos,
    state_of,
    untrained,
)


@pytest.mark.parametrize("model", [*REGISTERED, *TINY])
def test_logits_are_the_head_of_the_penultimate_features(model: str) -> None:
    found = embed(model, n_classes=7, seed=3, mean=(0.4, 0.5, 0.6), std=(0.2, 0.25, 0.3))
    sized = {"img_size": 32} if model == "test_vit" else {}
    reference = untrained(model, 7, seed=3, **sized)
    features, logits = by_hand(reference, normalised(photos(), (0.4, 0.5, 0.6), (0.2, 0.25, 0.3)))
    assert (found.features.dtype, found.logits.dtype) == (np.float32, np.float32)
    assert found.features == pytest.approx(features.flatten(1).numpy(), rel=1e-3, abs=1e-5)
    assert found.logits == pytest.approx(logits.numpy(), rel=1e-3, abs=1e-5)
    head: Any = reference.get_classifier()  # type: ignore[operator]
    again = found.features @ head.weight.detach().numpy().T + head.bias.detach().numpy()
    assert found.logits == pytest.approx(again, rel=1e-3, abs=1e-5)


@pytest.mark.parametrize("model", ["cifar_resnet20", "deepcore_lenet", "test_vit", "test_efficientnet"])
def test_the_batch_size_changes_nothing_and_repeats_are_identical(model: str) -> None:
    images = photos(40)
    large, small = embed(model, images, batch_size=256), embed(model, images, batch_size=7)
    assert (large.batch_size_used, small.batch_size_used) == (256, 7)
    assert large.features == pytest.approx(small.features, rel=1e-3, abs=1e-5)
    assert large.logits == pytest.approx(small.logits, rel=1e-3, abs=1e-5)
    assert large.features.tobytes() == embed(model, images, batch_size=256).features.tobytes()


def test_an_image_is_embedded_alike_whatever_stands_beside_it() -> None:
    images = photos(9)
    alone = np.concatenate([embed(images=images[i : i + 1]).features for i in range(9)])
    assert embed(images=images).features == pytest.approx(alone, rel=1e-3, abs=1e-5)


def test_another_seed_is_another_untrained_network() -> None:
    assert not np.allclose(embed(seed=1).features, embed(seed=2).features)


def test_embedding_leaves_global_random_state_and_images_alone(tmp_path: Path) -> None:
    images = photos()
    before, copy = global_states(), images.copy()
    embed("deepcore_lenet", images)
    path = tmp_path / "weights.safetensors"
    save_file(state_of(untrained("cifar_resnet20", 4)), path)
    for source in ("file", "trained"):
        embed(images=images, source=source, weights=path)
    assert global_states() == before
    assert np.array_equal(images, copy)


def test_a_deadline_that_has_passed_stops_the_work() -> None:
    with pytest.raises(CellTimeout):
        embed(deadline=time.time() - 1)


def test_a_model_that_timm_does_not_know_is_refused_with_near_names() -> None:
    with pytest.raises(WeightsMissing, match="no model 'resnet_of_mine'") as caught:
        embed("resnet_of_mine")
    assert "resnet" in caught.value.hint
    with pytest.raises(WeightsMissing, match="no weights were given"):
        embed(source="file")


def limited(limit: int, text: str, sizes: list[int]) -> Any:
    """Return a batch function that has memory for `limit` images."""

    def batch(images: NDArray[np.uint8], *rest: Any) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        sizes.append(len(images))
        if len(images) > limit:
            raise RuntimeError(text)
        means = images.mean(axis=(1, 2), dtype=np.float32)
        return means, means

    return batch


@pytest.mark.parametrize("text", ["CUDA out of memory. Tried to allocate 2 GiB", "can't allocate memory: you tried"])
def test_the_batch_is_halved_until_it_fits_and_every_image_is_embedded_once(
    text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    images, sizes = photos(23), list[int]()
    monkeypatch.setattr(provider, "_batch", limited(5, text, sizes))
    found = embed(images=images, batch_size=16)
    assert sizes == [16, 8, 4, 4, 4, 4, 4, 3]
    assert (found.batch_size_used, found.oom_retries) == (4, 2)
    assert found.features == pytest.approx(images.mean(axis=(1, 2)), rel=1e-6)


def test_a_single_image_that_does_not_fit_ends_the_work(monkeypatch: pytest.MonkeyPatch) -> None:
    sizes: list[int] = []
    monkeypatch.setattr(provider, "_batch", limited(0, "out of memory", sizes))
    with pytest.raises(OutOfMemory, match="one image does not fit"):
        embed(batch_size=7)
    assert sizes == [7, 3, 1]


@pytest.mark.parametrize("text", ["an illegal memory access was encountered; out of memory", "mat1 and mat2 differ"])
def test_other_failures_are_not_taken_for_a_lack_of_memory(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    sizes: list[int] = []
    monkeypatch.setattr(provider, "_batch", limited(0, text, sizes))
    with pytest.raises(RuntimeError, match=text[:10]):
        embed(batch_size=8)
    assert sizes == [8]


def roots() -> list[Path]:
    """Return the data roots: those of PRUNEBENCH_DATA, and shared/data beside the repository."""
    named = filter(None, os.environ.get("PRUNEBENCH_DATA", "").split(os.pathsep))
    return [*map(Path, named), Path(__file__).resolve().parents[2].parent / "shared" / "data"]


def below_roots(*names: str) -> Path | None:
    return next((root / name for root in roots() for name in names if (root / name).exists()), None)


WEIGHTS = below_roots("cifar10_resnet20.safetensors", "weights/cifar10_resnet20.safetensors")
CIFAR = below_roots("cifar-10-batches-py", "cifar10.npz")


@pytest.mark.skipif(WEIGHTS is None, reason="cifar10_resnet20.safetensors is not below PRUNEBENCH_DATA")
@pytest.mark.skipif(CIFAR is None, reason="CIFAR-10 is not below PRUNEBENCH_DATA")
def test_the_published_resnet20_classifies_cifar10() -> None:
    assert CIFAR is not None
    test = load_cifar10(DataContext(roots=(CIFAR.parent,))).test
    assert test.images is not None
    arch = {"mean": (0.485, 0.456, 0.406), "std": (0.229, 0.224, 0.225)}
    found = embed(images=test.images[:1000], source="file", weights=WEIGHTS, arch=arch)
    assert (found.logits.argmax(axis=1) == test.labels[:1000]).mean() > 0.88
    assert found.features.shape == (1000, 64)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device")
@pytest.mark.parametrize("model", ["cifar_resnet20", "deepcore_resnet18", "test_vit"])
def test_a_gpu_embeds_as_a_processor_does_up_to_half_precision(model: str) -> None:
    images = photos(64)
    slow, fast = embed(model, images), embed(model, images, device="cuda", batch_size=16)
    assert fast.features.dtype == np.float32
    for a, b in ((slow.features, fast.features), (slow.logits, fast.logits)):
        assert np.linalg.norm(a - b) < 0.02 * np.linalg.norm(a)
    assert fast.features.tobytes() == embed(model, images, device="cuda", batch_size=16).features.tobytes()


def test_the_provider_is_declared() -> None:
    (spec,) = prunebench_timm.prunebench_backbones()
    assert (spec.name, spec.load) == ("timm", "prunebench_timm.provider:TIMM")
