"""Records for tests: sound ones, with what a test changes about them."""

from __future__ import annotations

import hashlib
from typing import Any

from prunebench.records import AgreementRecord, CellRecord


def key_of(*parts: Any) -> str:
    """Return a key that is the same for the same parts."""
    return hashlib.blake2b(repr(parts).encode(), digest_size=16).hexdigest()


def cell(**fields: Any) -> CellRecord:
    """Return the record of a finished cell."""
    base: dict[str, Any] = {
        "suite": "s", "protocol": "test", "dataset": "d", "dataset_fingerprint": key_of("data"), "method": "m",
        "scorer": "m", "scorer_version": "1", "scorer_dist": "prunebench 0.1.0", "score_backbone": "b",
        "selector": "class_top", "keep": "0.1", "train_arch": "a", "recipe": "r", "seed": 0, "status": "ok",
        "accuracy": 0.5,
    }  # fmt: skip
    values = {**base, **fields}
    if values["status"] != "ok":
        values["accuracy"] = None
    axes = ("method", "score_backbone", "projector", "keep", "train_arch", "recipe", "seed")
    values.setdefault("key", key_of("cell", *(values.get(name) for name in axes)))
    return CellRecord(**values)


def agreement(**fields: Any) -> AgreementRecord:
    """Return the record of a finished comparison of scores."""
    base: dict[str, Any] = {
        "suite": "s", "protocol": "test", "dataset": "d", "dataset_fingerprint": key_of("data"), "method": "m",
        "scorer": "m", "scorer_version": "1", "scorer_dist": "prunebench 0.1.0", "backbone_a": "b", "seed_a": 0,
        "backbone_b": "c", "seed_b": 0, "status": "ok", "n": 100, "within_class_spearman": 0.5,
    }  # fmt: skip
    values = {**base, **fields}
    axes = ("method", "projector", "backbone_a", "seed_a", "backbone_b", "seed_b")
    values.setdefault("key", key_of("agreement", *(values.get(name) for name in axes)))
    return AgreementRecord(**values)
