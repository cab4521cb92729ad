"""Where prunebench runs: a cache that may only be read, no home folder, and two users of one machine."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from conftest import Sandbox
from registries import NUMPY_DIGITS, TINY, TRAINING

# The modes of files hold for root, too, without the capabilities to ignore them.
PLAIN = ["setpriv", "--bounding-set=-all"] if os.geteuid() == 0 else []


def plainly(sandbox: Sandbox, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run the command line in a process for which the modes of files hold."""
    command = [*PLAIN, sys.executable, "-m", "prunebench", *arguments]
    environment = {**sandbox.environment, "OMP_NUM_THREADS": "1", **variables}
    return subprocess.run(command, cwd=sandbox.folder, env=environment, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def computed(tmp_path_factory) -> Iterator[Sandbox]:
    """A suite that was run, whose cache may now only be read."""
    sandbox = Sandbox(tmp_path_factory.mktemp("computed"))
    other = TINY.replace("tiny", "other").replace("0.9", "0.8")
    text = NUMPY_DIGITS + TINY + TRAINING + other + TRAINING
    sandbox.register(text)
    done = sandbox.call("run", "tiny", "--executor", "serial")
    assert done.returncode == 0, done.stderr
    folders = [path for path in (sandbox.folder / "cache", *(sandbox.folder / "cache").rglob("*")) if path.is_dir()]
    for path in folders:
        path.chmod(0o555)
    yield sandbox
    for path in folders:
        path.chmod(0o755)


def test_a_cache_that_may_only_be_read_is_enough_where_all_is_computed(computed):
    done = plainly(computed, "run", "tiny", "--executor", "serial", "--results", "other results")
    assert done.returncode == 0, done.stderr
    assert "2 cells: 2 already done, 0 computed now" in done.stderr
    names = ["random.jsonl", "full.jsonl"]
    first, second = (
        [(computed.folder / results / "tiny" / "digits" / name).read_bytes() for name in names]
        for results in ("results", "other results")
    )
    assert first == second


def test_a_cache_that_may_only_be_read_is_named_where_something_is_missing(computed):
    done = plainly(computed, "run", "other", "--executor", "serial", "--results", "third")
    assert done.returncode == 5, done.stderr
    assert f"cache folder {computed.folder / 'cache'}: permission denied" in done.stderr
    assert "--cache" in done.stderr


HOMES = ["missing", "closed", "a file/home"]
NO_CACHE = {"PRUNEBENCH_CACHE": "", "XDG_CACHE_HOME": ""}


@pytest.fixture
def homeless(sandbox) -> Iterator[Sandbox]:
    """A folder with a suite, in which nobody makes a folder, and places that are no home."""
    sandbox.register(NUMPY_DIGITS + TINY + TRAINING)
    (sandbox.folder / "closed").mkdir(mode=0o000)
    (sandbox.folder / "a file").write_text("")
    sandbox.folder.chmod(0o555)
    yield sandbox
    sandbox.folder.chmod(0o755)
    assert not (sandbox.folder / "missing").exists()


@pytest.mark.parametrize("home", HOMES)
def test_without_a_home_folder_another_cache_is_asked_for(homeless, home):
    with tempfile.TemporaryDirectory() as place:
        there = ("run", "tiny", "--executor", "serial", "--results", f"{place}/results")
        done = plainly(homeless, *there, HOME=str(homeless.folder / home), **NO_CACHE)
    assert done.returncode == 5, done.stderr
    assert "set another with --cache DIR" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("home", [HOMES[0], *(pytest.param(home, marks=pytest.mark.thorough) for home in HOMES[1:])])
def test_with_another_cache_no_home_folder_is_missed(homeless, home):
    with tempfile.TemporaryDirectory() as place:
        there = ("run", "tiny", "--executor", "serial", "--results", f"{place}/results", "--cache", f"{place}/cache")
        done = plainly(homeless, *there, HOME=str(homeless.folder / home), **NO_CACHE)
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr


def test_an_unknown_user_without_a_home_gets_a_sentence(monkeypatch):
    from prunebench.errors import StoreError
    from prunebench.store import Store, default_cache

    for name in ("HOME", "XDG_CACHE_HOME", "PRUNEBENCH_CACHE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("os.path.expanduser", lambda path: path)  # as it does for a user without an entry
    monkeypatch.setattr("pwd.getpwuid", lambda number: {}[number])
    with pytest.raises(StoreError, match="a part of the path is a file") as caught:
        Store(default_cache()).check_writable()
    assert "--cache" in caught.value.hint


SHARED = """
import json, os, sys
from pathlib import Path
import numpy as np
os.umask(0o002)
from prunebench.store import Store
from prunebench.upkeep import chosen, items, remove
store, me, steps = Store(Path(sys.argv[1])), sys.argv[2], json.loads(sys.argv[3])
key = lambda owner: "ab" + owner * 30
done = []
for step, owner in steps:
    with store.lock(key(owner)):
        if step == "publish":
            store.publish("scores", key(owner), {"x": np.arange(9.0)}, {"by": me})
        if step == "read":
            found = store.read("scores", key(owner))
            done.append(found and found.meta["by"])
    if step == "spoil":
        (store.folder("scores", key(owner)) / "data.safetensors").write_bytes(b"spoilt")
    if step == "remove":
        wanted = [item for item in chosen(items(store.root), max_bytes=-1) if item.path.name == key(owner)]
        del store
        store = Store(Path(sys.argv[1]))
        done.append(len(remove(store.root, wanted)))
print(json.dumps([os.getuid(), done]))
"""


def test_two_users_share_a_cache_of_their_group():
    folder = Path(tempfile.mkdtemp(prefix="shared-"))  # the folders of pytest are closed to other users
    script = folder / "script.py"
    script.write_text(SHARED)
    cache = folder / "cache"
    cache.mkdir()
    users = [_as_user(number, folder) for number in (65533, 65534)]
    try:
        for path, mode in ((folder, 0o755), (script, 0o644), (cache, 0o2775)):
            path.chmod(mode)
        if all(users):
            os.chown(cache, 65533, 65533)

        def told(user: int, *steps: tuple[str, str]) -> list:
            command = [*users[user], sys.executable, str(script), str(cache), "ab"[user], json.dumps(steps)]
            done = subprocess.run(command, capture_output=True, text=True, check=False, cwd="/")
            assert done.returncode == 0, done.stderr
            return json.loads(done.stdout)

        first, _ = told(0, ("publish", "1"), ("publish", "2"), ("publish", "3"))
        second, found = told(1, ("read", "1"), ("publish", "4"), ("read", "4"), ("spoil", "2"), ("read", "2"),
                             ("publish", "2"), ("read", "2"), ("remove", "3"))  # fmt: skip
        assert found == ["a", "b", None, "b", 1]
        assert told(0, ("read", "2"), ("read", "4"), ("read", "3"))[1] == ["b", "b", None]
        assert (first == second) != all(users)
        assert all(path.stat().st_mode & 0o020 for path in cache.rglob("*"))
    finally:
        shutil.rmtree(folder)


def _as_user(number: int, folder: Path) -> list[str]:
    """Return how to start a process as another user, or nothing where that cannot be: then one user plays both."""
    prefix = ["setpriv", f"--reuid={number}", "--regid=65533", "--clear-groups"]
    if os.geteuid() != 0 or shutil.which("setpriv") is None:
        return []
    works = [*prefix, sys.executable, "-c", "import prunebench.store"]
    return prefix if subprocess.run(works, capture_output=True, check=False, cwd="/").returncode == 0 else []
