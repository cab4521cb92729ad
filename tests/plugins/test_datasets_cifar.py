"""CIFAR: batches and npz files written here, damaged in every way, and the real ones."""

from __future__ import annotations

import io
import os
import pickle
import re
import struct
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest

from dataset_loading import SHARED, load, one_sentence, pixels
from prunebench import DataError, Dataset


class _PythonTwo(pickle._Pickler):  # type: ignore[name-defined, misc]
    """Writes text and bytes alike as the byte strings of Python 2, as the published batches have them."""

    dispatch: ClassVar[dict[Any, Any]] = dict(pickle._Pickler.dispatch)  # type: ignore[attr-defined]

    def save_string(self, value: str | bytes) -> None:
        raw = value.encode("ascii") if isinstance(value, str) else value
        self.write(pickle.BINSTRING + struct.pack("<i", len(raw)) + raw)
        self.memoize(value)

    dispatch[str] = dispatch[bytes] = save_string


def python_two(content: Any) -> bytes:
    file = io.BytesIO()
    _PythonTwo(file, protocol=2).dump(content)
    return file.getvalue().replace(b"numpy._core.multiarray", b"numpy.core.multiarray")


def python_three(content: Any) -> bytes:
    return pickle.dumps(content, protocol=2)


def framed(content: Any) -> bytes:
    return pickle.dumps(content, protocol=4)


WRITERS = {"python 2": python_two, "python 3": python_three, "framed": framed}


def batch(seed: int, labels: list[int], key: bytes = b"labels") -> dict[bytes, Any]:
    data = np.random.default_rng(seed).integers(0, 256, (len(labels), 3072), dtype=np.uint8)
    return {b"batch_label": b"a batch", key: labels, b"data": data, b"filenames": [b"x.png"] * len(labels)}


def write_cifar10(root: Path, write: Any = python_two, folder: str = "cifar-10-batches-py") -> list[dict[bytes, Any]]:
    (root / folder).mkdir(parents=True)
    batches = [batch(number, [number, 9, 3]) for number in range(1, 7)]
    for name, content in zip([f"data_batch_{i}" for i in range(1, 6)] + ["test_batch"], batches, strict=True):
        (root / folder / name).write_bytes(write(content))
    return batches


def write_npz(path: Path, loaded: Dataset, **changes: Any) -> None:
    arrays = {
        "train_images": pixels(loaded.train),
        "train_labels": loaded.train.labels,
        "test_images": pixels(loaded.test),
        "test_labels": loaded.test.labels,
        "class_names": np.array(loaded.class_names),
    }
    kept = {name: array for name, array in {**arrays, **changes}.items() if array is not None}
    np.savez(path, **kept)


@pytest.mark.parametrize("writer", WRITERS)
@pytest.mark.parametrize("folder", ["cifar-10-batches-py", "cifar10/cifar-10-batches-py"])
def test_cifar10_batches_become_images_in_their_order(writer: str, folder: str, tmp_path: Path) -> None:
    batches = write_cifar10(tmp_path, WRITERS[writer], folder)
    loaded = load("cifar10", tmp_path)
    assert loaded.train.labels.tolist() == [1, 9, 3, 2, 9, 3, 3, 9, 3, 4, 9, 3, 5, 9, 3]
    assert loaded.test.labels.tolist() == [6, 9, 3]
    assert loaded.class_names[loaded.train.labels[0]] == "automobile"
    # A row is the red plane, then the green, then the blue, each row by row.
    for row, column, channel in ((0, 0, 0), (5, 31, 1), (31, 2, 2)):
        expected = batches[1][b"data"][2, channel * 1024 + row * 32 + column]
        assert pixels(loaded.train)[5, row, column, channel] == expected


@pytest.mark.parametrize("writer", WRITERS)
def test_cifar100_has_its_fine_labels_and_the_names_of_its_file(writer: str, tmp_path: Path) -> None:
    folder = tmp_path / "cifar-100-python"
    folder.mkdir()
    names = [f"class {number}".encode() for number in range(100)]
    coarse = {b"coarse_labels": [0, 0]}
    (folder / "meta").write_bytes(WRITERS[writer]({b"fine_label_names": names, b"coarse_label_names": [b"x"]}))
    (folder / "train").write_bytes(WRITERS[writer](batch(1, [99, 4], b"fine_labels") | coarse))
    (folder / "test").write_bytes(WRITERS[writer](batch(2, [7, 8], b"fine_labels") | coarse))
    loaded = load("cifar100", tmp_path)
    assert (loaded.train.labels.tolist(), loaded.test.labels.tolist()) == ([99, 4], [7, 8])
    assert loaded.class_names[99] == "class 99"
    (folder / "meta").write_bytes(WRITERS[writer]({b"coarse_label_names": [b"x"]}))
    with pytest.raises(DataError, match="no fine_label_names"):
        load("cifar100", tmp_path)


@pytest.mark.parametrize("place", ["cifar10.npz", "cifar10/cifar10.npz"])
def test_batches_and_npz_give_the_same_data_set(place: str, tmp_path: Path) -> None:
    write_cifar10(tmp_path / "a")
    first = load("cifar10", tmp_path / "a")
    (tmp_path / "b" / place).parent.mkdir(parents=True)
    write_npz(tmp_path / "b" / place, first)
    second = load("cifar10", tmp_path / "b")
    for one, other in ((first.train, second.train), (first.test, second.test)):
        assert pixels(one).tobytes() == pixels(other).tobytes()
        assert one.labels.tobytes() == other.labels.tobytes()
        assert one.ids == other.ids
    assert (first.class_names, first.mean, first.std) == (second.class_names, second.mean, second.std)


class _Calls:
    """Pickles into a call of `function(*arguments)`."""

    def __init__(self, function: Any, *arguments: Any) -> None:
        self.call = function, arguments

    def __reduce__(self) -> Any:
        return self.call


@pytest.mark.parametrize("function", [os.system, eval, exec, getattr, __import__, np.load, pickle.loads])
def test_a_pickle_that_calls_anything_is_refused_and_nothing_runs(function: Any, tmp_path: Path) -> None:
    write_cifar10(tmp_path)
    trace = tmp_path / "trace"
    argument = f"touch {trace}" if function is os.system else f"open({str(trace)!r}, 'w').close()"
    content = {**batch(1, [1, 2, 3]), b"more": _Calls(function, argument)}
    for write in (python_three, framed):
        (tmp_path / "cifar-10-batches-py/data_batch_2").write_bytes(write(content))
        with pytest.raises(DataError) as caught:
            load("cifar10", tmp_path)
        assert re.search(rf"asks for \w+\.{function.__name__},", one_sentence(caught.value))
        assert "data_batch_2" in caught.value.message
    assert not trace.exists()


def test_a_pickle_reaches_no_attribute_of_what_is_allowed(tmp_path: Path) -> None:
    write_cifar10(tmp_path)
    # Protocol 4 looks dotted names up attribute by attribute: ndarray.tofile would write a file.
    name, module = b"ndarray.tofile", b"numpy"
    asking = b"\x80\x04\x8c" + bytes([len(module)]) + module + b"\x8c" + bytes([len(name)]) + name + b"\x93."
    (tmp_path / "cifar-10-batches-py/test_batch").write_bytes(asking)
    with pytest.raises(DataError, match=r"asks for numpy.ndarray.tofile"):
        load("cifar10", tmp_path)


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (b"", "EOFError"),
        (b"not a pickle", "cannot be read"),
        (python_two(batch(1, [1, 2]))[:2000], "cannot be read"),
        (python_two([1, 2, 3]), "cannot be read"),
        (python_two({b"labels": [1]}), "not a CIFAR batch"),
        (python_two({b"data": np.zeros((1, 3072), np.uint8)}), "not a CIFAR batch"),
        (python_two({b"data": np.zeros((1, 3071), np.uint8), b"labels": [1]}), "not a CIFAR batch"),
        (python_two({b"data": None, b"labels": [1]}), "not a CIFAR batch"),
        (python_two({b"data": [300] * 3072, b"labels": [1]}), "not a CIFAR batch"),
        (python_two({b"data": np.zeros((2, 3072), np.uint8), b"labels": [1]}), "2 images and labels [1]"),
        (python_two({b"data": np.zeros((1, 3072), np.uint8), b"labels": [[1]]}), "1 images and labels [1, 1]"),
    ],
)
def test_a_damaged_batch_is_refused_in_one_sentence_that_names_it(
    content: bytes, complaint: str, tmp_path: Path
) -> None:
    write_cifar10(tmp_path)
    (tmp_path / "cifar-10-batches-py/data_batch_4").write_bytes(content)
    with pytest.raises(DataError) as caught:
        load("cifar10", tmp_path)
    assert complaint in one_sentence(caught.value)
    assert "data_batch_4" in caught.value.message


def test_a_missing_batch_is_named(tmp_path: Path) -> None:
    write_cifar10(tmp_path)
    (tmp_path / "cifar-10-batches-py/data_batch_3").unlink()
    with pytest.raises(DataError, match="data_batch_3 is missing"):
        load("cifar10", tmp_path)


@pytest.mark.parametrize("damage", ["empty", "text", "truncated", "flipped", "npy", "objects"])
def test_a_damaged_npz_is_refused_in_one_sentence_that_names_it(damage: str, tmp_path: Path) -> None:
    write_cifar10(tmp_path / "a")
    path = tmp_path / "cifar10.npz"
    write_npz(path, load("cifar10", tmp_path / "a"))
    raw = path.read_bytes()
    array = io.BytesIO()
    np.save(array, np.zeros(3))
    objects = io.BytesIO()
    np.savez(objects, train_images=np.array([_Calls(os.system, f"touch {tmp_path / 'trace'}")], dtype=object))
    content = {
        "empty": b"",
        "text": b"hello",
        "truncated": raw[: len(raw) // 2],
        "flipped": raw[:5000] + bytes([raw[5000] ^ 255]) + raw[5001:],
        "npy": array.getvalue(),
        "objects": objects.getvalue(),
    }
    path.write_bytes(content[damage])
    with pytest.raises(DataError) as caught:
        load("cifar10", tmp_path)
    assert str(path) in one_sentence(caught.value)
    assert not (tmp_path / "trace").exists()


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"train_images": np.zeros((15, 3, 32, 32), np.uint8)}, "uint8 [15, 3, 32, 32]"),
        ({"train_images": np.zeros((15, 32, 32, 3), np.float32)}, "float32 [15, 32, 32, 3]"),
        ({"test_images": np.zeros((2, 32, 32, 3), np.uint8)}, "uint8 [2, 32, 32, 3]"),
        ({"class_names": None}, "class_names"),
        ({"test_labels": np.array(["a", "b", "c"])}, "cannot be read"),
    ],
)
def test_an_npz_of_other_arrays_is_refused(changes: dict[str, Any], complaint: str, tmp_path: Path) -> None:
    write_cifar10(tmp_path / "a")
    write_npz(tmp_path / "cifar10.npz", load("cifar10", tmp_path / "a"), **changes)
    with pytest.raises(DataError) as caught:
        load("cifar10", tmp_path)
    assert complaint in one_sentence(caught.value)


def cifar_root() -> Path | None:
    """Return the data root that has CIFAR-10, None where there is none."""
    roots = [*map(Path, filter(None, os.environ.get("PRUNEBENCH_DATA", "").split(os.pathsep))), SHARED]
    names = ("cifar-10-batches-py", "cifar10/cifar-10-batches-py", "cifar10.npz", "cifar10/cifar10.npz")
    return next((root for root in roots for name in names if (root / name).exists()), None)


@pytest.mark.skipif(cifar_root() is None, reason="CIFAR-10 is not below PRUNEBENCH_DATA")
def test_the_real_cifar10_has_its_published_size_and_statistics() -> None:
    root = cifar_root()
    assert root is not None
    loaded = load("cifar10", root)
    assert (pixels(loaded.train).shape, pixels(loaded.test).shape) == ((50000, 32, 32, 3), (10000, 32, 32, 3))
    assert np.bincount(loaded.train.labels).tolist() == [5000] * 10
    assert np.bincount(loaded.test.labels).tolist() == [1000] * 10
    assert [loaded.class_names[label] for label in loaded.train.labels[:3]] == ["frog", "truck", "truck"]
    sample = pixels(loaded.train)[::5] / np.float32(255)
    assert loaded.mean == pytest.approx(sample.mean(axis=(0, 1, 2), dtype=np.float64), abs=5e-3)
    assert loaded.std == pytest.approx(sample.std(axis=(0, 1, 2), dtype=np.float64), abs=5e-3)
