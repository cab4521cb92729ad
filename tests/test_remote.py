"""Stores behind a folder: what one machine has computed another reads, over lines that break, and never half of it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import numpy as np
import pytest

from object_store import Line, s3_server
from prunebench.artefact_files import DATA, META
from prunebench.contexts import DataContext
from prunebench.errors import DatasetMissing, StoreError
from prunebench.records import read_results, update_file
from prunebench.remote import Remote, remote_of, working_copy
from prunebench.remote_records import remote_records
from prunebench.store import Store
from records_of import cell
from registries import NUMPY_DIGITS, TINY, TRAINING

KEY = "ab" + "0" * 30
NUMBERS = count()


@pytest.fixture(scope="module")
def line() -> Iterator[Line]:
    """A line to an S3 server."""
    with s3_server() as line, pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith("AWS_")]:
            patch.delenv(name)
        patch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{line.port}")
        patch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        patch.setenv("AWS_MAX_ATTEMPTS", "1")  # the harness tries again
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            patch.setenv(name, "testing")
        yield line


@pytest.fixture
def bucket(line, monkeypatch) -> Iterator[str]:
    """The URL of a folder in a new bucket."""
    import s3fs

    monkeypatch.setattr("prunebench.remote._FIRST_PAUSE_SECONDS", 0.01)
    line.cuts, line.pause_seconds, line.after = 0, 0.0, 400
    name = f"bucket-{next(NUMBERS)}"
    s3fs.S3FileSystem().mkdir(name)
    yield f"s3://{name}/some folder"
    line.cuts = 0


def machine(name: str, folder: Path, url: str, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the working copy of a URL on another machine: below a cache of its own."""
    monkeypatch.setenv("PRUNEBENCH_CACHE", str(folder / name))
    return working_copy(url)


def test_what_one_machine_publishes_another_reads_byte_for_byte(bucket, tmp_path, monkeypatch):
    one, other = (Store(machine(name, tmp_path, bucket, monkeypatch)) for name in "ab")
    arrays = {"x": np.arange(100_000.0), "weights/w": np.ones((3, 2), np.float32)}
    one.publish("scores", KEY, arrays, {"seconds": 1.5, "record": {"status": "ok"}})
    assert other.has("scores", KEY)
    found = other.read("scores", KEY)
    assert found.path.is_relative_to(tmp_path / "b")
    assert dict(found.meta) == dict(one.read("scores", KEY).meta)
    for name, array in arrays.items():
        assert found.arrays[name].tobytes() == array.tobytes()
    assert not Store(machine("c", tmp_path, bucket, monkeypatch)).has("scores", "ff" + "0" * 30)
    other.publish("parts/x", KEY, {}, {})
    assert not Store(machine("d", tmp_path, bucket, monkeypatch)).has("parts/x", KEY)


@pytest.mark.parametrize("after", [0, 400, 20_000])
def test_a_line_that_breaks_and_is_slow_delays_and_changes_nothing(bucket, line, tmp_path, monkeypatch, after):
    one, other = (Store(machine(name, tmp_path, bucket, monkeypatch)) for name in "ab")
    line.cuts, line.after, line.pause_seconds = 3, after, 0.002
    one.publish("scores", KEY, {"x": np.arange(50_000.0)}, {})
    line.cuts = 3
    np.testing.assert_array_equal(other.read("scores", KEY).arrays["x"], np.arange(50_000.0))
    assert line.broken >= 3


def test_a_store_that_cannot_be_reached_is_named_and_what_was_computed_is_sent_later(
    bucket, line, tmp_path, monkeypatch, capsys
):
    monkeypatch.setattr("prunebench.remote._TRIES", 1)
    monkeypatch.setattr("prunebench.store._REST_SECONDS", 0.0)
    monkeypatch.setattr("s3fs.S3FileSystem.retries", 1)
    one = Store(machine("a", tmp_path, bucket, monkeypatch))
    assert one.read("scores", KEY) is None
    line.cuts = -1
    one.publish("scores", KEY, {"x": np.arange(3.0)}, {})
    assert "sent by a later run" in capsys.readouterr().err
    np.testing.assert_array_equal(one.read("scores", KEY).arrays["x"], np.arange(3.0))
    assert one.send_pending() == [KEY]
    with pytest.raises(StoreError, match=r"s3://bucket") as caught:
        Store(machine("b", tmp_path, bucket, monkeypatch)).read("scores", KEY)
    assert "connection" in caught.value.hint
    line.cuts = 0
    assert one.send_pending() == []
    assert Store(machine("b", tmp_path, bucket, monkeypatch)).read("scores", KEY) is not None


def test_half_an_artefact_is_absent_and_a_damaged_one_is_computed_again(bucket, tmp_path, monkeypatch, capsys):
    one, other = (Store(machine(name, tmp_path, bucket, monkeypatch)) for name in "ab")
    one.publish("scores", KEY, {"x": np.arange(1000.0)}, {})
    remote = remote_of(one.root)
    (data,) = [name for name in remote.names(seconds=0) if name.endswith(DATA)]
    (facts,) = [name for name in remote.names(seconds=0) if name.endswith(META)]
    content = remote.read(data)
    for spoilt in (content[:-9], content[:-1] + b"?", b""):
        remote.write(data, spoilt)
        assert other.read("scores", KEY) is None
        assert "is computed again" in capsys.readouterr().err
    told = remote.read(facts)
    remote.write(facts, told.replace(b"digests", b"digestz"))
    assert Store(machine("c", tmp_path, bucket, monkeypatch)).read("scores", KEY) is None
    remote._opened[0].rm_file(f"{remote._opened[1]}/{facts}")
    assert not Store(machine("d", tmp_path, bucket, monkeypatch)).has("scores", KEY)
    other.publish("scores", KEY, {"x": np.arange(1000.0)}, {})
    np.testing.assert_array_equal(
        Store(machine("e", tmp_path, bucket, monkeypatch)).read("scores", KEY).arrays["x"], np.arange(1000.0)
    )


def test_machines_that_race_accept_one_record_for_each_cell_and_the_same(bucket, tmp_path, monkeypatch):
    folders = [machine(name, tmp_path, bucket, monkeypatch) for name in "abc"]
    racing = [remote_records(folder) for folder in folders]
    for shared in racing:
        shared.pull()
    for number, (folder, shared) in enumerate(zip(folders, racing, strict=True)):
        started = f"2026-01-0{3 - number}T00:00:00+00:00"
        for seed in range(4):
            status = "failed" if (number, seed) == (2, 3) else "ok"
            one = cell(seed=seed, accuracy=0.5 + number / 10, started=started, run_id=f"r{number}", status=status)
            update_file(folder / one.file, [one])
        shared.push()
    for shared in (*racing, *racing):
        shared.pull()
    first, *others = [read_results(folder) for folder in folders]
    assert [one.accuracy for one in sorted(first, key=lambda one: one.seed)] == [0.7, 0.7, 0.7, 0.6]
    assert others == [first, first]
    new = machine("d", tmp_path, bucket, monkeypatch)
    conflicts = remote_records(new).pull({"r": 0.05})
    assert len(conflicts) == 4 * 3 - 1 - 4
    assert remote_records(new).pull({"r": 1.0}) == []
    assert read_results(new) == first


def test_a_superseding_record_is_accepted_everywhere(bucket, tmp_path, monkeypatch):
    one, other = (machine(name, tmp_path, bucket, monkeypatch) for name in "ab")
    update_file(one / cell().file, [cell(accuracy=0.1, started="2026-01-01")])
    remote_records(one).push()
    remote_records(other).pull()
    update_file(other / cell().file, [cell(accuracy=0.9, started="2026-01-02")], supersede="a wrong driver")
    remote_records(other).push()
    for folder in (one, other):
        shared = remote_records(folder)
        assert shared.pull({}) == []
        (kept,) = read_results(folder)
        assert (kept.accuracy, kept.attempt) == (0.9, 2)


def test_an_object_of_too_many_bytes_is_not_read(tmp_path):
    remote = Remote(tmp_path.as_uri())
    remote.write("records.jsonl", b"12345")
    assert remote.read("records.jsonl", most=5) == b"12345"
    assert remote.read("other.jsonl") is None
    with pytest.raises(StoreError, match=r"records\.jsonl has 5 bytes, more than 4"):
        remote.read("records.jsonl", most=4)


def test_data_are_fetched_when_they_are_looked_for(bucket, tmp_path, monkeypatch):
    root = machine("a", tmp_path, bucket, monkeypatch)
    remote = remote_of(root)
    remote.write("set/train/a.txt", b"a")
    remote.write("set/b.txt", b"b" * 100_000)
    remote.write("single.bin", b"c")
    context = DataContext(params={}, roots=(tmp_path, root))
    assert context.find("single.bin").read_bytes() == b"c"
    found = context.find("missing", "set")
    assert (found / "train" / "a.txt").read_bytes() == b"a"
    assert (found / "b.txt").stat().st_size == 100_000
    with pytest.raises(DatasetMissing):
        context.find("sing", "se")


def test_a_second_machine_computes_nothing_again_and_has_the_same_board(sandbox, tmp_path):
    sandbox.register(NUMPY_DIGITS + TINY + TRAINING)
    places = ("--cache", f"file://{tmp_path}/the cache", "--results", f"file://{tmp_path}/the results")
    first = sandbox.call("run", "tiny", "--executor", "serial", *places)
    assert first.returncode == 0, first.stderr
    assert "2 cells: 0 already done, 2 computed now" in first.stderr
    (sandbox.folder / "cache").rename(sandbox.folder / "gone")
    second = sandbox.call("run", "tiny", "--executor", "serial", *places)
    assert second.returncode == 0, second.stderr
    assert "2 cells: 2 already done, 0 computed now" in second.stderr
    assert sandbox.call("leaderboard", *places[2:]).returncode == 0
    (sandbox.folder / "cache").rename(sandbox.folder / "gone too")
    third = sandbox.call("run", "tiny", "--executor", "serial", *places[:2])
    assert "2 cells: 2 already done, 0 computed now" in third.stderr


def test_only_a_working_copy_has_a_store_behind_it(tmp_path, monkeypatch):
    folder = machine("a", tmp_path, f"file://{tmp_path}/there", monkeypatch)
    assert remote_of(folder) == Remote(f"file://{tmp_path}/there")
    foreign = tmp_path / "results"
    foreign.mkdir()
    (foreign / ".remote").write_text("file:///tmp")
    renamed = tmp_path / "remote" / "s3-mine-0123"
    renamed.mkdir(parents=True)
    (renamed / ".remote").write_text("s3://theirs")
    assert remote_of(foreign) is remote_of(renamed) is remote_of(tmp_path) is None


@pytest.mark.parametrize("place", ["results", "/tmp/x", "C:\\results", "a b/c", "./s3:/x"])
def test_a_folder_is_no_url(place):
    assert working_copy(place) == Path(place)


def test_what_opens_a_store_is_named_where_it_is_not_installed(tmp_path, monkeypatch):
    store = Store(machine("a", tmp_path, "nowhere://bucket", monkeypatch))
    with pytest.raises(StoreError, match="nowhere://bucket") as caught:
        store.has("scores", KEY)
    assert "install" in caught.value.hint
