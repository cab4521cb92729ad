"""Image folders: splits, sizes, modes and orientations, and folders that make no data set."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from dataset_loading import load, one_sentence, pixels
from prunebench import DataError


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
