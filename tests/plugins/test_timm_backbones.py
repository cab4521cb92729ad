"""timm backbones: the registered networks against closed forms and timm's own, weights, preprocessing, memory."""

from __future__ import annotations

import os
import random
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import timm
import torch
import torchvision.transforms.functional as vision
from numpy.typing import NDArray
from safetensors.torch import save_file
from torch import Tensor, nn

import prunebench_timm
from prunebench import Arch, DataContext, DataError, EmbedContext, Embedding, OutOfMemory, WeightsMissing
from prunebench.errors import CellTimeout
from prunebench_datasets.cifar import load_cifar10
from prunebench_timm import networks, provider
from prunebench_timm.provider import TIMM

CIFAR_RESNETS = (20, 32, 44, 56)
REGISTERED = ("deepcore_resnet18", "deepcore_lenet", *(f"cifar_resnet{depth}" for depth in CIFAR_RESNETS))
TINY = ("test_resnet", "test_efficientnet", "test_vit", "test_convnext", "test_nfnet", "test_byobnet", "test_mambaout")


def photos(n: int = 12, size: int = 32, channels: int = 3) -> NDArray[np.uint8]:
    """Read-only noise with structure: a coarse pattern and a fine one."""
    generator = np.random.default_rng(7)
    coarse = generator.integers(0, 200, (n, size // 4, size // 4, channels)).repeat(4, axis=1).repeat(4, axis=2)
    images = (coarse + generator.integers(0, 56, (n, size, size, channels))).astype(np.uint8)
    images.setflags(write=False)
    return images


def network(model: str, **fields: Any) -> Arch:
    return Arch(name=model, provider="timm", model=model, **fields)


def embed(model: str = "cifar_resnet20", images: NDArray[np.uint8] | None = None, **fields: Any) -> Embedding:
    """Embed with an untrained network, unless fields say otherwise."""
    images = photos() if images is None else images
    arch = network(model, **fields.pop("arch", {}))
    given = {"source": "random", "n_classes": 10, "mean": (0.4,), "std": (0.25,), **fields}
    return TIMM.embed(EmbedContext(images=images, arch=arch, **given))


def untrained(model: str, n_classes: int = 10, channels: int = 3, seed: int = 0, **options: Any) -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        made: nn.Module = timm.create_model(model, num_classes=n_classes, in_chans=channels, **options)
    return made.eval()


def by_hand(model: nn.Module, x: Tensor) -> tuple[Tensor, Tensor]:
    """What enters the classifier, caught by a hook, and what leaves the network."""
    caught: list[Tensor] = []
    classifier: Any = model.get_classifier()  # type: ignore[operator]
    handle = classifier.register_forward_pre_hook(lambda _, inputs: caught.append(inputs[0]))
    with torch.no_grad():
        logits = model(x)
    handle.remove()
    return caught[0], logits


def normalised(images: NDArray[np.uint8], mean: Any, std: Any) -> Tensor:
    values = (images.astype(np.float64) / 255 - np.asarray(mean)) / np.asarray(std)
    return torch.tensor(values.transpose(0, 3, 1, 2), dtype=torch.float32)


def state_of(model: nn.Module) -> dict[str, Tensor]:
    return {name: value.contiguous() for name, value in model.state_dict().items()}


def one_sentence(error: Any) -> str:
    assert "\n" not in error.message
    assert error.hint
    return str(error.message)


def global_states() -> tuple[Any, ...]:
    return (
        torch.get_rng_state().tolist(),
        np.random.get_state()[1].tolist(),  # noqa: NPY002 - the global state is what is checked
        random.getstate(),
    )


# ----------------------------------------------------------------------------------------------- networks


def cifar_resnet_parameters(depth: int) -> int:
    blocks = (depth - 2) // 6
    convolutions = 9 * 3 * 16
    inputs = 16
    for width in (16, 32, 64):
        convolutions += 9 * inputs * width + (2 * blocks - 1) * 9 * width * width
        inputs = width
    norms = 2 * 16 + 2 * 2 * blocks * (16 + 32 + 64)
    return convolutions + norms + 64 * 10 + 10


@pytest.mark.parametrize(
    ("model", "channels", "count"),
    [
        ("deepcore_resnet18", 3, 11_173_962),
        ("deepcore_resnet18", 1, 11_173_962 - 2 * 9 * 64),
        ("deepcore_lenet", 1, 61_706),
        ("cifar_resnet20", 3, 269_722),
        *((f"cifar_resnet{depth}", 3, cifar_resnet_parameters(depth)) for depth in CIFAR_RESNETS),
    ],
)
def test_registered_networks_have_the_parameters_of_their_papers(model: str, channels: int, count: int) -> None:
    built = TIMM.build(network(model), n_classes=10, channels=channels, image_size=32)
    assert sum(parameter.numel() for parameter in built.parameters()) == count


def test_the_small_resnet18_is_timms_with_another_stem() -> None:
    ours = untrained("deepcore_resnet18", 10)
    theirs = timm.create_model("resnet18", num_classes=10).eval()
    theirs.conv1, theirs.maxpool = nn.Conv2d(3, 64, 3, 1, 1, bias=False), nn.Identity()
    with torch.no_grad():
        for norm in (module for module in ours.modules() if isinstance(module, nn.BatchNorm2d)):
            norm.weight.uniform_(0.5, 1.5, generator=torch.Generator().manual_seed(norm.num_features))
    own, other = ours.state_dict(), theirs.state_dict()
    theirs.load_state_dict(dict(zip(other, own.values(), strict=True)))
    x = normalised(photos(4), 0.5, 0.25)
    for mine, reference in zip(networks.penultimate(ours, x), by_hand(theirs, x), strict=True):
        torch.testing.assert_close(mine, reference, rtol=1e-4, atol=1e-5)


def test_shortcuts_of_the_cifar_resnet_have_no_parameters() -> None:
    model: Any = untrained("cifar_resnet20")
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "layer" in name and parameter.ndim == 4:
                parameter.zero_()
        x = normalised(photos(2), 0.5, 0.25)
        maps = model.forward_features(x)
        stem = torch.relu(model.bn1(model.conv1(x)))
    # Every second pixel twice; the new channels are zeros, half of them before: 8 of 16, then 16 of 32.
    assert torch.equal(maps[:, 24:40], stem[:, :, ::4, ::4])
    assert not maps[:, :24].any()
    assert not maps[:, 40:].any()


@pytest.mark.parametrize("model", REGISTERED)
@pytest.mark.parametrize(("channels", "size"), [(3, 32), (1, 28)])
def test_registered_networks_offer_the_interface_of_timm(model: str, channels: int, size: int) -> None:
    made: Any = untrained(model, 7, channels)
    features, logits = by_hand(made, torch.zeros(2, channels, size, size))
    assert (features.shape, logits.shape) == ((2, made.num_features), (2, 7))
    assert made.default_cfg["input_size"][0] == len(made.default_cfg["mean"]) == channels
    made.reset_classifier(3)
    assert made(torch.zeros(2, channels, size, size)).shape == (2, 3)
    made.reset_classifier(0)
    assert made(torch.zeros(2, channels, size, size)).shape == (2, made.num_features)


@pytest.mark.parametrize("model", REGISTERED)
def test_registered_networks_say_that_the_hub_has_no_weights_for_them(model: str) -> None:
    with pytest.raises(WeightsMissing, match=f"{model} has no weights on the hub") as caught:
        embed(model, source="hub")
    one_sentence(caught.value)


# -------------------------------------------------------------------------------------------------- embed


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


# ------------------------------------------------------------------------------------------ preprocessing


def test_an_untrained_network_takes_the_statistics_of_the_data_unless_it_has_its_own() -> None:
    plain = embed(mean=(0.1, 0.2, 0.3), std=(0.4, 0.5, 0.6)).preprocessing
    assert plain == {"image_size": 32, "channels": 3, "mean": [0.1, 0.2, 0.3], "std": [0.4, 0.5, 0.6],
                     "interpolation": "bilinear"}  # fmt: skip
    arch = {"mean": (0.5,), "std": (0.125,), "image_size": 40, "interpolation": "bicubic"}
    own = embed(arch=arch).preprocessing
    assert own == {"image_size": 40, "channels": 3, "mean": [0.5], "std": [0.125], "interpolation": "bicubic"}


def test_weights_from_a_file_take_the_preprocessing_that_they_were_trained_with(tmp_path: Path) -> None:
    path = tmp_path / "w.safetensors"
    save_file(state_of(untrained("test_resnet")), path)
    found = embed("test_resnet", source="file", weights=path)
    config = timm.create_model("test_resnet").default_cfg
    assert found.preprocessing == {"image_size": 160, "channels": 3, "mean": list(config["mean"]),
                                   "std": list(config["std"]), "interpolation": config["interpolation"]}  # fmt: skip
    reference = untrained("test_resnet")
    pixels = torch.tensor(photos().transpose(0, 3, 1, 2)) / 255
    mode = vision.InterpolationMode(config["interpolation"])
    resized = vision.resize(pixels, [160, 160], mode, antialias=True).clamp(0, 1)
    features, _ = by_hand(reference, vision.normalize(resized, list(config["mean"]), list(config["std"])))
    assert found.features == pytest.approx(features.numpy(), rel=1e-3, abs=1e-4)


@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
@pytest.mark.parametrize("size", [16, 32, 45])
def test_images_are_resized_as_torchvision_does(interpolation: str, size: int) -> None:
    how = provider.Preprocessing(size, 3, (0.0,), (1.0,), interpolation)
    images = torch.tensor(photos(3))
    found = provider.preprocess(images, how)
    pixels = images.permute(0, 3, 1, 2) / 255
    expected = vision.resize(pixels, [size, size], vision.InterpolationMode(interpolation), antialias=True)
    torch.testing.assert_close(found, expected.clamp(0, 1), rtol=0, atol=1e-5)


def test_grey_images_enter_a_colour_network_three_times_and_colours_enter_a_grey_one_as_their_mean() -> None:
    grey = torch.tensor(photos(3, channels=1))
    spread = provider.preprocess(grey, provider.Preprocessing(32, 3, (0.1, 0.2, 0.3), (1.0, 2.0, 4.0), "bilinear"))
    value = grey[..., 0] / 255
    torch.testing.assert_close(spread, torch.stack([value - 0.1, (value - 0.2) / 2, (value - 0.3) / 4], dim=1))
    colour = torch.tensor(photos(3))
    merged = provider.preprocess(colour, provider.Preprocessing(32, 1, (0.0,), (1.0,), "bilinear"))
    torch.testing.assert_close(merged[:, 0], colour.float().mean(dim=3) / 255)


def test_grey_images_get_a_grey_network_unless_weights_want_colours(tmp_path: Path) -> None:
    images = photos(channels=1, size=28)
    assert embed("deepcore_lenet", images).preprocessing["channels"] == 1
    path = tmp_path / "w.safetensors"
    save_file(state_of(untrained("cifar_resnet20")), path)
    found = embed("cifar_resnet20", images, source="file", weights=path)
    assert (found.preprocessing["channels"], found.preprocessing["image_size"]) == (3, 32)
    as_colours = embed("cifar_resnet20", images.repeat(3, axis=3), source="file", weights=path)
    assert found.features == pytest.approx(as_colours.features, rel=1e-4, abs=1e-6)


def test_data_without_statistics_stays_between_zero_and_one() -> None:
    found = embed(mean=(), std=())
    assert found.features.tobytes() == embed(mean=(0.0,), std=(1.0,)).features.tobytes()
    assert np.isfinite(embed(mean=(0.5,), std=(0.0,)).features).all()


def test_statistics_for_another_number_of_channels_are_refused() -> None:
    with pytest.raises(DataError, match="1 channels, but there are 3 means") as caught:
        embed("deepcore_lenet", photos(channels=1, size=28), arch={"mean": (0.1, 0.2, 0.3)})
    one_sentence(caught.value)


# ------------------------------------------------------------------------------------------------ weights


def prefixed(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {f"module.{name}": value for name, value in state.items()}


@pytest.mark.parametrize("layout", ["safetensors", "torch", "nested", "parallel torch", "parallel safetensors", "old"])
@pytest.mark.parametrize("source", ["file", "trained"])
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
    assert found.features == pytest.approx(features.numpy(), rel=1e-3, abs=1e-5)
    assert found.logits == pytest.approx(logits.numpy(), rel=1e-3, abs=1e-5)


@pytest.mark.parametrize("model", TINY)
@pytest.mark.parametrize("channels", [1, 3])
def test_a_file_brings_its_own_classes_channels_and_size(model: str, channels: int, tmp_path: Path) -> None:
    # Sorted by name, as safetensors files are, the first convolution is somewhere in the middle.
    reference = untrained(model, 23, channels)
    path = tmp_path / "w.safetensors"
    save_file(state_of(reference), path)
    arch = {"mean": (0.5,), "std": (0.25,)}
    found = embed(model, photos(2), source="file", weights=path, arch=arch)
    assert found.logits.shape == (2, 23)
    assert found.preprocessing["channels"] == channels
    size = found.preprocessing["image_size"]
    assert size == reference.default_cfg["input_size"][1]  # type: ignore[index]
    how = provider.Preprocessing(size, channels, (0.5,), (0.25,), found.preprocessing["interpolation"])
    features, _ = by_hand(reference, provider.preprocess(torch.tensor(photos(2)), how))
    assert found.features == pytest.approx(features.flatten(1).numpy(), rel=1e-3, abs=1e-4)


class _Touches:
    """Pickles into a command that leaves a trace."""

    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self) -> Any:
        return os.system, (f"touch {self.trace}",)


def test_a_torch_file_that_runs_a_command_is_refused_and_nothing_runs(tmp_path: Path) -> None:
    path, trace = tmp_path / "w.pth", tmp_path / "trace"
    torch.save({**state_of(untrained("cifar_resnet20")), "more": _Touches(trace)}, path)
    with pytest.raises(WeightsMissing) as caught:
        embed(source="file", weights=path)
    assert one_sentence(caught.value) == (
        "weights file w.pth cannot be read: it is damaged, or holds objects other than tensors"
    )
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
    with pytest.raises(WeightsMissing, match=f"weights file {name} cannot be read: ") as caught:
        embed("deepcore_lenet", source="file", weights=path)
    assert len(one_sentence(caught.value)) < 300


def test_a_torch_file_without_names_is_refused(tmp_path: Path) -> None:
    torch.save(torch.zeros(3), tmp_path / "w.pth")
    with pytest.raises(WeightsMissing, match="holds a Tensor instead of named tensors"):
        embed(source="file", weights=tmp_path / "w.pth")


def test_weights_that_do_not_fit_are_refused_in_one_sentence_that_says_why(tmp_path: Path) -> None:
    path = tmp_path / "w.safetensors"
    save_file(state_of(untrained("cifar_resnet32")), path)
    with pytest.raises(WeightsMissing) as caught:
        embed("cifar_resnet20", source="file", weights=path)
    assert "does not fit cifar_resnet20: unexpected: layer1.3.bn1.bias" in one_sentence(caught.value)
    assert "and 57 more" in caught.value.message
    with pytest.raises(WeightsMissing, match=r"does not fit cifar_resnet44: missing: layer1\.5\.conv1\.weight"):
        embed("cifar_resnet44", source="file", weights=path)
    state = state_of(untrained("cifar_resnet20"))
    save_file({**state, "layer2.0.conv1.weight": torch.zeros(32, 16, 5, 5)}, path)
    with pytest.raises(WeightsMissing, match=r"another shape: layer2\.0\.conv1\.weight: \[32, 16, 5, 5\] for"):
        embed("cifar_resnet20", source="file", weights=path)
    del state["linear.weight"]
    save_file(state, path)
    with pytest.raises(WeightsMissing, match=r"missing: linear\.weight"):
        embed("cifar_resnet20", source="file", weights=path)


def test_without_a_network_the_hub_says_so_and_leaves_the_random_state_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    before = global_states()
    with pytest.raises(WeightsMissing) as caught:
        embed("test_resnet.r160_in1k", source="hub")
    assert "the weights of test_resnet.r160_in1k cannot be had from the hub" in one_sentence(caught.value)
    assert "file" in caught.value.hint
    assert global_states() == before


# ------------------------------------------------------------------------------------------------- memory


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


# -------------------------------------------------------------------------------------- real data, real GPU


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
