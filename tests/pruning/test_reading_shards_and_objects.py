"""Tar shards, Hugging Face data sets, arrays and data sets of torch."""

from __future__ import annotations

import io
import json
import pickle
import tarfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pandas as pd
import pytest
import scipy.sparse
import torch
from PIL import Image

from picture_bytes import encoded, noise, png, put
from prunebench import Dataset, Split
from prunebench.errors import DataError
from prunebench.pruning.reading import from_python, read
from prunebench.pruning.source import Source

datasets.disable_progress_bars()


def names_of(source: Source) -> list[str]:
    assert source.labels is not None
    return [source.class_names[label] for label in source.labels]


def refusal(data: Any, **more: Any) -> str:
    with pytest.raises(DataError) as caught:
        read(data, **more)
    assert "\n" not in caught.value.message
    assert caught.value.hint
    return caught.value.message


def shard(path: Path, members: Mapping[str, bytes]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w") as archive:
        for name, data in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return path


def samples(first: int, count: int, ending: str = "cls") -> dict[str, bytes]:
    found: dict[str, bytes] = {}
    for number in range(first, first + count):
        label: object = number % 2
        found[f"{number:04d}.png"] = encoded(noise(number))
        found[f"{number:04d}.{ending}"] = json.dumps({"label": label} if ending == "json" else label).encode()
    return found


@pytest.mark.parametrize("ending", ["cls", "json", "txt"])
def test_shards_are_indexed_by_offset(ending: str, tmp_path: Path) -> None:
    for number in range(2):
        shard(tmp_path / "mine" / f"part-{number}.tar", samples(3 * number, 3, ending))
    source = read(tmp_path / "mine", cache=tmp_path / "cache")
    assert source.ids == tuple(f"{number:04d}" for number in range(6))
    assert names_of(source) == ["0", "1", "0", "1", "0", "1"]
    assert f"labels come from the .{ending} members" in source.notes
    pictures = pickle.loads(pickle.dumps(source.pictures))
    for row in range(6):
        assert np.array_equal(np.asarray(pictures.picture(row)), np.asarray(noise(row)))
        where = pictures.locator(row)
        with Path(where["path"]).open("rb") as file:
            file.seek(where["offset"])
            assert file.read(where["length"]) == encoded(noise(row))
    assert len({pictures.digest(row) for row in range(6)}) == 6
    put(tmp_path / "one.png", encoded(noise(4)))
    alone = read([tmp_path / "one.png"]).pictures
    assert alone is not None
    assert pictures.digest(4) == alone.digest(0)


def test_long_names_links_hidden_and_other_members_of_a_shard(tmp_path: Path) -> None:
    deep = "a/" * 60 + "\u00e4" * 40
    path = shard(tmp_path / "mine.tar", {
        f"{deep}.jpg": encoded(noise(1), "JPEG"), f"{deep}.cls": b"cat\n", "._x.jpg": b"", "__MACOSX/y.png": b"",
        "b.seg.png": encoded(noise(2)), "b.cls": b"dog", "c.cls": b"cat", "d.npy": b"123",
    })  # fmt: skip
    source = read(path)
    assert source.ids == (deep, "b")
    assert names_of(source) == ["cat", "dog"]
    assert {one.id: one.code for one in source.skipped} == {"c": "no-picture", "d": "no-picture"}
    assert "members of tar files left out, hidden or of the system: 2" in source.notes


def test_keys_that_two_shards_share_get_the_shard_before_them(tmp_path: Path) -> None:
    for number in range(2):
        shard(tmp_path / f"{number}.tar", samples(0, 2))
    assert read(tmp_path).ids == ("0.tar/0000", "0.tar/0001", "1.tar/0000", "1.tar/0001")


def test_shards_of_several_splits(tmp_path: Path) -> None:
    for number, name in enumerate(("train-000", "train-001", "val-000")):
        shard(tmp_path / f"{name}.tar", samples(2 * number, 2))
    source = read(tmp_path)
    assert len(source) == 4
    assert source.notes[0] == "read the shards of train; those of validation are not read"
    assert read(tmp_path, split="val").ids == ("0004", "0005")
    assert len(read(tmp_path, split=".")) == 6


@pytest.mark.parametrize("length", [3000, 512 * 6, 512 * 6 + 100])
def test_a_shard_that_is_cut_off_says_so(length: int, tmp_path: Path) -> None:
    path = shard(tmp_path / "mine.tar", samples(0, 4))
    path.write_bytes(path.read_bytes()[:length])
    source = read(path)
    assert 1 <= len(source) < 4
    assert {one.code for one in source.skipped} <= {"truncated", "no-label"}
    assert "mine.tar" in {one.id for one in source.skipped}


def test_files_that_are_no_shards_are_refused(tmp_path: Path) -> None:
    (tmp_path / "mine.tar").write_bytes(b"text" * 400)
    assert "damaged" in refusal(tmp_path / "mine.tar") or "no pictures" in refusal(tmp_path / "mine.tar")
    shard(tmp_path / "packed" / "mine.tar.gz", samples(0, 1))
    assert "is compressed" in refusal(tmp_path / "packed")


def test_the_index_of_a_shard_is_remembered_while_the_file_is_what_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, cache = shard(tmp_path / "mine.tar", samples(0, 3)), tmp_path / "cache"
    first = read(path, cache=cache)
    with monkeypatch.context() as patch:
        patch.setattr(tarfile, "open", lambda *args, **more: pytest.fail("indexed again"))
        again = read(path, cache=cache)
    assert (again.ids, names_of(again), again.notes) == (first.ids, names_of(first), first.notes)
    assert again.pictures is not None
    assert np.array_equal(np.asarray(again.pictures.picture(2)), np.asarray(noise(2)))
    shard(path, samples(0, 4))
    assert len(read(path, cache=cache)) == 4
    for file in (cache / "shards").iterdir():
        file.write_bytes(b"damaged")
    assert len(read(path, cache=cache)) == 4


def test_an_archive_beside_unpacked_pictures_is_not_the_data(tmp_path: Path) -> None:
    for name in ("ant/0.png", "bee/0.png"):
        put(tmp_path / name)
    shard(tmp_path / "download.tar", samples(0, 2))
    shard(tmp_path / "download.tar.gz", samples(0, 2))
    assert read(tmp_path).class_names == ("ant", "bee")


def test_shards_in_a_folder_for_each_split(tmp_path: Path) -> None:
    shard(tmp_path / "train" / "0.tar", samples(0, 3))
    shard(tmp_path / "val" / "0.tar", samples(3, 2))
    assert read(tmp_path).ids == ("0000", "0001", "0002")
    assert read(tmp_path, split="val").ids == ("0003", "0004")


def test_captions_are_no_classes(tmp_path: Path) -> None:
    members = {}
    for number in range(8):
        members |= {f"{number}.png": encoded(noise(number)), f"{number}.txt": f"a photo of thing {number}".encode()}
    assert read(shard(tmp_path / "mine.tar", members)).labels is None


def test_labels_of_shards_may_come_from_a_csv(tmp_path: Path) -> None:
    path = shard(tmp_path / "mine.tar", samples(0, 3))
    (tmp_path / "labels.csv").write_text("id,label\n0000,x\n0002,y\n")
    source = read(path, labels=tmp_path / "labels.csv")
    assert (source.ids, names_of(source)) == (("0000", "0002"), ["x", "y"])
    assert source.pictures is not None
    assert np.array_equal(np.asarray(source.pictures.picture(1)), np.asarray(noise(2)))


def hub(**more: Any) -> Any:
    kinds = datasets.Features({"image": datasets.Image(), "label": datasets.ClassLabel(names=["dog", "cat"])})
    return datasets.Dataset.from_dict({"image": [noise(row) for row in range(4)], "label": [0, 1, 1, 0], **more}, kinds)


def test_a_data_set_saved_on_disk_is_read_from_its_bytes(tmp_path: Path) -> None:
    hub().save_to_disk(tmp_path / "mine")
    source = read(tmp_path / "mine")
    assert (source.ids, names_of(source)) == (("0", "1", "2", "3"), ["dog", "cat", "cat", "dog"])
    pictures = pickle.loads(pickle.dumps(source.pictures))
    assert np.array_equal(np.asarray(pictures.picture(2)), np.asarray(noise(2)))
    assert len({pictures.digest(row) for row in range(4)}) == 4
    in_memory = from_python(hub())
    assert (in_memory.ids, names_of(in_memory)) == (source.ids, names_of(source))


def test_digests_of_a_data_set_on_disk_are_remembered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hub().save_to_disk(tmp_path / "mine")
    pictures = read(tmp_path / "mine", cache=tmp_path / "cache").pictures
    assert pictures is not None
    first = [pictures.digest(row) for row in range(4)]
    again = read(tmp_path / "mine", cache=tmp_path / "cache").pictures
    assert again is not None
    monkeypatch.setattr(type(again), "encoded", lambda self, index: pytest.fail("read its bytes"))
    assert [again.digest(row) for row in range(4)] == first


def test_data_without_splits_refuse_one(tmp_path: Path) -> None:
    for given in (hub(), np.ones((3, 2)), np.zeros((2, 4, 4), np.uint8), torch.ones(3, 2)):
        assert "has no splits, and 'train' was asked for" in refusal(given, split="train")


def test_of_several_splits_on_disk_one_is_read(tmp_path: Path) -> None:
    datasets.DatasetDict({"train": hub(), "validation": hub().select([1])}).save_to_disk(tmp_path / "mine")
    assert read(tmp_path / "mine").notes == ("read the split train; validation is not read",)
    assert names_of(read(tmp_path / "mine", split="val")) == ["cat"]
    assert "no split 'test'" in refusal(tmp_path / "mine", split="test")


def test_rows_without_a_label_or_a_picture(tmp_path: Path) -> None:
    data = datasets.Dataset.from_dict(
        {"image": [noise(0), None, noise(2)], "label": ["a", "b", None], "id": ["u", "v", "w"]},
        datasets.Features(
            {"image": datasets.Image(), "label": datasets.Value("string"), "id": datasets.Value("string")}
        ),
    )
    source = from_python(data)
    assert source.ids == ("u", "v")
    assert [(one.id, one.code) for one in source.skipped] == [("w", "no-label")]
    assert source.pictures is not None
    with pytest.raises(ValueError, match="no picture"):
        source.pictures.picture(1)


def test_embeddings_of_a_data_set() -> None:
    values = np.random.default_rng(0).normal(size=(5, 3)).astype(np.float32)
    source = from_python(datasets.Dataset.from_dict({"emb": values.tolist(), "label": [3, 3, 1, 1, 3]}))
    assert np.array_equal(np.asarray(source.features), values)
    assert source.class_names == ("1", "3")
    assert "no column of pictures or embeddings" in refusal(datasets.Dataset.from_dict({"text": ["a", "b"]}))


def test_damaged_data_sets_on_disk_are_refused(tmp_path: Path) -> None:
    hub().save_to_disk(tmp_path / "mine")
    for file in (tmp_path / "mine").glob("*.arrow"):
        file.write_bytes(b"nothing")
    assert "cannot be read by datasets" in refusal(tmp_path / "mine")


@pytest.mark.parametrize("shape", [(5, 9, 7), (5, 9, 7, 1), (5, 9, 7, 3), (5, 9, 7, 4)])
@pytest.mark.parametrize("kind", ["uint8", "float32", "float64"])
def test_arrays_of_pictures(shape: tuple[int, ...], kind: str) -> None:
    whole = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    if shape[-1] == 4:
        whole[..., 3] = 255
    given = whole if kind == "uint8" else (whole / 255).astype(kind)
    source = from_python(given, labels=list("ababa"), ids=[f"p{row}" for row in range(5)])
    assert (source.ids[0], names_of(source)) == ("p0", list("ababa"))
    assert source.pictures is not None
    expected = whole[3] if shape[-1] in (3, 4) else np.repeat(whole[3].reshape(9, 7, 1), 3, axis=2)
    assert np.array_equal(np.asarray(source.pictures.picture(3)), expected[..., :3])
    assert len({source.pictures.digest(row) for row in range(5)}) == 5


@pytest.mark.parametrize(
    ("array", "message"),
    [(np.full((2, 4, 4), 1.5), "floating pixels run from 1.5"), (np.full((2, 4, 4, 3), np.nan), "floating pixels"),
     (np.zeros((2, 3, 8, 8), np.uint8), "the channels come last"), (np.zeros((2, 8, 8), np.int64), "pixels are int64"),
     (np.zeros((0, 8, 8), np.uint8), "neither features nor pictures"), (np.zeros(4), "neither features"),
     (object(), "data of type object"), ([[1.0], [1.0, 2.0]], "rows of features differ"),
     (np.array([["a"]], dtype=object), "expected numbers")],
)  # fmt: skip
def test_arrays_that_are_neither_pictures_nor_features_are_refused(array: Any, message: str) -> None:
    with pytest.raises(DataError) as caught:
        from_python(array)
    assert message in f"{caught.value.message} {caught.value.hint}"


def test_an_array_of_its_owner_stays_writeable() -> None:
    mine = np.ones((4, 2), np.float32)
    source = from_python(mine)
    assert source.features is not None
    assert not source.features.flags.writeable
    assert mine.flags.writeable


@pytest.mark.parametrize("given", [np.ones((3, 2)), torch.ones(3, 2), [[1.0, 1.0]] * 3, [np.ones(2, np.float32)] * 3])
def test_features_in_memory(given: Any) -> None:
    assert np.array_equal(np.asarray(from_python(given).features), np.ones((3, 2), np.float32))


@pytest.mark.parametrize(
    ("given", "message"),
    [({"features": np.ones((3, 2))}, "data of type dict are not understood"), (None, "NoneType are not understood"),
     (scipy.sparse.csr_matrix(np.ones((3, 2))), "features are a sparse matrix")],
)  # fmt: skip
def test_what_has_no_samples_in_an_order_is_refused(given: Any, message: str) -> None:
    with pytest.raises(DataError, match=message):
        from_python(given)


def test_a_table_of_features_has_its_index_as_ids() -> None:
    source = from_python(pd.DataFrame(np.ones((3, 2)), index=["u", "v", "w"]), labels=pd.Series(["a", "b", "a"]))
    assert (source.ids, names_of(source)) == (("u", "v", "w"), ["a", "b", "a"])


class _Items(torch.utils.data.Dataset[Any]):
    """Pictures of one kind each, and labels as tensors."""

    def __init__(self, kind: str) -> None:
        self.kind = kind

    def __len__(self) -> int:
        return 4

    def __getitem__(self, index: int) -> Any:
        image, label = noise(index), torch.tensor(index % 2)
        if index == 3:
            raise RuntimeError("this one is broken") if self.kind == "broken" else None  # type: ignore[misc]
        array = np.asarray(image)
        if self.kind == "tensor":
            return torch.from_numpy(array.transpose(2, 0, 1) / np.float32(255)), label
        return {"image": array, "label": label} if self.kind == "dictionary" else (image, label)


@pytest.mark.parametrize("kind", ["image", "tensor", "dictionary"])
def test_data_sets_of_torch(kind: str) -> None:
    class Whole(_Items):
        def __len__(self) -> int:
            return 3

    source = from_python(Whole(kind))
    assert names_of(source) == ["0", "1", "0"]
    assert source.pictures is not None
    assert np.array_equal(np.asarray(source.pictures.picture(2)), np.asarray(noise(2)))


def test_a_broken_item_of_a_data_set_is_a_picture_that_cannot_be_read() -> None:
    source = from_python(_Items("broken"), labels=[0, 1, 0, 1])
    assert source.pictures is not None
    with pytest.raises(ValueError, match="this one is broken"):
        source.pictures.picture(3)


def test_a_data_set_that_lists_its_files_is_read_from_them(tmp_path: Path) -> None:
    class Folder(_Items):
        """What torchvision's ImageFolder shows of itself."""

        classes = ("ant", "bee")
        samples = [(str(put(tmp_path / name)), int(name[0] == "b")) for name in ("ant/0.png", "ant/1.png", "bee/0.png")]  # noqa: RUF012

        def __len__(self) -> int:
            return 3

        def __getitem__(self, index: int) -> Any:
            pytest.fail("decoded")

    source = from_python(Folder("image"))
    assert (source.ids, source.class_names) == (("ant/0.png", "ant/1.png", "bee/0.png"), ("ant", "bee"))
    assert names_of(source) == ["ant", "ant", "bee"]


def test_a_data_set_of_the_harness_gives_its_training_samples() -> None:
    split = Split(images=np.zeros((2, 4, 4, 1), np.uint8), labels=np.array([1, 0]), ids=("a", "b"))
    source = from_python(Dataset(name="mine", train=split, test=split, class_names=("x", "y")))
    assert (source.title, source.ids, names_of(source)) == ("mine", ("a", "b"), ["y", "x"])


@pytest.mark.parametrize("mode", ["L", "P", "RGBA", "CMYK", "I;16", "F", "1"])
def test_pictures_in_memory_follow_the_rules_of_files(mode: str) -> None:
    from prunebench.pictures import decode
    from prunebench.pruning.reading.python_objects import picture_of

    image = noise().convert("L").convert("I;16") if mode == "I;16" else noise().convert("L" if mode == "F" else mode)
    image = image.convert("F") if mode == "F" else image
    stored = decode(encoded(image, "TIFF"))
    assert np.array_equal(np.asarray(picture_of(image)), np.asarray(stored))
    assert isinstance(picture_of(Image.open(io.BytesIO(png(np.zeros((2, 2, 3)))))), Image.Image)
