"""Artefacts are whole or absent, checked when read, and their errors say what to do."""

from __future__ import annotations

import json
import multiprocessing
import os
import shutil
import signal
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.numpy import load_file, save_file

from prunebench.artefact_files import DATA, META, fault, sealed
from prunebench.errors import CorruptArtefact, StoreError
from prunebench.store import Store, map_safetensors

KEY = "ab" + "0" * 30


def test_an_artefact_reads_back_byte_for_byte_and_read_only(tmp_path):
    store = Store(tmp_path)
    arrays = {"scores": np.arange(5, dtype=np.float64), "kept": np.array([True, False]), "none": np.zeros((0, 3), "f4")}
    arrays["counter"] = np.array(7, dtype=np.int64)
    store.publish("scores", KEY, arrays, {"seconds": 1.5})
    found = store.read("scores", KEY)
    assert found.meta["seconds"] == 1.5
    for name, array in arrays.items():
        assert found.arrays[name].dtype == array.dtype
        np.testing.assert_array_equal(found.arrays[name], array)
    with pytest.raises(ValueError, match="read-only"):
        found.arrays["scores"][0] = 1


@pytest.mark.parametrize("dtype", ["f8", "f4", "f2", "i8", "i4", "u1", "?"])
def test_the_mapping_agrees_with_the_safetensors_library(tmp_path, dtype):
    array = np.arange(24).reshape(2, 3, 4).astype(dtype)
    save_file({"x": array}, tmp_path / "x.safetensors")
    np.testing.assert_array_equal(map_safetensors(tmp_path / "x.safetensors")["x"], array)


def test_a_group_of_arrays_is_a_file_of_its_own_so_that_weights_stay_a_file_that_any_loader_reads(tmp_path):
    store = Store(tmp_path)
    store.publish("pretrain", KEY, {"conv.weight": np.ones(3), "dynamics/dynamics": np.zeros(2)}, {})
    found = store.read("pretrain", KEY)
    assert set(found.arrays) == {"conv.weight", "dynamics/dynamics"}
    assert set(load_file(found.path / DATA)) == {"conv.weight"}
    (found.path / "dynamics.safetensors").write_bytes(b"spoilt")
    assert Store(tmp_path).read("pretrain", KEY) is None


FACTS = {"seconds": 1.5, "record": {"status": "ok", "accuracy": 0.25}, "ids": ["a", "b"]}


@pytest.fixture(scope="module")
def sound(tmp_path_factory) -> Store:
    """A store with one artefact, which nobody changes."""
    store = Store(tmp_path_factory.mktemp("sound"))
    store.publish("scores", KEY, {"x": np.arange(100.0)}, FACTS)
    return store


def spoilt(sound: Store, folder: Path, name: str, change: Callable[[bytes], bytes | None]) -> Store:
    """Return a copy of a store in which a file of the artefact is another, or is missing."""
    store = Store(Path(tempfile.mkdtemp(dir=folder)))
    shutil.copytree(sound.folder("scores", KEY), store.folder("scores", KEY))
    file = store.folder("scores", KEY) / name
    content = change(file.read_bytes())
    file.unlink() if content is None else file.write_bytes(content)
    return store


def set_aside(store: Store) -> list[Path]:
    return [*(store.root / "set-aside" / "scores").glob("*")]


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    name=st.sampled_from([DATA, META]),
    place=st.floats(0, 1, exclude_max=True),
    bit=st.integers(0, 7),
    cut=st.booleans(),
)
def test_a_flipped_bit_or_a_cut_anywhere_is_never_read_as_what_was_written(sound, tmp_path, name, place, bit, cut):
    def change(content: bytes) -> bytes:
        at = int(place * len(content))
        return content[:at] if cut else content[:at] + bytes([content[at] ^ 1 << bit]) + content[at + 1 :]

    store = spoilt(sound, tmp_path, name, change)
    found = store.read("scores", KEY)
    if found is None:
        assert len(set_aside(store)) == 1
        assert not store.has("scores", KEY)
    else:  # a bit of white space in the facts
        assert (found.arrays["x"].tobytes(), dict(found.meta)) == (
            np.arange(100.0).tobytes(),
            dict(sound.meta("scores", KEY)),
        )


@pytest.mark.parametrize(
    "content",
    [None, b"", b"[]", b"{}", b"null", b'{"digests": {"../../x": "1"}}', b'{"digests": 3}', b"[" * 9999, b"\xff"],
)
def test_facts_that_are_missing_or_of_another_form_are_set_aside_with_a_word(sound, tmp_path, capsys, content):
    store = spoilt(sound, tmp_path, META, lambda _: content)
    assert store.meta("scores", KEY) is None
    (place,) = set_aside(store)
    assert f"set aside in {place}" in capsys.readouterr().err
    assert store.read("scores", KEY) is None
    store.publish("scores", KEY, {"x": np.arange(100.0)}, FACTS)
    assert store.read("scores", KEY) is not None


@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir, lambda file: Path(file).symlink_to("/dev/zero")])
@pytest.mark.parametrize("name", [DATA, META, "."])
def test_what_is_no_file_or_no_folder_is_set_aside_and_not_waited_for(sound, tmp_path, capsys, name, make):
    store = spoilt(sound, tmp_path, DATA, lambda content: content)
    if name == ".":
        shutil.rmtree(store.folder("scores", KEY))
        store.folder("scores", KEY).write_bytes(b"a file")
    else:
        (store.folder("scores", KEY) / name).unlink()
        make(store.folder("scores", KEY) / name)
    assert store.read("scores", KEY) is None
    (place,) = set_aside(store)
    assert (f"{name} is no file" if name != "." else "cannot be read: Not a directory") in capsys.readouterr().err
    assert place.name.startswith(KEY)


def test_what_another_process_works_on_is_not_set_aside_and_what_it_replaced_stays(sound, tmp_path):
    store = spoilt(sound, tmp_path, DATA, lambda content: content[:-1])
    with Store(store.root).lock(KEY):
        assert store.read("scores", KEY) is None
        assert set_aside(store) == []
    Store(store.root).publish("scores", KEY, {"x": np.arange(100.0)}, FACTS)
    assert store.set_aside("scores", KEY) is None
    assert store.read("scores", KEY) is not None


def test_a_file_that_changes_after_it_was_read_is_checked_again(tmp_path):
    store = Store(tmp_path)
    store.publish("scores", KEY, {"x": np.arange(100.0)}, {})
    assert store.read("scores", KEY) is not None
    data = store.folder("scores", KEY) / DATA
    data.write_bytes(data.read_bytes()[:-1] + b"?")
    assert store.read("scores", KEY) is None


def test_the_first_format_is_read_and_a_newer_one_is_refused_with_a_sentence(sound, tmp_path):
    def first(content: bytes) -> bytes:
        facts = {name: value for name, value in json.loads(content).items() if name not in ("checksum", "format")}
        return json.dumps(facts, sort_keys=True).encode()

    def newer(content: bytes) -> bytes:
        return sealed({**json.loads(first(content)), "format": 3})

    old = spoilt(sound, tmp_path, META, first).read("scores", KEY)
    np.testing.assert_array_equal(old.arrays["x"], np.arange(100.0))
    store = spoilt(sound, tmp_path, META, newer)
    with pytest.raises(StoreError, match="has format 3, and this prunebench reads formats up to 2") as caught:
        store.read("scores", KEY)
    assert "update prunebench" in caught.value.hint
    assert fault(store.folder("scores", KEY)) == ""
    assert set_aside(store) == []


def test_what_dead_writers_left_is_removed_and_what_living_ones_write_stays(tmp_path):
    other, store = Store(tmp_path), Store(tmp_path)
    writing, dead, unknown = other.scratch("one"), tmp_path / "tmp" / "1-elsewhere-0a.two", tmp_path / "tmp" / "old"
    for folder in (writing, dead, unknown):
        folder.mkdir(parents=True)
        os.utime(folder, (0, 0))  # whatever the clock says
    store.clear_scratch()
    assert [path for path in (writing, dead, unknown) if path.exists()] == [writing]


def test_an_artefact_whose_data_file_vanished_is_absent(tmp_path):
    store = Store(tmp_path)
    store.publish("scores", KEY, {"x": np.arange(3.0)}, {})
    (store.folder("scores", KEY) / DATA).unlink()
    assert store.read("scores", KEY) is None


def test_a_file_that_is_not_safetensors_is_named(tmp_path):
    (tmp_path / "x.safetensors").write_bytes(b"\x08\0\0\0\0\0\0\0notjson!")
    with pytest.raises(CorruptArtefact, match=r"x\.safetensors"):
        map_safetensors(tmp_path / "x.safetensors")


def test_publishing_again_replaces(tmp_path):
    store = Store(tmp_path)
    store.publish("scores", KEY, {}, {"n": 1})
    store.publish("scores", KEY, {}, {"n": 2})
    assert store.meta("scores", KEY)["n"] == 2


def test_nothing_is_left_behind_in_the_scratch_folder(tmp_path):
    store = Store(tmp_path)
    store.publish("scores", KEY, {"x": np.zeros(3)}, {})
    assert list((tmp_path / "tmp").iterdir()) == []


def test_a_cache_below_a_file_says_so(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="a part of the path is a file") as caught:
        Store(tmp_path / "file" / "cache").check_writable()
    assert "--cache" in caught.value.hint


@pytest.mark.parametrize(("number", "words"), [(28, "disk is full"), (30, "read-only"), (13, "permission denied")])
def test_a_cache_that_cannot_be_written_says_why(tmp_path, monkeypatch, number, words):
    def refuse(self, *_):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(Path, "write_bytes", refuse)
    with pytest.raises(StoreError, match=words) as caught:
        Store(tmp_path).check_writable()
    assert caught.value.exit_code == 5


def _hold(root: str, path: str) -> None:
    with Store(Path(root)).lock(KEY):
        Path(path).write_text("held")
        time.sleep(60)


def test_the_lock_of_a_killed_holder_is_free(tmp_path):
    holder = multiprocessing.get_context("spawn").Process(target=_hold, args=(str(tmp_path), str(tmp_path / "sign")))
    holder.start()
    deadline = time.monotonic() + 60
    while not (tmp_path / "sign").exists():
        assert time.monotonic() < deadline
        time.sleep(0.02)
    os.kill(holder.pid, signal.SIGKILL)
    holder.join()
    with Store(tmp_path).lock(KEY):
        pass
