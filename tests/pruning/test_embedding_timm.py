"""Pictures through timm models: as timm's own pipeline, whatever the aspect, the crop and the names of weights."""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import timm
import torch
from PIL import Image
from safetensors.torch import save_file
from torch import nn

from embedding_doubles import Files
from prunebench import Arch, DataError, PictureContext, WeightsMissing
from prunebench.errors import UsageError
from prunebench.plugins import load_plugins
from prunebench.pruning.embedding import Network, embed, open_network
from prunebench.specs import BackboneSpec
from prunebench.testing import entry_of
from prunebench_timm.folding import folded
from prunebench_timm.pictures import TimmPictures

SIZES = [(160, 160), (640, 200), (150, 700), (33, 47), (1200, 900), (8, 8), (301, 300), (224, 160), (90, 512)]
MODELS = ["test_resnet", "test_efficientnet", "test_vit", "test_nfnet", "test_mambaout"]


@pytest.fixture(scope="module")
def photos(tmp_path_factory) -> list[Path]:
    """Smooth noise in files of several formats, sizes and aspects."""
    folder, generator = tmp_path_factory.mktemp("photos"), np.random.default_rng(0)
    for number, size in enumerate(SIZES):
        coarse = Image.fromarray(generator.integers(0, 256, (9, 9, 3), dtype=np.uint8))
        suffix = ("jpg", "png", "webp")[number % 3]
        coarse.resize(size, Image.Resampling.BICUBIC).save(folder / f"photo {number}.{suffix}")
    return sorted(folder.iterdir())


def model_of(name: str, **options: object) -> nn.Module:
    """Return a timm model in eval mode whose normalisations are not those of a fresh one."""
    torch.manual_seed(3)
    model: nn.Module = timm.create_model(name, pretrained=False, **options).eval()
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.3)
            module.running_var.uniform_(0.5, 2)
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.bias, 0, 0.3)
    return model


def opened(model: str, weights: Path | None = None, **options: object) -> Network:
    shape = {key: options.pop(key) for key in ("image_size", "mean", "std", "interpolation") if key in options}
    arch = Arch(name="own", provider="timm", model=model, **shape)
    return open_network(load_plugins().backbone("timm"), arch, weights=weights, **options)


def saved(model: nn.Module, path: Path, names: dict[str, str] | None = None) -> Path:
    state = {(names or {}).get(name, name): value.contiguous() for name, value in model.state_dict().items()}
    save_file(state, path) if path.suffix == ".safetensors" else torch.save(state, path)
    return path


def by_timm(model: nn.Module, paths: list[Path]) -> tuple[np.ndarray, np.ndarray]:
    """Return features and logits of timm's own pipeline for the pictures in some files."""
    transform = timm.data.create_transform(**timm.data.resolve_model_data_config(model), is_training=False)
    with torch.inference_mode():
        x = torch.stack([transform(Image.open(path).convert("RGB")) for path in paths])
        features = model.forward_head(model.forward_features(x), pre_logits=True)
        return features.numpy(), model(x).numpy()


@pytest.mark.parametrize("name", MODELS)
def test_features_are_those_of_timms_own_pipeline(name, photos, tmp_path):
    model = model_of(name)
    weights = saved(model, tmp_path / "weights.safetensors")
    found = embed(Files(photos), opened(name, weights), cache=tmp_path / "cache", workers=2)
    features, logits = by_timm(model, photos)
    np.testing.assert_allclose(found.features, features, atol=1e-4 * np.abs(features).max(), rtol=0)
    np.testing.assert_allclose(found.logits, logits, atol=1e-4 * np.abs(logits).max(), rtol=0)
    assert found.facts["weights"] == "weights.safetensors"
    assert len(found.facts["sha256"]) == 64
    assert found.facts["preprocessing"]["crop_pct"] == timm.data.resolve_model_data_config(model)["crop_pct"]


@pytest.mark.parametrize("config", [
    {"crop_mode": "squash", "crop_pct": 0.9, "interpolation": "bicubic"},
    {"crop_mode": "border", "crop_pct": 1.0, "interpolation": "bilinear"},
    {"crop_mode": "center", "crop_pct": 0.7, "interpolation": "lanczos", "input_size": (3, 96, 128)},
], ids=lambda config: config["crop_mode"])  # fmt: skip
def test_pictures_are_prepared_as_the_configuration_of_the_model_says(config, photos):
    model = model_of("test_resnet")
    model.pretrained_cfg = {**model.pretrained_cfg, **config, "mean": (0.1, 0.2, 0.3), "std": (0.3, 0.4, 0.5)}
    arch = Arch(name="own", provider="timm", model="test_resnet")
    network = TimmPictures(model, PictureContext(arch=arch, source="random"), {})
    transform = timm.data.create_transform(**timm.data.resolve_model_data_config(model), is_training=False)
    for path in photos:
        picture = Image.open(path).convert("RGB")
        own = (network.prepare(picture) / np.float32(255) - np.float32([0.1, 0.2, 0.3])) / np.float32([0.3, 0.4, 0.5])
        np.testing.assert_allclose(own, transform(picture).permute(1, 2, 0).numpy(), atol=1e-6)


def test_bytes_do_not_depend_on_workers_order_or_company(photos, tmp_path):
    weights = saved(model_of("test_efficientnet"), tmp_path / "weights.safetensors")
    network = opened("test_efficientnet", weights)
    one = embed(Files(photos), network, cache=tmp_path / "one", workers=1)
    two = embed(Files(photos), network, cache=tmp_path / "two", workers=2)
    assert one.features.tobytes() == two.features.tobytes()
    assert one.logits.tobytes() == two.logits.tobytes()
    embed(Files(photos[4:7]), network, cache=tmp_path / "grown")
    grown = embed(Files(photos[::-1]), network, cache=tmp_path / "grown")
    assert grown.computed == len(photos) - 3
    assert grown.features[::-1].tobytes() == one.features.tobytes()


def test_a_moved_folder_needs_nothing_new(photos, tmp_path):
    network = opened("test_vit", source="random")
    embed(Files(photos), network, cache=tmp_path / "cache")
    pictures = Files([Path(shutil.copy(path, tmp_path / f"other {path.name}")) for path in photos])
    assert embed(pictures, network, cache=tmp_path / "cache").computed == 0
    assert not pictures.decoded


def test_a_file_that_is_no_picture_is_skipped_with_what_the_decoder_says(photos, tmp_path):
    text, cut = tmp_path / "text.jpg", tmp_path / "cut.png"
    text.write_text("no picture")
    whole = next(path for path in photos if path.suffix == ".png").read_bytes()
    cut.write_bytes(whole[: len(whole) // 2])
    found = embed(Files([text, photos[0], cut]), opened("test_resnet", source="random"), cache=tmp_path / "cache")
    assert found.positions.tolist() == [1]
    assert "cannot identify image file" in found.skipped[0]
    assert "truncated" in found.skipped[2]


def test_a_strip_is_cropped_before_it_is_resized(tmp_path):
    Image.new("RGB", (20_000, 1), (255, 0, 0)).save(tmp_path / "strip.png")
    network = opened("test_resnet", source="random")
    seen = network.ready.prepare(Image.open(tmp_path / "strip.png"))
    assert seen.shape == (160, 160, 3)
    assert (seen == (255, 0, 0)).all()


def test_tensors_of_other_names_are_taken_in_order(photos, tmp_path):
    model = model_of("test_resnet", num_classes=7)
    names = {name: "net." + name.replace("layer", "stage") for name in model.state_dict()}
    network = opened("test_resnet", saved(model, tmp_path / "weights.pth", names))
    assert network.facts["matched"].startswith("in the order of the model")
    found = embed(Files(photos), network, cache=tmp_path / "cache")
    np.testing.assert_allclose(found.logits, by_timm(model, photos)[1], atol=1e-4)
    assert network.key == opened("test_resnet", saved(model, tmp_path / "same.safetensors")).key


def test_tensors_of_another_order_are_refused(tmp_path):
    model = model_of("test_resnet")
    names = {name: f"{len(model.state_dict()) - number:04}.{name}" for number, name in enumerate(model.state_dict())}
    with pytest.raises(WeightsMissing, match=r"weights file other.safetensors does not fit test_resnet: missing"):
        opened("test_resnet", saved(model, tmp_path / "other.safetensors", names))


def test_a_file_without_a_classifier_gives_features_alone(photos, tmp_path):
    model = model_of("test_resnet", num_classes=0)
    found = embed(Files(photos), opened("test_resnet", saved(model, tmp_path / "w.pth")), cache=tmp_path / "cache")
    assert found.logits is None
    np.testing.assert_allclose(found.features, by_timm(model, photos)[0], atol=1e-4)


def test_a_network_of_grey_images_sees_pictures_in_grey(photos, tmp_path):
    weights = saved(model_of("test_resnet", in_chans=1), tmp_path / "grey.pth")
    with pytest.raises(DataError, match="takes images of 1 channels, and has 3 values of mean"):
        opened("test_resnet", weights)
    network = opened("test_resnet", weights, mean=(0.5,), std=(0.2,))
    assert network.ready.prepare(Image.open(photos[0])).shape == (160, 160, 1)
    assert len(embed(Files(photos), network, cache=tmp_path / "cache").features) == len(photos)


def test_what_decides_the_rows_decides_the_key(tmp_path):
    weights = saved(model_of("test_resnet"), tmp_path / "weights.pth")
    keys = [
        opened("test_resnet", weights, **options).key
        for options in ({}, {"mean": (0.4,)}, {"image_size": 96}, {"interpolation": "bicubic"})
    ]
    keys += [opened("test_resnet", source="random").key]
    assert len({*keys}) == len(keys)
    assert opened("test_resnet", weights).key == keys[0]


def test_weights_that_cannot_be_had_are_refused_at_once(tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HOME", str(tmp_path))
    monkeypatch.setattr("socket.create_connection", _no_network)
    monkeypatch.setattr("urllib.request.getproxies", dict)
    begun = time.monotonic()
    with pytest.raises(WeightsMissing, match="the weights of test_resnet cannot be fetched from the hub") as caught:
        opened("test_resnet")
    assert "--weights FILE" in caught.value.hint
    assert time.monotonic() - begun < 15  # the client alone tries for a minute
    with pytest.raises(WeightsMissing, match="is not there"):
        opened("test_resnet", tmp_path / "none.pth")
    with pytest.raises(WeightsMissing, match="timm has no published weights of 'deepcore_lenet'"):
        opened("deepcore_lenet")


def _no_network(*args: object, **options: object) -> None:
    raise OSError("no network")


def test_a_backbone_of_arrays_alone_says_so():
    entry = entry_of(BackboneSpec(name="arrays", summary="Arrays.", load="somewhere:ARRAYS"))
    with pytest.raises(UsageError, match=r"backbone 'arrays' takes arrays alone, no pictures"):
        open_network(entry, Arch(name="own", provider="arrays", model="any"))


@pytest.mark.parametrize("name", ["test_resnet", "test_efficientnet"])
def test_folding_leaves_the_function_and_no_normalisation(name):
    model, probe = model_of(name), torch.randn(2, 3, 160, 160)
    faster = folded(model, probe)
    norms = [sum(isinstance(one, nn.BatchNorm2d) for one in net.modules()) for net in (model, faster)]
    assert norms[0] > 0
    assert norms[1] == 0
    with torch.inference_mode():
        before, after = model(probe), faster(probe)
    torch.testing.assert_close(after, before, atol=1e-5 * float(before.abs().max()), rtol=0)


class _Shortcut(nn.Module):
    """A convolution whose output is needed before its normalisation, too: folding would change it."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.bn, self.head = nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Linear(4, 2)
        nn.init.normal_(self.bn.weight)

    def forward_features(self, x):
        y = self.conv(x)
        return y + self.bn(y)

    def forward_head(self, x, pre_logits=False):
        pooled = x.mean(dim=(2, 3))
        return pooled if pre_logits else self.head(pooled)

    def get_classifier(self):
        return self.head


def test_a_network_that_folding_would_change_is_left_as_it_is():
    model = _Shortcut().eval()
    assert folded(model, torch.randn(2, 3, 8, 8)) is model


def test_memory_does_not_grow_with_the_number_of_pictures(tmp_path):
    script = f"""if True:
        import re, sys
        sys.path[:0] = [{str(Path(__file__).parent)!r}]
        from pathlib import Path
        from PIL import Image
        import embedding_doubles, prunebench
        from prunebench.plugins import load_plugins
        from prunebench.pruning.embedding import embed, open_network

        class Large(embedding_doubles.Numbers):
            def picture(self, index):
                return Image.new("RGB", (2400, 1600), (self.numbers[index], 0, 0))

        def bytes_of(field):
            return int(re.search(field + r":\\s+(\\d+)", Path("/proc/self/status").read_text())[1]) * 1024

        arch = prunebench.Arch(name="own", provider="timm", model="test_vit")
        network = open_network(load_plugins().backbone("timm"), arch, source="random")
        before = bytes_of("VmRSS")
        embed(Large([*range(40)]), network, cache=Path({str(tmp_path)!r}), workers=2)
        print(bytes_of("VmHWM") - before)
    """
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert int(done.stdout) < 300e6  # all pictures together have 460 MB
