"""What comes from anybody is at worst refused, at once and with its row, and nothing in it acts on whoever reads it."""

from __future__ import annotations

import contextlib
import csv
import io
import json
import os
import pickle
import socket
import tarfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import prunebench
from fuzzed_results import REGISTRY
from prunebench import load_results
from prunebench.errors import DataError, PrunebenchError, RegistryError, UsageError
from prunebench.guard import FORMULA
from prunebench.guard import cell as harmless
from prunebench.pruning.reading import read
from prunebench.records import encode, read_records, write_records
from prunebench.registry import load_registry
from prunebench.registry.reader import make_registry
from prunebench.registry.toml_lines import Source
from prunebench.store import Store
from records_of import cell
from registries import DIGITS, TRAINING

FORMULAS = ("=1+1", "=cmd|' /C calc'!A0", "@SUM(A1)", "+cmd|' /C calc'!A0", "-2+3+cmd|' /C calc'!A0", '=HYPERLINK("x")')
BRICKS = "\x1b]0;title\x07\x1b[2J"  # sets the title of a terminal and clears it


# ------------------------------------------------------------------------------------------------- a folder of results


def results_with(folder: Path, line: str | bytes, before: int = 2) -> Path:
    """Put a line below sound ones, and return the folder."""
    path = folder / "results" / "s" / "d" / "m.jsonl"
    write_records(path, [cell(seed=seed) for seed in range(before)])
    with path.open("ab") as file:
        file.write(line.encode() if isinstance(line, str) else line)
    return folder / "results"


SOUND = encode(cell(seed=9))
DIAGNOSTIC = '"diagnostics":{}'
LINES = {
    "a number of a million digits": SOUND.replace('"seed":9', '"seed":' + "9" * 1_000_000),
    "a fraction of 500,000 digits": SOUND.replace('"accuracy":0.5', '"accuracy":0.' + "5" * 500_000),
    "a huge exponent": SOUND.replace('"accuracy":0.5', '"accuracy":1e' + "9" * 300_000),
    "not a number": SOUND.replace('"accuracy":0.5', '"accuracy":NaN'),
    "a field twice": SOUND.replace('"seed":9', '"seed":8,"seed":9'),
    "a deep nest": SOUND.replace(DIAGNOSTIC, '"diagnostics":{"a":' + "[" * 90_000 + "}"),
    "a path": SOUND.replace('"suite":"s"', '"suite":"../../x"'),
    "a path that is whole": SOUND.replace('"method":"m"', '"method":"/etc/x"'),
    "a line break in a name": SOUND.replace('"suite":"s"', '"suite":"s\\n"'),
    "markup": SOUND.replace('"method":"m"', '"method":"<script>alert(1)</script>"'),
    **{f"the formula {text}": SOUND.replace('"method":"m"', f'"method":{text!r}') for text in FORMULAS[:1]},
    "bytes that are no text": b"\xff\xfe\0",
    "nothing": "\n",
}  # fmt: skip


@pytest.mark.parametrize("kind", LINES)
def test_a_hostile_line_of_results_is_refused_by_every_verb_that_reads_results_and_its_row_is_named(kind, sandbox):
    results = results_with(sandbox.folder, LINES[kind])
    before = sorted(sandbox.folder.rglob("*"))
    for verb in (
        ("leaderboard", "--results", str(results)),
        ("validate", str(results), "--base", str(results / "s" / "none")),
    ):
        result = sandbox.call(*verb)
        assert result.returncode, verb
        assert "Traceback" not in result.stderr
    refused = sandbox.call("leaderboard", "--results", str(results))
    assert refused.returncode == DataError.exit_code
    assert "m.jsonl, line 3: " in refused.stderr
    assert len(refused.stderr) < 2000
    assert {path for path in sandbox.folder.rglob("*") if path.suffix != ".lock"} - {*before} <= {
        path for path in sandbox.folder.rglob("*") if "cache" in path.parts
    }


def test_results_of_ten_gigabytes_are_refused_without_being_read(sandbox):
    results = results_with(sandbox.folder, b"")
    path = results / "s" / "d" / "m.jsonl"
    os.truncate(path, 10 << 30)  # takes no place on the disk
    started = time.monotonic()
    with pytest.raises(DataError, match=r"m\.jsonl, line 3: has more than 400,000 bytes"):
        read_records(path)
    seconds = time.monotonic() - started
    size = path.stat().st_size
    os.truncate(path, size >> 10)
    started = time.monotonic()
    with pytest.raises(DataError):
        read_records(path)
    assert seconds < 1 or seconds < 20 * (time.monotonic() - started)  # of a thousandth of it
    assert "line 3" in sandbox.call("leaderboard", "--results", str(results)).stderr
    os.truncate(path, size)
    (sandbox.folder / "empty").mkdir()
    validated = sandbox.call("validate", str(results), "--base", str(sandbox.folder / "empty"))
    assert "m.jsonl: has 10,737,418,240 bytes" in validated.stderr
    assert validated.returncode == DataError.exit_code


def test_what_a_file_of_results_may_be_instead_is_named_at_once(sandbox):
    for name, make in {
        "pipe": os.mkfifo, "folder": os.mkdir, "loop": lambda path: Path(path).symlink_to(path), "socket": _socket,
    }.items():  # fmt: skip
        results = results_with(sandbox.folder / name, b"")
        with contextlib.chdir(results / "s" / "d"):  # the path of a socket is short
            make("x.jsonl")
        result = sandbox.call("leaderboard", "--results", str(results))
        assert result.returncode == DataError.exit_code, name
        assert "x.jsonl" in result.stderr
        assert "error: " in result.stderr


def _socket(path: str) -> None:
    with socket.socket(socket.AF_UNIX) as opened:
        opened.bind(path)


def test_texts_of_records_cannot_act_on_a_page_a_table_or_a_terminal(sandbox):
    texts = [
        *FORMULAS,
        "<img src=x onerror=alert(1)>",
        "</script><script>alert(1)</script>",
        BRICKS,
        "[x](javascript:1)",
    ]
    records = [
        cell(
            method="random",
            role="baseline",
            seed=seed,
            caveat=text,
            scorer_version=f"v{seed}",
            diagnostics={text[:20]: 1.0},
        )
        for seed, text in enumerate(texts)
    ]
    records += [cell(seed=seed, status="failed", status_reason=text) for seed, text in enumerate(texts)]
    write_records(sandbox.folder / "results" / "s" / "d" / "random.jsonl", records[: len(texts)])
    write_records(sandbox.folder / "results" / "s" / "d" / "m.jsonl", records[len(texts) :])
    shown = sandbox.call("leaderboard", columns=100)
    assert shown.returncode == 0, shown.stderr
    assert not {"\x1b]", "\x1b[2J", "\x07"} & {one for one in ("\x1b]", "\x1b[2J", "\x07") if one in shown.stdout}
    for path in (sandbox.folder / "results" / "board").iterdir():
        text = path.read_text(encoding="utf-8")
        assert "\x1b" not in text or path.suffix == ".html"
        if path.suffix != ".csv":
            assert "<img" not in text, path
            assert "<script>alert" not in text
            assert "](javascript" not in text or path.suffix == ".html"
        else:
            cells = {one for row in csv.reader(io.StringIO(text)) for one in row}
            assert not [one for one in cells if FORMULA.match(one)]


@pytest.mark.parametrize("text", FORMULAS)
def test_a_formula_is_no_formula_in_a_cell_and_numbers_and_names_stay(text):
    assert harmless(text)[0] == "'"
    assert [harmless(one) for one in ("-", "-0.5", "+1", "a=b", "", "-name.png", "m")] == [
        "-", "-0.5", "+1", "a=b", "", "-name.png", "m",
    ]  # fmt: skip


def test_names_of_files_and_classes_cannot_act_on_a_page_a_table_or_a_terminal(tmp_path):
    from PIL import Image

    names = [text.replace("/", "_") for text in FORMULAS] + ["<img src=x onerror=alert(1)>", "a\x1b[2J"]
    pixels = np.random.default_rng(0).integers(0, 256, (len(names), 6, 8, 8, 3), dtype=np.uint8)
    for number, name in enumerate(names):
        folder = tmp_path / "data" / name
        folder.mkdir(parents=True)
        for at in range(6):
            Image.fromarray(pixels[number, at]).save(folder / f"{name[:20]}{at}.png", "PNG")
    source = read(tmp_path / "data")
    assert len(source) == 6 * len(names)
    assert not [one for one in (*source.ids, *source.class_names) if FORMULA.match(one) or "\x1b" in one]
    flat = read(tmp_path / "data" / names[0])
    assert all(one.startswith("\\x3d1+1") for one in flat.ids)
    features = np.random.default_rng(1).random((len(source), 5))
    labels = [source.class_names[label] for label in source.labels]
    found = prunebench.prune(
        features, labels=labels, ids=source.ids, scorer="random", keep=0.5, cache=tmp_path / "cache"
    )
    written = found.save(tmp_path / "out")
    page = written["report"].read_text(encoding="utf-8")
    assert "<img src=x" not in page
    for path in written.values():
        text = path.read_text(encoding="utf-8")
        assert "\x1b" not in text
        assert path.suffix != ".csv" or not [line for line in text.splitlines() if FORMULA.match(line)]


# ------------------------------------------------------------------------------------------------ names that are paths

NAMES = ("../../x", "/tmp/x", "a/b", "..", "", "a\n", "a b", "=1", "-x", "ä", "a" * 101, "x\0")


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("table", ["suite.tiny", "method.narrow", "dataset.digits", "recipe.probe", "backbone.two"])
def test_a_table_whose_name_is_no_name_of_a_file_is_refused_with_its_line(table, name):
    kind, _ = table.split(".")
    quoted = '"' + "".join(f"\\u{ord(one):04x}" for one in name) + '"'
    text = REGISTRY.replace(f"[{table}]", f"[{kind}.{quoted}]")
    with pytest.raises(RegistryError) as caught:
        make_registry(Source(Path("registry.toml"), text))
    assert caught.value.line


@pytest.mark.parametrize("name", ["../../x", "/tmp/x", "..", "x\n", "<b>"])
def test_the_command_line_takes_no_path_for_a_name(name, sandbox):
    (sandbox.folder / "registry.toml").write_text(REGISTRY, encoding="utf-8")
    asked = (
        ("run", name), ("run", "tiny", "--with", name), ("plan", name), ("new", "scorer", name), ("status", name),
        ("leaderboard", "--suite", name), ("export", "kept", name, "--out", "out"), ("check", name),
        ("export", "backbone", name, "--out", "out"), ("try", name), ("list", name),
    )  # fmt: skip
    for arguments in asked:
        result = sandbox.call(*arguments)
        assert result.returncode in (2, 3, 4), (arguments, result.stderr)
        assert "Traceback" not in result.stderr
        assert result.stderr.startswith("error: ") or "\nerror: " in result.stderr
    assert {path.name for path in sandbox.folder.iterdir()} <= {"registry.toml", "cache", "site"}
    if "/" in name:
        with pytest.raises(UsageError):
            prunebench.load_results(sandbox.folder, name)


def test_a_registry_cannot_put_options_or_addresses_into_what_is_installed():
    for old, new, told in (
        ('dist = "prunebench-nearmiss"', 'dist = "--index-url=http://example.org"', "dist"),
        ('dist = "prunebench-nearmiss"', 'dist = "a; rm -rf ~"', "dist"),
        ('environment = ["numpy<2"]', 'environment = ["-r /etc/passwd"]', "environment"),
        ('environment = ["numpy<2"]', 'environment = ["a @ https://example.org/a.zip"]', "environment"),
        ('environment = ["numpy<2"]', 'environment = ["--extra-index-url=http://example.org"]', "environment"),
        ('version = ">=1,<2"', 'version = ">=1 --pre"', "version"),
    ):
        assert old in REGISTRY
        with pytest.raises(RegistryError, match=rf"plugin\.nearmiss\.{told}"):
            make_registry(Source(Path("registry.toml"), REGISTRY.replace(old, new)))


HOSTILE_TOML = {
    "arrays": "a = " + "[" * 400_000, "dots": "a" + ".a" * 400_000 + " = 1",
    "a deep table": "[" + "a." * 300_000 + "a]",
    "a text without end": 'a = "' + "x" * 900_000, "digits": "a = " + "9" * 900_000, "tables": "a = {" * 150_000,
    "a key again": "x = 1\n" * 150_000, "a table again": "[a]\n" * 200_000, "marks": "=" * 900_000,
    "too large": "#" * 2_000_000,
}  # fmt: skip


@pytest.mark.parametrize("kind", HOSTILE_TOML)
def test_a_hostile_registry_is_refused_with_its_line(kind, tmp_path):
    (tmp_path / "registry.toml").write_text(HOSTILE_TOML[kind], encoding="utf-8")
    with pytest.raises(RegistryError) as caught:
        load_registry(tmp_path / "registry.toml")
    assert len(caught.value.message) < 20_000
    assert caught.value.line


# ------------------------------------------------------------------------------------------- what would run, or unpack


class Bomb:
    """Runs a command where it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.mark,)


def _pickles(folder: Path, mark: Path) -> list[Path]:
    import torch

    array = np.array([Bomb(mark)], dtype=object)
    np.save(folder / "a.npy", array)
    np.savez(folder / "b.npz", features=array)
    torch.save({"state_dict": Bomb(mark)}, folder / "c.pt")
    torch.save(Bomb(mark), folder / "d.pth", _use_new_zipfile_serialization=False)
    for name in ("e.npy", "f.npz", "g.pt", "h.safetensors", "i.parquet", "j.tar"):
        (folder / name).write_bytes(pickle.dumps(Bomb(mark)))
    return sorted(folder.iterdir())


def test_no_reader_runs_what_a_file_would_run(tmp_path):
    from prunebench_timm.weights import read_weights

    (tmp_path / "files").mkdir()
    mark = tmp_path / "ran"
    files = _pickles(tmp_path / "files", mark)
    assert len(files) == 10
    for path in files:
        for reader in (read, read_weights):
            with pytest.raises(PrunebenchError):
                reader(path)
    assert not mark.exists()
    pickle.loads((tmp_path / "files" / "e.npy").read_bytes())
    assert mark.exists()  # it would have


def test_members_of_a_tar_file_are_read_in_their_place_and_links_are_left_out(tmp_path):
    with tarfile.open(tmp_path / "x.tar", "w") as archive:
        for name, data in {"../../up.png": b"x", "/etc/abs.png": b"y", "ok.png": b"z"}.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            archive.addfile(entry, io.BytesIO(data))
        for kind in (tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE):
            entry = tarfile.TarInfo(f"link{kind.decode()}.png")
            entry.type, entry.linkname = kind, "/etc/passwd"
            archive.addfile(entry)
    before = sorted(tmp_path.rglob("*"))
    source = read(tmp_path / "x.tar")
    assert source.pictures is not None
    assert sorted(source.pictures.encoded(row) for row in range(len(source))) == [b"y", b"z"]
    assert sorted(tmp_path.rglob("*")) == before
    assert "links, devices or files without an ending: 4" in " ".join(source.notes)


def test_a_tar_file_of_endless_long_names_is_damaged_and_no_more(tmp_path):
    with tarfile.open(tmp_path / "x.tar", "w") as archive:
        for _ in range(3000):
            entry = tarfile.TarInfo("././@LongLink")
            entry.type, entry.size = tarfile.GNUTYPE_LONGNAME, 4
            archive.addfile(entry, io.BytesIO(b"abc\0"))
    with pytest.raises(DataError, match="damaged"):
        read(tmp_path / "x.tar")


@pytest.mark.parametrize("length", [-1, -(2**80), 2**80])
def test_a_tar_file_with_a_member_of_an_impossible_length_is_damaged(length, tmp_path):
    header = bytearray(tarfile.TarInfo("a/1.png").tobuf(tarfile.GNU_FORMAT))
    header[124:136] = (b"\xff" if length < 0 else b"\x80") + (length % 256**11).to_bytes(11, "big")
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\0 " % sum(header)
    (tmp_path / "x.tar").write_bytes(header + bytes(1024))
    with pytest.raises(DataError, match=r"have no pictures; .*(damaged after 0 samples|ends inside of it)"):
        read(tmp_path / "x.tar")


def test_what_unpacks_to_more_than_the_memory_is_refused_before_it_is_unpacked(tmp_path, monkeypatch):
    import pyarrow as pa
    import pyarrow.parquet as pq

    monkeypatch.setattr("prunebench.pruning.reading.feature_files.available_bytes", lambda: 10_000_000)
    np.savez_compressed(tmp_path / "a.npz", features=np.zeros((20_000, 200), dtype=np.float32))
    pq.write_table(pa.table({"embedding": [[0.0] * 100] * 30_000}), tmp_path / "b.parquet")
    for name in ("a.npz", "b.parquet"):
        assert (tmp_path / name).stat().st_size < 400_000
        with pytest.raises(DataError, match=r"unpacks to [0-9,]+ bytes, and 10,000,000 are free"):
            read(tmp_path / name)


def test_a_picture_of_a_data_set_that_is_no_file_is_unreadable(tmp_path):
    import datasets

    from prunebench.pictures import Unreadable

    os.mkfifo(tmp_path / "pipe")
    column = [{"bytes": None, "path": path} for path in ("/dev/zero", str(tmp_path / "pipe"), "/etc", "/none\0")]
    data = datasets.Dataset.from_dict(
        {"image": column, "label": [0, 1, 0, 1]},
        features=datasets.Features({"image": datasets.Image(), "label": datasets.Value("int64")}),
    )
    source = read(data)
    assert source.pictures is not None
    for row in range(4):
        with pytest.raises(Unreadable):
            source.pictures.encoded(row)


@pytest.mark.parametrize("option", ["--labels", "--registry"])
def test_a_pipe_in_place_of_a_file_is_not_waited_for(option, sandbox):
    os.mkfifo(sandbox.folder / "pipe")
    np.save(sandbox.folder / "x.npy", np.ones((4, 2)))
    verb = (
        ("prune", "x.npy", "--labels", "pipe", "--out", "out")
        if option == "--labels"
        else ("plan", "smoke", "--registry", "pipe")
    )
    result = sandbox.call(*verb)
    assert result.returncode in (2, 4)
    assert "pipe is no file" in result.stderr or "no file of labels is at pipe" in result.stderr


def test_a_folder_that_another_program_wrote_is_no_pruning_and_a_damaged_one_names_its_row(tmp_path):
    from prunebench.pruning.folders import open_folder

    prunebench.prune(np.random.default_rng(0).random((30, 3)), scorer="random", keep=0.5, cache=tmp_path / "c").save(
        tmp_path / "out"
    )
    ledger = tmp_path / "out" / "ledger.csv"
    sound = ledger.read_text(encoding="utf-8")
    lines = sound.splitlines()
    for changed, told in {
        lines[3].replace(",", ",x", 2): r"ledger\.csv, row 3: .* expected a number",
        "\x1b" + lines[3]: r"ledger\.csv, row 3: its id is none",
        lines[3] + ",1,2,3": r"ledger\.csv: ",
    }.items():
        ledger.write_text("\n".join([*lines[:3], changed, *lines[4:]]) + "\n", encoding="utf-8")
        with pytest.raises(DataError, match=told):
            open_folder(tmp_path / "out")
    ledger.write_text(sound, encoding="utf-8")
    (tmp_path / "out" / "manifest.json").write_text('{"keep": [0.5]}', encoding="utf-8")
    with pytest.raises(DataError, match=r"manifest\.json: Expected `str`, got `float` - at `\$\.keep"):
        open_folder(tmp_path / "out")


@pytest.mark.parametrize("facts", [{}, {"record": ["nothing"]}], ids=["none", "a list"])
def test_an_artefact_of_the_cache_whose_facts_are_of_no_cell_is_computed_again(facts, sandbox):
    suite = '[suite.tiny]\ndataset = "digits"\nmethods = ["random"]\nbaseline = "random"\npruning_rates = ["0.9"]\n'
    (sandbox.folder / "registry.toml").write_text(DIGITS + suite + "seeds = 1\n" + TRAINING, encoding="utf-8")
    (row,) = json.loads(sandbox.call("plan", "tiny", "--json").stdout)
    Store(sandbox.folder / "cache").publish("cell", row["key"], {}, facts)
    done = sandbox.call("run", "tiny", "--executor", "serial", "--devices", "cpu", "--quiet")
    assert done.returncode == 0, done.stderr
    assert "1 cell: 0 already done, 1 computed now" in done.stderr
    (record,) = load_results(sandbox.folder / "results")
    assert (record.status, record.key) == ("ok", row["key"])
