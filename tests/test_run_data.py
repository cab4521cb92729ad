"""What a run does with its data and says of them: heads that know little, images of one colour, samples of both splits;
and large data are loaded once."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from prunebench import Dataset, Split
from prunebench.plugins import load_plugins
from prunebench.stages.data import remarks
from prunebench.stages.heads import head_caveat
from prunebench.store import Artefact
from prunebench.tasks import Task

PLUGIN = '''
import numpy as np
from prunebench import Arch, BackboneSpec, Embedding, hookimpl


class Seer:
    """Knows the class of an image by its brightness, and names the classes as its model is called."""

    def build(self, arch, n_classes, channels, image_size):
        raise NotImplementedError

    def embed(self, ctx):
        tone = ctx.images.mean(axis=(1, 2, 3))
        seen = np.clip(tone // 64, 0, ctx.n_classes - 1).astype(int)
        order = {"sound": seen, "renamed": (seen + 1) % ctx.n_classes, "blind": np.zeros_like(seen)}[ctx.arch.model]
        features = np.stack([tone, ctx.images.std(axis=(1, 2, 3))], axis=1).astype(np.float32)
        return Embedding(features=features, logits=8 * np.eye(ctx.n_classes, dtype=np.float32)[order])


SEER = Seer()


@hookimpl
def prunebench_backbones():
    return [BackboneSpec(name="seer", summary="Sees brightness.", load="seer:SEER")]
'''

REGISTRY = """
schema = 1
protocol = "test"
[dataset.photos]
spec = "image-folder"
params = { path = "photos", image_size = 8, train = "train", test = "test" }
[backbone.sound]
provider = "seer"
model = "sound"
weights = "hub"
[backbone.renamed]
provider = "seer"
model = "renamed"
weights = "hub"
[backbone.mended]
provider = "seer"
model = "renamed"
weights = "hub"
head = "fitted"
[recipe.probe]
learner = "probe"
[suite.mine]
dataset = "photos"
methods = ["random", "margin", "moderate"]
baseline = "random"
backbones = ["sound", "renamed", "mended"]
keep = ["0.5"]
seeds = 1
training = [{ arch = "sound", recipe = "probe" }]
"""


def draw(path: Path, tone: int, seed: int) -> None:
    pixels = np.random.default_rng(seed).integers(tone - 9, tone + 9, (8, 8, 3)).astype(np.uint8)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)


def test_a_suite_tells_a_head_with_its_classes_in_another_order_flat_images_and_shared_ones(sandbox):
    root = sandbox.folder / "data" / "photos"
    for label in range(3):
        for number in range(8):
            draw(root / "train" / f"class {label}" / f"{number}.png", 32 + 64 * label, 10 * label + number)
        draw(root / "test" / f"class {label}" / "0.png", 32 + 64 * label, 10 * label)
        draw(root / "test" / f"class {label}" / "1.png", 32 + 64 * label, 100 + label)
    Image.new("RGB", (8, 8), (40, 40, 40)).save(root / "train" / "class 0" / "flat.png")
    sandbox.install("seer", PLUGIN)
    (sandbox.folder / "registry.toml").write_text(REGISTRY, encoding="utf-8")
    done = sandbox.call("run", "mine", "--executor", "serial")
    assert done.returncode == 0, done.stderr
    assert "1 image is of one colour alone, such as 'train/class 0/flat.png'" in done.stderr
    assert "3 samples of train are in test, too, such as 'train/class 0/0.png'" in done.stderr
    assert "head of sound: right on 100.0%" in done.stderr
    assert "head of renamed: right on 0.0%" in done.stderr
    assert "head of mended: right on 100.0%" in done.stderr
    caveats = {}
    for file in (sandbox.folder / "results" / "mine" / "photos").glob("*.jsonl"):
        for record in map(json.loads, file.read_text(encoding="utf-8").splitlines()):
            pair = " ".join(record[side] for side in ("backbone_a", "backbone_b") if side in record)
            caveats[record["method"], record.get("score_backbone", pair)] = record["caveat"]
    for place in ("renamed", "sound renamed", "renamed mended"):
        told = caveats.pop(("margin", place))
        assert told.startswith("the head of renamed has its classes in another order than the data: right on 0%")
    assert not any("head" in caveat for caveat in caveats.values())
    assert "in another order" in (sandbox.folder / "results" / "mine" / "board" / "leaderboard.md").read_text("utf-8")


def caveat(predicted: Any, labels: Any, scorer: str = "margin", source: str = "hub") -> str:
    """Return what is said of predictions int [n] for labels int [n] of images."""
    n, n_classes = len(labels), int(max(labels)) + 1
    split = Split(images=np.zeros((n, 1, 1, 3), np.uint8), labels=np.asarray(labels), ids=tuple(map(str, range(n))))
    data = Dataset(name="d", train=split, test=split, class_names=tuple(map(str, range(n_classes))))
    features = Task("features", {"arch": {"model": "net"}, "weights": {"source": source}}, {})
    arrays = {"train_logits": np.eye(n_classes, dtype=np.float32)[predicted]}
    task, inputs = Task("scores", {}, {"features": features}), {"features": Artefact(arrays, {}, Path())}
    return head_caveat(load_plugins().scorer(scorer).spec, task, inputs, data)


LABELS = np.arange(600) % 6
DRAWN = np.random.default_rng(0).integers(6, size=600)


@pytest.mark.parametrize(
    ("predicted", "words"),
    [
        (LABELS, ""),
        (np.where(np.arange(600) % 2, LABELS, DRAWN), ""),
        (DRAWN, "is near chance: right on 1"),
        (np.zeros(600, dtype=int), "right on 17% of the training samples, chance alone on 17%"),
        ((LABELS + 1) % 6, "in another order than the data: right on 0% of the training samples, and on 100%"),
        (np.array([1, 0, 2, 3, 4, 5])[LABELS], "in another order than the data: right on 67%"),
    ],
)
def test_a_head_is_doubted_where_its_classes_have_other_names_or_it_knows_hardly_more_than_chance(predicted, words):
    said = caveat(predicted, LABELS)
    assert words in said
    assert bool(said) == bool(words)


def test_two_classes_are_judged_beside_the_share_of_the_larger_one():
    labels = np.array([0] * 90 + [1] * 10)
    assert caveat(labels, labels) == ""
    assert "right on 90% of the training samples, chance alone on 90%" in caveat(np.zeros(100, dtype=int), labels)


@pytest.mark.parametrize(("scorer", "source"), [("moderate", "hub"), ("margin", "random")])
def test_nothing_is_said_where_no_predictions_are_read_or_the_network_is_untrained_on_purpose(scorer, source):
    assert caveat(np.zeros(600, dtype=int), LABELS, scorer, source) == ""


def test_features_that_are_in_both_splits_are_remarked_and_images_of_several_colours_are_not():
    rows = np.arange(12, dtype=np.float32).reshape(6, 2)
    labels = np.zeros(2, dtype=np.int64)
    train = Split(images=None, features=rows[:4], labels=np.zeros(4, dtype=np.int64), ids=("a", "b", "c", "d"))
    clean = Split(images=None, features=rows[4:], labels=labels, ids=("e", "f"))
    shared = Split(images=None, features=rows[[2, 5]], labels=labels, ids=("e", "f"))
    assert remarks(Dataset(name="d", train=train, test=clean, class_names=("one",))) == ()
    (said,) = remarks(Dataset(name="d", train=train, test=shared, class_names=("one",)))
    assert "1 sample of train is in test, too, such as 'c', which is 'e' there" in said
    striped = np.zeros((2, 4, 4, 3), np.uint8)
    striped[:, 1] = 9
    images = [Split(images=striped + np.uint8(i), labels=labels, ids=(f"{i}", f"{i}x")) for i in range(2)]
    assert remarks(Dataset(name="d", train=images[0], test=images[1], class_names=("one",))) == ()


COUNTED = """
import os
from pathlib import Path

import numpy as np
from prunebench import Dataset, DatasetSpec, Split, hookimpl


def load(ctx):
    with Path(os.environ["PRUNEBENCH_CACHE"]).parent.joinpath("loads.txt").open("a") as file:
        file.write(f"{os.getpid()}\\n")
    pixels = np.random.default_rng(0).integers(0, 256, (440, 128, 128, 3), dtype=np.uint8)
    parts = [Split(images=pixels[one], labels=np.arange(len(pixels[one])) % 3, ids=tuple(f"{n}{i}" for i in range(
        len(pixels[one])))) for n, one in (("a", slice(0, 400)), ("b", slice(400, 440)))]
    return Dataset(name="counted", train=parts[0], test=parts[1], class_names=("x", "y", "z"))


@hookimpl
def prunebench_datasets():
    return [DatasetSpec(name="counted", summary="Counts.", load="counted:load")]
"""


@pytest.mark.thorough
def test_large_images_are_loaded_once_for_all_workers_of_a_run(sandbox):
    sandbox.install("seer", PLUGIN)
    sandbox.install("counted", COUNTED)
    registry = REGISTRY.replace('[dataset.photos]\nspec = "image-folder"\n', "[dataset.counted]\n")
    registry = re.sub("params = .*", "", registry).replace('dataset = "photos"', 'dataset = "counted"')
    (sandbox.folder / "registry.toml").write_text(registry, encoding="utf-8")
    done = sandbox.run("run", "mine", "--jobs", "2", "-q", "--backbone", "sound")
    assert done.returncode == 0, done.stderr
    assert len((sandbox.folder / "loads.txt").read_text().split()) == 1
