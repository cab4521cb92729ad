"""Exhibits as files: what is no exhibit is refused wherever results are read."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from boards import exhibit
from prunebench.errors import DataError
from prunebench.exhibit import Exhibit, encode_exhibit, read_exhibits
from prunebench.validation.lines import read_folder


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / exhibit().file
    path.parent.mkdir(parents=True)
    return path


def test_an_exhibit_is_read_as_it_was_written(file: Path, tmp_path: Path) -> None:
    file.write_bytes(encode_exhibit(exhibit()))
    assert read_exhibits(tmp_path) == [exhibit()]
    assert read_folder(tmp_path) == ([], [])
    assert read_exhibits(tmp_path, "other") == []


def changed(**fields: object) -> bytes:
    values = {**msgspec.to_builtins(exhibit()), **fields}
    return msgspec.json.encode(values, order="sorted") + b"\n"


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (changed(licence="none stated"), "has pictures, and the licence 'none stated' is not one of"),
        (changed(sheet="https://example.org/x.png"), "sheet"),
        (changed(suite="other"), "belongs to other/digits/exhibit.json"),
        (changed(labels=[0, 0, 0, 1, 1, 2]), "do not fit each other"),
        (changed(x=[1, 2]), "do not fit each other"),
        (changed(opinions=[{**msgspec.to_builtins(exhibit().opinions[0]), "best": [[9], [0]]}]), "what beta thinks"),
        (changed(more=1), "unknown field"),
        (encode_exhibit(exhibit()) + b" ", "not written as prunebench writes it"),
        (b"{", "Input data was truncated"),
    ],
)
def test_what_is_no_exhibit_is_refused_and_says_why(content: bytes, says: str, file: Path, tmp_path: Path) -> None:
    file.write_bytes(content)
    with pytest.raises(DataError, match="exhibit") as caught:
        read_exhibits(tmp_path)
    assert says in str(caught.value)
    _, (fault,) = read_folder(tmp_path)
    assert says in fault.reason


def test_an_exhibit_without_pictures_needs_no_licence(file: Path, tmp_path: Path) -> None:
    bare: Exhibit = msgspec.structs.replace(exhibit(), sheet="", licence="none stated")
    file.write_bytes(encode_exhibit(bare))
    assert read_exhibits(tmp_path) == [bare]
