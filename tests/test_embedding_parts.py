"""A data set is embedded part by part: the same bytes, and nothing twice after an interruption; weights from an
installed package; half precision in the key."""

from __future__ import annotations

import hashlib
import signal
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from prunebench import Arch, BackboneSpec, EmbedContext, Embedding, PluginContractError, WeightsMissing
from prunebench.errors import CellFailed
from prunebench.plan import make_plan
from prunebench.planner import Contents
from prunebench.plugins import load_plugins
from prunebench.registry import load_registry
from prunebench.stages import embed
from prunebench.stages.embed import find_weights
from prunebench.stages.embed_parts import embed_in_parts
from prunebench.store import Store
from prunebench.tasks import Task
from prunebench.testing import entry_of

ARCH = Arch(name="any", provider="means", model="any")


class Means:
    """A backbone whose features of an image are its mean and that of the square; the logits, the mean alone."""

    def __init__(self, fails_after: int = 1000, room: int = 1000) -> None:
        self.seen: list[int] = []
        self.fails_after, self.room = fails_after, room

    def embed(self, ctx: EmbedContext) -> Embedding:
        if len(self.seen) == self.fails_after:
            raise KeyboardInterrupt
        self.seen.append(len(ctx.images))
        values = ctx.images.reshape(len(ctx.images), -1).astype(np.float32)
        features = np.stack([values.mean(axis=1), (values**2).mean(axis=1)], axis=1)
        ctx.progress(1.0, "embedding")
        batch = min(ctx.batch_size, self.room)
        return Embedding(features=features, logits=features[:, :1].copy(), preprocessing={"dtype": "float32"},
                         batch_size_used=batch, oom_retries=int(batch < ctx.batch_size))  # fmt: skip


def entry(backbone: Means):
    found = entry_of(BackboneSpec(name="means", summary="Means.", load="nowhere:MEANS"))
    return SimpleNamespace(load=lambda field: backbone, origin=found.origin)


def context(tmp_path: Path, n: int = 50, **more) -> EmbedContext:
    images = np.random.default_rng(0).integers(0, 256, (n, 4, 4, 3), dtype=np.uint8)
    return EmbedContext(images=images, n_classes=2, arch=ARCH, source="random", batch_size=2,
                        workdir=tmp_path / "work", **more)  # fmt: skip


def test_parts_give_the_same_bytes_and_grow_and_progress_is_that_of_the_whole(tmp_path):
    told: list[float] = []
    ctx = context(tmp_path, progress=lambda fraction, text="": told.append(fraction))
    whole, many = Means(), Means()
    expected, facts = embed_in_parts(Store(tmp_path / "a"), "k", "train", entry(whole), ctx, first=32)
    found, same = embed_in_parts(Store(tmp_path / "b"), "k", "train", entry(many), ctx, first=2)
    assert (whole.seen, many.seen) == ([50], [4, 8, 16, 22])
    assert facts == same == {"preprocessing": {"dtype": "float32"}, "batch_size_used": 2, "oom_retries": 0}
    assert all(found[name].tobytes() == expected[name].tobytes() for name in ("features", "logits"))
    assert not (tmp_path / "a" / "parts").exists()  # what is one part is not written twice
    assert told == pytest.approx([1.0, 4 / 50, 12 / 50, 28 / 50, 1.0])


def test_what_was_done_before_an_interruption_is_not_computed_again(tmp_path):
    store, ctx, first, second = Store(tmp_path / "cache"), context(tmp_path), Means(fails_after=3), Means()
    with pytest.raises(KeyboardInterrupt):
        embed_in_parts(store, "k", "train", entry(first), ctx, first=2)
    assert first.seen == [4, 8, 16]
    found, _ = embed_in_parts(store, "k", "train", entry(second), ctx, first=2)
    assert sum(second.seen) == 50 - 28
    expected, _ = embed_in_parts(Store(tmp_path / "other"), "k", "train", entry(Means()), ctx)
    assert found["features"].tobytes() == expected["features"].tobytes()
    assert embed_in_parts(store, "k", "train", entry(other := Means()), ctx, first=2)
    assert other.seen == []
    for key, name in (("k2", "train"), ("k", "test")):  # other features are not mixed in
        embed_in_parts(store, key, name, entry(fresh := Means()), ctx, first=2)
        assert sum(fresh.seen) == 50
    store.discard_parts("k")
    embed_in_parts(store, "k", "train", entry(again := Means()), ctx, first=2)
    assert sum(again.seen) == 50


def test_a_smaller_batch_is_kept_for_the_parts_that_follow_and_recorded(tmp_path):
    backbone = Means(room=1)
    _, facts = embed_in_parts(Store(tmp_path), "k", "train", entry(backbone), context(tmp_path), first=2)
    assert (facts["batch_size_used"], facts["oom_retries"]) == (1, 1)


def test_arrays_that_are_not_as_promised_are_refused_and_not_kept(tmp_path):
    class Wrong(Means):
        def embed(self, ctx):
            found = super().embed(ctx)
            return Embedding(features=found.features[:-1], logits=found.logits)

    with pytest.raises(PluginContractError, match="features float32"):
        embed_in_parts(Store(tmp_path), "k", "train", entry(Wrong()), context(tmp_path), first=2)
    assert not (tmp_path / "parts").exists()


def test_what_is_embedded_before_kill_9_is_not_embedded_again(tmp_path):
    script = f"""if True:
        import os, signal, sys
        from pathlib import Path
        sys.path[:0] = [{str(Path(__file__).parent)!r}]
        import test_embedding_parts as here

        class Killed(here.Means):
            def embed(self, ctx):
                if len(self.seen) == 2:
                    os.kill(os.getpid(), signal.SIGKILL)
                return super().embed(ctx)

        folder = Path({str(tmp_path)!r})
        store, killed = here.Store(folder / "cache"), here.entry(Killed())
        here.embed_in_parts(store, "k", "train", killed, here.context(folder), first=2)
    """
    assert subprocess.run([sys.executable, "-c", script]).returncode == -signal.SIGKILL
    after = Means()
    embed_in_parts(Store(tmp_path / "cache"), "k", "train", entry(after), context(tmp_path), first=2)
    assert sum(after.seen) == 50 - 12


# --------------------------------------------------------------------------------------- weights in a package


@pytest.fixture
def package(tmp_path, monkeypatch) -> Path:
    """An installed distribution `some-weights` whose import would fail; returns its file of weights."""
    site = tmp_path / "site"
    for name in ("models", "old"):
        (site / "some_weights" / name).mkdir(parents=True)
        (site / "some_weights" / name / "both.pth").write_bytes(name.encode())
    (site / "some_weights" / "__init__.py").write_text("raise RuntimeError('code was run')")
    weights = site / "some_weights" / "models" / "net.pth"
    weights.write_bytes(b"weights")
    info = site / "some_weights-1.2.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: some-weights\nVersion: 1.2\n")
    files = [path.relative_to(site).as_posix() for path in site.rglob("*") if path.is_file()]
    (info / "RECORD").write_text("".join(f"{file},,\n" for file in files))
    monkeypatch.syspath_prepend(str(site))
    return weights


@pytest.mark.parametrize("name", ["net.pth", "models/net.pth", "some_weights/models/net.pth"])
@pytest.mark.parametrize("distribution", ["some-weights", "some_weights", "Some.Weights"])
def test_weights_of_an_installed_package_are_found_without_running_it(name, distribution, package):
    sha256 = hashlib.sha256(b"weights").hexdigest()
    for expected in ("", sha256):
        path, found = find_weights(name, expected, (), distribution)
        assert (path.resolve(), found) == (package.resolve(), sha256)
    assert "some_weights" not in sys.modules


@pytest.mark.parametrize(
    ("name", "distribution", "sha256", "told", "hint"),
    [
        ("net.pth", "none-such", "", "is in package 'none-such', which is not installed", "pip install --no-deps"),
        ("nett.pth", "some-weights", "", "package 'some-weights' 1.2 has no file 'nett.pth'", "models/net.pth"),
        ("both.pth", "some-weights", "", "has several files 'both.pth'", "some_weights/old/both.pth"),
        ("net.pth", "some-weights", "00", "weights file net.pth has SHA-256", "another version"),
    ],
)  # fmt: skip
def test_weights_that_a_package_does_not_have_are_refused_with_what_to_do(
    name, distribution, sha256, told, hint, package
):
    with pytest.raises(WeightsMissing) as caught:
        find_weights(name, sha256, (), distribution)
    assert told in caught.value.message
    assert hint in caught.value.hint


REGISTRY = """
[dataset.digits]
[backbone.net]
timm = "test_resnet"
{dtype}
weights = {weights}
[suite.tiny]
dataset = "digits"
methods = ["moderate"]
backbones = ["net"]
training = [{{ arch = "net", recipe = "short" }}]
pruning_rates = ["0.9"]
seeds = 1
[recipe.short]
learner = "deepcore"
"""


def tasks(write_registry, *, dtype: str = "", half: str = "", weights: str = '"random"', shas=None) -> dict[str, Task]:
    registry = load_registry(write_registry(REGISTRY.format(dtype=dtype, weights=weights)))
    contents = Contents({"digits": "1" * 32}, shas or {}, half)
    return {task.stage: task for task in make_plan(registry, load_plugins(), "tiny", contents=contents).tasks()}


def test_features_of_a_package_are_named_by_the_content_of_its_file(write_registry):
    weights = '{ package = "some-weights", file = "net.pth" }'
    one, other = (
        tasks(write_registry, weights=weights, shas={"some-weights:net.pth": sha})["features"] for sha in ("aa", "bb")
    )
    assert one.key != other.key
    assert one.locators["weights_package"] == "some-weights"
    plain = tasks(write_registry, weights='{ file = "net.pth" }', shas={"net.pth": "aa"})["features"]
    assert plain.key == one.key  # where a file lies does not matter


def test_features_in_half_precision_are_others_than_those_in_float32_and_trainings_are_not(write_registry):
    plain = tasks(write_registry)
    half = {named: tasks(write_registry, dtype='dtype = "half"', half=named) for named in ("", "float16", "bfloat16")}
    keys = {name: found["features"].key for name, found in half.items()}
    assert keys[""] == plain["features"].key  # a processor computes in float32
    assert len({*keys.values()}) == 3
    assert half["float16"]["features"].config["arch"]["dtype"] == "float16"
    exact = tasks(write_registry, dtype='dtype = "float16"', half="bfloat16")["features"]
    assert exact.key == keys["float16"]
    assert tasks(write_registry, half="bfloat16")["features"].key == plain["features"].key
    assert {found["cell"].config["arch"]["dtype"] for found in half.values()} == {"float32"}


def test_a_processor_refuses_features_that_a_gpu_computes(write_registry):
    task = tasks(write_registry, dtype='dtype = "half"', half="bfloat16")["features"]
    with pytest.raises(CellFailed, match="these are features in bfloat16, which a GPU computes"):
        embed._check_precision(SimpleNamespace(device="cpu"), task)
    embed._check_precision(SimpleNamespace(device="cuda"), task)


def test_a_package_goes_with_a_file(write_registry):
    from prunebench.errors import RegistryError

    with pytest.raises(RegistryError, match="goes with file, not with train"):
        load_registry(write_registry(REGISTRY.format(dtype="", weights='{ package = "p", train = "short" }')))
    with pytest.raises(RegistryError, match="float32, half, float16, bfloat16"):
        load_registry(write_registry(REGISTRY.format(dtype='dtype = "fp16"', weights='"random"')))
