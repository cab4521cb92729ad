"""MNIST and its like: IDX files written here, whole and damaged."""

from __future__ import annotations

import contextlib
import gzip
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from torchvision.datasets.mnist import read_image_file

from dataset_loading import load, pixels, refusal
from prunebench import DataError
from prunebench_datasets.idx import read_idx


def idx(array: NDArray[Any], kind: int = 8) -> bytes:
    return struct.pack(f">HBB{array.ndim}I", 0, kind, array.ndim, *array.shape) + array.tobytes()


ARRAYS = {
    "train-images-idx3-ubyte": np.random.default_rng(0).integers(0, 256, (20, 28, 28), dtype=np.uint8),
    "train-labels-idx1-ubyte": (np.arange(20) % 10).astype(np.uint8),
    "t10k-images-idx3-ubyte": np.random.default_rng(1).integers(0, 256, (10, 28, 28), dtype=np.uint8),
    "t10k-labels-idx1-ubyte": np.arange(9, -1, -1, dtype=np.uint8),
}


def write_mnist(folder: Path, compressed: bool = False, ending: str = "") -> Path:
    folder.mkdir(parents=True)
    for name, array in ARRAYS.items():
        (folder / f"{name}{ending}").write_bytes(gzip.compress(idx(array)) if compressed else idx(array))
    return folder


@pytest.mark.parametrize(
    ("name", "folder", "compressed", "ending"),
    [
        ("mnist", "MNIST/raw", False, ""),
        ("mnist", "mnist", True, ".gz"),
        ("fashion-mnist", "FashionMNIST/raw", True, ""),
        ("fashion-mnist", "fashion-mnist", False, ".gz"),
    ],
)
def test_every_layout_is_read_plain_and_gzipped_whatever_the_name_says(
    name: str, folder: str, compressed: bool, ending: str, tmp_path: Path
) -> None:
    write_mnist(tmp_path / "second" / folder, compressed, ending)
    (tmp_path / "first").mkdir()
    loaded = load(name, tmp_path / "first", tmp_path / "second")
    assert np.array_equal(pixels(loaded.train)[..., 0], ARRAYS["train-images-idx3-ubyte"])
    assert np.array_equal(pixels(loaded.test)[..., 0], ARRAYS["t10k-images-idx3-ubyte"])
    assert loaded.train.labels.tolist() == ARRAYS["train-labels-idx1-ubyte"].tolist()
    assert loaded.test.labels.tolist() == ARRAYS["t10k-labels-idx1-ubyte"].tolist()
    assert (loaded.train.ids[7], loaded.test.ids[7]) == ("train/00007", "test/00007")


IMAGES = idx(np.zeros((3, 4, 4), np.uint8))


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"P5 4 4 255 " + IMAGES, id="another format"),
        pytest.param(idx(np.zeros((3, 4, 4), ">i4"), kind=12), id="integers of four bytes"),
        pytest.param(IMAGES[:10], id="half a header"),
        pytest.param(IMAGES[:16], id="only a header"),
        pytest.param(IMAGES[:-1], id="a byte short"),
        pytest.param(IMAGES + b"\0", id="a byte too many"),
        pytest.param(struct.pack(">HBB3I", 0, 8, 3, 2**32 - 1, 2**32 - 1, 1) + b"\0", id="a huge promise"),
        pytest.param(idx(np.zeros(3, np.uint8)), id="labels"),
        pytest.param(b"\0\0\x08\0\0", id="no dimensions"),
        pytest.param(gzip.compress(IMAGES, mtime=0)[:-9], id="half a gzip"),
        pytest.param(b"\x1f\x8b" + b"\0" * 20, id="no gzip"),
        pytest.param(gzip.compress(IMAGES[:-1], mtime=0), id="a byte short in gzip"),
        pytest.param(None, id="a folder"),
    ],
)
def test_a_damaged_or_foreign_file_is_named(content: bytes | None, tmp_path: Path) -> None:
    path = write_mnist(tmp_path / "MNIST/raw") / "t10k-images-idx3-ubyte"
    path.unlink()
    path.mkdir() if content is None else path.write_bytes(content)
    assert f"{path} is not a whole IDX file" in refusal("mnist", tmp_path)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    (write_mnist(tmp_path / "MNIST/raw") / "t10k-labels-idx1-ubyte").unlink()
    assert "MNIST/raw/t10k-labels-idx1-ubyte" in refusal("mnist", tmp_path)


@settings(max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(max_size=200))
def test_no_content_makes_the_reader_fail_in_another_way(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "images"
    path.write_bytes(b"\0\0\x08\x03" + content)
    with contextlib.suppress(DataError):
        assert read_idx(path, read_image_file).tobytes() == content[12:]
