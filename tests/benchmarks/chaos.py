"""Break runs of a suite in every way at once, and look whether what is left is what an undisturbed run gives.

    python tests/benchmarks/chaos.py --cells 300 --kills 200 --workers 4

Workers and whole runs are killed, workers are frozen, artefacts are truncated and get flipped bits, the clock jumps,
the disk of the cache fills up, a plugin is changed while it is used, and up to three runs of one plan compete.  Then
one more run goes to its end: there has to be exactly one accepted record for each cell, equal to that of a run of its
own with another cache.  The cells are cheap: what is tested is the harness."""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

METHODS = 5
FINAL_VERSION = 9
MEASURED = ("seconds_score", "seconds_train", "run_id", "started", "peak_gpu_bytes", "machine_class", "git_dirty")

PLUGIN = """
import hashlib, time
import numpy as np
from prunebench import Dataset, DatasetSpec, LearnerSpec, ScorerSpec, Split, TrainResult, hookimpl

@hookimpl
def prunebench_datasets():
    return [DatasetSpec(name="chaos-images", summary="A test.", load="chaos_plugin:images")]

@hookimpl
def prunebench_scorers():
    return [ScorerSpec(name=f"chaos-{{i}}", summary="A test.", load=f"chaos_plugin:score_{{i}}", stochastic=True)
            for i in range(METHODS)]

@hookimpl
def prunebench_learners():
    return [LearnerSpec(name="chaos", summary="A test.", load="chaos_plugin:learn", stochastic=False)]

METHODS, VERSION, SECONDS = {methods}, {version}, {seconds}

def images(ctx):
    pixels = np.random.default_rng(0).integers(0, 256, (260, 8, 8, 1), dtype=np.uint8)
    labels, ids = np.arange(260) % 4, [str(i) for i in range(260)]
    train = Split(images=pixels[:200], labels=labels[:200], ids=tuple(ids[:200]))
    test = Split(images=pixels[200:], labels=labels[200:], ids=tuple(ids[200:]))
    return Dataset(name="chaos-images", train=train, test=test, class_names=tuple("abcd"), mean=(0.5,), std=(0.3,))

def scorer(ctx, salt):
    time.sleep(SECONDS)
    return ctx.rng.random(ctx.n) + salt * VERSION

{scorers}

def learn(ctx):
    time.sleep(SECONDS)
    seen = hashlib.sha256(np.ascontiguousarray(ctx.train_images).tobytes() + bytes([VERSION])).digest()
    accuracy = int.from_bytes(seen[:4], "big") / 2**32
    return TrainResult(accuracy=accuracy, accuracy_best=accuracy, loss=1 - accuracy, epochs=1)
"""

# Times that a process is told jump when the file says so; those of files are the kernel's.
CLOCK = """
import os, time
def jumping(real, unit):
    def told():
        try:
            with open(os.environ["CHAOS_CLOCK"]) as file:
                return real() + type(real())(float(file.read()) * unit)
        except (KeyError, OSError, ValueError):
            return real()
    return told
time.time, time.time_ns = jumping(time.time, 1), jumping(time.time_ns, 10**9)
"""


def registry(cells: int) -> tuple[str, int]:
    """Return a registry whose suite has at least so many cells, and how many it has without those of the whole set."""
    seeds = min(10, max(1, cells // (3 * METHODS)))
    rates = max(1, -(-cells // (METHODS * seeds)))
    named = [f"{0.9 - 0.02 * i:.2f}" for i in range(rates)]
    text = f"""
schema = 1
protocol = "test"
[dataset.chaos-images]
[backbone.untrained]
timm = "test_resnet"
image_size = 16
weights = "random"
[recipe.cheap]
learner = "chaos"
[suite.chaos]
dataset = "chaos-images"
methods = {[f"chaos-{i}" for i in range(METHODS)]}
baseline = "chaos-0"
unpruned = "full"
pruning_rates = {named}
seeds = {seeds}
training = [{{ arch = "untrained", recipe = "cheap" }}]
"""
    return text, METHODS * rates * seeds


@dataclass
class Chaos:
    """A folder in which runs are disturbed.  kills: of workers and of runs.  seconds: that each task sleeps.
    run_share: of the kills, those of whole runs."""

    folder: Path
    cells: int
    kills: int
    workers: int
    seed: int = 0
    seconds: float = 0.2
    run_share: float = 0.1
    pause_seconds: float = 0.5
    most_runs: int = 3
    disk: Path | None = None  # of the cache: small, and filled up now and then
    counts: Counter[str] = field(default_factory=Counter)
    runs: list[subprocess.Popen[str]] = field(default_factory=list)
    frozen: list[int] = field(default_factory=list)
    exits: Counter[int] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self.draw = random.Random(self.seed)
        self.cache = self.disk / "cache" if self.disk else self.folder / "cache"
        self.site = self.folder / "site"
        text, self.expected = registry(self.cells)
        self.folder.mkdir(parents=True, exist_ok=True)
        (self.folder / "registry.toml").write_text(text)
        info = self.site / "chaos_plugin-1.0.dist-info"
        info.mkdir(parents=True)
        (info / "METADATA").write_text("Metadata-Version: 2.1\nName: chaos-plugin\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text("[prunebench]\nchaos_plugin = chaos_plugin\n")
        (self.site / "sitecustomize.py").write_text(CLOCK)
        self.install(1)

    def install(self, version: int) -> None:
        """Write the plugin as an editor does that replaces a file."""
        scorers = "\n".join(f"def score_{i}(ctx):\n    return scorer(ctx, {i})\n" for i in range(METHODS))
        text = PLUGIN.format(methods=METHODS, version=version, seconds=self.seconds, scorers=scorers)
        scratch = self.site / "new.txt"
        scratch.write_text(text)
        scratch.replace(self.site / "chaos_plugin.py")

    def start(self, name: str = "", cache: Path | None = None) -> subprocess.Popen[str]:
        """Start a run; name: of other results, beside those that are disturbed."""
        home = self.folder / "home"
        kept = {key: value for key, value in os.environ.items() if not key.startswith("PRUNEBENCH_")}
        path = os.pathsep.join([str(self.site), *filter(None, [os.environ.get("PYTHONPATH")])])
        told = {"PYTHONPATH": path, "CHAOS_CLOCK": str(self.folder / "clock"), "XDG_CACHE_HOME": str(home)}
        load = {"PRUNEBENCH_LOAD_PLUGINS": "chaos_plugin,baselines,selectors,timm", "OMP_NUM_THREADS": "1"}
        command = [sys.executable, "-m", "prunebench", "run", "chaos", "--jobs", str(self.workers), "-q", "--grace",
                   "2", "--devices", "cpu", "--results", f"results{name}",
                   "--cache", str(cache or self.cache)]  # fmt: skip
        log = (self.folder / f"log{name}.txt").open("a")
        with log:
            return subprocess.Popen(
                command, cwd=self.folder, env={**kept, **told, **load}, stdout=log, stderr=log, text=True,
                start_new_session=True,
            )  # fmt: skip

    def disturb(self) -> None:
        """Disturb runs until enough were killed, or all is done."""
        actions = {self.kill_worker: 10, self.freeze: 0.4, self.flip: 1.5, self.truncate: 1.5, self.jump: 0.7,
                   self.upgrade: 0.15, self.start_another: 0.6, self.fill: 0.3 if self.disk else 0.0}  # fmt: skip
        actions[self.kill_run] = 10 * self.run_share / (1 - self.run_share)
        while self.counts["kill_worker"] + self.counts["kill_run"] < self.kills:
            self.reap()
            if not self.runs:
                self.runs.append(self.start())
                self.counts["runs"] += 1
            time.sleep(self.draw.uniform(0.2, 1.8) * self.pause_seconds)
            (action,) = self.draw.choices([*actions], weights=[*actions.values()])
            if action():
                self.counts[action.__name__] += 1

    def reap(self) -> None:
        for run in [run for run in self.runs if run.poll() is not None]:
            self.runs.remove(run)
            self.exits[run.returncode] += 1

    def kill_worker(self) -> bool:
        """Kill a worker of any run."""
        return bool(found := self.workers_alive()) and _killed(self.draw.choice(found), signal.SIGKILL)

    def kill_run(self) -> bool:
        """Kill a run: its workers end by themselves."""
        self.reap()
        return bool(self.runs) and _killed(self.draw.choice(self.runs).pid, signal.SIGKILL)

    def freeze(self) -> bool:
        """Stop a worker without an end, the first time; others go on after a while, when another is stopped."""
        for pid in self.frozen[1:]:
            _killed(pid, signal.SIGCONT)
        found = self.workers_alive()
        if not found or not _killed(pid := self.draw.choice(found), signal.SIGSTOP):
            return False
        self.frozen = [*self.frozen[:1], pid]
        return True

    def flip(self) -> bool:
        """Flip a bit of a file of an artefact."""
        return self._spoil(lambda content, at: content[:at] + bytes([content[at] ^ 1 << at % 8]) + content[at + 1 :])

    def truncate(self) -> bool:
        """Cut a file of an artefact off."""
        return self._spoil(lambda content, at: content[:at])

    def _spoil(self, change: Callable[[bytes, int], bytes]) -> bool:
        kinds = ("scores", "subset", "training", "cell", "features")
        files = [file for kind in kinds for file in (self.cache / kind).glob("*/*/*")]
        with contextlib.suppress(OSError, IndexError):
            file = self.draw.choice(files)
            content = file.read_bytes()
            scratch = self.folder / "spoilt"
            scratch.write_bytes(change(content, self.draw.randrange(len(content))))
            shutil.copyfile(scratch, file)
            return True
        return False

    def jump(self) -> bool:
        """Set the clock on or back by up to a month."""
        (self.folder / "clock").write_text(str(self.draw.choice((-1, 1)) * self.draw.uniform(0, 30 * 86400)))
        return True

    def upgrade(self) -> bool:
        """Change the code of the plugin under all that run."""
        self.install(2 + self.counts["upgrade"] % (FINAL_VERSION - 2))
        return True

    def start_another(self) -> bool:
        """Let one more run of the plan compete."""
        self.reap()
        if len(self.runs) >= self.most_runs:
            return False
        self.runs.append(self.start())
        self.counts["runs"] += 1
        return True

    def fill(self) -> bool:
        """Fill up the disk of the cache for a second."""
        assert self.disk is not None
        filler = self.disk / "filler"
        with contextlib.suppress(OSError), filler.open("wb") as file:
            while True:
                file.write(b"\0" * (1 << 16))
                file.flush()
        time.sleep(1)
        filler.unlink()
        return True

    def workers_alive(self) -> list[int]:
        runs, found = {run.pid for run in self.runs}, []
        for stat in Path("/proc").glob("[0-9]*/stat"):
            with contextlib.suppress(OSError):
                fields = stat.read_text().rpartition(")")[2].split()
                if int(fields[1]) in runs and fields[0] != "Z":
                    found.append(int(stat.parent.name))
        return found

    def settle(self) -> int:
        """Let runs go to their end without more trouble, and return how many it took."""
        for pid in self.frozen[1:]:
            _killed(pid, signal.SIGCONT)
        self.install(FINAL_VERSION)
        for run in self.runs:
            run.wait()
        self.reap()
        for count in range(1, 8):
            code = self.start().wait()
            self.exits[code] += 1
            if code == 0:
                return count
        raise AssertionError((self.folder / "log.txt").read_text()[-3000:])

    def check(self) -> None:
        """Compare the records with those of a run that nothing disturbed."""
        with contextlib.suppress(FileNotFoundError):
            (self.folder / "clock").unlink()
        assert self.start("-alone", self.folder / "cache-alone").wait() == 0, (
            self.folder / "log-alone.txt"
        ).read_text()
        alone, found = (records(self.folder / name / "chaos") for name in ("results-alone", "results"))
        assert len([one for one in alone if one["kind"] == "cell" and one["keep"] != "1"]) == self.expected
        assert Counter(one["key"] for one in found) == Counter(one["key"] for one in alone)
        assert {one["status"] for one in found} == {"ok"}
        assert sorted(map(_settled, found)) == sorted(map(_settled, alone))


def records(folder: Path) -> list[dict[str, Any]]:
    files = sorted(folder.rglob("*.jsonl"))
    return [json.loads(line) for file in files for line in file.read_text(encoding="utf-8").splitlines()]


def _settled(record: dict[str, Any]) -> str:
    return json.dumps({name: value for name, value in record.items() if name not in MEASURED}, sort_keys=True)


def _killed(pid: int, number: int) -> bool:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)
        return True
    return False


@contextlib.contextmanager
def small_disk(folder: Path, megabytes: int) -> Iterator[Path | None]:
    """Mount a small file system in memory and yield it, or None where this user may not mount one."""
    folder.mkdir(parents=True)
    mount = ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "tmpfs", str(folder)]
    if shutil.which("mount") is None or subprocess.run(mount, capture_output=True, check=False).returncode:
        yield None
        return
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def main() -> None:
    parser = argparse.ArgumentParser()
    for name, default in {"cells": 300, "kills": 200, "workers": 4, "seed": 0}.items():
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--pause", type=float, default=0.7)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as name, small_disk(Path(name, "disk"), 64) as disk:
        chaos = Chaos(Path(name, "work"), given.cells, given.kills, given.workers, given.seed, disk=disk,
                      pause_seconds=given.pause)  # fmt: skip
        began = time.monotonic()
        chaos.disturb()
        print(f"disturbed for {time.monotonic() - began:.0f} s:", dict(chaos.counts), flush=True)
        print(f"disk of the cache: {'a tmpfs of 64 MiB' if disk else 'not filled up: no permission to mount one'}")
        before = len(records(chaos.folder / "results" / "chaos"))
        said = Counter(line for line in (chaos.folder / "log.txt").read_text().splitlines() if line.startswith("error"))
        print(*(f"{count} x {line[:200]}" for line, count in said.most_common(12)), sep="\n", flush=True)
        print(f"{before} records by then; {chaos.settle()} run(s) to the end; exit codes: {dict(chaos.exits)}")
        kept = list((chaos.cache / "set-aside").glob("*/*"))
        print(f"{len(kept)} damaged artefacts were set aside")
        chaos.check()
        print(f"{chaos.expected} cells: one record each, equal to those of an undisturbed run")


if __name__ == "__main__":
    main()
