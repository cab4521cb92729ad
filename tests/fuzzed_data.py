"""Parsers of a person's own data and of what the cache and a pruning keep, with valid files."""

from __future__ import annotations

import contextlib
import io
import json
import shutil
import tarfile
import tempfile
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

import mutations
from fuzzing import Parser
from records_of import key_of

# --------------------------------------------------------------------------------------------- data that a person gives


def _labels() -> list[bytes]:
    text = 'file,label\na/1.png,cat\n"b,2.png",dog\n3.png,7\n'
    return [text.encode(), text.replace(",", "\t").encode("utf-16"), b"1\n2\n1\n", b"id;y\r\n1;a\r\n2;b\r\n"]


def _read_labels(path: Path) -> None:
    from prunebench.pruning.reading.label_files import encode, labelled, read_labels

    file = read_labels(path)
    encode([label for _, label in file.rows], "labels")
    if any(name for name, _ in file.rows):
        labelled(["a/1.png", "b,2.png", "x/3.png"], file)


def _arrays() -> dict[str, Any]:
    random = np.random.default_rng(0)
    return {
        "features": random.random((6, 3), dtype=np.float32), "labels": np.arange(6) % 2,
        "ids": np.array(list("abcdef")), "class_names": np.array(["cat", "dog"]),
    }  # fmt: skip


def _npy(array: Any) -> bytes:
    out = io.BytesIO()
    np.save(out, array)
    return out.getvalue()


def _npz() -> list[bytes]:
    files = []
    for save in (np.savez, np.savez_compressed):
        save(out := io.BytesIO(), **_arrays())
        files.append(out.getvalue())
    return files


def _safetensors() -> list[bytes]:
    from safetensors.numpy import save

    return [save({name: array for name, array in _arrays().items() if array.dtype.kind != "U"}, {"a": "b"})]


def _parquet() -> list[bytes]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    arrays, files = _arrays(), []
    columns = {"embedding": arrays["features"].tolist(), "label": ["cat", "dog"] * 3, "id": list("abcdef")}
    for compression in ("none", "snappy"):
        pq.write_table(pa.table(columns), out := io.BytesIO(), compression=compression)
        files.append(out.getvalue())
    return files


def _features(path: Path) -> None:
    from prunebench.pruning.reading import read

    read(path)


def _tar() -> list[bytes]:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        for name, data in {
            "a/1.png": _picture("PNG"), "a/1.cls": b"3", "a/2.jpg": _picture("JPEG"), "a/2.json": b'{"label": "x"}',
            "b" * 120 + "/3.png": b"none", "b/4.cls": b"1",
        }.items():  # fmt: skip
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            archive.addfile(entry, io.BytesIO(data))
        link = tarfile.TarInfo("a/5.png")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(link)
    return [out.getvalue()]


def _read_tar(path: Path) -> None:
    from prunebench.pictures import Unreadable
    from prunebench.pruning.reading import read

    pictures = read(path).pictures
    assert pictures is not None
    for row in range(len(pictures)):
        with contextlib.suppress(Unreadable):
            pictures.picture(row)


@cache
def _picture(form: str) -> bytes:
    pixels = np.random.default_rng(0).integers(0, 256, (6, 9, 3), dtype=np.uint8)
    out, exif = io.BytesIO(), Image.Exif()
    exif[0x112] = 6
    Image.fromarray(pixels).save(out, form, **({"exif": exif} if form in ("JPEG", "PNG", "WEBP") else {}))
    return out.getvalue()


def _pictures(*forms: str) -> Callable[[], list[bytes]]:
    return lambda: [_picture(form) for form in forms]


def _decode(path: Path) -> None:
    from prunebench.errors import DataError
    from prunebench.pictures import Unreadable, decode

    try:
        decode(path.read_bytes())
    except Unreadable as error:
        raise DataError(str(error)) from error


def _weights(form: str) -> Callable[[], list[bytes]]:
    def make() -> list[bytes]:
        import torch
        from safetensors.torch import save

        state = {"conv.weight": torch.ones(2, 3, 3, 3), "head.bias": torch.zeros(2)}
        if form == "safetensors":
            return [save(state)]
        torch.save({"state_dict": state, "epoch": 3}, zipped := io.BytesIO())
        torch.save(state, old := io.BytesIO(), _use_new_zipfile_serialization=False)
        return [zipped.getvalue(), old.getvalue()]

    return make


def _read_weights(path: Path) -> None:
    from prunebench_timm.weights import read_weights

    # To word its refusal torch searches the name of a class by a pattern in quadratic time.
    if path.suffix == ".safetensors" or max(map(len, path.read_bytes().split(b"\0"))) < 2000:
        read_weights(path)


# ---------------------------------------------------------------------------------- what prunebench itself has written


KEY = key_of("artefact")


@cache
def _artefact() -> dict[str, bytes]:
    """The files of an artefact of the cache."""
    from prunebench.store import Store

    with tempfile.TemporaryDirectory() as folder:
        store = Store(Path(folder))
        store.publish("scores", KEY, {"scores": np.arange(4.0), "g/x": np.ones((2, 2))}, {"record": {"n": 1}})
        return {path.name: path.read_bytes() for path in store.folder("scores", KEY).iterdir()}


def _read_meta(path: Path) -> None:
    from prunebench.artefact_files import fault
    from prunebench.store import Store
    from prunebench.upkeep import items

    store = Store(path.parent / "cache")
    folder = store.folder("scores", KEY)
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in {**_artefact(), "meta.json": path.read_bytes()}.items():
        (folder / name).write_bytes(content)
    for item in items(store.root):
        if item.artefact:
            fault(item.path)
    with contextlib.redirect_stderr(io.StringIO()):  # which says that it was set aside
        found = store.read("scores", KEY)
    if found is not None:
        float(found.meta.get("seconds", 0.0))
    shutil.rmtree(store.root / "set-aside", ignore_errors=True)


def _read_mapped(path: Path) -> None:
    from prunebench.store import map_safetensors

    map_safetensors(path)


@cache
def _pruned(form: str) -> dict[str, bytes]:
    """The files of a folder that `prunebench prune` wrote."""
    import prunebench
    from prunebench.pruning.output import write_folder

    with tempfile.TemporaryDirectory() as folder:
        arrays = _arrays()
        data = np.repeat(arrays["features"], 4, axis=0) + np.arange(24)[:, None]
        found = prunebench.prune(
            data, labels=["cat", "dog"] * 12, scorer="random", keep=("0.5", "0.25"), cache=Path(folder, "c")
        )
        write_folder(Path(folder, "out"), found.outcome, found.manifest, form=form)
        return {path.name: path.read_bytes() for path in Path(folder, "out").iterdir()}


def _put_pruned(form: str) -> Callable[[Path], None]:
    def put(folder: Path) -> None:
        for name, content in _pruned(form).items():
            (folder / name).write_bytes(content)

    return put


def _read_pruned(path: Path) -> None:
    from prunebench.pruning.folders import diff, explain, open_folder
    from prunebench.pruning.places import chosen

    written = open_folder(path.parent)
    json.dumps(diff(written, written))
    for name in written.ledger["id"].tolist()[:2]:
        explain(written, name)
    written.table(written.manifest["keep"][-1])
    chosen(path.parent, None)


def _pruning(name: str, seal: mutations.Seal | None) -> Parser:
    return Parser(f"a pruning: {name}", lambda: [_pruned("csv")[name]], _read_pruned, seal, _put_pruned("csv"))


ARRAYS = [_npy(_arrays()["features"]), _npy(np.arange(8, dtype=">i2").reshape(4, 2))]
FACTS = "facts of the cache: meta.json"
DATA = (
    Parser("labels: labels.csv", _labels, _read_labels),
    Parser("features: x.npy", lambda: ARRAYS, _features),
    Parser("features: x.npz", _npz, _features, mutations.zipped),
    Parser("features: x.safetensors", _safetensors, _features, mutations.safetensors),
    Parser("features: x.parquet", _parquet, _features),
    Parser("shards: x.tar", _tar, _read_tar, mutations.tar),
    Parser("pictures: x.png", _pictures("PNG"), _decode, mutations.png),
    Parser("pictures: x.jpg", _pictures("JPEG", "WEBP"), _decode),
    Parser("pictures: x.tiff", _pictures("TIFF", "BMP", "GIF", "PPM", "JPEG2000"), _decode),
    Parser("weights: x.pt", _weights("pt"), _read_weights, mutations.zipped),
    Parser("weights: x.safetensors", _weights("safetensors"), _read_weights, mutations.safetensors),
    Parser(FACTS, lambda: [_artefact()["meta.json"]], _read_meta, mutations.json_lines, forgiving=True),
    Parser("arrays of the cache: data.safetensors", _safetensors, _read_mapped, mutations.safetensors),
    _pruning("manifest.json", mutations.json_lines),
    _pruning("ledger.csv", None),
)
