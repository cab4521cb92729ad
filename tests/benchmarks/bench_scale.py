"""Each step of pruning on as many samples as ImageNet has: seconds, memory, recall, and how the time grows.

`python bench_scale.py [--folder F] [--sizes 102493,1281167] [--steps within-class,moderate,...]`

The data are synthetic: 1,281,167 x 512 float32 in 1,000 classes, 2 % of them near-duplicates of other samples, often
of another class, and 2 % that are just too far to be.  They are written once, to the folder, in groups of 20 whole
classes, so that the first rows are a smaller data set with classes of the same size.  Logits have 1,000 columns at each
size, those of the step `head` on all samples, which runs first.  Every step runs in a process of its own.  Seconds are
those of the clock, and what the processor needs for the same work on an idle machine at the least: its time over
`--threads`, or that of the main thread where it is longer, since that part does not run on two cores.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

ROWS, DIMENSIONS, CLASSES, GROUP = 1_281_167, 512, 1000, 20
SIZES = (102_493, 409_973, ROWS)
GIB = 2**30


def within_class(data: Data) -> dict[str, Any]:
    from prunebench.pruning.neighbours import nearest

    found = nearest(data.features, k=15, labels=data.labels, workers=data.threads)
    return {"none": int((found.indices < 0).sum())}


def all_classes(data: Data) -> dict[str, Any]:
    from prunebench.pruning.neighbours import nearest
    from prunebench.pruning.votes import label_votes

    found = nearest(data.features, k=15, search="clusters", workers=data.threads)
    votes = label_votes(found.indices, data.labels)
    return {"recall": found.recall, "suspected": int(votes.suspected.sum())}


def duplicates(data: Data) -> dict[str, Any]:
    from prunebench.pruning.duplicates import near_duplicates

    found = near_duplicates(data.features, 0.95, search="clusters", workers=data.threads)
    groups, planted = found.groups, data.array("sources")
    copies = np.flatnonzero(planted >= 0)
    together = (groups[copies] >= 0) & (groups[copies] == groups[planted[copies]])
    return {
        "recall": found.recall, "pairs": found.pairs, "groups": len(found.representatives),
        "recall_of_planted": float(together.mean()), "grouped": int((groups >= 0).sum()), "planted": len(copies),
    }  # fmt: skip


def kept_neighbour(data: Data) -> dict[str, Any]:
    from prunebench.pruning.neighbours import nearest_kept

    kept = np.sort(np.random.default_rng(0).permutation(data.n)[: data.n // 10])
    found = nearest_kept(data.features, kept, labels=data.labels, workers=data.threads)
    return {"mean_cosine": float(found.similarities[np.isfinite(found.similarities)].mean())}


def reference(data: Data) -> dict[str, Any]:
    from prunebench.pruning.neighbours import leaks

    rows = np.linspace(0, data.n - 1, 10_000).astype(int)  # as many at each size: the other set is what grows
    others = data.features[rows] + np.float32(0.001)
    found = leaks(data.features, others, 0.95, search="clusters", workers=data.threads)
    return {"recall": found.recall, "pairs": len(found.train)}


def head(data: Data) -> dict[str, Any]:
    from prunebench.pruning.head import cross_fitted_logits

    ids = [f"{row:07d}" for row in range(data.n)]
    path, shape = data.folder / f"logits-{data.n}.npy", (data.n, CLASSES)
    out = np.lib.format.open_memmap(path, "w+", np.float32, shape)
    found = cross_fitted_logits(data.features, data.labels, CLASSES, ids=ids, out=out, workers=data.threads)
    return {"accuracy": found.accuracy, "log_loss": found.log_loss, "temperature": found.temperature}


STEPS: dict[str, tuple[Callable[[Data], dict[str, Any]] | None, float, float]] = {
    # what, and the bars: seconds and gigabytes of memory of its own
    "head": (head, 90, 4),
    "within-class": (within_class, 60, 3),
    "near-duplicates": (duplicates, 900, 4),
    "kept-neighbour": (kept_neighbour, 60, 3),
    "all-classes": (all_classes, 900, 4),
    "reference": (reference, 900, 4),
    "el2n": (None, 60, 4),
    "moderate": (None, 60, 4),
    "whitened-density": (None, 60, 4),
    "prototype": (None, 60, 4),
    "entropy": (None, 60, 4),
    "margin": (None, 60, 4),
    "stable-topocore": (None, 300, 4),
    "pca": (None, 900, 6),
    "topocore": (None, 900, 6),
    "topocore-norm-l1": (None, 900, 6),
    "d2": (None, 300, 6),
    "k-center": (None, 600, 6),
    "facility-location-embeddings": (None, 900, 6),
    "zcore": (None, 900, 6),
}


VARIANTS: dict[str, tuple[str, dict[str, Any]]] = {"topocore-norm-l1": ("topocore", {"loss": "norm_l1"})}


class Data:
    """The first n samples, mapped into memory; logits and probabilities are those of the step `head`."""

    def __init__(self, folder: Path, n: int, threads: int) -> None:
        self.folder, self.n, self.threads = folder, n, threads
        self.features, self.labels = self.array("features"), np.array(self.array("labels"))

    def array(self, name: str) -> Any:
        return np.load(self.folder / f"{name}.npy", mmap_mode="r")[: self.n]

    def evidence(self, name: str, projection: str) -> Any:
        if name == "projection":
            return self.features if projection == "identity" else np.load(self.folder / f"pca-{self.n}.npy")
        if name in ("logits", "dynamics"):
            whole = max(self.folder.glob("logits-*.npy"), key=lambda path: path.stat().st_size)
            logits = np.load(whole, mmap_mode="r")[: self.n]
            return logits if name == "logits" else np.broadcast_to(self._probabilities(logits), (2, *logits.shape))
        return {"features": self.features, "labels": self.labels}[name]

    def _probabilities(self, logits: Any) -> Any:
        path = self.folder / f"probabilities-{self.n}.npy"
        if not path.exists():
            made = np.lib.format.open_memmap(path, "w+", np.float16, logits.shape)
            for start in range(0, self.n, 4096):
                made[start : start + 4096] = np.exp(logits[start : start + 4096])
            made.flush()
        return np.load(path, mmap_mode="r")


def write(folder: Path, rows: int, dimensions: int) -> None:
    """Write features, labels, and of which row each near-duplicate is a copy (-1 for none), in groups of classes."""
    sizes = np.full(CLASSES, ROWS // CLASSES)
    sizes[: ROWS % CLASSES] += 1
    features = np.lib.format.open_memmap(folder / "writing.npy", "w+", np.float32, (rows, dimensions))
    labels, sources = np.empty(rows, dtype=np.int64), np.full(rows, -1, dtype=np.int64)
    mix = np.random.default_rng(1).normal(size=(24, dimensions)).astype(np.float32) / np.sqrt(24)
    start = 0
    for first in range(0, CLASSES, GROUP):
        generator = np.random.default_rng([2, first])
        own = np.repeat(np.arange(first, first + GROUP), sizes[first : first + GROUP])
        own = generator.permutation(own)[: rows - start]
        if not len(own):
            break
        centres = generator.normal(size=(GROUP, dimensions)).astype(np.float32)
        block = generator.standard_normal((len(own), dimensions), dtype=np.float32)
        block += 1.5 * generator.standard_normal((len(own), 24), dtype=np.float32) @ mix + centres[own - first]
        changed = generator.random(len(own)) < 0.04
        changed[0] = False
        for row in np.flatnonzero(changed):
            source = int(generator.integers(0, start + row))
            origin = features[source] if source < start else block[source - start]
            cosine = generator.uniform(0.955, 0.999) if row % 2 else generator.uniform(0.85, 0.94)
            noise = generator.standard_normal(dimensions, dtype=np.float32)
            noise *= np.linalg.norm(origin) / np.linalg.norm(noise) * np.sqrt(1 / cosine**2 - 1)
            block[row] = origin + noise
            sources[start + row] = source if row % 2 else -1
        features[start : start + len(own)], labels[start : start + len(own)] = block, own
        start += len(own)
    features.flush()
    np.save(folder / "labels.npy", labels)
    np.save(folder / "sources.npy", sources)
    (folder / "writing.npy").rename(folder / "features.npy")


def project(data: Data) -> dict[str, Any]:
    from prunebench.contexts import ProjectContext
    from prunebench.plugins import load_plugins

    entry = load_plugins().projector("pca")
    context = ProjectContext(params=entry.spec.resolve_params({}), features=data.features, threads=data.threads)
    np.save(data.folder / f"pca-{data.n}.npy", entry.load()(context))
    return {}


def score(name: str, data: Data) -> dict[str, Any]:
    """Run a scorer or a variant of one by name, as the harness does, with a budget of a tenth."""
    from prunebench.contexts import ScoreContext
    from prunebench.plugins import load_plugins

    name, params = VARIANTS.get(name, (name, {}))
    entry = load_plugins().scorer(name)
    projection = "pca" if name.startswith("topocore") else "identity"
    context = ScoreContext(
        params=entry.spec.resolve_params(params),
        n=data.n,
        n_classes=CLASSES,
        scorer=name,
        evidence={need: data.evidence(need, projection) for need in entry.spec.needs},
        budget=data.n // 10 if entry.spec.budget_dependent else None,
        threads=data.threads,
    )
    scores = entry.load()(context)
    assert len(getattr(scores, "values", scores)) == data.n
    return {}


def status_bytes(field: str) -> int:
    """Return a size from the kernel's account of this process."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{field}:"))


def child(step: str, folder: Path, n: int, threads: int, memory_gib: float) -> None:
    """Run one step and print what it took as JSON."""
    data, peak, over = Data(folder, n, threads), [0], threading.Event()
    # a step that wants more fails, and leaves the memory of the machine to others
    resource.setrlimit(resource.RLIMIT_DATA, (int(memory_gib * GIB), int(memory_gib * GIB)))

    def watch() -> None:
        while not over.wait(0.05):
            peak[0] = max(peak[0], status_bytes("RssAnon"))

    threading.Thread(target=watch, daemon=True).start()
    work = project if step == "pca" else STEPS[step][0] if step in STEPS else None
    started, used, own = time.perf_counter(), time.process_time(), time.thread_time()
    try:
        found = work(data) if work else score(step, data)
    except MemoryError as problem:
        found = {"error": f"more than {memory_gib:g} GiB: {problem}"}
    except Exception as problem:
        found = {"error": f"{type(problem).__name__}: {problem}"}
    seconds, used, own = time.perf_counter() - started, time.process_time() - used, time.thread_time() - own
    over.set()
    took = {"seconds": seconds, "processor": max(used / threads, own)}
    print(json.dumps({**took, "anonymous": peak[0], "rss": status_bytes("VmHWM"), **found}))


def measured(step: str, given: argparse.Namespace, n: int) -> dict[str, Any]:
    command = [sys.executable, __file__, "--child", step, "--folder", str(given.folder), "--sizes", str(n)]
    command += ["--threads", str(given.threads), "--memory", str(given.memory)]
    # threads that wait sleep: on a busy machine their turning would count as work
    waiting = {"OMP_WAIT_POLICY": "passive", "OPENBLAS_THREAD_TIMEOUT": "4"}
    threads = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"), str(given.threads))
    environment = {**os.environ, **threads, **waiting}
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=given.timeout, env=environment)
    except subprocess.TimeoutExpired:
        return {"error": f"longer than {given.timeout:g} s"}
    last = done.stdout.splitlines()[-1:]
    return json.loads(last[0]) if last else {"error": f"exit {done.returncode}: {done.stderr[-300:]}"}


def report(step: str, n: int, found: dict[str, Any]) -> None:
    _, seconds, gigabytes = STEPS.get(step, (None, float("nan"), float("nan")))
    if "seconds" not in found:
        print(f"{step:30} {n:9,}  {found['error']}", flush=True)
        return
    more = {key: value for key, value in found.items() if key not in ("seconds", "processor", "anonymous", "rss")}
    print(
        f"{step:30} {n:9,}  {found['seconds']:7.1f} s, {found['processor']:7.1f} s of processor (bar {seconds:g} s)"
        f"  {found['anonymous'] / 1e9:5.2f} GB own, {found['rss'] / 1e9:5.2f} GB with files (bar {gigabytes:g} GB)"
        f"  load {os.getloadavg()[0]:.1f}  {more or ''}",
        flush=True,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, help="where the data are kept; a temporary folder by default")
    parser.add_argument("--sizes", default=",".join(map(str, SIZES)), help="numbers of samples, separated by commas")
    parser.add_argument("--steps", default=",".join(STEPS), help="steps, or names of any scorers")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--memory", type=float, default=9.0, help="GiB at which a step fails")
    parser.add_argument("--timeout", type=float, default=3600.0, help="seconds at which a step fails")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    given = parser.parse_args()
    sizes = [int(size) for size in given.sizes.split(",")]
    if given.child:
        child(given.child, given.folder, sizes[0], given.threads, given.memory)
        return
    with tempfile.TemporaryDirectory() as temporary:
        given.folder = given.folder or Path(temporary)
        given.folder.mkdir(parents=True, exist_ok=True)
        if not (given.folder / "features.npy").exists():
            started = time.perf_counter()
            write(given.folder, max(sizes), DIMENSIONS)
            print(f"wrote {max(sizes):,} x {DIMENSIONS} in {time.perf_counter() - started:.0f} s", flush=True)
        for step in given.steps.split(","):
            took = {}
            for n in sizes:
                report(step, n, found := measured(step, given, n))
                took[n] = found.get("processor", float("nan"))
            if len(took) > 1:
                low, high = min(took), max(took)
                exponent = np.log(took[high] / took[low]) / np.log(high / low)
                print(f"{step:30} exponent of processor time against n: {exponent:.2f} (bar 1.2)", flush=True)


if __name__ == "__main__":
    main()
