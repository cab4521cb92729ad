"""Image folders: splits, sizes, modes and orientations, and folders that make no data set."""

from __future__ import annotations

import os
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from dataset_loading import load, pixels, refusal
from prunebench.stages.data import fingerprint


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


def images_of(root: Path, **params: Any) -> dict[str, Any]:
    """Return the pixels of both splits by their ids."""
    loaded = load("image-folder", path=str(root), **params)
    return {name: image for split in (loaded.train, loaded.test) for name, image in zip(split.ids, pixels(split))}  # noqa: B905 - checked by load


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
    found = images_of(tmp_path, image_size=16, test_fraction=0.1)
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
    for image in images_of(tmp_path, image_size=10, test_fraction=0.5).values():
        assert image.reshape(-1, 3).tolist() == [[0, 255, 0]] * 100


def test_an_image_stands_upright_as_its_orientation_tag_says(tmp_path: Path) -> None:
    image = np.zeros((16, 16, 3), np.uint8)
    image[:8] = 255  # white above black
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by a quarter, clockwise
    (tmp_path / "x").mkdir()
    Image.fromarray(image).save(tmp_path / "x" / "a.png", exif=exif)
    Image.fromarray(image).save(tmp_path / "x" / "b.png")
    found = images_of(tmp_path, image_size=16, test_fraction=0.5)
    assert np.array_equal(found["x/b.png"], image)
    assert np.array_equal(found["x/a.png"], np.rot90(image, -1))


def test_every_unreadable_image_is_named(tmp_path: Path) -> None:
    folder_of(tmp_path, 6)
    noise = np.random.default_rng(0).integers(0, 256, (40, 40, 3), dtype=np.uint8)
    Image.fromarray(noise).save(tmp_path / "noise.png")
    raw = (tmp_path / "noise.png").read_bytes()
    damaged = {
        "000": b"",
        "001": b"hello",
        "002": raw[: len(raw) // 2],
        "003": raw[:100] + b"\0\0\0\0" + raw[104:],
    }
    for name, content in damaged.items():
        (tmp_path / "bee" / f"{name}.png").write_bytes(content)
    (tmp_path / "bee" / "004.png").unlink()
    (tmp_path / "bee" / "004.png").symlink_to("nowhere.png")
    message = refusal("image-folder", path=str(tmp_path), image_size=8)
    assert message.startswith("5 of 18 images cannot be read: ")
    for name in ("000", "001", "002", "003", "004"):
        assert str(tmp_path / "bee" / f"{name}.png") in message
    assert "005.png" not in message


def test_all_unreadable_images_are_listed_at_once(tmp_path: Path) -> None:
    folder_of(tmp_path, 10)
    for number in range(9):
        (tmp_path / "bee" / f"{number:03d}.png").write_bytes(b"")
    message = refusal("image-folder", path=str(tmp_path), image_size=8)
    assert message.startswith("9 of 30 images cannot be read: ")
    assert all(f"bee/{number:03d}.png" in message for number in range(9))


@pytest.mark.parametrize("mode", ["I", "F"])
def test_pixels_without_a_range_are_refused(mode: str, tmp_path: Path) -> None:
    path = colour(tmp_path / "x" / "a.tiff", 70_000, mode=mode)
    assert f"{path} (pixels of 32 bits" in refusal("image-folder", path=str(tmp_path), image_size=8)


def test_an_image_too_large_to_be_meant_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = colour(tmp_path / "x" / "a.png", 0, size=(40, 40))
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 700)
    assert str(path) in refusal("image-folder", path=str(tmp_path), image_size=8)


def test_folders_that_make_no_data_set_are_refused(tmp_path: Path) -> None:
    root = tmp_path / "mine"
    root.mkdir()
    assert "has no folders" in refusal("image-folder", path=str(root))
    folder_of(root, 2)
    (root / "dog").mkdir()
    (root / "dog" / "readme.txt").write_text("soon")
    assert "dog has no images" in refusal("image-folder", path=str(root), image_size=8)
    (root / "dog" / "readme.txt").rename(root / "readme.txt")
    (root / "dog").rmdir()
    assert "too few images to hold any out" in refusal("image-folder", path=str(root), image_size=8)
    assert "readme.txt is a file" in refusal("image-folder", path=str(root / "readme.txt"))


@pytest.mark.parametrize("names", [["train"], ["test"], ["test", "val"], ["Dev", "eval"], ["train2017"]])
def test_folders_of_splits_are_not_taken_for_classes(names: list[str], tmp_path: Path) -> None:
    for name in names:
        folder_of(tmp_path, 2, name)
    assert f"has the folders {', '.join(names)}, which are no classes" in refusal("image-folder", path=str(tmp_path))


def test_train_and_test_folders_that_do_not_match_are_refused(tmp_path: Path) -> None:
    folder_of(tmp_path, 2, "train")
    folder_of(tmp_path, 2, "test")
    colour(tmp_path / "test" / "yak" / "a.png", 0)
    assert "classes that train lacks: yak" in refusal("image-folder", path=str(tmp_path), image_size=8)
    colour(tmp_path / "train" / "yak" / "a.png", 0)
    colour(tmp_path / "train" / "zebu" / "a.png", 0)
    assert "test/zebu has no images" in refusal("image-folder", path=str(tmp_path), image_size=8)


def test_what_is_hidden_is_no_part_of_the_data(tmp_path: Path) -> None:
    folder_of(tmp_path, 3)
    before = load("image-folder", path=str(tmp_path), image_size=8)
    for place in (".cache/a.png", "bee/._000.png", "bee/.DS_Store", ".DS_Store", "bee/.ipynb_checkpoints/000.png"):
        (tmp_path / place).parent.mkdir(exist_ok=True)
        (tmp_path / place).write_bytes(b"\0\0\0\1Bud1")
    assert fingerprint(load("image-folder", path=str(tmp_path), image_size=8)) == fingerprint(before)


def test_images_are_sorted_by_the_bytes_of_their_paths(tmp_path: Path) -> None:
    names = ["A/z.png", "a/B.png", "a/b.png", "a/c-1.png", "a/c.png", "a/c/1.png", "a/c1.png", "a/\u00e9.png",
             "a/\uff5e.png", "a/\U0001f600.png", "\u00e4/a.png"]  # fmt: skip
    for name in reversed(names):
        colour(tmp_path / "train" / name, 0)
        colour(tmp_path / "test" / name, 0)
    loaded = load("image-folder", path=str(tmp_path), image_size=8)
    assert loaded.train.ids == tuple(f"train/{name}" for name in names)
    assert loaded.class_names == ("A", "a", "\u00e4")


def test_linked_folders_are_read_once_under_the_names_of_the_links(tmp_path: Path) -> None:
    folder_of(tmp_path / "elsewhere", 2)
    (tmp_path / "mine" / "cow").mkdir(parents=True)
    (tmp_path / "mine" / "bee").symlink_to(tmp_path / "elsewhere" / "bee")
    (tmp_path / "mine" / "cow" / "more").symlink_to(tmp_path / "elsewhere" / "cow")
    (tmp_path / "mine" / "cow" / "around").symlink_to(tmp_path / "mine")
    found = images_of(tmp_path / "mine", image_size=8, test_fraction=0.5)
    assert sorted(found) == ["bee/000.png", "bee/001.png", "cow/more/000.png", "cow/more/001.png"]


def test_a_name_that_is_no_text_gets_a_printable_id(tmp_path: Path) -> None:
    folder_of(tmp_path, 2)
    odd = os.fsdecode(b"cow-\xe9")
    colour(tmp_path / odd / os.fsdecode(b'a\n"\xe8.png'), 1)
    colour(tmp_path / odd / "b.png", 2)
    loaded = load("image-folder", path=str(tmp_path), image_size=8, test_fraction=0.5)
    ids = {*loaded.train.ids, *loaded.test.ids}
    assert {name for name in ids if name.startswith("cow-")} == {r'cow-\xe9/a\x0a"\xe8.png', r"cow-\xe9/b.png"}
    assert loaded.class_names == ("ant", "bee", "cow", r"cow-\xe9")
    for name in (*ids, *loaded.class_names):
        assert name.isprintable()


@pytest.mark.parametrize(
    ("training", "testing"),
    [
        ("Train", "Test"),
        ("training", "validation"),
        ("TRAIN", "dev"),
        ("train2017", "val2017"),
        ("training_set", "eval"),
    ],
)
def test_splits_are_known_by_any_of_their_names(training: str, testing: str, tmp_path: Path) -> None:
    folder_of(tmp_path, 2, training)
    folder_of(tmp_path, 1, testing)
    loaded = load("image-folder", path=str(tmp_path), image_size=8)
    assert loaded.class_names == ("ant", "bee", "cow")
    assert loaded.train.ids[0] == f"{training}/ant/000.png"
    assert loaded.test.ids[0] == f"{testing}/ant/000.png"


def test_a_folder_for_training_beside_one_with_the_same_classes_is_refused_and_parameters_name_the_splits(
    tmp_path: Path,
) -> None:
    folder_of(tmp_path, 2, "train")
    folder_of(tmp_path, 1, "unseen")
    assert "train and unseen look like splits" in refusal("image-folder", path=str(tmp_path), image_size=8)
    named = load("image-folder", path=str(tmp_path), image_size=8, train="train", test="unseen")
    assert (len(named.train), len(named.test), named.n_classes) == (6, 3, 3)
    as_classes = load("image-folder", path=str(tmp_path), image_size=8, train=".")
    assert as_classes.class_names == ("train", "unseen")
    assert "without train" in refusal("image-folder", path=str(tmp_path), test="unseen")


def test_two_folders_that_may_be_one_split_are_refused(tmp_path: Path) -> None:
    for name in ("train", "training", "test"):
        folder_of(tmp_path, 1, name)
    assert "several may be one split" in refusal("image-folder", path=str(tmp_path), image_size=8)


def test_splits_inside_of_classes_are_refused(tmp_path: Path) -> None:
    for name in ("ant", "bee"):
        folder_of(tmp_path / name, 1, "train")
        folder_of(tmp_path / name, 1, "test")
    assert "class folders hold splits, such as ant/test" in refusal("image-folder", path=str(tmp_path), image_size=8)


def test_a_class_may_be_called_train(tmp_path: Path) -> None:
    for name in ("bus", "bullet train", "train"):
        for number in range(3):
            colour(tmp_path / name / f"{number}.png", number)
    loaded = load("image-folder", path=str(tmp_path), image_size=8, test_fraction=0.4)
    assert loaded.class_names == ("bullet train", "bus", "train")


def test_images_are_known_by_their_content_where_the_ending_does_not_say(tmp_path: Path) -> None:
    for name in ("a.jfif", "b.ppm", "c.JPE", "d.dat", "e"):
        path = colour(tmp_path / "x" / "picture.png" if name[0] in "de" else tmp_path / "x" / f"{name}.tmp.ppm", 9)
        path.rename(tmp_path / "x" / name)
    (tmp_path / "x" / "notes.md").write_text("# not an image")
    assert sorted(images_of(tmp_path, image_size=8, test_fraction=0.4)) == [
        "x/a.jfif", "x/b.ppm", "x/c.JPE", "x/d.dat", "x/e",
    ]  # fmt: skip


def test_an_image_of_one_pixel_by_many_is_not_enlarged_as_a_whole(tmp_path: Path) -> None:
    strip = np.zeros((20_000, 1), np.uint8)
    strip[10_000] = 255
    (tmp_path / "x").mkdir()
    for name, pixels_of in (("a", strip), ("b", strip.T)):
        Image.fromarray(np.ascontiguousarray(pixels_of)).save(tmp_path / "x" / f"{name}.png")
    tracemalloc.start()
    found = images_of(tmp_path, image_size=224, test_fraction=0.5)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert set(found) == {"x/a.png", "x/b.png"}
    assert all(image.max() > 200 for image in found.values())
    assert peak < 100e6


def test_a_shape_in_the_alpha_channel_is_seen(tmp_path: Path) -> None:
    for name, value in (("black", 0), ("white", 255)):
        drawn = np.full((16, 16, 4), value, np.uint8)
        drawn[..., 3] = 0
        drawn[4:12, 4:12, 3] = 255
        (tmp_path / "x").mkdir(exist_ok=True)
        Image.fromarray(drawn).save(tmp_path / "x" / f"{name}.png")
    found = images_of(tmp_path, image_size=16, test_fraction=0.5)
    inside = np.zeros((16, 16), bool)
    inside[4:12, 4:12] = True
    assert np.array_equal(found["x/black.png"][..., 0] == 0, inside)
    assert np.array_equal(found["x/white.png"][..., 0] == 255, inside)
