"""ZCore beside the published loop, and beside the public plugin if you have its file: processor time of a draw.

`python bench_zcore.py [--samples 50000] [--draws 1000000] [--peer zcore.py]`

Data are normal, 512 dimensions.  The published loop is written here with numpy from the paper's algorithm 1 (Griffin et
al. 2024): each draw sorts the distances to all samples.  `--peer` names the file zcore.py of the plugin
voxel51/zero-shot-coreset-selection (Apache 2.0), whose `zcore_scores` is then timed in one process; nothing of it is
contained here.  The loop and the peer are timed over some hundred draws, and prunebench over all of them.
"""

from __future__ import annotations

import argparse
import importlib.util
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from prunebench import ScoreContext
from prunebench.plugins import load_plugins

DIMENSIONS, NEIGHBOURS, FEW, MORE = 512, 1000, 32, 352
Features = NDArray[np.float32]


def published(features: Features, draws: int) -> NDArray[np.float64]:
    """Return the scores of the published loop, before they are scaled."""
    generator, scores = np.random.default_rng(0), np.zeros(len(features))
    low, middle, high = features.min(axis=0), np.median(features, axis=0), features.max(axis=0)
    for _ in range(draws):
        plane = generator.choice(features.shape[1], 2, replace=False)
        flat = features[:, plane]
        hit = int(np.abs(flat - generator.triangular(low[plane], middle[plane], high[plane])).sum(axis=1).argmin())
        scores[hit] += 1
        distance = np.abs(flat - flat[hit]).sum(axis=1)
        near = np.argsort(distance)
        near = near[near != hit][:NEIGHBOURS]
        if distance[near[0]] == 0:
            scores[near[0]] -= 1
        else:
            weights = distance[near] ** -4.0
            scores[near] -= weights / weights.sum()
    return scores


def ours(features: Features, draws: int, threads: int) -> None:
    entry = load_plugins().scorer("zcore")
    params = entry.spec.resolve_params({"draws": draws, "neighbours": NEIGHBOURS})
    entry.load()(
        ScoreContext(
            params=params, n=len(features), n_classes=1, scorer="zcore", evidence={"features": features},
            threads=threads,
        )
    )  # fmt: skip


def peer(path: Path) -> Callable[[Features, int], Any]:
    spec = importlib.util.spec_from_file_location("peer", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return lambda features, draws: module.zcore_scores([features], n_samples=draws, use_multiprocessing=False)


def processor_seconds(work: Callable[[], Any]) -> float:
    started = time.process_time()
    work()
    return time.process_time() - started


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--samples", type=int, default=50_000)
    parser.add_argument("--draws", type=int, default=1_000_000)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--peer", type=Path, help="zcore.py of the public plugin")
    given = parser.parse_args()
    features = np.random.default_rng(0).standard_normal((given.samples, DIMENSIONS), dtype=np.float32)
    ours(features[:2000], 64, given.threads)  # compiles
    total = processor_seconds(lambda: ours(features, given.draws, given.threads))
    own = total / given.draws
    print(f"prunebench: {total:.1f} s of processor for {given.draws:,} draws, {1e6 * own:.1f} us a draw", flush=True)
    others = {"published loop": published, **({"peer": peer(given.peer)} if given.peer else {})}
    for name, work in others.items():
        few, more = (processor_seconds(lambda work=work, draws=draws: work(features, draws)) for draws in (FEW, MORE))
        draw = (more - few) / (MORE - FEW)
        print(f"{name}: {1e6 * draw:.0f} us a draw, {draw / own:.0f} times prunebench", flush=True)


if __name__ == "__main__":
    main()
