"""What a run asks of a data set of any plugin, and suites of data sets that are features alone."""

from __future__ import annotations

import json
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from prunebench import DataError, Dataset, DatasetSpec, Split
from prunebench.errors import FingerprintMismatch
from prunebench.plugins import Entry, Origin
from prunebench.settings import Settings
from prunebench.stages import data as stages_data
from prunebench.stages.bench import make_bench
from prunebench.stages.data import dataset, fingerprint, load_dataset
from prunebench.tasks import Task
from registries import HEAD, NETWORK, TRAINING

IMAGES = np.random.default_rng(0).integers(0, 256, (6, 8, 8, 3), dtype=np.uint8)


def split(title: str, **changes: Any) -> Split:
    made = Split(images=IMAGES, labels=np.arange(6) % 3, ids=tuple(f"{title}/{row}" for row in range(6)))
    return replace(made, **changes)


def data(*, both: dict[str, Any] | None = None, train: Any = None, test: Any = None, **changes: Any) -> Dataset:
    splits = {
        name: split(name, **{**(both or {}), **(more or {})}) for name, more in (("train", train), ("test", test))
    }
    return replace(Dataset(name="mine", class_names=("a", "b", "c"), **splits), **changes)


LOADED: list[Dataset] = []


def load(ctx: Any) -> Dataset:
    return LOADED[-1]


ENTRY = Entry(DatasetSpec(name="mine", summary="A test.", load=f"{__name__}:load"), Origin("mine", "somebody", "1"))


def refusal(loaded: Dataset) -> str:
    LOADED.append(loaded)
    with pytest.raises(DataError) as caught:
        load_dataset(ENTRY, {}, ())
    assert caught.value.hint
    return caught.value.message


def test_a_data_set_that_keeps_its_promises_is_read_only() -> None:
    LOADED.append(data(both={"images": IMAGES.copy()}))
    found = load_dataset(ENTRY, {}, ())
    assert found.train.images is not None
    assert not found.train.images.flags.writeable
    assert not found.train.labels.flags.writeable


FLAT: dict[str, Any] = {"images": None, "features": np.ones((6, 4), np.float32)}


@pytest.mark.parametrize(
    ("broken", "message"),
    [
        (
            data(both={"images": IMAGES / 255}),
            "images are float64 [6, 8, 8, 3], expected uint8 [6, height, width, channels]",
        ),
        (data(both={"images": IMAGES.astype(np.float32)}), "images are float32"),
        (data(both={"images": IMAGES.astype(np.int64)}), "images are int64"),
        (data(both={"images": IMAGES[..., 0]}), "images are uint8 [6, 8, 8], expected"),
        (data(both={"images": IMAGES.tolist()}), "images are a list"),
        (data(both={"images": IMAGES[:5]}), "6 labels, 5 images"),
        (data(both={"images": IMAGES[:, :0]}), "images are uint8 [6, 0, 8, 3]"),
        (data(both={"labels": [0, 1, 2, 0, 1, 2]}), "labels are a list, expected int64 [6]"),
        (data(both={"labels": np.arange(6) % 3.0}), "labels are float64 [6]"),
        (data(both={"labels": np.eye(6, 3, dtype=np.int64)}), "labels are int64 [6, 3]"),
        (data(both={"labels": np.arange(6)}), "labels run from 0 to 5, and there are 3 classes"),
        (data(both={"labels": np.arange(6) % 3 - 1}), "labels run from -1 to 1"),
        (data(both={"images": None}), "has neither images nor features"),
        (data(both={**FLAT, "features": np.ones((6, 4))}), "features are float64 [6, 4], expected float32 [6, d]"),
        (data(both={**FLAT, "features": np.full((6, 4), np.nan, np.float32)}), "features of 6 samples are not finite"),
        (data(both={**FLAT, "features": np.ones(6, np.float32)}), "features are float32 [6], expected"),
        (data(train=FLAT), "train samples of shape"),
        (data(test={"images": IMAGES[:, :4]}), "test samples of shape"),
        (data(train={"ids": ("a",) * 6}), "1 distinct ids for 6 samples"),
        (data(both={"ids": tuple("abcdef")}), "6 ids are in train and test, such as 'a'"),
        (data(both={"ids": tuple(range(6))}), "ids are strings, and 0 is int"),
        (data(class_names=("a", "b", "a")), "1 class names stand for two classes, such as 'a'"),
        (data(test={"images": IMAGES[:0], "labels": np.arange(0), "ids": ()}), "has no samples"),
    ],
)
def test_a_run_names_the_data_set_and_what_was_expected(broken: Dataset, message: str) -> None:
    found = refusal(broken)
    assert message in found
    assert found.startswith("data set mine")


PLUGIN = """
from prunebench import Dataset, DatasetSpec, Split, hookimpl

@hookimpl
def prunebench_datasets():
    return [DatasetSpec(name="embedded", summary="Features alone.", load="embedded:load", n_classes=3)]

def load(ctx):
    import numpy as np
    def split(title, n, seed):
        labels = np.arange(n) % 3
        features = np.random.default_rng(seed).normal(size=(n, 8)).astype(np.float32)
        features[np.arange(n), labels] += 4
        return Split(images=None, features=features, labels=labels, ids=tuple(f"{title}/{i}" for i in range(n)))
    return Dataset(name="embedded", train=split("train", 90, 0), test=split("test", 30, 1), class_names=("a", "b", "c"))
"""
SUITE = f"""{HEAD}
[dataset.embedded]
{NETWORK}
[suite.flat]
dataset = "embedded"
methods = ["random", "moderate", "least-confidence", "entropy", "echo"]
baseline = "random"
unpruned = "full"
backbones = ["untrained"]
pruning_rates = ["0.5"]
seeds = 1
{TRAINING}"""


def test_every_method_that_needs_no_pixels_runs_on_features_alone(sandbox: Any) -> None:
    (sandbox.folder / "registry.toml").write_text(SUITE, encoding="utf-8")
    sandbox.install("embedded", PLUGIN)
    done = sandbox.call("run", "flat", "--executor", "serial")
    lines = [line for file in (sandbox.folder / "results").rglob("*.jsonl") for line in file.read_text().splitlines()]
    found = {record["method"]: record for record in map(json.loads, lines) if record["kind"] == "cell"}
    assert set(found) == {"random", "moderate", "least-confidence", "entropy", "echo", "full"}, done.stderr
    status = {name: (record["status"], record.get("status_reason", "")) for name, record in found.items()}
    assert status.pop("echo")[0] == "not_applicable"
    assert {state for state, _ in status.values()} == {"ok"}, status
    assert "reads pixels, and data set 'embedded' has features alone" in found["echo"]["status_reason"]
    assert found["full"]["accuracy"] > 0.8


def test_a_large_data_set_is_decoded_once_and_shared_by_all_processes(
    tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stages_data, "_SHARED_BYTES", 1000)
    whole = data(mean=(0.5, 0.5, 0.5), std=(0.2, 0.2, 0.2))
    LOADED.append(whole)
    key = fingerprint(whole)
    where = {"name": "mine", "spec": "mine", "params": {}}
    task = Task("features", {"dataset": {"fingerprint": key}}, locators={"dataset": where})
    catalogue = SimpleNamespace(dataset=lambda name: ENTRY)
    benches = [make_bench(Settings(str(tmp_path), device="cpu"), catalogue) for _ in range(2)]  # type: ignore[arg-type]
    first = dataset(benches[0], task)
    LOADED.append(data(name="another"))  # nobody loads it: what is stored has the content of the key
    second = dataset(benches[1], task)
    for found in (first, second):
        assert fingerprint(found) == key
        assert (found.name, found.class_names, found.mean) == ("mine", whole.class_names, whole.mean)
        assert found.train.images is not None
        assert isinstance(found.train.images, np.memmap)
        assert not found.train.images.flags.writeable
    LOADED.append(data(class_names=("x", "y", "z")))
    other = Task("features", {"dataset": {"fingerprint": "0" * 32}}, locators={"dataset": where})
    with pytest.raises(FingerprintMismatch, match="had 00000000000000000000000000000000 when the run started"):
        dataset(benches[0], other)
