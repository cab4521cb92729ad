"""MNIST and its like: IDX files written here, damaged in every way, and the real ones."""

from __future__ import annotations

import gzip
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from dataset_loading import SPECS, load, one_sentence, pixels
from prunebench import DataError, DatasetMissing
from prunebench_datasets.idx import read_idx

FASHION = Path("/usr/share/datasets/fashion-mnist")


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
