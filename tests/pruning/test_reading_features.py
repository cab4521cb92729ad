"""Features from files: every format, labels and ids from wherever they are, and what is refused in one sentence."""

from __future__ import annotations

import pickle
import struct
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from safetensors.numpy import save_file

from prunebench.errors import DataError
from prunebench.pruning.reading import feature_files, features, from_python, read
from prunebench.pruning.source import Source

FEATURES = np.random.default_rng(0).normal(size=(6, 4)).astype(np.float32)
LABELS = ["cat", "dog", "cat", "emu", "dog", "cat"]
IDS = ["u", "v", "w", "x", "y", "z"]


def written(folder: Path, form: str, values: Any = FEATURES, **more: Any) -> Path:
    """Write features with labels and ids, where the format has a place for them, under their usual names."""
    path = folder / f"mine.{form}"
    if form == "npy":
        np.save(path, values)
    elif form == "npz":
        np.savez(path, features=values, **more)
    elif form == "safetensors":
        save_file({"embeddings": values, **{name: np.asarray(array) for name, array in more.items()}}, path)
    else:
        pq.write_table(pa.table({"embedding": list(values), **more}), path)
    return path


def refusal(path: Path, **more: Any) -> str:
    with pytest.raises(DataError) as caught:
        read(path, **more)
    assert "\n" not in caught.value.message
    assert caught.value.hint
    return caught.value.message


def names_of(source: Source) -> list[str]:
    assert source.labels is not None
    assert source.labels.dtype == np.int64
    return [source.class_names[label] for label in source.labels]


@pytest.mark.parametrize("form", ["npy", "npz", "safetensors", "parquet"])
def test_features_come_back_as_they_were(form: str, tmp_path: Path) -> None:
    source = read(written(tmp_path, form))
    assert source.features is not None
    assert source.features.dtype == np.float32
    assert np.array_equal(source.features, FEATURES)
    assert not source.features.flags.writeable
    assert source.ids == ("0", "1", "2", "3", "4", "5")
    assert (source.labels, source.pictures, source.title) == (None, None, f"mine.{form}")


@pytest.mark.parametrize("form", ["npy", "npz", "safetensors"])
def test_features_are_mapped_where_the_format_allows(form: str, tmp_path: Path) -> None:
    large = np.random.default_rng(1).normal(size=(3000, 100)).astype(np.float32)
    found = read(written(tmp_path, form, large)).features
    base: Any = found
    while base is not None and not isinstance(base, np.memmap):
        base = base.base
    assert isinstance(base, np.memmap)
    assert np.array_equal(found, large)  # type: ignore[arg-type]


@pytest.mark.parametrize("form", ["npz", "parquet"])
def test_labels_and_ids_come_from_the_same_file(form: str, tmp_path: Path) -> None:
    source = read(written(tmp_path, form, label=LABELS, id=IDS))
    assert source.ids == tuple(IDS)
    assert source.class_names == ("cat", "dog", "emu")
    assert names_of(source) == LABELS


def test_labels_in_safetensors_are_numbers(tmp_path: Path) -> None:
    source = read(written(tmp_path, "safetensors", labels=np.array([10, 2, 2, 10, 2, 2])))
    assert (source.class_names, names_of(source)) == (("2", "10"), ["10", "2", "2", "10", "2", "2"])


def test_class_names_of_the_file_name_its_numbers(tmp_path: Path) -> None:
    path = written(tmp_path, "npz", labels=np.array([0, 3, 0, 1, 3, 0]), class_names=["cat", "emu", "none", "dog"])
    assert names_of(read(path)) == LABELS
    assert read(path).class_names == ("cat", "emu", "dog")


@pytest.mark.parametrize("dtype", ["f2", "f8", ">f4", "i4", "u1"])
@pytest.mark.parametrize("order", ["C", "F"])
def test_other_numbers_become_float32_in_row_order(dtype: str, order: Any, tmp_path: Path) -> None:
    values = np.asarray(np.round(np.abs(FEATURES) * 10), dtype=dtype, order=order)
    found = read(written(tmp_path, "npy", values)).features
    assert found is not None
    assert (found.dtype, found.flags.c_contiguous) == (np.float32, True)
    assert np.array_equal(found, values.astype(np.float32))


def test_large_features_of_another_type_are_converted_once_and_mapped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(features, "_IN_MEMORY_BYTES", 10)
    monkeypatch.setattr(features, "_BLOCK_BYTES", 64)
    path = written(tmp_path, "npy", FEATURES.astype(np.float64))
    for _ in range(2):
        found = read(path, cache=tmp_path / "cache").features
        assert found is not None
        assert np.array_equal(found, FEATURES)
    [file] = (tmp_path / "cache" / "features").iterdir()
    assert file.suffix == ".npy"
    np.save(path, FEATURES.astype(np.float64) + 1)
    changed = read(path, cache=tmp_path / "cache").features
    assert changed is not None
    assert np.array_equal(changed, (FEATURES.astype(np.float64) + 1).astype(np.float32))


@pytest.mark.parametrize(
    ("values", "message"),
    [(np.where(np.eye(6, 4) > 0, np.nan, 1), "4 of 6 samples have features that are NaN or infinite (row 0, 1, 2, 3"),
     (np.where(np.eye(6, 4) > 0, -np.inf, 1), "NaN or infinite"),
     (np.full((6, 4), 1e39), "6 of 6 samples have features that are beyond the range of float32"),
     (np.where(np.eye(6, 4) > 0, np.inf, 1).astype(np.float16), "float16 overflows above 65,504"),
     (FEATURES[0], "shape [4], expected [n, d]"), (FEATURES[:0], "shape [0, 4]"), (FEATURES[:, :0], "shape [6, 0]"),
     (FEATURES.astype(complex), "complex"), (np.array([["a", "b"]]), "<U1"), (np.zeros((2, 5, 3, 3)), "[2, 5, 3, 3]")],
)  # fmt: skip
@pytest.mark.parametrize("form", ["npy", "npz"])
def test_features_that_no_method_can_read_are_refused(values: Any, message: str, form: str, tmp_path: Path) -> None:
    if form == "npz" and values.ndim == 4:
        message = "expected [n, d]"
    assert message in refusal(written(tmp_path, form, values))


class _Trap:
    def __reduce__(self) -> Any:
        return Path.touch, (Path("executed"),)


@pytest.mark.parametrize("form", ["object array", "pickle", "npz"])
def test_nothing_is_executed(form: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / ("mine.npz" if form == "npz" else "mine.npy")
    trap = np.array([[_Trap()]], dtype=object)
    if form == "pickle":
        path.write_bytes(pickle.dumps(_Trap()))
    elif form == "npz":
        np.savez(path, features=trap, allow_pickle=True)
    else:
        np.save(path, trap, allow_pickle=True)
    assert "it holds Python objects (a pickle), which would be executed to be read, and is refused" in refusal(path)
    assert not Path("executed").exists()


@pytest.mark.parametrize("ending", ["npy", "npz", "safetensors", "parquet"])
@pytest.mark.parametrize("how", ["empty", "text", "cut", "long header"])
def test_damaged_files_are_refused_in_one_sentence(ending: str, how: str, tmp_path: Path) -> None:
    path = written(tmp_path, ending)
    whole = path.read_bytes()
    path.write_bytes({"empty": b"", "text": b"this is text, no features", "cut": whole[: len(whole) * 2 // 3],
                      "long header": struct.pack("<Q", 1 << 60) + whole[8:]}[how])  # fmt: skip
    assert f"is no readable .{ending} file" in refusal(path)


def test_a_file_that_promises_more_than_there_is_is_refused(tmp_path: Path) -> None:
    header = b"{'descr': '<f4', 'fortran_order': False, 'shape': (1000000000000, 512), }"
    data = b"\x93NUMPY\x01\0" + struct.pack("<H", len(header)) + header + bytes(100)
    (tmp_path / "mine.npy").write_bytes(data)
    assert "mine.npy" in refusal(tmp_path / "mine.npy")
    with zipfile.ZipFile(tmp_path / "mine.npz", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("features.npy", data)
    assert "mine.npz" in refusal(tmp_path / "mine.npz")


@pytest.mark.parametrize("form", ["npz", "parquet"])
def test_ids_have_to_be_unique_and_as_many_as_samples(form: str, tmp_path: Path) -> None:
    message = refusal(written(tmp_path, form, id=["u", "v", "u", "v", "v", "w"]))
    assert "2 ids belong to several samples, such as 'u', 'v'" in message
    assert "the id of row 1 is empty" in refusal(written(tmp_path, form, id=["u", "", "a", "b", "c", "d"]))
    assert "2 ids for 6 samples" in refusal(written(tmp_path, "npy"), ids=["a", "b"])
    assert read(written(tmp_path, form), ids=IDS).ids == tuple(IDS)
    assert "the id of row 1 is empty" in refusal(written(tmp_path, form), ids=["u", None, *IDS[2:]])
    assert "the id of row 0 is empty" in refusal(written(tmp_path, form), ids=[float("nan"), *IDS[1:]])
    assert "ids are str, expected one value for each sample" in refusal(written(tmp_path, form), ids="uvwxyz")


@pytest.mark.parametrize("name", ["labels", "ids", "class_names"])
@pytest.mark.parametrize(("shape", "said"), [((), "[]"), ((6, 1), "[6, 1]")])
def test_what_a_file_says_of_samples_is_one_value_for_each(
    name: str, shape: tuple[int, ...], said: str, tmp_path: Path
) -> None:
    more = {"labels": np.zeros(6, int), name: np.zeros(shape, int)}
    message = refusal(written(tmp_path, "npz", **more))
    assert f"the values of {name} have shape {said}, expected [n]" in message


def test_two_classes_of_one_name_are_refused(tmp_path: Path) -> None:
    path = written(tmp_path, "npz", labels=[0, 1, 2, 0, 1, 2], class_names=["a", "a", "b"])
    assert "two classes are named 'a'" in refusal(path)


def test_pictures_and_lists_of_a_table_are_no_ids_and_no_labels(tmp_path: Path) -> None:
    bytes_ = [b"\x89PNG"] * 6
    for image in ([{"bytes": one, "path": None} for one in bytes_], bytes_):
        assert read(written(tmp_path, "parquet", image=image)).ids == tuple("012345")
    assert read(written(tmp_path, "parquet", image=bytes_, key=IDS)).ids == tuple(IDS)
    assert read(written(tmp_path, "parquet", id=[name.encode() for name in IDS])).ids == tuple(IDS)
    assert "6 labels are missing or no class" in refusal(written(tmp_path, "parquet", label=[[0]] * 6))


def test_arrays_that_may_all_be_features_are_named(tmp_path: Path) -> None:
    np.savez(tmp_path / "mine.npz", one=FEATURES, two=FEATURES)
    assert "2 arrays that may be features among one [6, 4], two [6, 4]" in refusal(tmp_path / "mine.npz")
    np.savez(tmp_path / "mine.npz", one=FEATURES, labels=LABELS)
    assert names_of(read(tmp_path / "mine.npz")) == LABELS


@pytest.mark.parametrize(
    ("rows", "message"),
    [([[1.0, 2.0], [3.0]], "row 1 has 1 numbers, that of row 0 2"), ([[1.0, 2.0], None], "row 1 is missing"),
     ([[1.0, None], [1.0, 2.0]], "row 0 is missing")],
)  # fmt: skip
def test_embeddings_of_a_table_need_one_length(rows: list[Any], message: str, tmp_path: Path) -> None:
    pq.write_table(pa.table({"embedding": rows}), tmp_path / "mine.parquet")
    assert message in refusal(tmp_path / "mine.parquet")
    pq.write_table(pa.table({"a": [1.0], "b": [2.0]}), tmp_path / "mine.parquet")
    assert "no embedding column among a, b" in refusal(tmp_path / "mine.parquet")


def test_a_table_is_read_in_many_batches(tmp_path: Path) -> None:
    values = np.arange(300_000, dtype=np.float32).reshape(-1, 2)
    column = pa.FixedSizeListArray.from_arrays(pa.array(values.ravel()), 2)
    pq.write_table(
        pa.table({"vec": column, "key": np.arange(len(values))}), tmp_path / "mine.parquet", row_group_size=7000
    )
    source = read(tmp_path / "mine.parquet")
    assert np.array_equal(np.asarray(source.features), values)
    assert source.ids[-1] == str(len(values) - 1)


def test_without_pyarrow_a_table_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = written(tmp_path, "parquet")
    monkeypatch.setitem(__import__("sys").modules, "pyarrow.parquet", None)
    with pytest.raises(DataError) as caught:
        feature_files.read_table(path)
    assert caught.value.hint == "pip install 'prunebench[data]'"


def test_labels_of_a_csv_are_matched_by_id_where_there_are_ids(tmp_path: Path) -> None:
    table = tmp_path / "labels.csv"
    table.write_text("id,label\nz,cat\nu,dog\nnobody,cat\n")
    source = read(written(tmp_path, "npz", ids=IDS), labels=table)
    assert (source.ids, names_of(source)) == (("u", "z"), ["dog", "cat"])
    assert np.array_equal(np.asarray(source.features), FEATURES[[0, 5]])
    codes = {one.id: one.code for one in source.skipped}
    assert codes == {"nobody": "missing-file", **dict.fromkeys("vwxy", "no-label")}
    assert "5 samples cannot be read" in refusal(written(tmp_path, "npz", ids=IDS), labels=table, strict=True)


@pytest.mark.parametrize("content", ["label\n{}", "{}", "id,label\n{}"])
def test_labels_of_a_csv_are_matched_by_their_order_where_there_are_none(content: str, tmp_path: Path) -> None:
    table = tmp_path / "labels.csv"
    rows = [f"{name},{label}" for name, label in zip(IDS, LABELS, strict=True)] if "id" in content else LABELS
    table.write_text(content.format("\n".join(rows)))
    source = read(written(tmp_path, "npy"), labels=table)
    assert names_of(source) == LABELS
    assert source.ids == (tuple(IDS) if "id" in content else ("0", "1", "2", "3", "4", "5"))
    table.write_text("label\ncat\n")
    assert "has 1 rows for the 6 samples" in refusal(written(tmp_path, "npy"), labels=table)


def test_labels_of_any_kind_are_numbered(tmp_path: Path) -> None:
    path = written(tmp_path, "npy")
    for given in (
        LABELS,
        np.array(LABELS),
        tuple(LABELS),
        np.array(LABELS, dtype=object),
        [name.encode() for name in LABELS],
    ):
        assert names_of(read(path, labels=given)) == LABELS
    for numbers in ([5, 0, 5, -1, 0, 5], np.array([5.0, 0, 5, -1, 0, 5]), np.array([5, 0, 5, -1, 0, 5], np.int8)):
        assert read(path, labels=numbers).class_names == ("-1", "0", "5")
    np.save(tmp_path / "labels.npy", np.array([1, 1, 0, 0, 1, 0]))
    assert names_of(read(path, labels=tmp_path / "labels.npy")) == ["1", "1", "0", "0", "1", "0"]


@pytest.mark.parametrize(
    ("given", "message"),
    [(["a", None, "a", "b", "b", "a"], "1 labels are missing or no class (row 1"),
     ([0.5, 1, 1, 1, 1, np.nan], "2 labels are missing or no class (row 0, 5"), ([0, 1], "2 labels for 6 samples"),
     (np.eye(6), "labels have shape [6, 6], expected [n]"), ([[0]] * 6, "6 labels are missing"),
     (np.int8(3), "labels have shape [], expected [n]"), (3, "labels are int, expected one value for each sample"),
     (dict.fromkeys(range(6), 0), "labels are dict"), (set(range(6)), "labels are set"),
     ([*LABELS[:5], {"a": 1}], "the first is {'a': 1}")],
)  # fmt: skip
def test_labels_that_are_none_are_refused(given: Any, message: str, tmp_path: Path) -> None:
    assert message in refusal(written(tmp_path, "npy"), labels=given)
    assert "no file of labels" in refusal(written(tmp_path, "npy"), labels=tmp_path / "nowhere.csv")


def test_whole_numbers_that_a_table_wrote_as_decimals_are_whole_numbers() -> None:
    values = np.eye(4, dtype=np.float32)
    source = from_python(values, labels=["3.0", "10.0", "3", "10"])
    assert source.class_names == ("3", "10")
    assert source.labels is not None
    assert source.labels.tolist() == [0, 1, 0, 1]
    assert from_python(values, labels=["1.0", "1.5", "1.0", "2"]).class_names == ("1.0", "1.5", "2")


def test_what_is_under_a_mask_is_no_value() -> None:
    values = np.ma.array(np.eye(4), mask=False)
    assert len(from_python(values)) == 4
    values[2, 1] = np.ma.masked
    with pytest.raises(DataError, match="1 values are masked"):
        from_python(values)
