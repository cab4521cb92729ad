"""A bound on main memory admits what fits, and workers share one copy of large data."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from prunebench.errors import UsageError
from prunebench.executors.choice import choose
from prunebench.memory import MemoryBound, parse_bytes
from prunebench.plugins import load_plugins
from prunebench.schedule import RunState, run_tasks
from prunebench.store import Store
from prunebench.tasks import Task
from test_slots_and_time import Pretended, World

CATALOGUE = load_plugins()
GIB = 2**30


@pytest.mark.parametrize(
    ("text", "n_bytes"),
    [
        ("8GiB", 8 * GIB),
        ("8G", 8 * GIB),
        ("8 gb", 8 * 10**9),
        ("20GB", 2 * 10**10),
        ("1 kib", 1024),
        ("1.5g", 3 * GIB // 2),
        ("512M", GIB // 2),
        ("100", 100),
    ],
)
def test_amounts_of_memory_are_read(text, n_bytes):
    assert parse_bytes(text) == n_bytes


@pytest.mark.parametrize("text", ["", "GiB", "-1G", "0", "0G", "8 Q", "1e9", "nan", "8GiBs", "٨G ", "9" * 400])
def test_what_is_no_amount_is_refused(text):
    if text == "٨G ":
        assert parse_bytes(text) == 8 * GIB  # a digit is a digit
        return
    with pytest.raises(UsageError, match="is no amount of memory"):
        parse_bytes(text)


def test_a_bound_is_for_workers_of_this_machine():
    assert choose("local", CATALOGUE).memory_bytes("2G") == 2 * GIB
    assert choose("ray", CATALOGUE).memory_bytes(None) == 0
    with pytest.raises(UsageError, match="are elsewhere"):
        choose("slurm", CATALOGUE).memory_bytes("2G")


class Measured(Pretended):
    """An executor of a world whose tasks take memory, and that notes how much all of them took together."""

    def __init__(self, world, slots, takes):
        super().__init__(world, "cpu", slots)
        self.takes, self.most = takes, 0

    def submit(self, task):
        super().submit(task)
        self.most = max(self.most, sum(self.takes[one.config["name"]] for *_, one in self.mine()))


@given(st.lists(st.integers(1, 12), min_size=1, max_size=12), st.integers(4, 12), st.integers(1, 4))
def test_tasks_run_together_only_where_they_fit_and_all_of_them_run(sizes, limit, slots):
    tasks = [Task("exercise", {"name": number, "plugin": {"name": str(size)}}) for number, size in enumerate(sizes)]
    takes = {number: size * GIB for number, size in enumerate(sizes)}
    told = []
    bound = MemoryBound(limit * GIB, Store(Path("nowhere")), CATALOGUE,
                        {task.kind: takes[task.config["name"]] for task in tasks}, told.append)  # fmt: skip
    executor = Measured(World({"exercise": 1.0}), slots, takes)
    state = run_tasks({task.key: task for task in tasks}, executor, fits=bound.fits)
    assert {outcome["status"] for outcome in state.outcomes.values()} == {"ok"}
    assert len(state.outcomes) == len(tasks)
    assert executor.most <= max(limit * GIB, max(takes.values()))
    assert len(told) == len({size for size in sizes if size > limit})  # once for each kind, and it ran alone


def test_an_expectation_comes_from_what_was_measured_then_from_the_inputs(tmp_path):
    store = Store(tmp_path)
    features = Task("features", {"name": "f"})
    store.publish("features", features.key, {"train_features": np.zeros((1000, 500), np.float32)}, {})
    plugin = {"kind": "scorer", "name": "random"}
    scores = Task("scores", {"plugin": plugin}, {"features": features})
    bound = MemoryBound(8 * GIB, store, CATALOGUE)
    guessed = bound.expected(scores)
    assert guessed > bound.expected(Task("scores", {"plugin": plugin}))
    squared = next(name for name, entry in CATALOGUE.entries["scorers"].items() if entry.spec.cost == "n^2")
    whole = bound.expected(Task("scores", {"plugin": {"kind": "scorer", "name": squared}}, {"features": features}))
    assert whole == guessed + 1000**2 // 2
    bound.learn(scores, {"peak_bytes": 123})
    bound.learn(scores, {"peak_bytes": 99})
    bound.learn(scores, {})
    assert bound.expected(scores) == 123


def test_idle_workers_count_as_what_their_libraries_take(tmp_path):
    tasks = {name: Task("exercise", {"name": name, "plugin": {"name": name}}) for name in "abc"}
    bound = MemoryBound(3 * GIB, Store(tmp_path), CATALOGUE, {task.kind: GIB for task in tasks.values()})
    state = RunState({task.key: task for task in tasks.values()})
    state.running = [tasks["a"].key, tasks["b"].key]
    assert bound.fits(state, tasks["c"])
    state.running = [*state.running, tasks["c"].key]
    assert not bound.fits(state, tasks["a"])
    state.running = []
    bound.measured[tasks["c"].kind] = 2 * GIB
    state.running = [tasks["a"].key]
    assert not bound.fits(state, tasks["c"])  # the third worker is there, and idle


SHARED = """
import json, sys, time
from pathlib import Path
import numpy as np
from prunebench.contexts import Dataset, Split
from prunebench.stages.data import _shared
from prunebench.store import Store
data = _shared(Store(Path(sys.argv[1])), "a" * 32)
print(int(data.train.images.sum()), flush=True)
sys.stdin.readline()
lines = Path("/proc/self/smaps").read_text().split("\\n")
inside, found = False, {"Rss": 0, "Pss": 0, "Private_Dirty": 0}
for line in lines:
    if "-" in line.split(" ")[0]:
        inside = line.endswith("train.safetensors")
    elif inside and line.split(":")[0] in found:
        found[line.split(":")[0]] += int(line.split()[1]) << 10
print(json.dumps(found), flush=True)
sys.stdin.readline()
"""


@pytest.mark.skipif(sys.platform != "linux", reason="the shares of memory are read from the account of the kernel")
def test_two_processes_share_one_copy_of_large_data(tmp_path):
    import json

    from prunebench.contexts import Dataset, Split
    from prunebench.stages.data import share

    def split(name: str, n: int) -> Split:
        images = np.full((n, 28, 28, 1), 7, np.uint8)
        ids = tuple(f"{name}{row}" for row in range(n))
        return Split(images=images, labels=np.arange(n, dtype=np.int64) % 2, ids=ids)

    whole = Dataset(
        name="large", train=split("a", 60_000), test=split("b", 100), class_names=("x", "y"), mean=(0.5,), std=(1.0,)
    )
    share(Store(tmp_path), "a" * 32, whole)
    size = whole.train.images.nbytes
    command = [sys.executable, "-c", SHARED, str(tmp_path)]
    processes = [
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env={**os.environ})
        for _ in range(2)
    ]
    for process in processes:
        assert int(process.stdout.readline()) == 7 * size
    found = []
    for process in processes:
        process.stdin.write("\n")
        process.stdin.flush()
        found.append(json.loads(process.stdout.readline()))
    for process in processes:
        process.communicate("\n")
    for one in found:
        assert one["Rss"] >= size  # each has read all of it,
        assert one["Pss"] <= 0.55 * one["Rss"]  # and half of it counts for each
        assert one["Private_Dirty"] == 0
