"""A network that was trained here is a file that the next slice starts from."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from safetensors import safe_open

from conftest import Sandbox
from prunebench.contexts import EmbedContext
from prunebench.identify import identified_plan, load_registered
from prunebench.plan import Filters
from prunebench.plugins import load_plugins
from prunebench.registry import load_registry
from prunebench.request import Request
from prunebench.settings import Settings
from prunebench.stages.bench import make_bench
from prunebench.stages.embed import find_weights
from prunebench.worker import ensure
from registries import DIGITS, TRAINING

ROOT = Path(__file__).resolve().parent.parent
NETWORKS = """
[recipe.short]
learner = "deepcore"
params = { iterations = 5, batch_size = 16 }

[backbone.own]
timm = "test_vit"
image_size = 16
kwargs = { patch_size = 4 }
weights = { train = "short" }
"""
SUITE = """
[suite.s]
dataset = "digits"
methods = ["moderate"]
backbones = ["own"]
keep = ["0.1"]
seeds = 2
backbone_seeds = 2
"""


@dataclass
class Trained:
    """A sandbox in which both networks of a suite were trained, and their features."""

    bench: Sandbox
    features: list[np.ndarray]

    def registry(self, more: str = "") -> None:
        (self.bench.folder / "registry.toml").write_text(DIGITS + NETWORKS + SUITE + TRAINING + more, encoding="utf-8")

    def features_of(self, suite: str, *roots: str) -> list[np.ndarray]:
        with self.bench.entered():
            catalogue, registry = load_plugins(), load_registry()
            settings = Settings(str(self.bench.folder / "cache"), roots, device="cpu")
            plan = identified_plan(Request(registry, catalogue, suite, Filters(), settings, Path("results")))
            tasks = [t for t in plan.tasks() if t.stage == "features" and t.config["arch"]["model"] == "test_vit"]
            return [ensure(make_bench(settings, catalogue), task).arrays["train_features"].copy() for task in tasks]


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> Trained:
    made = Trained(Sandbox(tmp_path_factory.mktemp("trained")), [])
    made.registry()
    made.features = made.features_of("s")
    return made


@pytest.mark.parametrize("replicate", [0, 1])
def test_an_exported_network_is_registered_by_the_lines_that_are_printed_and_has_the_same_features(trained, replicate):
    data = trained.bench.folder / "data"
    data.mkdir(exist_ok=True)
    out = data / f"own-{replicate}.safetensors"
    done = trained.bench.call("export", "backbone", "own", "--out", str(out), "--replicate", str(replicate))
    assert done.returncode == 0, done.stderr
    assert hashlib.sha256(out.read_bytes()).hexdigest() in done.stdout
    with safe_open(out, "np") as file:
        known = file.metadata()
        assert not [name for name in file.keys() if "dynamics" in name]  # noqa: SIM118
    assert (known["dataset"], known["recipe"], known["timm"]) == ("digits", "short", "test_vit")
    assert f"accuracy {known['accuracy']} on the test set of digits" in done.stderr
    suite = SUITE.replace("suite.s]", "suite.next]").replace('"own"', '"digits-own"')
    suite = suite.replace("backbone_seeds = 2\n", "")
    trained.registry(done.stdout + suite + TRAINING)
    try:
        [found] = trained.features_of("next", str(data))
        np.testing.assert_array_equal(found, trained.features[replicate])
        assert not np.array_equal(found, trained.features[1 - replicate])
    finally:
        trained.registry()


def test_a_network_that_is_exported_again_is_the_same_file(trained):
    found = set()
    for number in range(3):
        out = trained.bench.folder / f"again-{number}.safetensors"
        assert trained.bench.call("export", "backbone", "own", "--out", str(out)).returncode == 0
        found.add(out.read_bytes())
        with safe_open(out, "np") as file:
            assert file.metadata()["network"] == "own"
    assert len(found) == 1


FAULTS = {
    "an unknown network": (["owm"], 2, "no network is named 'owm'", "'own'"),
    "a network that is not trained here": (["untrained", "--suite", "s"], 2, "are not trained here: random", "train ="),
    "a network of no suite": (["untrained"], 2, "no suite trains untrained", "--suite"),
    "a network that nobody trained yet": (
        ["own", "--replicate", "7"], 4, "was not trained on digits yet", "prunebench run s --backbone own",
    ),
    "another cache": (["own", "--cache", "none"], 4, "was not trained on digits yet", "--backbone own"),
    "an unknown suite": (["own", "--suite", "t"], 2, "no suite is named 't'", "known: s"),
    "a folder that cannot be written": (["own", "--out", "/proc/none/x"], 5, "/proc/none/x", "--out FILE"),
}  # fmt: skip


@pytest.mark.parametrize("fault", FAULTS)
def test_an_export_of(fault, trained):
    arguments, code, message, hint = FAULTS[fault]
    done = trained.bench.call("export", "backbone", "--out", "x.safetensors", *arguments)
    assert done.returncode == code, done.stderr
    assert message in done.stderr.partition("hint:")[0]
    assert hint in done.stderr.partition("hint:")[2]
    assert not (trained.bench.folder / "x.safetensors").exists()


def test_a_network_that_is_trained_on_two_data_sets_asks_which(trained):
    more = SUITE.replace("suite.s]", "suite.t]").replace('dataset = "digits"', 'dataset = "mine"')
    trained.registry('[dataset.mine]\nspec = "digits"\n' + more + TRAINING)
    try:
        done = trained.bench.call("export", "backbone", "own", "--out", "x.safetensors")
        assert (done.returncode, "own is trained on digits, mine" in done.stderr) == (2, True)
        assert "--suite s" in done.stderr
    finally:
        trained.registry()


# ------------------------------------------------------------------------------ the network that CIFAR-10 starts from

ROOTS = tuple(filter(None, os.environ.get("PRUNEBENCH_DATA", "").split(os.pathsep)))
WEIGHTS = "cifar10_deepcore_resnet18_fp16.safetensors"


def here(*names: str) -> bool:
    return all(
        any(Path(root, folder, name).is_file() for root in ROOTS for folder in ("", "weights")) for name in names
    )


@pytest.mark.thorough
@pytest.mark.timeout(1800)  # 2,000 images through a ResNet-18 on the processor
@pytest.mark.skipif(not here("cifar10.npz", WEIGHTS), reason="CIFAR-10 and its ResNet-18 are not in PRUNEBENCH_DATA")
def test_the_registered_resnet18_classifies_cifar10_as_it_did_where_it_was_trained():
    registry, catalogue = load_registry(ROOT / "registry.toml"), load_plugins()
    assert registry.suite("cifar10-table1").backbones == ("cifar10-resnet18",)
    network = registry.networks["cifar10-resnet18"]
    file, _ = find_weights(network.weights.file, network.weights.sha256, ROOTS)
    test = load_registered(registry.datasets["cifar10"], catalogue, ROOTS).test
    context = EmbedContext(
        params={}, seed=0, device="cpu", threads=1, workdir=file.parent, deadline=None, images=test.images[:2000],
        n_classes=10, arch=network.arch, source="file", weights=file,
    )  # fmt: skip
    logits = catalogue.backbone("timm").load().embed(context).logits
    # 95.2 % where it was trained, in bf16: of 2,000 images that is 1,904, give or take 10.
    assert (logits.argmax(axis=1) == test.labels[:2000]).mean() == pytest.approx(0.952, abs=0.005)
