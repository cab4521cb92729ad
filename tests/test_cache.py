"""What a cache holds is listed, checked and removed by the command, and never while a process may use it."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from conftest import Sandbox
from prunebench.artefact_files import DATA, META
from prunebench.locks import USERS, oldest_user
from prunebench.store import Store
from prunebench.upkeep import Item, chosen, trim

OLD, NEW, THIRD = (two + "0" * 30 for two in ("aa", "bb", "cc"))
DAY = 86400


@pytest.fixture
def filled(sandbox: Sandbox) -> Store:
    """A cache with three artefacts, used 30, 20 and 10 days ago, and a file of another kind, used 40 days ago."""
    store = Store(sandbox.folder / "cache")
    for stage, key, days in (("scores", OLD, 30), ("pictures/some-network", NEW, 20), ("scores", THIRD, 10)):
        store.publish(stage, key, {"x": np.arange(1000.0)}, {})
        age(store.folder(stage, key) / META, days)
    memory = store.root / "digests" / "memory.bin"
    memory.parent.mkdir()
    memory.write_bytes(b"12345")
    age(memory, 40)
    return store


def age(file: Path, days: float) -> None:
    then = time.time() - days * DAY
    os.utime(file, (then, then))


def told(sandbox: Sandbox, *arguments: str) -> dict:
    done = sandbox.call("cache", *arguments, "--json")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def there(store: Store) -> set[str]:
    """Return the keys of artefacts, and the names of other files."""
    artefacts = {path.parent.name for path in store.root.rglob(META) if "set-aside" not in path.parts}
    return artefacts | {path.name for path in (store.root / "digests").glob("*")}


def test_the_list_has_each_kind_with_count_bytes_and_last_use(sandbox, filled):
    kinds = {row["kind"]: row for row in told(sandbox, "ls")["kinds"]}
    assert {kind: row["count"] for kind, row in kinds.items()} == {"digests": 1, "pictures": 1, "scores": 2}
    files = [file for file in (filled.root / "scores").rglob("*") if file.is_file()]
    assert kinds["scores"]["bytes"] == sum(file.stat().st_size for file in files) > 16000
    assert time.time() - kinds["scores"]["last_used"] == pytest.approx(10 * DAY, abs=600)
    shown = sandbox.call("cache", "ls").stdout.splitlines()
    assert [line.split()[0] for line in shown] == ["kind", "digests", "pictures", "scores", "all"]


def test_a_cache_that_does_not_exist_is_named(sandbox):
    done = sandbox.call("cache", "ls")
    assert done.returncode == 5
    assert "cache" in done.stderr
    assert "--cache" in done.stderr


def test_the_least_recently_used_go_first_until_the_rest_fits(sandbox, filled):
    size = sum(file.stat().st_size for file in filled.folder("scores", THIRD).iterdir())
    found = told(sandbox, "gc", "--max-bytes", str(2 * size + 100))
    assert found["removed"]["count"] == 2
    assert there(filled) == {NEW, THIRD}
    assert found["left"]["bytes"] <= 2 * size + 100
    assert told(sandbox, "gc", "--max-bytes", "1 GB")["removed"]["count"] == 0


def test_what_was_not_used_for_long_goes_and_reading_is_use(sandbox, filled):
    assert Store(filled.root).read("scores", OLD) is not None
    assert told(sandbox, "gc", "--older-than", "15d")["removed"]["count"] == 2
    assert there(filled) == {OLD, THIRD}


def test_a_dry_run_says_what_would_go_and_removes_nothing(sandbox, filled):
    before = there(filled)
    for arguments in (("gc", "--max-bytes", "0"), ("gc", "--older-than", "1h"), ("clear",)):
        found = told(sandbox, *arguments, "--dry-run")
        assert (found["removed"]["count"], found["dry_run"], found["left"]["count"]) == (4, True, 0)
    assert there(filled) == before


def test_a_limit_removes_what_was_used_least_recently_and_never_what_a_run_uses(filled):
    store = Store(filled.root)
    assert trim(store, 1 << 30) == []
    assert store.read("scores", OLD) is not None
    size = sum(file.stat().st_size for file in filled.folder("scores", OLD).iterdir())
    assert trim(store, 2 * size + 100) == []
    assert there(filled) == {OLD, THIRD, "memory.bin"}  # a file that is no artefact does not say when it was used
    (told,) = trim(store, 100)
    assert "100 are its limit" in told
    assert there(filled) == {OLD, "memory.bin"}


def test_clear_leaves_nothing_of_any_kind(sandbox, filled):
    done = sandbox.call("cache", "clear")
    assert "removed 4 items" in done.stderr
    assert there(filled) == set()
    assert list((filled.root / "tmp").iterdir()) == []


@pytest.mark.parametrize(
    "arguments",
    [
        (),
        *(("--max-bytes", text) for text in ("much", "-1", "9" * 400)),
        *(("--older-than", text) for text in ("3x", "nan", "", "9" * 400)),
    ],
)
def test_gc_without_a_measure_it_can_read_says_how_to_give_one(sandbox, filled, arguments):
    done = sandbox.call("cache", "gc", *arguments)
    assert done.returncode == 2
    assert "hint:" in done.stderr
    assert len(there(filled)) == 4


def test_damaged_artefacts_are_named_and_set_aside_and_the_others_stay(sandbox, filled):
    data = filled.folder("scores", OLD) / DATA
    data.write_bytes(data.read_bytes()[:-1] + b"?")
    (filled.folder("scores", THIRD) / DATA).unlink()
    (filled.folder("pictures/some-network", NEW) / META).write_bytes(b"no json")
    assert sandbox.call("cache", "verify", "--dry-run").returncode == 1
    assert len(there(filled)) == 4
    done = sandbox.call("cache", "verify")
    assert done.returncode == 1
    lines = {line.partition(": ")[0]: line for line in done.stdout.splitlines()}
    assert set(lines) == {str(filled.folder(*one)) for one in (("scores", OLD), ("scores", THIRD),
                                                               ("pictures/some-network", NEW))}  # fmt: skip
    assert f"{DATA} does not match its digest" in lines[str(filled.folder("scores", OLD))]
    assert f"{DATA} is missing" in lines[str(filled.folder("scores", THIRD))]
    assert f"{META} is damaged" in lines[str(filled.folder("pictures/some-network", NEW))]
    assert there(filled) == {"memory.bin"}
    assert len(list((filled.root / "set-aside").rglob(META))) == 3
    assert sandbox.call("cache", "verify").returncode == 0
    assert told(sandbox, "ls")["kinds"][-1]["kind"] == "set-aside"


def use(root: str, sign: str, again: str) -> None:
    """Read one artefact and write another one, then stay until `again` is there, and read both once more."""
    store = Store(Path(root))
    assert store.read("scores", OLD) is not None
    store.publish("scores", "dd" + "0" * 30, {"x": np.zeros(3)}, {})
    Path(sign).write_text("used")
    wait_for(Path(again))
    assert store.read("scores", OLD) is not None
    assert store.read("scores", "dd" + "0" * 30) is not None


def wait_for(path: Path) -> None:
    deadline = time.monotonic() + 60
    while not path.exists():
        assert time.monotonic() < deadline
        time.sleep(0.02)


@contextmanager
def user(store: Store) -> Iterator[tuple[multiprocessing.process.BaseProcess, Path]]:
    """Run `use` in a process of its own, and yield it once it has used the cache, with the file that lets it end."""
    sign, again = store.root.parent / "sign", store.root.parent / "again"
    process = multiprocessing.get_context("spawn").Process(target=use, args=(str(store.root), str(sign), str(again)))
    process.start()
    try:
        wait_for(sign)
        yield process, again
    finally:
        if process.is_alive():
            os.kill(process.pid or 0, signal.SIGKILL)
        process.join()


def test_what_a_running_process_has_read_or_written_stays_until_it_ends(sandbox, filled):
    with user(filled) as (process, again):
        found = told(sandbox, "clear")
        assert there(filled) == {OLD, "dd" + "0" * 30, "memory.bin"}
        assert (found["removed"]["count"], found["in_use"]["count"]) == (2, 3)
        assert "running processes" in sandbox.call("cache", "gc", "--max-bytes", "0").stderr
        again.write_text("")
        process.join(60)
        assert process.exitcode == 0
    assert told(sandbox, "clear")["removed"]["count"] == 3
    assert there(filled) == set()


def test_a_killed_process_holds_nothing(sandbox, filled):
    with user(filled) as (process, _):
        os.kill(process.pid or 0, signal.SIGKILL)
        process.join()
        assert [path for path in (filled.root / USERS).iterdir() if path.name.startswith(f"{process.pid}-")]
        assert oldest_user(filled.root) == float("inf")
        assert not [path for path in (filled.root / USERS).iterdir() if path.name.startswith(f"{process.pid}-")]
        assert told(sandbox, "clear")["in_use"]["count"] == 0
    assert there(filled) == set()


def test_a_store_that_is_no_longer_used_leaves_no_presence(tmp_path):
    store = Store(tmp_path)
    store.publish("scores", OLD, {}, {})
    assert len(list((tmp_path / USERS).iterdir())) == 1
    del store
    assert list((tmp_path / USERS).iterdir()) == []


def compute(root: str, number: int, times: int) -> None:
    """Do what every stage does, many times: take the lock, look, write what is missing, and read."""
    store, rng = Store(Path(root)), np.random.default_rng(number)
    for _ in range(times):
        key = f"{rng.integers(6):02}" + "0" * 30
        with store.lock(key):
            if not store.has("scores", key):
                store.publish("scores", key, {"x": np.arange(100.0)}, {})
            found = store.read("scores", key)
        assert found is not None
        assert (found.arrays["x"] == np.arange(100.0)).all()
        assert (found.path / DATA).is_file()


def test_processes_that_compute_never_miss_what_they_look_at_while_the_cache_is_cleared(sandbox, filled):
    context = multiprocessing.get_context("spawn")
    processes = [context.Process(target=compute, args=(str(filled.root), number, 60)) for number in range(2)]
    for process in processes:
        process.start()
    clears = 0
    while any(process.is_alive() for process in processes):
        told(sandbox, "clear")
        clears += 1
    assert clears > 1
    assert [process.exitcode for process in processes] == [0, 0]


@pytest.mark.thorough
def test_a_pruning_is_the_same_while_the_cache_is_cleared_again_and_again(sandbox):
    rng = np.random.default_rng(0)
    features, labels = rng.normal(size=(400, 16)).astype(np.float32), np.arange(400) % 4
    np.savez(sandbox.folder / "features.npz", features=features, labels=labels)
    arguments = ("prune", "features.npz", "--keep", "0.2", "--scorer", "topocore-density", "--projector", "pca")
    assert sandbox.run(*arguments, "--out", "alone").returncode == 0
    sandbox.call("cache", "clear")
    running = sandbox.start(*arguments, "--out", "beside")
    while running.poll() is None:
        assert sandbox.call("cache", "clear").returncode in (0, 5)
    _, errors = running.communicate()
    assert running.returncode == 0, errors
    for name in ("kept.csv", "ledger.csv", "manifest.json"):
        assert (sandbox.folder / "alone" / name).read_bytes() == (sandbox.folder / "beside" / name).read_bytes()


ITEMS = st.lists(st.builds(Item, path=st.uuids().map(str).map(Path), kind=st.just("scores"),
                           size=st.integers(0, 1000), used=st.floats(0, 100)))  # fmt: skip


@given(found=ITEMS, most=st.integers(0, 5000), before=st.floats(0, 100))
def test_no_more_is_chosen_than_has_to_go_and_nothing_younger_than_what_stays(found, most, before):
    picked = chosen(found, max_bytes=most, before=before)
    left = [item for item in found if item not in picked]
    assert sum(item.size for item in left) <= most
    assert all(item.used >= before for item in left)
    assert all(one.used <= other.used for one in picked for other in left)
    if picked and picked[-1].used >= before:
        assert sum(item.size for item in left) + picked[-1].size > most
