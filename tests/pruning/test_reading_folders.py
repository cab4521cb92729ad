"""Folders of pictures as people have them: classes, splits, labels, odd names, and what is left out."""

from __future__ import annotations

import os
import pickle
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from picture_bytes import encoded, noise, png, put
from prunebench.errors import DataError
from prunebench.guard import FORMULA
from prunebench.pictures import printable_ids, split_of
from prunebench.pruning.reading import read
from prunebench.pruning.source import Source


def classes(root: Path, *names: str, each: int = 2) -> Path:
    for name in names:
        for number in range(each):
            put(root / name / f"{number}.png", seed=number)
    return root


def labels_of(source: Source) -> dict[str, str]:
    assert source.labels is not None
    return {name: source.class_names[label] for name, label in zip(source.ids, source.labels, strict=True)}


def refusal(root: Path, **more: object) -> str:
    with pytest.raises(DataError) as caught:
        read(root, **more)  # type: ignore[arg-type]
    assert "\n" not in caught.value.message
    assert caught.value.hint
    return caught.value.message


def codes(source: Source) -> dict[str, str]:
    return {one.id: one.code for one in source.skipped}


def test_sub_folders_are_classes(tmp_path: Path) -> None:
    source = read(classes(tmp_path / "mine", "bee", "ant"))
    assert source.title == "mine"
    assert source.ids == ("ant/0.png", "ant/1.png", "bee/0.png", "bee/1.png")
    assert source.class_names == ("ant", "bee")
    assert source.labels is not None
    assert (source.labels.tolist(), source.labels.dtype) == ([0, 0, 1, 1], np.int64)
    assert source.skipped == source.notes == ()
    assert source.pictures is not None
    assert source.pictures.picture(2).size == (16, 12)
    assert source.pictures.locator(3) == {"path": str(tmp_path / "mine" / "bee" / "1.png")}


def test_a_path_may_be_text_and_relative(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    classes(tmp_path / "mine", "ant", "bee")
    monkeypatch.chdir(tmp_path)
    source = read("mine")
    assert source.pictures is not None
    monkeypatch.chdir("/")
    assert len(source) == 4


def test_a_flat_folder_has_no_labels(tmp_path: Path) -> None:
    for name in ("b.png", "a.jpg"):
        put(tmp_path / name)
    source = read(tmp_path)
    assert (source.ids, source.labels, source.class_names) == (("a.jpg", "b.png"), None, ())


@pytest.mark.parametrize(
    ("train", "other"),
    [("train", "validation"), ("Train", "VAL"), ("training", "valid"), ("train", "dev"), ("TRAIN", "eval"),
     ("train", "testing"), ("train2017", "val2017"), ("training_set", "test_set"), ("train-images", "holdout")],
)  # fmt: skip
def test_folders_named_as_splits_are_splits(train: str, other: str, tmp_path: Path) -> None:
    classes(tmp_path / train, "ant", "bee")
    classes(tmp_path / other, "ant", "bee", each=1)
    source = read(tmp_path)
    assert source.class_names == ("ant", "bee")
    assert source.ids[0] == f"{train}/ant/0.png"
    assert len(source) == 4
    assert source.notes == (f"read the folder {train}; {other} beside it is not read",)
    assert read(tmp_path, split=split_of(other)).ids == (f"{other}/ant/0.png", f"{other}/bee/0.png")
    assert read(tmp_path, split=other.upper()).ids == (f"{other}/ant/0.png", f"{other}/bee/0.png")
    assert "no split 'unknown'" in refusal(tmp_path, split="unknown")


def test_splits_without_one_for_training_have_to_be_named(tmp_path: Path) -> None:
    classes(tmp_path / "val", "ant", "bee")
    classes(tmp_path / "test", "ant", "bee")
    assert "no split that is for training among test, val" in refusal(tmp_path)
    assert len(read(tmp_path, split="test")) == 4


def test_two_splits_for_training_have_to_be_named(tmp_path: Path) -> None:
    for name in ("train", "training", "val"):
        classes(tmp_path / name, "ant", "bee")
    assert "several that may be the split" in refusal(tmp_path)
    assert read(tmp_path, split="training").ids[0] == "training/ant/0.png"


@pytest.mark.parametrize("sibling", ["unseen", "fold2", "extra"])
def test_a_folder_for_training_with_a_sibling_of_the_same_classes_is_refused(sibling: str, tmp_path: Path) -> None:
    classes(tmp_path / "train", "ant", "bee")
    classes(tmp_path / sibling, "ant", "bee")
    assert f"train and {sibling} look like splits" in refusal(tmp_path)
    assert read(tmp_path, split=sibling).class_names == ("ant", "bee")
    assert read(tmp_path, split=".").class_names == tuple(sorted(["train", sibling]))


def test_a_name_that_only_mentions_training_counts_where_the_classes_are_the_same(tmp_path: Path) -> None:
    classes(tmp_path / "imagenet_train", "ant", "bee")
    classes(tmp_path / "imagenet_rest", "ant", "bee")
    assert "look like splits" in refusal(tmp_path)


def test_a_class_may_be_called_train(tmp_path: Path) -> None:
    assert read(classes(tmp_path, "bus", "train", "test tube")).class_names == ("bus", "test tube", "train")


def test_splits_of_flat_folders_are_splits(tmp_path: Path) -> None:
    put(tmp_path / "train" / "a.png")
    put(tmp_path / "test" / "b.png")
    source = read(tmp_path)
    assert (source.ids, source.labels) == (("train/a.png",), None)


def test_splits_inside_of_classes_are_refused(tmp_path: Path) -> None:
    for name in ("ant", "bee"):
        classes(tmp_path / name, "train", "val")
    assert "class folders hold splits, such as ant/train" in refusal(tmp_path)


def test_a_folder_in_a_folder_is_looked_through(tmp_path: Path) -> None:
    classes(tmp_path / "archive" / "data" / "train", "ant", "bee")
    classes(tmp_path / "archive" / "data" / "val", "ant", "bee")
    source = read(tmp_path)
    assert source.ids[0] == "archive/data/train/ant/0.png"
    assert source.class_names == ("ant", "bee")
    assert read(classes(tmp_path / "one", "only", each=3)).class_names == ("only",)


def test_what_is_hidden_or_of_the_system_is_counted(tmp_path: Path) -> None:
    classes(tmp_path, "ant", "bee")
    for name in ("ant/._0.png", "ant/.DS_Store", "bee/Thumbs.db", "__MACOSX/ant/._0.png", ".ipynb_checkpoints/0.png",
                 "bee/.ipynb_checkpoints/0-checkpoint.png", "@eaDir/0.png"):  # fmt: skip
        put(tmp_path / name)
    (tmp_path / "bee" / "notes.txt").write_text("not a picture")
    source = read(tmp_path)
    assert len(source) == 4
    assert source.notes == (
        "files or folders left out, hidden or of the system: 7",
        "files or folders left out, no pictures: 1",
    )


def test_pictures_are_known_by_their_content_where_the_ending_does_not_say(tmp_path: Path) -> None:
    kinds = {
        "a.jfif": "JPEG",
        "b.ppm": "PPM",
        "c.dat": "PNG",
        "d": "WEBP",
        "e.txt": "GIF",
        "f.JPE": "JPEG",
        "g.bak": "BMP",
    }
    for name, form in kinds.items():
        put(tmp_path / "x" / name, encoded(noise(), form))
    (tmp_path / "x" / "h.bmx").write_text("BM is how a text may begin, too, as long as it likes")
    source = read(tmp_path)
    assert source.ids == tuple(f"x/{name}" for name in kinds)
    assert source.pictures is not None
    assert {source.pictures.picture(row).size for row in range(len(source))} == {(16, 12)}


def test_links_are_followed_and_loops_are_not(tmp_path: Path) -> None:
    classes(tmp_path / "elsewhere", "bee")
    mine = classes(tmp_path / "mine", "ant")
    (mine / "bee").symlink_to(tmp_path / "elsewhere" / "bee")
    (mine / "ant" / "around").symlink_to(mine)
    (mine / "ant" / "self").symlink_to("self")
    put(tmp_path / "one.png")
    (mine / "ant" / "linked.png").symlink_to(tmp_path / "one.png")
    source = read(mine)
    assert source.ids == ("ant/0.png", "ant/1.png", "ant/linked.png", "bee/0.png", "bee/1.png")
    assert "files or folders left out, links to a folder around them: 1" in source.notes


def test_links_that_cross_each_other_come_to_an_end(tmp_path: Path) -> None:
    for number in range(12):
        folder = tmp_path / f"d{number}"
        folder.mkdir()
        for name in "ab":
            (folder / name).symlink_to(tmp_path / f"d{(number + 1) % 12}")
    put(tmp_path / "d0" / "a.png")
    assert len(read(tmp_path / "d0", split=".")) == 1


def test_what_cannot_be_a_picture_is_skipped_with_its_reason(tmp_path: Path) -> None:
    classes(tmp_path, "ant", "bee")
    (tmp_path / "ant" / "gone.png").symlink_to("nowhere.png")
    os.mkfifo(tmp_path / "ant" / "pipe.jpg")
    put(tmp_path / "bee" / "raw.NEF", b"II*\0" + bytes(50))
    put(tmp_path / "beside.png")
    source = read(tmp_path)
    assert len(source) == 4
    assert codes(source) == {"ant/gone.png": "broken-link", "ant/pipe.jpg": "not-a-file",
                             "bee/raw.NEF": "unsupported-format", "beside.png": "no-class"}  # fmt: skip
    message = refusal(tmp_path, strict=True)
    assert "4 samples cannot be read (1 broken-link, 1 no-class, 1 not-a-file, 1 unsupported-format)" in message
    assert all(name in message for name in codes(source))


def test_pictures_that_cannot_be_decoded_say_why(tmp_path: Path) -> None:
    whole = encoded(noise(size=(40, 40)))
    bad = {"empty": b"", "text": b"I am text", "cut": whole[: len(whole) // 2],
           "bomb": png(np.zeros((2, 2, 1)), bits=8, width=60_000, height=60_000)}  # fmt: skip
    for name, data in bad.items():
        put(tmp_path / "ant" / f"{name}.jpg", data)
    put(tmp_path / "ant" / "secret.png").chmod(0)
    source = read(tmp_path)
    assert source.pictures is not None
    found = {}
    for row, name in enumerate(source.ids):
        if name != "ant/secret.png" or os.geteuid():
            with pytest.raises(ValueError, match=r"it |file|pixels") as caught:
                source.pictures.picture(row)
            found[name.removeprefix("ant/").partition(".")[0]] = caught.value.code  # type: ignore[attr-defined]
    expected = {"empty": "empty", "text": "not-an-image", "cut": "truncated", "bomb": "too-many-pixels"}
    assert found == expected | ({"secret": "no-permission"} if os.geteuid() else {})
    put(tmp_path / "ant" / "text.jpg").unlink()
    with pytest.raises(ValueError, match="gone"):
        source.pictures.picture(source.ids.index("ant/text.jpg"))


def test_odd_names_become_printable_unique_ids_and_still_open(tmp_path: Path) -> None:
    odd = [b"a b.png", b"a'b.png", b'a"b.png', b"a\nb.png", b"a\\x0ab.png", b"\xe9t\xe9.png",
           "\u00e9t\u00e9.png".encode(),
           b"a,b;c.png", b"\xff\xfe.png", "\u202ey.png".encode(), b"tab\t.png"]  # fmt: skip
    for number, name in enumerate(odd):
        put(tmp_path / os.fsdecode(b"cl\xe4ss") / os.fsdecode(name), seed=number)
    source = read(tmp_path)
    assert len(set(source.ids)) == len(source) == len(odd)
    assert source.class_names == (r"cl\xe4ss",)
    for name in source.ids:
        name.encode("utf-8")
        assert "\n" not in name
        assert "\t" not in name
    pictures = source.pictures
    assert pictures is not None
    assert len({pictures.digest(row) for row in range(len(odd))}) == len(odd)
    assert all(Path(pictures.locator(row)["path"]).is_file() for row in range(len(odd)))


@given(st.lists(st.binary(min_size=1, max_size=6).map(os.fsdecode), unique=True, max_size=20))
def test_printable_ids_stay_distinct(names: list[str]) -> None:
    ids = printable_ids(names)
    assert len(set(ids)) == len(names)
    for name, given_id in zip(names, ids, strict=True):
        given_id.encode("utf-8")
        assert not set(given_id) & {"\n", "\r", "\t", "\0"}
        assert not FORMULA.match(given_id), "a spreadsheet computes it"
        if name.isprintable() and "\\" not in name and not FORMULA.match(name):
            assert name == given_id


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("header", ["id,label", "filename,class", "", "label,file"])
@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_labels_are_read_from_any_csv(encoding: str, end: str, header: str, separator: str, tmp_path: Path) -> None:
    rows = [("a.png", "cat"), ("\u00e4 b.png", "dog"), ("s/c.png", "cat")]
    lines = [header] if header else []
    lines += [",".join(row[::-1] if header.startswith("label") else row) for row in rows]
    (tmp_path / "labels.csv").write_bytes(end.join(lines).replace(",", separator).encode(encoding))
    for name, _ in rows:
        put(tmp_path / name)
    source = read(tmp_path)
    assert labels_of(source) == dict(rows)
    assert source.skipped == ()


def test_a_sample_is_named_by_its_path_its_file_name_or_its_stem(tmp_path: Path) -> None:
    for name in ("s/a.png", "s/b.png", "t/c.png", "d.png", "t/b.jpg"):
        put(tmp_path / name)
    table = tmp_path / "elsewhere.csv"
    table.write_text("id,label\ns/a.png,1\nb.png,2\nc,3\n./d.png,10\nt\\b.jpg,2\n")
    source = read(tmp_path, labels=table)
    assert labels_of(source) == {"d.png": "10", "s/a.png": "1", "s/b.png": "2", "t/b.jpg": "2", "t/c.png": "3"}
    assert source.class_names == ("1", "2", "3", "10")


def test_letters_with_accents_match_in_either_normal_form(tmp_path: Path) -> None:
    put(tmp_path / "cafe\u0301.png")
    put(tmp_path / "na\u00efve.png")
    (tmp_path / "labels.csv").write_text("id,label\ncaf\u00e9.png,1\nnai\u0308ve,2\n")
    assert labels_of(read(tmp_path)) == {"cafe\u0301.png": "1", "na\u00efve.png": "2"}


def test_labels_beside_class_folders_win_where_they_name_the_pictures(tmp_path: Path) -> None:
    classes(tmp_path, "000", "001")
    table = tmp_path / "labels.csv"
    table.write_text("id,label\n000,ant\n001,bee\n")
    source = read(tmp_path)
    assert source.class_names == ("000", "001")
    assert any(note.startswith("labels.csv was not used: no row names a sample") for note in source.notes)
    table.write_text("id,label\n000/0.png,ant\n000/1.png,bee\n001/0.png,bee\n001/1.png,ant\n")
    assert read(tmp_path).class_names == ("ant", "bee")


def test_options_that_a_folder_cannot_have_are_refused(tmp_path: Path) -> None:
    classes(tmp_path, "ant", "bee")
    assert "the names of its pictures are their ids" in refusal(tmp_path, ids=["a"] * 4)
    assert "no split 'train' among ant, bee" in refusal(tmp_path, split="train")


def test_rows_that_do_not_fit_are_skipped_with_their_reasons(tmp_path: Path) -> None:
    for name in ("a.png", "b.png", "c.png", "d.png", "s/e.png", "t/e.png"):
        put(tmp_path / name)
    (tmp_path / "labels.csv").write_text(
        "id,label\na.png,cat\na.png,cat\nb.png,cat\nb.png,dog\nzzz.png,dog\ne.png,cat\nd.png,\n"
    )
    source = read(tmp_path)
    assert labels_of(source) == {"a.png": "cat"}
    assert codes(source) == {
        "b.png": "conflicting-labels", "c.png": "no-label", "d.png": "no-label", "zzz.png": "missing-file",
        "e.png": "ambiguous-name", "s/e.png": "ambiguous-name", "t/e.png": "ambiguous-name",
    }  # fmt: skip
    assert "rows of labels.csv that repeat an id: 2" in source.notes
    assert "7 samples cannot be read" in refusal(tmp_path, strict=True)


@pytest.mark.parametrize(
    ("content", "message"),
    [("", "has no rows"), ("x,y\nu,v\n", "no row names a sample"), ("id,label\na.png,cat,dog\nb.png,cat\n", "columns"),
     ("a,b,c\n1,2,3\n", "none named label"), ('id,label\n"a.png,cat\n', "is no csv file"),
     ("id,label,label\na.png,cat,dog\n", "line 1: 2 columns are named label"),
     ("file,label,file\na.png,cat,b.png\n", "line 1: 2 columns are named file"),
     ("id,label\na.png,cat\0\n", "line 2: it is no text")],
)  # fmt: skip
def test_label_files_that_do_not_fit_are_refused_in_one_sentence(content: str, message: str, tmp_path: Path) -> None:
    put(tmp_path / "a.png")
    (tmp_path / "labels.csv").write_text(content)
    assert message in refusal(tmp_path)


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be", "utf-32"])
def test_a_label_file_in_an_encoding_that_nothing_tells_is_no_text(encoding: str, tmp_path: Path) -> None:
    put(tmp_path / "a.png")
    (tmp_path / "labels.csv").write_bytes("id,label\na.png,cat\n".encode(encoding))
    assert "it is no text" in refusal(tmp_path)


@pytest.mark.parametrize("letter", ["\x85", "\u2028", "\x0b", "\x0c", "\x1c"])
def test_only_line_ends_end_the_line_of_a_label_file(letter: str, tmp_path: Path) -> None:
    put(tmp_path / "a.png")
    (tmp_path / "labels.csv").write_text(f"id,label\na.png,c{letter}t\n", encoding="utf-8", newline="")
    assert len(labels_of(read(tmp_path))) == 1


def test_labels_may_be_given_in_the_order_of_the_paths(tmp_path: Path) -> None:
    for name in ("a.png", "b.png"):
        put(tmp_path / name)
    assert labels_of(read(tmp_path, labels=["x", "y"])) == {"a.png": "x", "b.png": "y"}
    assert "3 labels for the 2 pictures" in refusal(tmp_path, labels=[0, 1, 0])


def test_places_without_pictures_are_refused(tmp_path: Path) -> None:
    assert "is not there" in refusal(tmp_path / "nowhere")
    assert "has no pictures" in refusal(tmp_path)
    (tmp_path / "notes.txt").write_text("text")
    assert "its ending is none of" in refusal(tmp_path / "notes.txt")
    (tmp_path / "ant").mkdir()
    assert "has no pictures" in refusal(tmp_path)
    classes(tmp_path, "bee")
    source = read(tmp_path)
    assert source.class_names == ("bee",)


def test_digests_are_remembered_and_depend_on_the_content_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mine, cache = classes(tmp_path / "mine", "ant", "bee"), tmp_path / "cache"
    pictures = read(mine, cache=cache).pictures
    assert pictures is not None
    first = [pictures.digest(row) for row in range(4)]
    assert first[:2] == first[2:]
    assert len(first[0]) == 32
    again = pickle.loads(pickle.dumps(read(mine, cache=cache).pictures))
    monkeypatch.setattr(type(again), "encoded", lambda self, index: pytest.fail("read its bytes"))
    assert [again.digest(row) for row in range(4)] == first
    monkeypatch.undo()
    put(mine / "ant" / "0.png", seed=9)
    assert again.digest(0) not in first
    [file] = (cache / "digests").iterdir()
    file.write_bytes(b"torn" + file.read_bytes()[:-7])
    fresh = read(mine, cache=cache).pictures
    assert fresh is not None
    assert [fresh.digest(row) for row in range(1, 4)] == first[1:]


def test_a_cache_that_cannot_be_written_costs_nothing_but_time(tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("a file")
    pictures = read(classes(tmp_path / "mine", "ant"), cache=tmp_path / "cache").pictures
    assert pictures is not None
    assert pictures.digest(0) == pictures.digest(0)


def test_reading_is_the_same_wherever_the_folder_is(tmp_path: Path) -> None:
    here, there = (read(classes(tmp_path / place / "mine", "bee", "ant")) for place in ("here", "there"))
    assert (here.ids, here.settings, here.title) == (there.ids, there.settings, there.title)


def test_flat_splits_beside_other_folders_cannot_be_told_from_classes(tmp_path: Path) -> None:
    classes(tmp_path, "train", "test", "cat", "dog")
    assert "the folders test, train look like splits, not classes, and cat, dog beside them do not" in refusal(tmp_path)
    assert read(tmp_path, split=".").class_names == ("cat", "dog", "test", "train")
    assert read(tmp_path, split="train").ids == ("train/0.png", "train/1.png")


def test_all_that_lies_beside_the_split_that_is_read_is_said(tmp_path: Path) -> None:
    classes(tmp_path / "train", "cat", "dog")
    classes(tmp_path, "cat", "test")
    assert read(tmp_path).notes == ("read the folder train; cat, test beside it is not read",)


@pytest.mark.parametrize("name", ["a.tar.gz", "shards/a.tgz", "photos.ZIP"])
def test_packed_files_are_to_be_unpacked(name: str, tmp_path: Path) -> None:
    file = put(tmp_path / name, b"\x1f\x8b")
    for place in (file, file.parent):
        with pytest.raises(DataError) as caught:
            read(place)
        assert "unpack" in (caught.value.hint or "")
