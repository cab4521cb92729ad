"""What the tests of the board share: records of cells and comparisons, and a grid of them with failures and a hole."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from prunebench.board import Board, Metric, board_files, render_terminal
from prunebench.exhibit import Exhibit, Opinion
from prunebench.keys import digest
from prunebench.records import AgreementRecord, CellRecord, Record, write_records
from prunebench.registry import Registry, load_registry
from prunebench.specs import MetricSpec
from registries import HEAD

METHODS = ("alpha", "beta", "gamma", "delta", "epsilon")
DATA = digest("data")
SUITE = """
[dataset.digits]
[backbone.bb1]
timm = "test_resnet"
image_size = 16
weights = "random"
[backbone.bb2]
timm = "test_resnet"
image_size = 16
weights = "random"
[backbone.void]
timm = "test_resnet"
image_size = 16
weights = "random"
control = true
[recipe.short]
learner = "probe"
[suite.core]
summary = "A test."
dataset = "digits"
methods = ["random", "moderate"]
baseline = "random"
backbones = ["bb1", "bb2"]
pruning_rates = ["0.9"]
seeds = 3
training = [{ arch = "bb1", recipe = "short" }]
[suite.core.agreement]
methods = ["moderate"]
backbones = ["bb1", "bb2", "void"]
"""


def cell(method: str = "alpha", seed: int = 0, accuracy: float | None = 0.8, **changes: Any) -> CellRecord:
    """Return a finished cell, or one that failed where `accuracy` is None; its keys follow from its place."""
    facts: dict[str, Any] = {
        "suite": "core", "dataset": "digits", "protocol": "2026.1", "dataset_fingerprint": DATA, "method": method,
        "scorer": method, "scorer_version": "1", "scorer_dist": "prunebench 0.1.0", "selector": "top", "keep": "0.1",
        "train_arch": "net", "recipe": "short", "recipe_digest": digest("short"), "seed": seed,
        "status": "ok" if accuracy is not None else "failed", "accuracy": accuracy, "accuracy_best": accuracy,
        "prunebench_version": "0.1.0", "git_commit": "0123456789abcdef", "score_backbone": "-", "projector": "-",
        **changes,
    }  # fmt: skip
    names = "suite dataset method projector score_backbone train_arch recipe keep seed dataset_fingerprint protocol"
    place = [facts[name] for name in (*names.split(), "recipe_digest")]
    keys = {"key": digest(place)}
    if facts["status"] == "ok":
        backbone = facts["score_backbone"]
        keys |= {"train_key": digest([*place, "train"]), "scores_key": digest([method, backbone, facts["keep"], seed])}
        keys |= {"subset_digest": digest([*place, "subset"])}
        keys |= {"features_key": digest(backbone)} if backbone != "-" else {}
    return CellRecord(**{**keys, **facts})


def agreement(a: str, seed_a: int, b: str, seed_b: int, value: float | None, **changes: Any) -> AgreementRecord:
    """Return a comparison of scores; each seed has scores of its own."""
    facts: dict[str, Any] = {
        "suite": "core", "dataset": "digits", "protocol": "2026.1", "dataset_fingerprint": DATA, "method": "alpha",
        "scorer": "alpha", "scorer_version": "1", "scorer_dist": "prunebench 0.1.0", "projector": "-", "status": "ok",
        "backbone_a": a, "seed_a": seed_a, "backbone_b": b, "seed_b": seed_b, "n": 100,
        "within_class_spearman": value, "pooled_spearman": None if value is None else value / 2,
        "pearson": None if value is None else value / 4,
        "status_reason": "constant scores" if value is None else "",
        **changes,
    }  # fmt: skip
    line = (facts["method"], facts["projector"])
    keys = {"key": digest([*line, a, seed_a, b, seed_b, facts["suite"], facts["dataset_fingerprint"]]),
            "scores_key_a": digest([*line, a, seed_a]), "scores_key_b": digest([*line, b, seed_b])}  # fmt: skip
    return AgreementRecord(**{**keys, **facts})


def constant(*sides: tuple[str, int], value: float, **changes: Any) -> AgreementRecord:
    """Return a comparison of the scores of a deterministic method: their keys do not know the seed."""
    (a, seed_a), (b, seed_b) = sides
    keys = {"scores_key_a": digest(["same", a]), "scores_key_b": digest(["same", b])}
    return agreement(a, seed_a, b, seed_b, value, **{**keys, **changes})


def full_grid(seed: int = 0) -> list[Record]:
    """A suite with two architectures, two budgets, three seeds, a projected method, a failure and a hole."""
    rng = np.random.default_rng(seed)
    found: list[Record] = []
    for arch in ("net", "deep"):
        for keep in ("0.5", "0.1"):
            for index, method in enumerate(("random", *METHODS)):
                for backbone in ("-",) if method == "random" else ("bb1", "bb2"):
                    for s in range(3):
                        accuracy = float(0.5 + 0.3 * float(keep) + 0.02 * index + rng.normal(0, 0.01))
                        found.append(cell(
                            method, s, accuracy, role="baseline" if method == "random" else "method",
                            projector="umap" if method == "alpha" else "-", score_backbone=backbone, keep=keep,
                            train_arch=arch, diagnostics={"gate": 0.5 + s} if method == "beta" else {},
                        ))  # fmt: skip
        found += [cell("full", s, 0.9 + s / 100, role="unpruned", keep="1", train_arch=arch) for s in range(3)]
    lost = {"score_backbone": "bb2", "projector": "umap", "keep": "0.5"}
    found = [r for r in found if not (r.method == "delta" and r.keep == "0.1" and r.train_arch == "deep")]
    failed = cell("alpha", 0, None, status="oom", status_reason="out of memory & <lost>", **lost)
    found = [failed if r.key == failed.key else r for r in found]
    for method, projector in (("alpha", "umap"), ("beta", "-")):
        shared = {"method": method, "projector": projector}
        for s in range(3):
            found.append(agreement("bb1", s, "bb2", s, 0.4 + s / 50, **shared))
            found.append(agreement("bb2", s, "void", s, 0.02, backbone_control=True, **shared))
        for backbone in ("bb1", "bb2"):
            found += [agreement(backbone, s, backbone, t, 0.8 + (s + t) / 100, **shared)
                      for s, t in ((0, 1), (0, 2), (1, 2))]  # fmt: skip
    return found


def seeds_of(method: str, accuracies: Iterable[float], **changes: Any) -> list[Record]:
    """Return one cell per seed."""
    return [cell(method, seed, accuracy, **changes) for seed, accuracy in enumerate(accuracies)]


def rows(frame: Any, **wanted: Any) -> list[dict[str, Any]]:
    """Return the rows of a table of the board that hold these values, None where there is no number."""
    found = frame.astype(object).where(frame.notna(), None).to_dict("records")
    return [row for row in found if all(row[name] == value for name, value in wanted.items())]


def find(board: Board, **wanted: Any) -> dict[str, Any]:
    (row,) = rows(board.accuracy, **wanted)
    return row


def correlation(board: Board, **wanted: Any) -> dict[str, Any]:
    (row,) = rows(board.rank_correlation, **wanted)
    return row


def metric(name: str, measure: Any, **spec: Any) -> Metric:
    """Return a metric as a plugin would give it."""
    return Metric(MetricSpec(name=name, summary="A test.", load="a:b", **spec), f"{name} (odd-one 1.5)", measure)


def registry_with(folder: Path, tables: str) -> Registry:
    """Return the registry of a file with these tables."""
    path = folder / "registry.toml"
    path.write_text(HEAD + tables, encoding="utf-8")
    return load_registry(path)


def write_results(root: Path, records: Iterable[Record]) -> None:
    by_file: dict[Path, list[Record]] = {}
    for record in records:
        by_file.setdefault(record.file, []).append(record)
    for path, members in by_file.items():
        write_records(root / path, sorted(members, key=lambda record: record.key))


def pages(board: Board) -> list[str]:
    """Return the pages that are read as text: Markdown and the terminal."""
    return [board_files(board)["leaderboard.md"], render_terminal(board, 80)]


def exhibit() -> Exhibit:
    """Six pictures of two classes, of which two methods keep different ones."""
    file = io.BytesIO()
    Image.fromarray(np.arange(8 * 24, dtype=np.uint8).reshape(8, 24)).save(file, "PNG")
    sheet = f"data:image/png;base64,{base64.b64encode(file.getvalue()).decode()}"

    def opinion(method: str, projector: str, kept: str) -> Opinion:
        return Opinion(
            method=method, projector=projector, score_backbone="bb1", scores_key=digest(method), better=[100] * 6,
            kept={"0.1": kept, "0.5": "111000"}, low=0.0, high=1.0, counts=[3, 3],
            kept_counts={"0.1": [0, 1], "0.5": [1, 2]}, best=[[0, 1], [3]], worst=[[2], [4, 5]],
        )  # fmt: skip

    return Exhibit(
        schema=1, suite="core", dataset="digits", protocol="2026.1", dataset_fingerprint=DATA, licence="MIT", seed=0,
        n=100, n_mapped=90, backbone="bb1", projector="umap", features_key="", projection_key="",
        classes=["cat", "dog"],
        x=[100, 200, 300, 700, 800, 900], y=[100, 500, 900, 100, 500, 900], labels=[0, 0, 0, 1, 1, 1],
        ids=[f"id{i}" for i in range(6)], sheet=sheet, columns=3, tile=(8, 4),
        opinions=[opinion("beta", "-", "100000"), opinion("alpha", "umap", "000110")],
    )  # fmt: skip
