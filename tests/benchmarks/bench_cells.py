"""What the harness itself costs: ten thousand cells whose methods, networks and trainings do nothing: planned, run and
resumed.

`python tests/benchmarks/bench_cells.py [--methods 10] [--seeds 100] [--folder F]`; `nox -s bench` runs a tenth of them.
With ten pruning rates that are 10 x 10 x 100 = 10,000 cells: each is a subset, a training and a cell, beside 1,000
scorings.  The seconds are those of the whole command, the start of Python and the board with it."""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

from conftest import Sandbox
from registries import HEAD

RATES = [f"0.{digit}" for digit in range(1, 10)] + ["0.95"]
SLOTS = 2
PLUGIN = """
import numpy as np
from prunebench import BackboneSpec, Dataset, DatasetSpec, LearnerSpec, ScorerSpec, Split, TrainResult, hookimpl

@hookimpl
def prunebench_scorers():
    names = [f"idle-{number}" for number in range(100)]
    return [ScorerSpec(name=name, summary="Nothing.", load="idle:score", stochastic=True) for name in names]

@hookimpl
def prunebench_datasets():
    return [DatasetSpec(name="few", summary="Forty images.", load="idle:few")]

@hookimpl
def prunebench_backbones():
    return [BackboneSpec(name="idle", summary="Nothing.", load="idle:NETWORKS")]

@hookimpl
def prunebench_learners():
    return [LearnerSpec(name="idle", summary="Nothing.", load="idle:train")]

class Networks:
    def build(self, arch, n_classes, channels, image_size):
        raise NotImplementedError("nothing is trained here")

    def outputs(self, arch, source, weights=None):
        return None

NETWORKS = Networks()

def score(ctx):
    return ctx.rng.random(ctx.n)

def few(ctx):
    def split(name, n):
        labels = np.arange(n, dtype=np.int64) % 2
        images = np.arange(n * 64, dtype=np.int64).astype(np.uint8).reshape(n, 8, 8, 1)
        return Split(images=images, labels=labels, ids=tuple(f"{name}{row}" for row in range(n)))
    kind = {"class_names": ("x", "y"), "mean": (0.5,), "std": (1.0,)}
    return Dataset(name="few", train=split("a", 40), test=split("b", 4), **kind)

def train(ctx):
    accuracy = ctx.seed % 1000 / 1000
    return TrainResult(accuracy=accuracy, accuracy_best=accuracy, loss=1.0, epochs=1)
"""


def prepared(folder: Path, methods: int, seeds: int) -> Sandbox:
    """Return a folder with the plugin and a suite of methods x 10 x seeds cells."""
    sandbox = Sandbox(folder)
    sandbox.install("idle", PLUGIN)
    named = [f"idle-{number}" for number in range(methods)]
    suite = f"""
[dataset.few]

[backbone.none]
provider = "idle"
model = "none"

[recipe.idle]
learner = "idle"

[suite.idle]
dataset = "few"
methods = {named}
baseline = "idle-0"
pruning_rates = {RATES}
seeds = {seeds}
training = [{{ arch = "none", recipe = "idle" }}]
"""
    (folder / "registry.toml").write_text(HEAD + suite.replace("'", '"'), encoding="utf-8")
    return sandbox


def seconds(sandbox: Sandbox, *arguments: str) -> float:
    started = time.perf_counter()
    done = sandbox.run(*arguments, seconds=3600.0)
    assert done.returncode == 0, done.stderr
    return time.perf_counter() - started


def measured(sandbox: Sandbox, cells: int) -> dict[str, float]:
    """Return the seconds that planning and resuming take, and those of a slot for each cell, and print them."""
    run = ("run", "idle", "--devices", "cpu", "--executor", f"local:slots={SLOTS}", "--quiet")
    found = {"plan": seconds(sandbox, "plan", "idle"), "run": seconds(sandbox, *run), "resume": seconds(sandbox, *run)}
    per_cell = found["run"] / cells
    print(
        f"{cells:,} cells: planned in {found['plan']:.1f} s; run by {SLOTS} slots in {found['run']:.1f} s, "
        f"{1000 * per_cell:.1f} ms each; resumed in {found['resume']:.1f} s"
    )
    return found | {"per_cell": per_cell}


def test_a_cell_that_does_nothing_costs_little(sandbox: Sandbox) -> None:
    """A tenth of the whole; the bounds leave room for a busy machine."""
    found = measured(prepared(sandbox.folder, 10, 10), 1000)
    assert found["plan"] < 30
    assert found["per_cell"] < 0.15
    assert found["resume"] < 30


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--methods", type=int, default=10)
    parser.add_argument("--seeds", type=int, default=100)
    parser.add_argument("--folder", type=Path, help="empty folder to work in")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = given.folder or Path(scratch)
        measured(prepared(folder, given.methods, given.seeds), given.methods * len(RATES) * given.seeds)
