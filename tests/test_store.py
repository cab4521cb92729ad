"""Artefacts are whole or absent, checked when read, and their errors say what to do."""

from __future__ import annotations

import multiprocessing
import os
import signal
import time
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from prunebench.artefact_files import DATA
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


def test_a_damaged_artefact_is_absent_and_removed(tmp_path):
    Store(tmp_path).publish("scores", KEY, {"x": np.arange(100.0)}, {})
    data = Store(tmp_path).folder("scores", KEY) / DATA
    content = bytearray(data.read_bytes())
    content[-1] ^= 1
    data.write_bytes(content)
    store = Store(tmp_path)
    assert store.read("scores", KEY) is None
    assert not store.has("scores", KEY)


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
