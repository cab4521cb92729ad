"""The data sets: files written here in the layouts of their publishers, damaged in every way, and the real ones."""

from __future__ import annotations

import gzip
import importlib
import io
import os
import pickle
import re
import struct
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image
from sklearn.datasets import load_digits

import prunebench_datasets
from prunebench import DataContext, DataError, Dataset, DatasetMissing, Split
from prunebench_datasets.idx import read_idx
from prunebench_datasets.splits import held_out

SPECS = {spec.name: spec for spec in prunebench_datasets.prunebench_datasets()}
FASHION = Path("/usr/share/datasets/fashion-mnist")
SHARED = Path(__file__).resolve().parents[2].parent / "shared" / "data"


def load(name: str, *roots: Path, **params: Any) -> Dataset:
    """Load a data set as the harness does."""
    spec = SPECS[name]
    module, function = spec.load.split(":")
    context = DataContext(params=spec.resolve_params(params), roots=roots, obtain=spec.obtain)
    loaded: Dataset = getattr(importlib.import_module(module), function)(context)
    assert loaded.n_classes == (spec.n_classes or loaded.n_classes)
    for split in (loaded.train, loaded.test):
        assert split.labels.dtype == np.int64
        assert pixels(split).dtype == np.uint8
        assert len(pixels(split)) == len(split.labels) == len(split.ids) == len(set(split.ids))
    assert not set(loaded.train.ids) & set(loaded.test.ids)
    return loaded


def pixels(split: Split) -> NDArray[np.uint8]:
    assert split.images is not None
    return split.images


def one_sentence(error: DataError) -> str:
    assert "\n" not in error.message
    assert error.hint
    return error.message


# ------------------------------------------------------------------------------------------------- digits


def test_digits_are_those_of_scikit_learn_over_the_range_of_a_byte() -> None:
    loaded, raw = load("digits"), load_digits()
    assert len(loaded.train) + len(loaded.test) == len(raw.target) == 1797
    assert loaded.class_names == tuple("0123456789")
    for split in (loaded.train, loaded.test):
        positions = [int(name.removeprefix("digits/")) for name in split.ids]
        assert positions == sorted(positions)
        assert split.labels.tolist() == raw.target[positions].tolist()
        assert pixels(split).shape == (len(split), 8, 8, 1)
        assert pixels(split)[..., 0] / (255 / 16) == pytest.approx(raw.images[positions], abs=0.04)


def test_a_fifth_of_each_digit_is_held_out() -> None:
    loaded = load("digits")
    train, test = (np.bincount(split.labels, minlength=10) for split in (loaded.train, loaded.test))
    assert (np.abs(test - 0.2 * (train + test)) <= 0.5).all()


def test_digits_are_the_same_each_time_and_their_statistics_are_those_of_the_pixels() -> None:
    first, second = load("digits"), load("digits")
    assert (first.train.ids, first.test.ids) == (second.train.ids, second.test.ids)
    assert first.test.ids[:4] == ("digits/00000", "digits/00002", "digits/00004", "digits/00005")
    everything = np.concatenate([pixels(first.train), pixels(first.test)]) / 255
    assert (first.mean, first.std) == (
        pytest.approx((everything.mean(),), abs=1e-3),
        pytest.approx((everything.std(),), abs=1e-3),
    )


# ---------------------------------------------------------------------------------------------------- IDX


def idx(array: NDArray[Any], kind: int = 8) -> bytes:
    return struct.pack(f">HBB{array.ndim}I", 0, kind, array.ndim, *array.shape) + array.tobytes()


def fake_mnist() -> dict[str, NDArray[np.uint8]]:
    generator = np.random.default_rng(0)
    return {
        "train-images-idx3-ubyte": generator.integers(0, 256, (20, 28, 28), dtype=np.uint8),
        "train-labels-idx1-ubyte": (np.arange(20) % 10).astype(np.uint8),
        "t10k-images-idx3-ubyte": generator.integers(0, 256, (10, 28, 28), dtype=np.uint8),
        "t10k-labels-idx1-ubyte": np.arange(10, dtype=np.uint8),
    }


def write_mnist(folder: Path, compressed: bool = False, ending: str = "") -> dict[str, NDArray[np.uint8]]:
    folder.mkdir(parents=True)
    arrays = fake_mnist()
    for name, array in arrays.items():
        content = gzip.compress(idx(array)) if compressed else idx(array)
        (folder / f"{name}{ending}").write_bytes(content)
    return arrays


@pytest.mark.parametrize(("name", "folder"), [("fashion-mnist", "FashionMNIST/raw"), ("fashion-mnist", "fashion-mnist"),
                                              ("mnist", "MNIST/raw"), ("mnist", "mnist")])  # fmt: skip
@pytest.mark.parametrize(("compressed", "ending"), [(False, ""), (True, ".gz"), (True, ""), (False, ".gz")])
def test_both_layouts_are_read_plain_and_gzipped_whatever_the_name_says(
    name: str, folder: str, compressed: bool, ending: str, tmp_path: Path
) -> None:
    arrays = write_mnist(tmp_path / folder, compressed, ending)
    loaded = load(name, tmp_path)
    assert np.array_equal(pixels(loaded.train)[..., 0], arrays["train-images-idx3-ubyte"])
    assert np.array_equal(pixels(loaded.test)[..., 0], arrays["t10k-images-idx3-ubyte"])
    assert loaded.train.labels.tolist() == arrays["train-labels-idx1-ubyte"].tolist()
    assert loaded.test.labels.tolist() == arrays["t10k-labels-idx1-ubyte"].tolist()
    assert (loaded.train.ids[7], loaded.test.ids[7]) == ("train/00007", "test/00007")


def test_the_first_data_root_that_has_the_files_is_read(tmp_path: Path) -> None:
    write_mnist(tmp_path / "b" / "MNIST/raw")
    (tmp_path / "a").mkdir()
    assert len(load("mnist", tmp_path / "a", tmp_path / "b").train) == 20


IMAGES = idx(np.zeros((3, 4, 4), np.uint8))


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (b"", "not an IDX file"),
        (IMAGES[:3], "not an IDX file"),
        (b"P5 4 4 255 " + IMAGES, "not an IDX file"),
        (idx(np.zeros((3, 4, 4), ">i4"), kind=12), "not an IDX file of unsigned bytes"),
        (IMAGES[:10], "has 10 bytes, its header promises 16"),
        (IMAGES[:-1], "has 63 bytes, its header promises 64"),
        (IMAGES + b"\0", "has 65 bytes, its header promises 64"),
        (struct.pack(">HBB3I", 0, 8, 3, 2**31, 2**31, 1), "its header promises 4611686018427387920"),
        (struct.pack(">HBB3I", 0, 8, 3, 2**32 - 1, 2**32 - 1, 1) + b"\0", "its header promises"),
        (idx(np.zeros(3, np.uint8)), "has 1 dimensions instead of 3"),
        (b"\0\0\x08\0\0", "has 0 dimensions instead of 3"),
        (gzip.compress(IMAGES, mtime=0)[:-9], "cannot be decompressed"),
        (b"\x1f\x8b" + b"\0" * 20, "cannot be decompressed"),
        (gzip.compress(IMAGES[:-1], mtime=0), "its header promises"),
    ],
)
def test_a_damaged_idx_file_is_refused_in_one_sentence_that_names_it(
    content: bytes, complaint: str, tmp_path: Path
) -> None:
    path = tmp_path / "train-images-idx3-ubyte"
    path.write_bytes(content)
    with pytest.raises(DataError) as caught:
        read_idx(path, dimensions=3)
    assert complaint in one_sentence(caught.value)
    assert str(path) in caught.value.message


@given(st.binary(max_size=200))
def test_no_file_content_makes_the_idx_reader_fail_in_another_way(content: bytes) -> None:
    path = _Bytes(b"\0\0\x08\x03" + content)
    try:
        assert read_idx(path, dimensions=3).ndim == 3  # type: ignore[arg-type]
    except DataError as error:
        one_sentence(error)


class _Bytes:
    """A path in memory."""

    def __init__(self, content: bytes) -> None:
        self.content = content

    def read_bytes(self) -> bytes:
        return self.content


def test_labels_in_the_place_of_images_are_refused(tmp_path: Path) -> None:
    write_mnist(tmp_path / "MNIST/raw")
    folder = tmp_path / "MNIST/raw"
    (folder / "train-images-idx3-ubyte").write_bytes((folder / "train-labels-idx1-ubyte").read_bytes())
    with pytest.raises(DataError, match="1 dimensions instead of 3"):
        load("mnist", tmp_path)


@pytest.mark.parametrize("name", ["mnist", "cifar10", "cifar100", "image-folder"])
def test_missing_files_say_where_was_looked_and_how_to_obtain_them(name: str, tmp_path: Path) -> None:
    with pytest.raises(DatasetMissing) as caught:
        load(name, tmp_path)
    assert str(tmp_path) in caught.value.message
    assert caught.value.hint == SPECS[name].obtain != ""


def test_a_missing_label_file_is_named(tmp_path: Path) -> None:
    write_mnist(tmp_path / "MNIST/raw")
    (tmp_path / "MNIST/raw/t10k-labels-idx1-ubyte").unlink()
    with pytest.raises(DatasetMissing, match="MNIST/raw/t10k-labels-idx1-ubyte"):
        load("mnist", tmp_path)


@pytest.mark.skipif(not FASHION.is_dir(), reason=f"Fashion-MNIST is not installed in {FASHION}")
def test_the_real_fashion_mnist_has_its_published_size_and_statistics() -> None:
    loaded = load("fashion-mnist")
    assert (pixels(loaded.train).shape, pixels(loaded.test).shape) == ((60000, 28, 28, 1), (10000, 28, 28, 1))
    assert np.bincount(loaded.train.labels).tolist() == [6000] * 10
    assert np.bincount(loaded.test.labels).tolist() == [1000] * 10
    assert loaded.train.labels[:5].tolist() == [9, 0, 0, 3, 0]
    assert loaded.mean == pytest.approx((pixels(loaded.train).mean() / 255,), abs=1e-3)
    assert loaded.std == pytest.approx((pixels(loaded.train)[::10].std() / 255,), abs=2e-3)


# -------------------------------------------------------------------------------------------------- CIFAR


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


# ------------------------------------------------------------------------------------------- image folder


def colour(path: Path, value: Any, size: tuple[int, int] = (12, 12), mode: str = "RGB") -> Path:
    """Write an image of one colour."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new(mode, size, value).save(path)
    return path


def folder_of(root: Path, per_class: int = 10, prefix: str = "") -> Path:
    for label, name in enumerate(("ant", "bee", "cow")):
        for number in range(per_class):
            colour(root / prefix / name / f"{number:03d}.png", (100 * label, number, 0))
    return root


def test_train_and_test_folders_become_the_splits(tmp_path: Path) -> None:
    folder_of(tmp_path / "mine", 4, "train")
    folder_of(tmp_path / "mine", 2, "test")
    loaded = load("image-folder", tmp_path, path="mine", image_size=8)
    assert (loaded.name, loaded.class_names) == ("mine", ("ant", "bee", "cow"))
    assert loaded.train.labels.tolist() == [0] * 4 + [1] * 4 + [2] * 4
    assert loaded.test.ids == tuple(f"test/{name}/{i:03d}.png" for name in ("ant", "bee", "cow") for i in range(2))
    assert pixels(loaded.train).shape == (12, 8, 8, 3)
    assert pixels(loaded.train)[6].reshape(-1, 3).tolist() == [[100, 2, 0]] * 64


@pytest.mark.parametrize("name", ["val", "valid"])
def test_a_validation_folder_serves_where_there_is_no_test(name: str, tmp_path: Path) -> None:
    folder_of(tmp_path, 3, "train")
    folder_of(tmp_path, 1, name)
    loaded = load("image-folder", path=str(tmp_path), image_size=8)
    assert loaded.test.ids == (f"{name}/ant/000.png", f"{name}/bee/000.png", f"{name}/cow/000.png")
    folder_of(tmp_path, 2, "test")
    assert len(load("image-folder", path=str(tmp_path), image_size=8).test) == 6


def test_a_share_of_a_single_folder_is_held_out(tmp_path: Path) -> None:
    loaded = load("image-folder", path=str(folder_of(tmp_path)), image_size=8, test_fraction=0.3)
    assert np.bincount(loaded.train.labels).tolist() == [7, 7, 7]
    assert np.bincount(loaded.test.labels).tolist() == [3, 3, 3]
    for split in (loaded.train, loaded.test):
        for name, label, image in zip(split.ids, split.labels, pixels(split), strict=True):
            assert loaded.class_names[label] == name.split("/")[0]
            assert image[0, 0].tolist() == [100 * label, int(Path(name).stem), 0]


def test_the_split_depends_on_neither_the_place_of_the_folder_nor_the_other_classes(tmp_path: Path) -> None:
    here = load("image-folder", path=str(folder_of(tmp_path / "here")), image_size=8)
    there = folder_of(tmp_path / "over" / "there")
    for number in range(5):
        colour(there / "aardvark" / f"{number}.png", 0)
    moved = load("image-folder", path=str(there), image_size=8)
    assert set(here.test.ids) <= set(moved.test.ids)
    assert set(here.train.ids) <= set(moved.train.ids)


def test_images_of_any_mode_and_size_become_square_and_rgb(tmp_path: Path) -> None:
    bee = tmp_path / "bee"
    colour(bee / "a.png", 77, mode="L")
    colour(bee / "b.png", (10, 20, 30, 128), mode="RGBA")
    colour(bee / "c.png", (200, 255), mode="LA")
    colour(bee / "d.jpg", (0, 0, 0, 0), mode="CMYK")
    colour(bee / "e.png", 1, mode="1")
    colour(bee / "f.png", (1, 2, 3), size=(1, 1))
    colour(bee / "g.bmp", (4, 5, 6), size=(1, 90))
    colour(bee / "h.tiff", (7, 8, 9), size=(301, 7))
    colour(bee / "i.PNG", 100 * 256, mode="I;16")
    colour(bee / "sub" / "j.webp", 0, size=(9, 40))
    paletted = Image.new("RGB", (12, 12), (50, 60, 70)).quantize(4)
    paletted.save(bee / "k.png", transparency=bytes([0, 128, 255, 255]))
    (bee / "notes.txt").write_text("not an image")
    loaded = load("image-folder", path=str(tmp_path), image_size=16, test_fraction=0.1)
    found = {name: image for split in (loaded.train, loaded.test) for name, image in zip(split.ids, pixels(split))}  # noqa: B905 - checked by load
    expected = {"a.png": (77,) * 3, "b.png": (10, 20, 30), "c.png": (200,) * 3, "d.jpg": (255,) * 3,
                "e.png": (255,) * 3, "f.png": (1, 2, 3), "g.bmp": (4, 5, 6), "h.tiff": (7, 8, 9),
                "i.PNG": (100,) * 3, "sub/j.webp": (0, 0, 0), "k.png": (50, 60, 70)}  # fmt: skip
    assert set(found) == {f"bee/{name}" for name in expected}
    for name, value in expected.items():
        assert found[f"bee/{name}"].reshape(-1, 3).tolist() == [list(value)] * 256, name


def test_the_shorter_side_is_resized_and_the_centre_kept(tmp_path: Path) -> None:
    wide = np.zeros((10, 50, 3), np.uint8)
    wide[:, :20], wide[:, 20:30], wide[:, 30:] = (255, 0, 0), (0, 255, 0), (0, 0, 255)
    for name, image in (("wide", wide), ("tall", wide.transpose(1, 0, 2))):
        (tmp_path / "x").mkdir(exist_ok=True)
        Image.fromarray(np.ascontiguousarray(image)).save(tmp_path / "x" / f"{name}.png")
    loaded = load("image-folder", path=str(tmp_path), image_size=10)
    for image in pixels(loaded.train):
        assert image.reshape(-1, 3).tolist() == [[0, 255, 0]] * 100


def test_an_image_stands_upright_as_its_orientation_tag_says(tmp_path: Path) -> None:
    image = np.zeros((16, 16, 3), np.uint8)
    image[:8] = 255  # white above black
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by a quarter, clockwise
    (tmp_path / "x").mkdir()
    Image.fromarray(image).save(tmp_path / "x" / "a.png", exif=exif)
    Image.fromarray(image).save(tmp_path / "x" / "b.png")
    turned, straight = pixels(load("image-folder", path=str(tmp_path), image_size=16).train)
    assert np.array_equal(straight, image)
    assert np.array_equal(turned, np.rot90(image, -1))


@pytest.mark.parametrize("content", ["", "text", "half", "broken", "bomb"])
def test_an_unreadable_image_is_named(content: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder_of(tmp_path, 3)
    path = tmp_path / "bee" / "001.png"
    noise = np.random.default_rng(0).integers(0, 256, (40, 40, 3), dtype=np.uint8)
    Image.fromarray(noise).save(path)
    raw = path.read_bytes()
    if content == "bomb":
        monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 700)
    else:
        damaged = {"": b"", "text": b"hello", "half": raw[: len(raw) // 2],
                   "broken": raw[:100] + b"\0\0\0\0" + raw[104:]}  # fmt: skip
        path.write_bytes(damaged[content])
    with pytest.raises(DataError) as caught:
        load("image-folder", path=str(tmp_path), image_size=8)
    assert str(path) in one_sentence(caught.value)


def test_folders_that_make_no_data_set_are_refused(tmp_path: Path) -> None:
    root = tmp_path / "mine"
    root.mkdir()
    with pytest.raises(DataError, match="has no folders"):
        load("image-folder", path=str(root))
    folder_of(root, 2)
    (root / "dog").mkdir()
    (root / "dog" / "readme.txt").write_text("soon")
    with pytest.raises(DataError, match=r"dog has no images"):
        load("image-folder", path=str(root), image_size=8)


def test_train_and_test_folders_that_do_not_match_are_refused(tmp_path: Path) -> None:
    folder_of(tmp_path, 2, "train")
    with pytest.raises(DataError, match="has a train folder and no test"):
        load("image-folder", path=str(tmp_path), image_size=8)
    folder_of(tmp_path, 2, "test")
    colour(tmp_path / "test" / "yak" / "a.png", 0)
    with pytest.raises(DataError, match="classes that train lacks: yak"):
        load("image-folder", path=str(tmp_path), image_size=8)
    colour(tmp_path / "train" / "yak" / "a.png", 0)
    colour(tmp_path / "train" / "zebu" / "a.png", 0)
    with pytest.raises(DataError, match=r"test/zebu has no images"):
        load("image-folder", path=str(tmp_path), image_size=8)


def test_folders_whose_name_begins_with_a_dot_are_no_classes(tmp_path: Path) -> None:
    folder_of(tmp_path, 2)
    (tmp_path / ".cache").mkdir()
    assert load("image-folder", path=str(tmp_path), image_size=8).class_names == ("ant", "bee", "cow")


# ----------------------------------------------------------------------------------------------- held out

SIZES = st.lists(st.integers(1, 40), min_size=1, max_size=6)
FRACTIONS = st.floats(0.01, 0.9)


def samples(sizes: list[int]) -> tuple[list[str], NDArray[np.int64]]:
    labels = np.repeat(np.arange(len(sizes)), sizes)
    return [f"class-{label}/{number}.png" for number, label in enumerate(labels)], labels


@given(SIZES, FRACTIONS)
def test_the_fraction_is_held_out_of_each_class_and_a_sample_is_left(sizes: list[int], fraction: float) -> None:
    ids, labels = samples(sizes)
    mask = held_out(ids, labels, fraction)
    for label, size in enumerate(sizes):
        count = int(mask[labels == label].sum())
        assert count < size
        assert abs(count - fraction * size) <= 0.5 + 1e-9 or count == size - 1


@given(SIZES, FRACTIONS, st.integers(0, 2**31))
def test_the_order_of_the_samples_does_not_matter(sizes: list[int], fraction: float, seed: int) -> None:
    ids, labels = samples(sizes)
    order = np.random.default_rng(seed).permutation(len(ids))
    straight = held_out(ids, labels, fraction)
    shuffled = held_out([ids[i] for i in order], labels[order], fraction)
    assert np.array_equal(shuffled, straight[order])


@given(SIZES, FRACTIONS, st.integers(0, 5), st.integers(0, 1000))
def test_a_new_sample_moves_at_most_one_other_and_only_of_its_class(
    sizes: list[int], fraction: float, label: int, name: int
) -> None:
    ids, labels = samples(sizes)
    label %= len(sizes)
    before = held_out(ids, labels, fraction)
    after = held_out([*ids, f"new-{name}.png"], np.append(labels, label), fraction)[:-1]
    moved = np.flatnonzero(before != after)
    assert len(moved) <= 1
    assert (labels[moved] == label).all()


def test_held_out_samples_are_spread_over_the_class() -> None:
    ids, labels = samples([2000])
    where = np.flatnonzero(held_out(ids, labels, 0.5))
    assert abs(where.mean() - 1000) < 50
