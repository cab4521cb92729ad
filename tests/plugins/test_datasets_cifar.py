"""CIFAR and SVHN: files written here in the published formats, whose MD5s stand in for the published ones."""

from __future__ import annotations

import io
import os
import pickle
import re
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import scipy.io
from torchvision.datasets import CIFAR10, CIFAR100, SVHN

from dataset_loading import load, md5, pixels, refusal
from prunebench import Dataset
from prunebench.stages.data import fingerprint

LABELS = [3, 1, 4, 0, 5, 9, 2, 6, 8, 7]
FOLDERS = {"cifar10": "cifar-10-batches-py", "cifar100": "cifar-100-python"}
TEN = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]


class _PythonTwo(pickle._Pickler):  # type: ignore[name-defined, misc]
    """Writes text and bytes alike as the byte strings of Python 2, as the published batches have them."""

    dispatch: ClassVar[dict[Any, Any]] = dict(pickle._Pickler.dispatch)  # type: ignore[attr-defined]

    def save_string(self, value: str | bytes) -> None:
        raw = value.encode("ascii") if isinstance(value, str) else value
        self.write(pickle.BINSTRING + struct.pack("<i", len(raw)) + raw)
        self.memoize(value)

    def save_bool(self, value: bool) -> None:
        self.save_long(int(value))  # the flags of a dtype were integers, which NumPy deprecates

    dispatch[str] = dispatch[bytes] = save_string
    dispatch[bool] = save_bool


def write(path: Path, content: Mapping[str, Any]) -> None:
    file = io.BytesIO()
    _PythonTwo(file, protocol=2).dump(content)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(file.getvalue().replace(b"numpy._core.multiarray", b"numpy.core.multiarray"))


def rows(n: int, seed: int) -> Any:
    return np.random.default_rng(seed).integers(0, 256, (n, 3072), dtype=np.uint8)


def publish(monkeypatch: pytest.MonkeyPatch, source: Any, folder: Path) -> None:
    """Let torchvision expect the MD5s of the files of a folder."""
    for name in ("train_list", "test_list"):
        monkeypatch.setattr(source, name, [[file, md5(folder / file)] for file, _ in getattr(source, name)])
    monkeypatch.setattr(source, "meta", {**source.meta, "md5": md5(folder / source.meta["filename"])})


@pytest.fixture
def cifar10(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A data root with ten training and two test images in CIFAR-10's batches."""
    folder = tmp_path / "root" / FOLDERS["cifar10"]
    for i in range(5):
        write(folder / f"data_batch_{i + 1}", {"labels": LABELS[2 * i : 2 * i + 2], "data": rows(2, i)})
    write(folder / "test_batch", {"labels": [6, 9], "data": rows(2, 5)})
    write(folder / "batches.meta", {"label_names": TEN, "num_vis": 3072})
    publish(monkeypatch, CIFAR10, folder)
    return folder.parent


def test_cifar10_batches_become_images_in_their_order(cifar10: Path) -> None:
    loaded = load("cifar10", cifar10)
    assert (loaded.train.labels.tolist(), loaded.test.labels.tolist()) == (LABELS, [6, 9])
    assert loaded.class_names == tuple(TEN)
    assert (loaded.train.ids[9], loaded.test.ids) == ("train/00009", ("test/00000", "test/00001"))
    # A row is the red plane, then the green, then the blue, each row by row.
    for row, column, channel in ((0, 0, 0), (5, 31, 1), (31, 2, 2)):
        assert pixels(loaded.train)[5, row, column, channel] == rows(2, 2)[1, channel * 1024 + row * 32 + column]
    (cifar10 / "cifar10").mkdir()
    (cifar10 / FOLDERS["cifar10"]).rename(cifar10 / "cifar10" / FOLDERS["cifar10"])
    assert fingerprint(load("cifar10", cifar10)) == fingerprint(loaded)


def test_cifar100_has_its_fine_labels_and_the_names_of_its_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / FOLDERS["cifar100"]
    names = [f"class {number}" for number in range(100)]
    write(folder / "meta", {"fine_label_names": names, "coarse_label_names": ["x"]})
    for title, labels in (("train", list(range(99, -1, -1))), ("test", [7, 8])):
        content = {"fine_labels": labels, "coarse_labels": [0] * len(labels), "data": rows(len(labels), 0)}
        write(folder / title, content)
    publish(monkeypatch, CIFAR100, folder)
    loaded = load("cifar100", tmp_path)
    assert (loaded.train.labels.tolist(), loaded.test.labels.tolist()) == (list(range(99, -1, -1)), [7, 8])
    assert loaded.class_names == tuple(names)


class _Calls:
    """Pickles into a command that leaves a trace."""

    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self) -> Any:
        return os.system, (f"touch {self.trace}",)


def test_every_file_that_is_not_the_published_one_is_named_and_none_is_unpickled(cifar10: Path) -> None:
    folder, trace = cifar10 / FOLDERS["cifar10"], cifar10 / "trace"
    (folder / "data_batch_2").write_bytes(pickle.dumps({"labels": _Calls(trace)}))
    (folder / "data_batch_3").write_bytes((folder / "data_batch_3").read_bytes()[:1000])
    (folder / "batches.meta").unlink()
    message = refusal("cifar10", cifar10)
    for name in ("data_batch_2", "data_batch_3"):
        assert f"{folder / name} is not the published file" in message
    assert f"{folder / 'batches.meta'} is missing" in message
    assert "data_batch_4" not in message
    assert not trace.exists()


# -------------------------------------------------------------------------------------------------- npz


def write_npz(path: Path, loaded: Dataset, **changes: Any) -> None:
    arrays = {
        "train_images": pixels(loaded.train),
        "train_labels": loaded.train.labels,
        "test_images": pixels(loaded.test),
        "test_labels": loaded.test.labels,
        "class_names": np.array(loaded.class_names),
    }
    path.parent.mkdir(exist_ok=True)
    np.savez(path, **{name: array for name, array in {**arrays, **changes}.items() if array is not None})


@pytest.mark.parametrize("place", ["cifar10.npz", "cifar10/cifar10.npz"])
@pytest.mark.parametrize("changes", [{}, {"class_names": np.array(TEN, dtype=bytes)}], ids=["text", "bytes"])
def test_batches_and_npz_give_the_same_data_set(
    place: str, changes: dict[str, Any], cifar10: Path, tmp_path: Path
) -> None:
    loaded = load("cifar10", cifar10)
    write_npz(tmp_path / place, loaded, **changes)
    assert fingerprint(load("cifar10", tmp_path)) == fingerprint(loaded)


@pytest.mark.parametrize("damage", ["empty", "truncated", "flipped", "one array", "objects"])
def test_a_damaged_npz_is_named_and_nothing_in_it_runs(damage: str, cifar10: Path, tmp_path: Path) -> None:
    path = tmp_path / "cifar10.npz"
    write_npz(path, load("cifar10", cifar10))
    raw = path.read_bytes()
    array, objects = io.BytesIO(), io.BytesIO()
    np.save(array, np.zeros(3))
    np.savez(objects, train_images=np.array([_Calls(tmp_path / "trace")], dtype=object))
    content = {
        "empty": b"",
        "truncated": raw[: len(raw) // 2],
        "flipped": raw[:5000] + bytes([raw[5000] ^ 255]) + raw[5001:],
        "one array": array.getvalue(),
        "objects": objects.getvalue(),
    }
    path.write_bytes(content[damage])
    assert str(path) in refusal("cifar10", tmp_path)
    assert not (tmp_path / "trace").exists()


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"train_images": np.zeros((10, 3, 32, 32), np.uint8)}, r"images uint8 \[10, 3, 32, 32\]"),
        ({"train_images": np.zeros((10, 32, 32, 3), np.float32)}, r"images float32 \[10, 32, 32, 3\]"),
        ({"test_images": np.zeros((1, 32, 32, 3), np.uint8)}, r"uint8 \[1, 32, 32, 3\] and labels int64 \[2\]"),
        ({"test_labels": np.array([[6], [9]])}, r"labels int64 \[2, 1\]"),
        ({"test_labels": np.array([0.5, 1.5])}, "labels float64"),
        ({"test_labels": np.array(["6", "9"])}, "labels <U1"),
        ({"class_names": None}, "class_names"),
    ],
)
def test_an_npz_of_other_arrays_is_refused(
    changes: dict[str, Any], complaint: str, cifar10: Path, tmp_path: Path
) -> None:
    write_npz(tmp_path / "cifar10.npz", load("cifar10", cifar10), **changes)
    assert re.search(complaint, refusal("cifar10", tmp_path))


# ------------------------------------------------------------------------------------------------- SVHN


@pytest.mark.parametrize("folder", ["", "svhn", "SVHN"])
def test_svhn_has_its_tens_as_zeros_and_its_images_upright(
    folder: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = tmp_path / folder
    place.mkdir(exist_ok=True)
    images = np.random.default_rng(0).integers(0, 256, (32, 32, 3, 10), dtype=np.uint8)
    published = {}
    for title in ("train", "test"):
        path = place / f"{title}_32x32.mat"
        scipy.io.savemat(path, {"X": images, "y": np.array([[label or 10] for label in LABELS], np.uint8)})
        published[title] = ["", path.name, md5(path)]
    monkeypatch.setattr(SVHN, "split_list", {**SVHN.split_list, **published})
    loaded = load("svhn", tmp_path)
    assert loaded.train.labels.tolist() == loaded.test.labels.tolist() == LABELS
    assert np.array_equal(pixels(loaded.train), images.transpose(3, 0, 1, 2))
    theirs = SVHN(place, split="train")
    assert theirs.labels.tolist() == LABELS
    assert np.array_equal(pixels(loaded.train), theirs.data.transpose(0, 2, 3, 1))
    assert loaded.class_names[LABELS[0]] == "3"
    (place / "test_32x32.mat").write_bytes(b"no matrix")
    assert f"{place / 'test_32x32.mat'} is not the published file" in refusal("svhn", tmp_path)


def test_the_extra_digits_of_svhn_follow_those_for_training(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    published, rng = {}, np.random.default_rng(1)
    for title, digits in (("train", LABELS), ("test", LABELS), ("extra", [0, 7])):
        images = rng.integers(0, 256, (32, 32, 3, len(digits)), dtype=np.uint8)
        path = tmp_path / f"{title}_32x32.mat"
        scipy.io.savemat(path, {"X": images, "y": np.array([[digit or 10] for digit in digits], np.uint8)})
        published[title] = ["", path.name, md5(path)]
    monkeypatch.setattr(SVHN, "split_list", published)
    loaded, plain = load("svhn", tmp_path, extra=True), load("svhn", tmp_path)
    assert loaded.train.labels.tolist() == [*LABELS, 0, 7]
    assert loaded.train.ids[-1] == "extra/00001"
    assert np.array_equal(pixels(loaded.train)[-2:], images.transpose(3, 0, 1, 2))
    assert np.array_equal(pixels(loaded.train)[:-2], pixels(plain.train))
    assert fingerprint(loaded) != fingerprint(plain)
    path.unlink()
    assert len(load("svhn", tmp_path).train) == 10
    assert "extra_32x32.mat is missing" in refusal("svhn", tmp_path, extra=True)
