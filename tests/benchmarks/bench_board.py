"""The board from many records: seconds of each step, peak memory, size of the page, and whether its bytes stay.

`python bench_board.py [--records 100000] [--folder F]`

The records are synthetic, in the proportions of a large study: suites of forty methods, each scored by four backbones,
trained at five budgets and ten seeds, and compared between backbones and between seeds.  Seconds are of the clock,
and of the processor, which others on the machine do not lengthen.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import resource
import tempfile
import time
from collections.abc import Iterable, Iterator
from itertools import combinations
from pathlib import Path

import msgspec
import numpy as np

from prunebench.board import load_board
from prunebench.plugins import load_plugins
from prunebench.records import AgreementRecord, CellRecord, Record, write_records
from prunebench.registry import load_registry

BACKBONES = ("resnet", "efficientnet", "mobilenet", "squeezenet")
KEEPS = ("0.7", "0.5", "0.3", "0.2", "0.1")
METHODS, SEEDS = 40, 10


def digest(*parts: object) -> str:
    return hashlib.blake2b(repr(parts).encode(), digest_size=16).hexdigest()


def suite_records(suite: str, rng: np.random.Generator) -> Iterator[Record]:
    """Yield the records of one suite, its cells and its comparisons in turn: a prefix holds some of both."""
    place = {"suite": suite, "protocol": "2026.1", "dataset": "digits", "dataset_fingerprint": digest(suite)}
    for number in range(METHODS):
        method = "random" if number == 0 else f"method-{number:02}"
        made = {"method": method, "scorer": method, "scorer_version": "1", "scorer_dist": "prunebench 0.1.0",
                "status": "ok", "run_id": f"run-{suite}-{number}", "started": "2026-11-26T10:00:00+00:00",
                "machine_class": "05ef8cc45cad", "prunebench_version": "0.1.0",
                "git_commit": digest("commit")}  # fmt: skip
        scored_by = ("-",) if number == 0 else BACKBONES
        for keep in KEEPS:
            for backbone in scored_by:
                for seed in range(SEEDS):
                    at = (suite, method, backbone, keep, seed)
                    yield CellRecord(
                        **place, **made, key=digest(at), role="method" if number else "baseline", keep=keep,
                        score_backbone=backbone, selector="class_top", train_arch="net", recipe="short",
                        recipe_digest=digest("short"), seed=seed, n_train=50_000, n_classes=10,
                        accuracy=round(float(0.5 + 0.3 * float(keep) + number / 500 + rng.normal(0, 0.01)), 6),
                        class_accuracy=[0.5] * 10, seconds_score=1.5, seconds_train=40.0,
                        scores_key=digest(at[:3], seed), features_key=digest(suite, backbone),
                        subset_digest=digest(at, "s"), train_key=digest(at, "t"),
                    )  # fmt: skip
        if number:
            pairs = [((a, seed), (b, seed)) for a, b in combinations(BACKBONES, 2) for seed in range(SEEDS)]
            pairs += [((a, s), (a, t)) for a in BACKBONES for s, t in combinations(range(5), 2)]
            for (a, s), (b, t) in pairs:
                value = float(np.clip(0.3 + 0.4 * (a == b) + rng.normal(0, 0.02), -1, 1))
                yield AgreementRecord(
                    **place, **made, key=digest(suite, method, a, s, b, t), backbone_a=a, seed_a=s, backbone_b=b,
                    seed_b=t, scores_key_a=digest(suite, method, a, s), scores_key_b=digest(suite, method, b, t),
                    n=50_000, within_class_spearman=value, pooled_spearman=value, pearson=value,
                )  # fmt: skip


def synthetic_records(n: int, seed: int = 0) -> list[Record]:
    """Return `n` records, of as many suites as it takes."""
    rng = np.random.default_rng(seed)
    found: list[Record] = []
    while len(found) < n:
        found += suite_records(f"suite-{len(found)}", rng)
    return found[:n]


def write_results(folder: Path, records: Iterable[Record]) -> None:
    by_file: dict[Path, list[Record]] = {}
    for record in records:
        by_file.setdefault(record.file, []).append(record)
    for path, members in by_file.items():
        write_records(folder / path, sorted(members, key=lambda record: record.key))


def measure(folder: Path) -> dict[str, float | str | bool]:
    """Return what writing the board of a results folder costs, from reading on."""
    registry, catalogue = load_registry(None), load_plugins()
    start, start_cpu = time.perf_counter(), time.process_time()
    board, files = load_board(folder, registry, catalogue)
    end, end_cpu = time.perf_counter(), time.process_time()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return {
        "records": len(board.cells) + len(board.comparisons), "seconds": end - start,
        "seconds_of_processor": end_cpu - start_cpu, "peak_gb": peak / 1e9,
        "page_mb": len(files[folder / "board" / "index.html"].encode()) / 1e6,
        "same_bytes_again": load_board(folder, registry, catalogue)[1] == files,
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--records", type=int, default=100_000)
    parser.add_argument("--folder", type=Path, help="where to keep the records; used again if it is there")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = given.folder or Path(scratch)
        if not any(folder.glob("*/*/*.jsonl")):
            write_results(folder, synthetic_records(given.records))
        print(json.dumps(msgspec.to_builtins(measure(folder)), indent=1))


if __name__ == "__main__":
    main()
