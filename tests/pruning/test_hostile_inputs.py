"""Every kind of damaged, odd or malicious input through the command: it is read by a stated rule, or skipped with a
reason in the ledger, or refused in one sentence; nothing is half-written, and nothing is executed."""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from conftest import Sandbox
from picture_bytes import encoded, noise, png, put

NETWORK = ("--backbone", "digits-untrained", "--keep", "0.5", "--no-prove", "-q")
UNIX = pytest.mark.skipif(sys.platform == "win32", reason="names of bytes, and links that anybody may make")
Prune = Callable[..., subprocess.CompletedProcess[str]]


@dataclass
class Payload:
    """What a pickle would run: it makes a file."""

    path: Path

    def __reduce__(self) -> tuple[Callable[[str], int], tuple[str]]:
        return os.system, (f"touch {self.path}",)


@pytest.fixture
def prune(sandbox: Sandbox, tmp_path: Path) -> Prune:
    """Prune, and check what holds of every outcome: one sentence and nothing written, or a whole folder."""

    def call(data: Path, *options: object, out: str = "kept", code: int = 0) -> subprocess.CompletedProcess[str]:
        before = {path.name for path in tmp_path.iterdir()}
        run = sandbox.call("prune", str(data), "--out", str(tmp_path / out), *map(str, options))
        assert run.returncode == code, run.stderr
        assert "Traceback" not in run.stderr
        made = {path.name for path in tmp_path.iterdir()} - before - {"cache"}
        assert made == ({out} if code == 0 else set())
        if code:
            assert run.stderr.startswith("error: ")
            assert "hint: " in run.stderr
        return run

    return call


def ledger(folder: Path) -> dict[str, dict[str, str]]:
    with (folder / "ledger.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    named = {row["id"]: row for row in rows}
    assert len(named) == len(rows)
    return named


def hostile(folder: Path) -> Path:
    """Write a folder with one file of every kind, in four classes and beside them."""
    rng = np.random.default_rng(0)
    photo, small = encoded(noise(1, (64, 64)), "JPEG"), encoded(noise(2))
    for number in range(6):
        put(folder / "a" / f"{number}.png", seed=10 + number)
        put(folder / "b" / f"{number}.png", seed=20 + number)
    put(folder / "a" / "corrupt.jpg", photo[:40] + bytes(100))
    put(folder / "a" / "truncated.jpg", photo[: len(photo) // 2])
    put(folder / "a" / "truncated.png", small[: len(small) // 2])
    put(folder / "a" / "zero.png", b"")
    put(folder / "a" / "text.jpg", b"dear diary\n" * 9)
    put(folder / "a" / "program.png", b"%!PS-Adobe-3.0 EPSF-3.0\n(%pipe%touch /tmp/never) (w) file\n")
    put(folder / "a" / "bomb.png", png(np.zeros((2, 2, 1)), bits=8, width=60_000, height=60_000))
    put(folder / "a" / "camera.nef", b"II*\0raw")
    put(folder / "a" / "negative.tif", encoded(Image.fromarray(-rng.random((9, 9)).astype(np.float32)), "TIFF"))
    put(folder / "b" / "thin.png", encoded(Image.fromarray(rng.integers(0, 256, (20_000, 1), dtype=np.uint8))))
    put(folder / "b" / "cmyk.jpg", encoded(noise(3).convert("CMYK"), "JPEG"))
    put(folder / "b" / "deep.png", png(rng.integers(0, 1 << 16, (9, 9, 1))))
    put(folder / "b" / "twelve.png", png(rng.integers(0, 1 << 12, (9, 9, 1))))
    put(folder / "b" / "float.tiff", encoded(Image.fromarray(rng.random((9, 9)).astype(np.float32)), "TIFF"))
    put(folder / "b" / "wide.tif", encoded(Image.fromarray(rng.integers(0, 65536, (9, 9), dtype=np.int32)), "TIFF"))
    put(folder / "b" / "palette.png", encoded(noise(4).quantize(8), transparency=3))
    shape = np.zeros((12, 12, 4), dtype=np.uint8)
    shape[3:9, 3:9, 3] = 255
    put(folder / "b" / "shape.png", encoded(Image.fromarray(shape)))
    put(folder / "b" / "moving.gif", encoded(noise(5), "GIF", save_all=True, append_images=[noise(6)]))
    turned = Image.Exif()
    turned[0x112] = 6
    put(folder / "b" / "turned.jpg", encoded(noise(7, (10, 20)), "JPEG", exif=turned))
    put(folder / "b" / "black.png", encoded(Image.new("RGB", (9, 9))))
    put(folder / "b" / "photo.jfif", photo)
    put(folder / "b" / "pixmap.ppm", encoded(noise(8), "PPM"))
    put(folder / "a" / "same.png", seed=30)
    put(folder / "b" / "same.png", seed=31)
    put(folder / "one" / "only.png", seed=32)
    put(folder / "b" / "._x.png", b"junk")
    put(folder / "__MACOSX" / "a" / "1.png", small)
    put(folder / ".ipynb_checkpoints" / "1.png", small)
    put(folder / "empty class" / "notes.txt", b"none")
    put(folder / "stray.png", small)
    return folder


UNREADABLE = {
    "a/corrupt.jpg": "damaged", "a/truncated.jpg": "truncated", "a/truncated.png": "truncated", "a/zero.png": "empty",
    "a/text.jpg": "not-an-image", "a/program.png": "not-an-image", "a/bomb.png": "too-many-pixels",
    "a/camera.nef": "unsupported-format", "a/negative.tif": "unknown-range", "stray.png": "no-class",
}  # fmt: skip
DECIDED = {
    "b/black.png": "one-colour", "b/moving.gif": "first-frame", "b/shape.png": "on-white", "b/palette.png": "on-white",
    "b/twelve.png": "from-12-bits", "b/float.tiff": "from-floats",
}  # fmt: skip


def test_a_folder_with_every_kind_of_damaged_and_odd_picture_is_pruned_and_the_ledger_says_what_became_of_each(
    prune, tmp_path
):
    photos = hostile(tmp_path / "photos")
    before = {path: path.read_bytes() for path in photos.rglob("*") if path.is_file()}
    said = prune(photos, *NETWORK).stderr
    assert {path: path.read_bytes() for path in photos.rglob("*") if path.is_file()} == before
    found = ledger(tmp_path / "kept")
    reasons = {name: row["reason"].split(": ") for name, row in found.items() if row["reason"].startswith("unreadable")}
    assert {name: reason[1] for name, reason in reasons.items()} == UNREADABLE
    assert all(reason[2] for reason in reasons.values())
    listed = {path.relative_to(photos).as_posix() for path in before}
    assert set(found) == {name for name in listed if name[0] not in "._" and "/._" not in name and ".txt" not in name}
    assert {name: row["picture_notes"] for name, row in found.items() if row["picture_notes"]} == DECIDED
    manifest = json.loads((tmp_path / "kept" / "manifest.json").read_text(encoding="utf-8"))
    assert manifest["data"]["picture_notes"]["one-colour"] == 1
    for words in (
        "10 samples were skipped", "of one colour alone: 1, such as 'b/black.png'", "laid on white: 2",
        "hidden or of the system: 3", "no pictures: 1", "without pictures: 1 (empty class)",
    ):  # fmt: skip
        assert words in said
    assert "one of those that are of one colour alone" in _explained(tmp_path, "b/black.png")
    refused = prune(photos, *NETWORK, "--strict", out="strict", code=4).stderr
    decoded = set(UNREADABLE) - {"a/camera.nef", "stray.png"}  # which listing alone refuses
    assert all(name in refused for name in set(UNREADABLE) - decoded)
    for name in ("a/camera.nef", "stray.png"):
        (photos / name).unlink()
    refused = prune(photos, *NETWORK, "--strict", out="strict", code=4).stderr
    assert all(name in refused for name in decoded)


def _explained(folder: Path, name: str) -> str:
    from prunebench.pruning.folders import explain, open_folder

    return explain(open_folder(folder / "kept"), name)


@UNIX
def test_names_of_any_bytes_and_links_of_all_kinds_are_read_under_printable_ids(prune, tmp_path):
    root = tmp_path / "photos"
    names = [
        b"with space.png",
        b'quote\'s "q", comma.png',
        b"new\nline.png",
        b"latin\xe9.png",
        b"-dash.png",
        b"back\\.png",
    ]
    for number, name in enumerate(names):
        for label in (b"plain", b"cl\xffass"):
            put(root / os.fsdecode(label) / os.fsdecode(name), seed=number + 50 * len(label))
    put(tmp_path / "outside" / "deep" / "far.png", seed=99)
    (root / "plain" / "linked").symlink_to(tmp_path / "outside")
    (root / "plain" / "loop").symlink_to("..")
    (root / "plain" / "broken.png").symlink_to("nowhere")
    (root / "plain" / "broken").symlink_to("nowhere")
    links = tmp_path / "cache" / "links"
    said = prune(root, *NETWORK[:2], "--keep", "1.0", "--no-prove", "-q", "--symlink-to", links)
    found = ledger(tmp_path / "kept")
    assert found.pop("plain/broken.png")["reason"] == "unreadable: broken-link: a link to nothing"
    assert len(found) == 2 * len(names) + 1
    assert {"plain/latin\\xe9.png", "cl\\xffass/new\\x0aline.png", "plain/linked/deep/far.png"} <= set(found)
    assert all(name.isprintable() for name in found)
    assert "links to a folder around them: 1" in said.stderr
    assert "links to nothing: 1" in said.stderr
    placed = [path for path in links.rglob("*") if path.is_file()]
    assert len(placed) == len(found)


def test_a_label_file_with_a_mark_windows_lines_and_every_kind_of_wrong_row(prune, tmp_path):
    photos = tmp_path / "photos"
    for number in range(8):
        put(photos / f"{number}.png", seed=number)
    put(photos / "x" / "twin.png", seed=60)
    put(photos / "y" / "twin.png", seed=61)
    rows = ["id,label", *(f"{number}.png,{'cat' if number % 2 else 'dog'}" for number in range(6))]
    rows += ["0.png,dog", "5.png,dog", "gone.png,cat", "twin.png,cat", "", "6.png,"]
    (tmp_path / "labels.csv").write_bytes(b"\xef\xbb\xbf" + "\r\n".join(rows).encode())
    said = prune(photos, *NETWORK, "--labels", tmp_path / "labels.csv").stderr
    assert "rows of labels.csv that repeat an id: 2" in said
    found = ledger(tmp_path / "kept")
    codes = {name: row["reason"].split(": ")[1] for name, row in found.items() if row["reason"].startswith("unreadab")}
    assert codes == {
        "5.png": "conflicting-labels", "6.png": "no-label", "7.png": "no-label", "gone.png": "missing-file",
        "twin.png": "ambiguous-name", "x/twin.png": "ambiguous-name", "y/twin.png": "ambiguous-name",
    }  # fmt: skip
    assert [row["class"] for row in found.values() if row["class"]] == ["dog", "cat"] * 2 + ["dog"]
    refused = prune(photos, *NETWORK, "--labels", tmp_path / "labels.csv", "--strict", out="strict", code=4).stderr
    assert all(name in refused for name in codes)


def test_feature_files_that_would_be_executed_or_hold_no_numbers_are_refused_in_one_sentence(prune, tmp_path):
    values = np.random.default_rng(0).normal(size=(20, 4))
    canary = tmp_path / "cache" / "executed"
    canary.parent.mkdir()
    objects = np.array([Payload(canary)] * 2, dtype=object)
    np.save(tmp_path / "pickle.npy", objects, allow_pickle=True)
    np.savez(tmp_path / "pickle.npz", features=values, labels=np.array([Payload(canary)] * 20, dtype=object))
    for name, wrong in (("nan", np.nan), ("inf", -np.inf)):
        broken = values.copy()
        broken[3, 1] = wrong
        np.save(tmp_path / f"{name}.npy", broken)
    half = values.astype(np.float16)
    half[7] = np.inf
    np.save(tmp_path / "half.npy", half)
    np.savez(tmp_path / "twice.npz", features=values, ids=np.array(["a", *map(str, range(18)), "a"]))
    np.savez(tmp_path / "labels.npz", features=values, labels=np.arange(19))
    np.save(tmp_path / "tokens.npy", np.zeros((20, 3, 4)))
    np.save(tmp_path / "deep.npy", np.zeros((20, 3, 4), dtype=np.uint16))
    (tmp_path / "cut.npy").write_bytes((tmp_path / "nan.npy").read_bytes()[:200])
    vast = b"{'descr': '<f4', 'fortran_order': False, 'shape': (4611686018427387904, 512), }".ljust(117) + b"\n"
    (tmp_path / "vast.npy").write_bytes(b"\x93NUMPY\x01\x00\x76\x00" + vast)
    told = {
        "pickle.npy": "Python objects (a pickle)", "pickle.npz": "Python objects (a pickle)", "nan.npy": "row 3",
        "inf.npy": "row 3", "half.npy": "float16 overflows", "twice.npz": "ids belong to several samples",
        "labels.npz": "19 labels for 20 samples", "tokens.npy": "expected [n, d]", "deep.npy": "expected uint8",
        "cut.npy": "no readable .npy file", "vast.npy": "array is too big", "absent.npy": "is not there",
    }  # fmt: skip
    for name, words in told.items():
        assert words in prune(tmp_path / name, "--clusters", "1", "-q", "--no-prove", code=4).stderr
    assert not canary.exists()


def test_an_array_of_pictures_in_a_file_is_read_as_pictures(prune, tmp_path):
    pixels = np.stack([np.asarray(noise(number, (8, 8))) for number in range(10)])
    pixels[4] = 7
    np.savez(tmp_path / "pictures.npz", images=pixels, labels=np.arange(10) % 2, class_names=np.array(["cat", "dog"]))
    said = prune(tmp_path / "pictures.npz", *NETWORK).stderr
    assert "of one colour alone: 1, such as '4'" in said
    found = ledger(tmp_path / "kept")
    assert [row["class"] for row in found.values()] == ["cat", "dog"] * 5
    np.save(tmp_path / "grey.npy", pixels[..., 0])
    prune(tmp_path / "grey.npy", *NETWORK, "--clusters", "2", out="grey")
    assert len(ledger(tmp_path / "grey")) == 10


def test_splits_side_by_side_are_no_classes_and_what_is_ambiguous_has_to_be_named(prune, tmp_path):
    for split in ("Training", "VAL"):
        for number in range(4):
            put(tmp_path / "set" / split / ("cat", "dog")[number % 2] / f"{number}.png", seed=number + 9 * len(split))
    assert "VAL beside it is not read" in prune(tmp_path / "set", *NETWORK).stderr
    assert {row["class"] for row in ledger(tmp_path / "kept").values()} == {"cat", "dog"}
    (tmp_path / "set" / "VAL").rename(tmp_path / "set" / "extra")
    assert "look like splits" in prune(tmp_path / "set", *NETWORK, out="refused", code=4).stderr
    prune(tmp_path / "set", *NETWORK, "--split", "training", out="named")


@pytest.mark.thorough
@pytest.mark.skipif(sys.platform == "win32", reason="signals of Unix")
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_an_interruption_at_any_moment_leaves_no_output_and_keeps_the_shards_that_are_done(number, sandbox, tmp_path):
    for index in range(900):
        put(tmp_path / "photos" / f"{index % 2}" / f"{index}.png", seed=index)
    words = ("prune", "photos", "--out", "kept", *NETWORK)
    running = sandbox.start(*words)
    shards = tmp_path / "cache" / "pictures"
    while running.poll() is None and not list(shards.rglob("meta.json")):
        time.sleep(0.05)
    running.send_signal(number)
    _, said = running.communicate(timeout=200)
    assert running.returncode == (130 if number == signal.SIGINT else -signal.SIGKILL), said
    assert {path.name for path in tmp_path.iterdir()} == {"cache", "photos"}
    assert ("run the same command again" in said) == (number == signal.SIGINT)
    done = {path: path.stat().st_ino for path in shards.rglob("meta.json")}
    assert done
    assert sandbox.run(*words).returncode == 0
    assert {path: path.stat().st_ino for path in done} == done
    stored = [name for path in shards.rglob("meta.json") for name in json.loads(path.read_text())["pictures"]]
    assert len(stored) == len(set(stored)) == len(ledger(tmp_path / "kept")) == 900
