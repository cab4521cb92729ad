"""Every parser of files that may come from anybody, with valid files, and what it may raise for damaged ones."""

from __future__ import annotations

import contextlib
import io
import json
import shutil
import signal
import tarfile
import tempfile
import types
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
from PIL import Image

import mutations
from prunebench.errors import PrunebenchError
from records_of import agreement, cell, key_of
from registries import HEAD, NETWORK

SECONDS = 10  # of the processor, that one file may take


@dataclass(frozen=True)
class Parser:
    """What reads a file of a name, with valid files of the kind.  seal: see `mutations.mutated`.  prepare: puts what
    the parser needs beside the file into the folder.  forgiving: what is damaged is as if it were not there."""

    name: str
    valid: Callable[[], list[bytes]]
    read: Callable[[Path], object]
    seal: mutations.Seal | None = None
    prepare: Callable[[Path], object] = lambda folder: None
    forgiving: bool = False


def check(parser: Parser, number: int, folder: Path) -> bool:
    """Read the damaged file of a number, and tell whether it was refused; what is not documented is raised, with the
    file in a note.  folder: prepared for the parser."""
    random = Random(f"{parser.name}/{number}")
    content = mutations.mutated(random.choice(_valid(parser)), random, parser.seal)
    path = folder / parser.name.partition(": ")[2]
    path.write_bytes(content)
    try:
        parser.read(path)
    except PrunebenchError as error:
        if not error.message or ("\n" in error.message.strip() and "faults in" not in error.message):
            raise AssertionError(f"number {number}: no sentence: {error.message!r}") from error
        return True
    except Exception as error:
        error.add_note(f"{parser.name}, number {number}: {content[:300]!r}")
        raise
    return False


@cache
def _valid(parser: Parser) -> list[bytes]:
    return parser.valid()


@contextlib.contextmanager
def prepared(parser: Parser) -> Iterator[Path]:
    """Yield a folder for the files of a parser, which has read the valid ones; warnings are errors there, and so is a
    file that takes too long."""

    def late(*_: object) -> None:
        raise TimeoutError(f"a file took longer than {SECONDS} s")

    before = signal.signal(signal.SIGPROF, late)
    try:
        with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
            warnings.simplefilter("error")
            parser.prepare(Path(folder))
            for content in _valid(parser):  # which also imports what it needs, before the time counts
                path = Path(folder, parser.name.partition(": ")[2])
                path.write_bytes(content)
                parser.read(path)
            yield Path(folder)
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, before)


def refused(parser: Parser, numbers: range) -> int:
    """Read the damaged files of some numbers, and return how many were refused."""
    count = 0
    with prepared(parser) as folder:
        for number in numbers:
            signal.setitimer(signal.ITIMER_PROF, SECONDS)
            count += check(parser, number, folder)
    return count


# ---------------------------------------------------------------------------------------------- records and the board


def _records() -> list[bytes]:
    from prunebench.records import encode

    cells = [
        cell(method=method, score_backbone="-", seed=seed, keep=keep, accuracy=0.5 + seed / 10, n_keep=10, n_train=100,
             class_accuracy=[0.5, None], accuracy_per_epoch=[0.1, 0.2], diagnostics={"edges": 3, "deep": {"a": [1]}},
             scores_key=key_of(method, seed), train_key=key_of(method, seed, keep), caveat="a caveat")
        for method in ("random", "m") for seed in (0, 1) for keep in ("0.1", "0.5")
    ]  # fmt: skip
    rows = [
        *cells,
        cell(method="full", role="unpruned", keep="1", score_backbone="-"),
        agreement(),
        agreement(seed_a=1, seed_b=1),
    ]
    rows += [cell(method="f", status="failed", status_reason="no\nreason")]
    return ["".join(encode(row) + "\n" for row in rows).encode(), (encode(cells[0]) + "\n").encode()]


def _read_records(path: Path) -> None:
    from prunebench.records import read_records
    from prunebench.validation.lines import read_lines

    read_lines("s/d/m.jsonl", path.read_bytes())
    read_records(path)


@cache
def _known() -> tuple[Any, Any]:
    from prunebench.plugins import load_plugins
    from prunebench.registry.reader import make_registry
    from prunebench.registry.toml_lines import Source

    return make_registry(Source(Path("registry.toml"), REGISTRY)), load_plugins()


def _board(path: Path) -> None:
    from prunebench.board.render.pages import board_files
    from prunebench.board.table import make_board
    from prunebench.records import read_records

    registry, _ = _known()
    board_files(make_board(read_records(path), registry, [], []))


def _json_or_bytes(content: bytes, random: Random) -> bytes:
    return mutations.json_lines(content, random)


REGISTRY = (
    HEAD
    + NETWORK
    + """
[dataset.digits]
fingerprint = "ffffffffffffffffffffffffffffffff"

[backbone.two]
timm = "test_vit"
mean = [0.5, 0.4, 0.3]
std = [0.5, 0.4, 0.3]
weights = { file = "two.safetensors", sha256 = "aa" }

[method.narrow]
scorer = "moderate"
params = { center = "mean" }
at."0.9".params = { center = "median" }
caveat = "narrow"

[suite.tiny]
dataset = "digits"
methods = ["random", "moderate", "narrow", "full"]
backbones = ["untrained", "two"]
training = [{ arch = "untrained", recipe = "probe" }, { arch = "two", recipe = "probe" }]
keep = ["0.1", 0.5]
seeds = 2
proxy = { arch = "untrained", recipe = "probe" }
agreement = { methods = ["moderate"] }

[plugin.nearmiss]
kind = "scorer"
dist = "prunebench-nearmiss"
version = ">=1,<2"
tier = "quarantine"
reason = "none"
maintainer = "A"
added = 2026-01-31
environment = ["numpy<2"]
"""
)


def _registry(path: Path) -> None:
    from prunebench.plan import make_plan
    from prunebench.registry import load_registry

    registry = load_registry(path)
    for name in registry.suites:
        with contextlib.suppress(PrunebenchError):
            make_plan(registry, _known()[1], name)


def _published() -> list[bytes]:
    return [
        b'[methods]\nA = ["a"]\n[recipe.r]\ntitle = "t"\nsays = "s"\nours = ["probe"]\n'
        b'[[table]]\ntitle = "t"\nsource = "s"\nrecipe = "r"\ndataset = "digits"\nnetwork = "untrained"\n'
        b'pruning_rates = ["0.5", "0.9"]\nplus_minus = "spread"\nruns = 3\n'
        b'rows = { A = ["90.1\xc2\xb10.3", "-"], B = ["<10", "88"] }\nnotes = { A = "n" }\n'
    ]


def _read_published(path: Path) -> None:
    from prunebench.board.comparison import compare
    from prunebench.board.published import load_published

    registry: Any = types.SimpleNamespace(file=path)
    published = load_published(registry)
    assert published is not None
    for table in published.table:
        [table.number(text) for row in table.rows.values() for text in row]
    compare([cell(method="a", recipe="probe", dataset="digits")], published, _known()[0], frozenset())


# ---------------------------------------------------------------------------------------------------- the tool's files


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


def _run_manifest() -> list[bytes]:
    manifest = {
        "schema": 1, "run_id": "r", "started": "2026-01-01T00:00:00+00:00", "suite": "s",
        "cells": {"k" * 32: "planned"},
        "finished": {"tasks_by_status": {"ok": 3}, "exit_reason": "finished"},
    }  # fmt: skip
    return [json.dumps(manifest, indent=1).encode()]


def _events() -> list[bytes]:
    task = {"time": "2026-01-01T00:00:00.000+00:00", "key": "k", "stage": "scores", "title": "m"}
    ended = {"status": "failed", "reason": "r", "log": "l", "seconds": 3.0}
    lines = [{**task, "event": "task_started"}, {**task, "event": "task_failed", **ended}]
    lines += [{**task, "event": "task_started", "key": "l"}]
    return ["".join(json.dumps(line) + "\n" for line in lines).encode()]


def _status(path: Path) -> None:
    from click.testing import CliRunner

    from prunebench.cli.status import command

    folder = path.parent / "runs" / "r"
    folder.mkdir(parents=True, exist_ok=True)
    if path.name == "events.jsonl":
        (folder / "manifest.json").write_bytes(_run_manifest()[0].replace(b'"finished"', b'"left"'))
        (folder / "running.lock").touch()
    path.replace(folder / path.name)
    result = CliRunner().invoke(command, ["--results", str(path.parent / "results")], standalone_mode=False)
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception


def _first_imports() -> list[bytes]:
    return [json.dumps([3, {key_of(1): ["", ""], key_of(2): ["error", "hint"]}]).encode()]


def _read_first_imports(path: Path) -> None:
    from prunebench.discovery.first_import import RESULTS, read_results

    (path.parent / RESULTS).parent.mkdir(exist_ok=True)
    path.replace(path.parent / RESULTS)
    for result in read_results(path.parent).values():
        assert all(isinstance(text, str) for text in result)


def _board_csv() -> list[bytes]:
    return [
        (Path(__file__).parents[1] / "results" / "board" / "accuracy.csv").read_bytes()[:20_000].rpartition(b"\n")[0]
    ]


def _read_board_csv(path: Path) -> None:
    from prunebench.pruning.board_row import nearest_board_row

    row = nearest_board_row("random", 0.1, board=path)
    if row is not None:
        row.text()


def _pruning(name: str, seal: mutations.Seal | None) -> Parser:
    return Parser(f"a pruning: {name}", lambda: [_pruned("csv")[name]], _read_pruned, seal, _put_pruned("csv"))


ARRAYS = [_npy(_arrays()["features"]), _npy(np.arange(8, dtype=">i2").reshape(4, 2))]
FACTS = "facts of the cache: meta.json"
IMPORTS = "first imports: first_imports.json"
PARSERS = (
    Parser("records: m.jsonl", _records, _read_records, mutations.json_lines),
    Parser("board: m.jsonl", _records, _board, mutations.json_lines),
    Parser("registry: registry.toml", lambda: [REGISTRY.encode()], _registry),
    Parser("published tables: published.toml", _published, _read_published),
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
    Parser("a run: manifest.json", _run_manifest, _status, mutations.json_lines),
    Parser("a run: events.jsonl", _events, _status, mutations.json_lines, forgiving=True),
    Parser(IMPORTS, _first_imports, _read_first_imports, mutations.json_lines, forgiving=True),
    Parser("the board: accuracy.csv", _board_csv, _read_board_csv),
)
