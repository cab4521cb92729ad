"""Embedding: logits, batches, seeds, precision, names, memory, and a GPU where one is."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from safetensors.torch import save_file
from torch import nn

from prunebench import DataError, OutOfMemory
from prunebench.errors import CellTimeout
from prunebench_timm import computing, provider
from timm_networks import (
    TINY,
    assert_close,
    by_hand,
    embed,
    global_states,
    network,
    normalised,
    photos,
    refusal,
    state_of,
    untrained,
)


@pytest.mark.parametrize("model", ["deepcore_lenet", "cifar_resnet20", *TINY])
def test_logits_are_the_head_of_the_penultimate_features(model: str) -> None:
    images = photos(2)
    found = embed(model, images, n_classes=7, seed=3, mean=(0.4, 0.5, 0.6), std=(0.2, 0.25, 0.3))
    reference = untrained(model, 7, seed=3, **({"img_size": 32} if model == "test_vit" else {}))
    features, logits = by_hand(reference, normalised(images, (0.4, 0.5, 0.6), (0.2, 0.25, 0.3)))
    assert (found.features.dtype, found.logits.dtype) == (np.float32, np.float32)
    assert_close(found.features, features.flatten(1))
    assert_close(found.logits, logits)
    head: Any = reference.get_classifier()  # type: ignore[operator]
    assert_close(found.logits, head(torch.tensor(found.features)).detach())


@pytest.mark.parametrize(
    ("model", "kwargs"), [("cifar_resnet20", {}), ("test_vit", {}), ("test_efficientnet", {"drop_rate": 0.5})]
)
def test_an_image_is_embedded_alike_whatever_stands_beside_it_and_repeats_are_identical(
    model: str, kwargs: dict[str, Any]
) -> None:
    # Batch statistics or dropout, as in training, would tell the batches apart.
    images, arch = photos(9), {"kwargs": kwargs}
    together, apart, alone = (embed(model, images, arch=arch, batch_size=size) for size in (256, 4, 1))
    assert (together.batch_size_used, apart.batch_size_used, alone.batch_size_used) == (256, 4, 1)
    for other in (apart, alone):
        assert_close(other.features, together.features)
        assert_close(other.logits, together.logits)
    assert together.features.tobytes() == embed(model, images, arch=arch).features.tobytes()


def test_another_seed_is_another_untrained_network() -> None:
    one, other = (embed("deepcore_lenet", seed=seed).features for seed in (1, 2))
    assert np.linalg.norm(one - other) > 0.1 * np.linalg.norm(one)


def test_embedding_leaves_global_random_state_and_images_alone(tmp_path: Path) -> None:
    images = photos()
    before, copy = global_states(), images.copy()
    path = tmp_path / "weights.safetensors"
    save_file(state_of(untrained("deepcore_lenet", 4)), path)
    for source in ("random", "file", "trained"):
        embed("deepcore_lenet", images, source=source, weights=path)
    assert global_states() == before
    assert np.array_equal(images, copy)


# ----------------------------------------------------------------------------------------- precision


@pytest.mark.parametrize(
    ("dtype", "device", "computed"),
    [
        ("float32", "cuda", "float32"),
        ("float16", "cuda", "float16"),
        ("float16", "cuda:1", "float16"),
        ("float16", "cpu", "float32"),
        ("float16", "mps", "float32"),
        ("half", "cpu", "float32"),
        ("bfloat16", "cpu", "float32"),
    ],
)
def test_half_precision_is_computed_on_cuda_alone(dtype: str, device: str, computed: str) -> None:
    assert provider.precision(network("test_resnet", dtype=dtype), device) == computed


@pytest.mark.parametrize(("has_bfloat16", "half"), [(True, "bfloat16"), (False, "float16")])
def test_half_is_bfloat16_where_the_gpu_has_it(has_bfloat16: bool, half: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda **options: has_bfloat16)
    assert provider.precision(network("test_resnet", dtype="half"), "cuda") == half
    assert provider.precision(network("test_resnet", dtype="float16"), "cuda") == "float16"
    asked = network("test_resnet", dtype="bfloat16")
    if has_bfloat16:
        assert provider.precision(asked, "cuda") == "bfloat16"
        return
    with pytest.raises(DataError, match="this GPU does not compute in bfloat16"):
        provider.precision(asked, "cuda")


def loud(scale: float) -> nn.Module:
    """Return a network whose features of an image are `scale` times its mean colours."""
    model: Any = untrained("cifar_resnet20", 3)
    model.forward_features = lambda x: x.mean(dim=(2, 3)).repeat(1, 22)[:, :64] * scale
    return model  # type: ignore[no-any-return]


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_a_row_that_overflows_in_half_precision_is_that_of_float32_and_the_others_stay(dtype: str) -> None:
    x = torch.rand(4, 3, 8, 8, generator=torch.Generator().manual_seed(1)) + 0.5
    x[2] *= 9e4
    linear = loud(1.0)
    linear.linear.weight.data.fill_(1.0)  # type: ignore[union-attr, operator]
    with torch.inference_mode():
        features, logits, n_repeated = computing.run(linear, x, dtype)
        exact, exact_logits, none = computing.run(linear, x, "float32")
        alone, alone_logits, _ = computing.run(linear, x[[0, 1, 3]], dtype)
    assert (n_repeated, none) == (1 if dtype == "float16" else 0, 0)  # bfloat16 has the range of float32
    assert np.isfinite(features).all()
    assert np.isfinite(logits).all()
    if dtype == "float16":
        assert logits[2].tobytes() == exact_logits[2].tobytes()
    assert features[[0, 1, 3]].tobytes() == alone.tobytes()
    assert logits[[0, 1, 3]].tobytes() == alone_logits.tobytes()
    np.testing.assert_allclose(logits, exact_logits, rtol=0.02)
    assert features.shape == exact.shape


def test_rows_that_were_repeated_are_told_with_the_preprocessing(monkeypatch: pytest.MonkeyPatch) -> None:
    images = photos(9)
    monkeypatch.setattr(provider, "precision", lambda arch, device: "float16")
    monkeypatch.setattr(provider, "from_file", lambda arch, path: (loud(9e6), {}))
    found = embed(images=images, source="file", weights=Path("any"), batch_size=4)
    assert found.preprocessing["dtype"] == "float16"
    assert found.preprocessing["rows_in_float32"] == len(images)
    assert np.isfinite(found.features).all()
    assert np.abs(found.features).max() > 65_504


def test_a_processor_computes_in_float32_whatever_is_asked_for_and_says_so() -> None:
    single, half = (embed("deepcore_lenet", arch={"dtype": dtype}) for dtype in ("float32", "float16"))
    assert half.features.tobytes() == single.features.tobytes()
    assert half.preprocessing == single.preprocessing
    assert half.preprocessing["dtype"] == "float32"


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("dtype", "int8"),
        ("dtype", "Float16"),
        ("dtype", ""),
        ("interpolation", "nearest"),
        ("interpolation", "Bilinear"),
    ],
)
def test_an_unknown_dtype_or_interpolation_is_refused(field: str, value: str) -> None:
    message, hint = refusal(error=DataError, arch={field: value})
    assert f"'cifar_resnet20': {field} = {value!r}" in message
    assert (
        hint
        == {
            "dtype": "expected float32 or half or float16 or bfloat16",
            "interpolation": "expected bilinear or bicubic",
        }[field]
    )


# ---------------------------------------------------------------------------- deadlines, names, memory


def test_a_deadline_that_has_passed_stops_the_work() -> None:
    with pytest.raises(CellTimeout):
        embed(deadline=time.time() - 1)


@pytest.mark.parametrize(
    ("source", "model", "near"),
    [
        ("random", "cifar_resnet2O", "cifar_resnet20"),
        ("random", "cifar_resnet20.mine", "cifar_resnet20"),
        ("random", "test_resnet.r160_in2k", "test_resnet.r160_in1k"),
        ("hub", "vit_small_patch61_224.augreg_in1k", "vit_small_patch16_224"),
        ("hub", "zzz", "timm.list_models()"),
    ],
)
def test_a_model_or_tag_that_timm_does_not_know_is_refused_with_the_nearest(source: str, model: str, near: str) -> None:
    message, hint = refusal(model, source=source)
    assert f"knows no model {model!r}" in message
    assert near in hint


@pytest.mark.parametrize(
    ("model", "fields", "complaint"),
    [
        ("test_resnet", {"kwargs": {"depht": 3}}, "depht"),
        ("cifar_resnet20", {"kwargs": {"depth": 3}}, "depth"),
        ("test_vit", {"image_size": 30, "kwargs": {"patch_size": "4"}}, "image_size = 30"),
    ],
)
def test_arguments_that_a_model_does_not_take_are_refused(model: str, fields: dict[str, Any], complaint: str) -> None:
    message, hint = refusal(model, arch=fields)
    assert f"timm cannot make {model}" in message
    assert complaint in message
    assert f"correct image_size or kwargs of network {model!r}" == hint


def test_a_file_that_is_not_given_is_missed() -> None:
    assert "no weights were given" in refusal(source="file")[0]


def limited(limit: int, text: str, sizes: list[int]) -> Any:
    """Return a batch function that has memory for `limit` images."""

    def batch(images: torch.Tensor, *rest: Any) -> tuple[NDArray[np.float32], NDArray[np.float32], int]:
        sizes.append(len(images))
        if len(images) > limit:
            raise MemoryError if text == "numpy" else RuntimeError(text)
        means = images.numpy().mean(axis=(1, 2), dtype=np.float32)
        return means, means, 0

    return batch


@pytest.mark.parametrize(
    "text",
    [
        "CUDA out of memory. Tried to allocate 2 GiB",
        "can't allocate memory: you tried",
        "CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling cublasCreate",
        "numpy",
    ],
)
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
        embed(batch_size=6)
    assert sizes == [6, 3, 1]


@pytest.mark.parametrize("text", ["an illegal memory access was encountered; out of memory", "mat1 and mat2 differ"])
def test_other_failures_are_not_taken_for_a_lack_of_memory(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    sizes: list[int] = []
    monkeypatch.setattr(provider, "_batch", limited(0, text, sizes))
    with pytest.raises(RuntimeError, match=text[:10]):
        embed(batch_size=6)
    assert sizes == [6]


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device")
@pytest.mark.parametrize("model", ["cifar_resnet20", "deepcore_resnet18", "test_vit"])
def test_a_gpu_embeds_as_a_processor_does_up_to_its_precision(model: str) -> None:
    images = photos(64)
    half = "bfloat16" if torch.cuda.is_bf16_supported(including_emulation=False) else "float16"
    slow = embed(model, images)
    # A unit in the last place of each type, over some ten layers.
    for asked, computed, bound in (("float32", "float32", 1e-4), ("float16", "float16", 0.02), ("half", half, 0.1)):
        fast, again = (embed(model, images, arch={"dtype": asked}, device="cuda", batch_size=16) for _ in range(2))
        assert fast.features.dtype == np.float32
        assert fast.preprocessing["dtype"] == computed
        for a, b in ((slow.features, fast.features), (slow.logits, fast.logits)):
            assert np.linalg.norm(a - b) < bound * np.linalg.norm(a)
        assert fast.features.tobytes() == again.features.tobytes()
