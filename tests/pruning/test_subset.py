"""Training from what was kept: views, samplers and shards, right also where samples were skipped."""

from __future__ import annotations

import io
import json
import os
import shutil
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import timm
import torch
from PIL import Image
from safetensors.torch import save_file
from torch.utils import data
from torchvision.datasets import ImageFolder

import prunebench
from prunebench import DataError, Pruned, Subset, SubsetSampler, TarSubset
from prunebench.errors import UsageError
from prunebench.pruning.folders import open_folder
from prunebench.pruning.output import place_files

SIZE = 24


def colour(number: int) -> Image.Image:
    """Return a picture that tells its number in the first pixel."""
    pixels = np.random.default_rng(number).integers(0, 255, (SIZE, SIZE, 3), dtype=np.uint8)
    pixels[:8, :8] = number
    return Image.fromarray(pixels)


def number_of(picture: Image.Image) -> int:
    return int(np.asarray(picture)[0, 0, 0])


@pytest.fixture(scope="module")
def weights(tmp_path_factory) -> Path:
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("weights") / "weights.safetensors"
    save_file(timm.create_model("test_resnet", pretrained=False).state_dict(), path)
    return path


@pytest.fixture(scope="module")
def cache(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def photos(tmp_path_factory) -> Path:
    """Twenty pictures of two classes; among them a cut one and a text, which torchvision lists and nobody can read."""
    root = tmp_path_factory.mktemp("photos")
    for number in range(20):
        path = root / ("cat", "dog")[number % 2] / f"{number:02d} x.png"
        path.parent.mkdir(exist_ok=True)
        colour(number).save(path)
    (root / "cat" / "00 cut.png").write_bytes((root / "cat" / "00 x.png").read_bytes()[:200])
    (root / "cat" / "05 text.png").write_text("no picture")
    return root


@pytest.fixture(scope="module")
def pruned_photos(photos, weights, cache) -> Pruned:
    return prunebench.prune(photos, keep=["0.3", 4], backbone="test_resnet", weights=weights, cache=cache, prove=False)


def features(n: int = 40, seed: int = 0) -> np.ndarray[Any, Any]:
    return np.random.default_rng(seed).normal(size=(n, 6)).astype(np.float32)


def pruned_features(cache: Path, **more: Any) -> Pruned:
    return prunebench.prune(
        features(), **{"labels": np.arange(40) % 2, "keep": "0.25", "cache": cache, "prove": False, **more}
    )


def files_of(subset: data.Subset[Any], dataset: ImageFolder) -> set[str]:
    return {Path(dataset.samples[place][0]).relative_to(dataset.root).as_posix() for place in subset.indices}


@pytest.mark.parametrize("saved", [False, True])
def test_kept_pictures_are_found_by_their_files_where_others_were_skipped(saved, photos, pruned_photos, tmp_path):
    assert len(pruned_photos.outcome.source.skipped) == 2
    kept = pruned_photos
    if saved:
        pruned_photos.save(tmp_path / "kept")
        kept = str(tmp_path / "kept")
    dataset = ImageFolder(str(photos))
    assert len(dataset) == 22  # with those that cannot be read
    subset = Subset(dataset, kept)
    assert files_of(subset, dataset) == set(pruned_photos.ids)
    assert len(subset) == 6
    for place in range(len(subset)):
        picture, label = subset[place]
        assert number_of(picture) % 2 == label
    other = Subset(dataset, kept, keep=4)
    assert len(other) == 4
    assert len(pruned_photos.subset(dataset, "4")) == 4


def test_files_are_found_where_the_folder_moved_or_is_reached_by_a_link(photos, pruned_photos, tmp_path):
    moved = tmp_path / "moved"
    shutil.copytree(photos, moved)
    link = tmp_path / "link"
    link.symlink_to(photos)
    for root in (moved, link):
        dataset = ImageFolder(str(root))
        assert files_of(Subset(dataset, pruned_photos), dataset) == set(pruned_photos.ids)


@pytest.mark.parametrize("form", ["csv", "parquet", "txt"])
def test_files_of_any_name_are_found_from_the_folder_of_a_pruning(form, weights, cache, tmp_path):
    names = [
        "a,b.png",
        'quo"te.png',
        "  space .png",
        "NA.png",
        "é.png",
        os.fsdecode(b"\xff\xfe.png"),
        "01.png",
        "null.png",
    ]
    if form != "txt":
        names += ["new\nline.png", "re\rturn.png"]
    for number, name in enumerate(names):
        path = tmp_path / "photos" / ("x y", "NA")[number % 2] / name
        path.parent.mkdir(exist_ok=True, parents=True)
        colour(number).save(path)
    pruned = prunebench.prune(
        tmp_path / "photos", keep="1", backbone="test_resnet", weights=weights, cache=cache, prove=False
    )
    pruned.save(tmp_path / "kept", form)
    dataset = ImageFolder(str(tmp_path / "photos"))
    assert Subset(dataset, tmp_path / "kept").indices == list(range(len(names)))
    assert Subset(dataset, pruned).indices == list(range(len(names)))
    assert Subset(dataset, pruned.ids).indices == list(range(len(names)))
    read = TarSubset(tmp_path / "kept")
    assert sorted(number_of(picture) for picture, _ in read) == list(range(len(names)))
    assert [read.classes[label] for _, label in read] == [("x y", "NA")[number_of(picture) % 2] for picture, _ in read]


def test_the_folder_of_a_split_is_a_data_set_too(weights, cache, tmp_path):
    root = tmp_path / "photos"
    for number in range(16):
        path = root / ("train", "val")[number >= 10] / ("cat", "dog")[number % 2] / f"{number % 10}.png"
        path.parent.mkdir(exist_ok=True, parents=True)
        colour(number).save(path)
    pruned = prunebench.prune(root, keep=4, backbone="test_resnet", weights=weights, cache=cache, prove=False)
    shutil.copytree(root, tmp_path / "moved")
    for place in (root, tmp_path / "moved"):
        dataset = ImageFolder(str(place / "train"))
        found = {f"train/{name}" for name in files_of(Subset(dataset, pruned), dataset)}
        assert found == set(pruned.ids)
        with pytest.raises(UsageError, match="it cannot be known where"):
            Subset(ImageFolder(str(place / "val")), pruned)


def test_files_are_found_through_subsets_and_joined_data_sets_of_torch(photos, pruned_photos):
    dataset = ImageFolder(str(photos))
    backwards = data.Subset(dataset, range(len(dataset) - 1, -1, -1))
    found = Subset(backwards, pruned_photos)
    assert {backwards.indices[place] for place in found.indices} == set(Subset(dataset, pruned_photos).indices)
    joined = data.ConcatDataset([data.Subset(dataset, range(10)), data.Subset(dataset, range(10, 22))])
    assert Subset(joined, pruned_photos).indices == Subset(dataset, pruned_photos).indices


def test_a_data_set_that_lacks_kept_files_is_refused_with_one_of_them(photos, pruned_photos, tmp_path):
    part = tmp_path / "part"
    shutil.copytree(photos, part)
    gone = pruned_photos.ids[0]
    (part / gone).unlink()
    with pytest.raises(UsageError, match="1 of them are not in it, such as") as caught:
        Subset(ImageFolder(str(part)), pruned_photos)
    assert gone in str(caught.value)


def test_a_data_set_whose_order_is_not_known_is_refused(pruned_photos, tmp_path):
    tensors = data.TensorDataset(torch.zeros(20, 3))
    with pytest.raises(UsageError, match=r"it cannot be known where the 6 samples .* TensorDataset"):
        Subset(tensors, pruned_photos)
    colour(1).save(tmp_path / "1.png")
    (tmp_path / "cat").mkdir()
    shutil.move(tmp_path / "1.png", tmp_path / "cat")
    with pytest.raises(UsageError, match="lists none of their files"):
        Subset(ImageFolder(str(tmp_path)), pruned_photos)


def test_one_id_in_two_folders_of_a_data_set_is_refused(photos, pruned_photos, tmp_path):
    copies = [tmp_path / "a", tmp_path / "b"]
    for copy in copies:
        shutil.copytree(photos, copy)
    joined = data.ConcatDataset([ImageFolder(str(copy)) for copy in copies])
    with pytest.raises(UsageError, match=r"all kept files are in .*/a/ and in .*/b/"):
        Subset(joined, pruned_photos)


def test_positions_count_the_samples_that_were_skipped(cache, tmp_path):
    ids = [f"s{row}" for row in range(40)]
    labels = tmp_path / "labels.csv"
    rows = [f"{name},{row % 2}\n" for row, name in enumerate(ids) if row % 5]  # every fifth sample has no label
    labels.write_text("id,label\n" + "".join(rows))
    pruned = pruned_features(cache, labels=labels, ids=ids)
    assert len(pruned.outcome.source) == 32
    assert [ids[place] for place in pruned.indices] == pruned.ids
    assert not any(place % 5 == 0 for place in pruned.indices)
    assert len(pruned.scores) == 40
    assert np.isnan(pruned.scores[::5]).all()
    dataset = data.TensorDataset(torch.from_numpy(features()))
    expected = features()[pruned.indices]
    pruned.save(tmp_path / "kept")
    for kept in (pruned, tmp_path / "kept"):
        got = torch.stack([one for (one,) in Subset(dataset, kept)]).numpy()
        assert (got == expected).all()
    kept = np.loadtxt(tmp_path / "kept" / "kept.csv", delimiter=",", dtype=str, skiprows=1)
    assert kept[:, 1].astype(int).tolist() == pruned.indices.tolist()


def test_a_data_set_of_torch_is_pruned_and_viewed_where_items_cannot_be_read(weights, cache):
    class Broken(data.Dataset[Any]):
        targets = tuple(number % 2 for number in range(20))

        def __len__(self) -> int:
            return 20

        def __getitem__(self, index: int) -> Any:
            if index in (3, 4):
                raise OSError("damaged")
            return colour(index), index % 2

    pruned = prunebench.prune(Broken(), keep=8, backbone="test_resnet", weights=weights, cache=cache, prove=False)
    assert len(pruned.outcome.source) == 18
    subset = pruned.subset(Broken())
    assert [number_of(picture) for picture, _ in subset] == pruned.indices.tolist() == list(map(int, pruned.ids))


def test_a_data_set_of_another_length_is_refused(cache):
    pruned = pruned_features(cache)
    with pytest.raises(UsageError, match="the input had 40 samples, and it has 39"):
        Subset(data.TensorDataset(torch.zeros(39, 2)), pruned)


@pytest.mark.parametrize("corrected", [0, 1])
def test_a_shuffled_data_set_of_torch_is_told_by_its_labels(corrected, cache, tmp_path):
    labels = np.arange(40) % 4
    np.savez(tmp_path / "features.npz", features=features(), labels=labels)
    pruned = prunebench.prune(tmp_path / "features.npz", keep=20, cache=cache, prove=False)
    dataset = data.TensorDataset(torch.from_numpy(features()))
    dataset.targets = torch.from_numpy(labels.copy())
    dataset.targets[pruned.indices[:corrected]] += 10
    assert Subset(dataset, pruned).indices == pruned.indices.tolist()
    dataset.targets = torch.from_numpy(np.random.default_rng(0).permutation(labels))
    with pytest.raises(UsageError, match="it was shuffled, or is another one"):
        Subset(dataset, pruned)


def test_indices_masks_and_ids_are_taken_as_they_are():
    dataset = data.TensorDataset(torch.arange(10))
    assert Subset(dataset, [7, 2]).indices == [7, 2]
    assert Subset(dataset, torch.tensor([1, 3])).indices == [1, 3]
    assert Subset(dataset, np.arange(10) > 7).indices == [8, 9]
    dataset.ids = [f"n{number}" for number in range(10)]
    assert Subset(dataset, ["n4", "n2"]).indices == [2, 4]


@pytest.mark.parametrize(
    ("kept", "message"),
    [
        ([0, 10], "indices from 0 to 10, and the data set has 10 samples"),
        ([-1], "indices from -1 to -1"),
        (np.ones(9, dtype=bool), "a mask of 9 samples for a data set of 10"),
        ([0.5], r"kept is an array float64 \[1\]"),
        (["a"], "not all of the 1 ids, such as 'a', are known"),
        ([[1, 2]], r"kept is an array int64 \[1, 2\]"),
        (None, "what is kept is of type NoneType"),
    ],
)
def test_what_cannot_be_an_index_is_refused(kept, message):
    with pytest.raises(UsageError, match=message):
        Subset(data.TensorDataset(torch.arange(10)), kept)


def test_a_stream_and_a_budget_that_was_not_asked_for_are_refused(cache):
    class Stream(data.IterableDataset[Any]):
        def __iter__(self) -> Any:
            return iter(())

    with pytest.raises(UsageError, match="no length and no items by position"):
        Subset(Stream(), [0])
    pruned = pruned_features(cache)
    with pytest.raises(UsageError, match=r"keep = 0\.5 was not asked for"):
        Subset(data.TensorDataset(torch.zeros(40)), pruned, keep=0.5)
    assert pruned.at("25%").tolist() == pruned.at(0.250).tolist() == pruned.indices.tolist()


def hugging_face(order: Any = range(40)) -> Any:
    import datasets

    order = list(order)
    feature = datasets.Features(
        {"embedding": datasets.Sequence(datasets.Value("float32")), "label": datasets.ClassLabel(names=["a", "b", "c"])}
    )
    rows = {"embedding": features()[order].tolist(), "label": [place % 3 for place in order]}
    return datasets.Dataset.from_dict(rows, features=feature)


def test_indices_select_from_a_hugging_face_data_set(cache, tmp_path):
    dataset = hugging_face()
    pruned = prunebench.prune(dataset, keep=9, cache=cache, prove=False)
    chosen = dataset.select(pruned.indices)
    assert (np.array(chosen["embedding"], dtype=np.float32) == features()[pruned.indices]).all()
    dataset.save_to_disk(str(tmp_path / "saved"))
    again = prunebench.prune(tmp_path / "saved", keep=9, cache=cache, prove=False)
    assert again.indices.tolist() == pruned.indices.tolist()
    subset = Subset(dataset, again)
    assert [row["embedding"] for row in subset] == chosen["embedding"][:]
    with pytest.raises(UsageError, match="it was shuffled, or is another one"):
        Subset(dataset.shuffle(seed=1), pruned)


def test_a_dictionary_of_splits_is_no_data_set(cache):
    with pytest.raises(UsageError, match=r"a dictionary of data sets \(train, test\)"):
        Subset({"train": hugging_face(), "test": hugging_face()}, [0])


def test_an_id_column_finds_samples_of_a_shuffled_hugging_face_data_set(cache):
    names = [f"id {row}" for row in range(40)]
    dataset = hugging_face().add_column("id", names)
    pruned = prunebench.prune(dataset, keep=9, cache=cache, prove=False)
    shuffled = dataset.shuffle(seed=1)
    assert {row["id"] for row in Subset(shuffled, pruned)} == set(pruned.ids)


def test_pictures_without_a_label_do_not_move_indices_of_a_hugging_face_data_set(weights, cache, tmp_path):
    import datasets

    kind = datasets.Features({"image": datasets.Image(), "label": datasets.Value("int64")})
    labels = [None if number in (0, 7) else number % 2 for number in range(20)]
    rows = {"image": [colour(number) for number in range(20)], "label": labels}
    dataset = datasets.Dataset.from_dict(rows, features=kind)
    pruned = prunebench.prune(dataset, keep=8, backbone="test_resnet", weights=weights, cache=cache, prove=False)
    chosen = dataset.select(pruned.indices)
    assert [number_of(row["image"]) for row in chosen] == list(map(int, pruned.ids))
    assert not {0, 7} & set(pruned.indices.tolist())
    pruned.save(tmp_path / "kept")
    for kept in (pruned, tmp_path / "kept"):
        assert Subset(dataset, kept).indices == pruned.indices.tolist()


def test_the_sampler_yields_kept_positions_by_seed_and_epoch(cache):
    dataset = data.TensorDataset(torch.arange(40))
    pruned = pruned_features(cache)
    sampler = SubsetSampler(dataset, pruned, seed=3)
    kept, epochs = set(pruned.indices.tolist()), []
    for epoch in range(3):
        sampler.set_epoch(epoch)
        epochs.append(list(sampler))
        assert set(epochs[-1]) == kept
        assert len(epochs[-1]) == len(sampler) == 10
    assert epochs[0] != epochs[1] != epochs[2]
    again = SubsetSampler(dataset, pruned, seed=3)
    again.set_epoch(2)
    assert list(again) == epochs[2]
    assert list(SubsetSampler(dataset, pruned, shuffle=False)) == pruned.indices.tolist()
    loaded = torch.cat([batch for (batch,) in data.DataLoader(dataset, batch_size=4, sampler=again)])
    assert loaded.tolist() == epochs[2]


@pytest.mark.parametrize("drop_last", [False, True])
def test_processes_share_the_kept_samples(cache, drop_last):
    dataset, pruned = data.TensorDataset(torch.arange(40)), pruned_features(cache)
    shares = [list(SubsetSampler(dataset, pruned, num_replicas=3, rank=rank, drop_last=drop_last)) for rank in range(3)]
    together = [place for share in shares for place in share]
    assert {len(share) for share in shares} == {3 if drop_last else 4}
    assert set(together) <= set(pruned.indices.tolist())
    assert len(set(together)) == (9 if drop_last else 10)
    with pytest.raises(UsageError, match="rank 3 of 3 processes"):
        SubsetSampler(dataset, pruned, num_replicas=3, rank=3)


def test_the_process_group_says_the_share(cache, monkeypatch):
    dataset, pruned = data.TensorDataset(torch.arange(40)), pruned_features(cache)
    expected = list(SubsetSampler(dataset, pruned, num_replicas=2, rank=1))
    for name, value in (("is_initialized", True), ("get_world_size", 2), ("get_rank", 1)):
        monkeypatch.setattr(torch.distributed, name, lambda value=value: value)
    assert list(SubsetSampler(dataset, pruned)) == expected
    assert len(expected) == 5


@pytest.fixture(scope="module")
def shards(tmp_path_factory) -> Path:
    """Two shards with labels; in the first a text that is named .png."""
    root = tmp_path_factory.mktemp("shards")
    for shard in range(2):
        with tarfile.open(root / f"part-{shard}.tar", "w") as archive:
            for number in range(shard * 10, shard * 10 + 10):
                buffer = io.BytesIO()
                colour(number).save(buffer, "PNG")
                content = b"no picture" if number == 2 else buffer.getvalue()
                for ending, part in ((".png", content), (".cls", str(number % 2).encode())):
                    member = tarfile.TarInfo(f"{number:04d}{ending}")
                    member.size = len(part)
                    archive.addfile(member, io.BytesIO(part))
    return root


@pytest.fixture(scope="module")
def pruned_shards(shards, weights, cache) -> Pruned:
    return prunebench.prune(shards, keep=["0.4", 3], backbone="test_resnet", weights=weights, cache=cache, prove=False)


def to_array(picture: Image.Image) -> np.ndarray[Any, Any]:
    return np.asarray(picture).transpose(2, 0, 1).copy()


@pytest.mark.parametrize("workers", [0, 2])
def test_kept_members_of_tar_shards_are_read_by_their_offset(workers, pruned_shards, tmp_path):
    pruned_shards.save(tmp_path / "kept")
    dataset = TarSubset(tmp_path / "kept", transform=to_array)
    assert dataset.ids == pruned_shards.ids
    assert dataset.classes == ("0", "1")
    batches = list(data.DataLoader(dataset, batch_size=3, num_workers=workers))
    numbers = [int(picture[0, 0, 0]) for pictures, _ in batches for picture in pictures]
    labels = [int(label) for _, found in batches for label in found]
    assert [f"{number:04d}" for number in numbers] == pruned_shards.ids
    assert labels == [number % 2 for number in numbers]
    assert 2 not in numbers
    assert len(TarSubset(pruned_shards, 3)) == 3


def test_members_of_shards_that_are_copied_have_the_ending_of_a_picture(pruned_shards, tmp_path):
    kept = open_folder(pruned_shards.save(tmp_path / "kept")["manifest"].parent)
    place_files(kept.files, pruned_shards.ids, tmp_path / "cl" / "copies", "copy", lambda *_: None)
    names = [Path(path).stem for path, _ in ImageFolder(tmp_path / "cl").samples]
    assert sorted(names) == sorted(pruned_shards.ids)


def test_only_the_kept_bytes_of_a_shard_are_read(pruned_shards, shards, tmp_path):
    copies = tmp_path / "shards"
    shutil.copytree(shards, copies)
    places = pruned_shards.outcome.source.pictures
    kept = [places.locator(row) for row in pruned_shards.outcome.indices()]
    for path in copies.iterdir():
        content, blank = path.read_bytes(), bytearray(path.stat().st_size)
        for place in (one for one in kept if Path(one["path"]).name == path.name):
            part = slice(place["offset"], place["offset"] + place["length"])
            blank[part] = content[part]
        path.write_bytes(bytes(blank))
    dataset = TarSubset(pruned_shards, root=copies, target_transform=lambda label: label + 10)
    assert [f"{number_of(picture):04d}" for picture, _ in dataset] == pruned_shards.ids
    assert {label for _, label in dataset} == {10, 11}
    assert dataset.encoded(0)[:4] == b"\x89PNG"


def test_shards_that_moved_or_were_cut_are_told_at_once(pruned_shards, shards, tmp_path):
    with pytest.raises(DataError, match=r"part-.\.tar is not there any more"):
        TarSubset(pruned_shards, root=tmp_path)
    for path in shards.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes()[:100])
    with pytest.raises(DataError, match="is shorter than when it was pruned"):
        TarSubset(pruned_shards, root=tmp_path)


def test_a_member_that_was_changed_since_is_named_when_it_is_read(pruned_shards, shards, tmp_path):
    for path in shards.iterdir():
        (tmp_path / path.name).write_bytes(bytes(path.stat().st_size))
    dataset = TarSubset(pruned_shards, root=tmp_path)
    with pytest.raises(DataError, match=f"'{pruned_shards.ids[0]}'"):
        dataset[0]


def test_whole_files_are_read_too_and_features_are_refused(photos, pruned_photos, cache, tmp_path):
    found = [(number_of(picture), label) for picture, label in TarSubset(pruned_photos)]
    assert all(number % 2 == label for number, label in found)
    shutil.copytree(photos, tmp_path / "moved")
    moved = TarSubset(pruned_photos, root=tmp_path / "moved")
    assert [(number_of(picture), label) for picture, label in moved] == found
    with pytest.raises(UsageError, match="keeps are no files"):
        TarSubset(pruned_features(cache))


def test_a_folder_that_no_pruning_wrote_is_refused(tmp_path):
    (tmp_path / "manifest.json").write_text(json.dumps({}))
    with pytest.raises(DataError, match="holds no manifest"):
        Subset(data.TensorDataset(torch.zeros(3)), tmp_path)
