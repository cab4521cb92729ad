"""What the tests of the board share: records of cells and agreements, and a grid of them with failures and a hole."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from prunebench.leaderboard import (
    AccuracyRow,
    Board,
    CorrelationRow,
)
from prunebench.records import record_file, write_records

Record = dict[str, Any]


METHODS = ("alpha", "beta", "gamma", "delta", "epsilon")


def cell(method: str = "alpha", seed: int = 0, accuracy: float | None = 0.8, **changes: Any) -> Record:
    record = {
        "schema": 1,
        "kind": "cell",
        "suite": "core",
        "dataset": "digits",
        "protocol": "2026.1",
        "method": method,
        "role": "method",
        "score_backbone": "-",
        "projector": "-",
        "keep": "0.1",
        "train_arch": "net",
        "recipe": "short",
        "seed": seed,
        "status": "ok",
        "status_reason": "",
        "accuracy": accuracy,
        "accuracy_best": None if accuracy is None else accuracy + 0.01,
        "partial": False,
        "attempt": 1,
        "diagnostics": {},
        "prunebench_version": "0.1.0",
        "git_commit": "0123456789abcdef",
        **changes,
    }
    axes = ("suite", "dataset", "method", "projector", "score_backbone", "train_arch", "recipe", "keep", "seed")
    return {"key": "/".join(str(record[name]) for name in axes), **record}


def agreement(a: str, seed_a: int, b: str, seed_b: int, value: float | None, **changes: Any) -> Record:
    return {
        "schema": 1,
        "kind": "agreement",
        "key": f"{a}{seed_a}{b}{seed_b}{changes.get('method', '')}",
        "suite": "core",
        "dataset": "digits",
        "protocol": "2026.1",
        "method": "alpha",
        "projector": "-",
        "backbone_a": a,
        "seed_a": seed_a,
        "backbone_b": b,
        "seed_b": seed_b,
        "within_class_spearman": value,
        "pooled_spearman": None if value is None else value / 2,
        "pearson": None if value is None else value / 4,
        "n": 100,
        "reason": "" if value is not None else "constant scores",
        **changes,
    }


def full_grid(seed: int = 0) -> tuple[list[Record], list[Record]]:
    """A suite with two architectures, two budgets, three seeds, a projected method, failures and a hole."""
    rng = np.random.default_rng(seed)
    cells = []
    for arch in ("net", "deep"):
        for keep in ("0.5", "0.1"):
            for index, method in enumerate(("random", *METHODS)):
                backbones = ("-",) if method == "random" else ("bb<1>", "bb2")
                for backbone in backbones:
                    for s in range(3):
                        accuracy = float(0.5 + 0.3 * float(keep) + 0.02 * index + rng.normal(0, 0.01))
                        cells.append(
                            cell(
                                method,
                                s,
                                accuracy,
                                role="baseline" if method == "random" else "method",
                                projector="umap" if method == "alpha" else "-",
                                score_backbone=backbone,
                                keep=keep,
                                train_arch=arch,
                                diagnostics={"gate": 0.5 + s} if method == "beta" else {},
                            )
                        )
        cells += [cell("full", s, 0.9 + s / 100, role="unpruned", keep="1", train_arch=arch) for s in range(3)]
    broken = {"accuracy": None, "accuracy_best": None}
    cells[6] |= {**broken, "status": "oom", "status_reason": "out of memory & <lost>"}
    cells = [c for c in cells if not (c["method"] == "delta" and c["keep"] == "0.1" and c["train_arch"] == "deep")]
    agreements = []
    for method, projector in (("alpha", "umap"), ("beta", "-")):
        shared = {"method": method, "projector": projector}
        for s in range(3):
            agreements.append(agreement("bb<1>", s, "bb2", s, 0.4 + s / 50, **shared))
            agreements.append(agreement("bb2", s, "void", s, 0.02, backbone_control=True, **shared))
        for backbone in ("bb<1>", "bb2"):
            agreements += [agreement(backbone, s, backbone, t, 0.8, **shared) for s, t in ((0, 1), (0, 2), (1, 2))]
    return cells, agreements


def find(board: Board, **wanted: Any) -> AccuracyRow:
    rows = [row for row in board.accuracy if all(getattr(row, name) == value for name, value in wanted.items())]
    assert len(rows) == 1, rows
    return rows[0]


def correlation(board: Board, **wanted: Any) -> CorrelationRow:
    rows = [row for row in board.correlation if all(getattr(row, name) == value for name, value in wanted.items())]
    assert len(rows) == 1, rows
    return rows[0]


def write_results(root: Path, records: list[Record]) -> None:
    by_file: dict[Path, list[Record]] = {}
    for record in records:
        by_file.setdefault(record_file(root, record), []).append(record)
    for path, members in by_file.items():
        write_records(path, sorted(members, key=lambda record: record["key"]))
