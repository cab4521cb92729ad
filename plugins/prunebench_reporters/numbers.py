"""What a record says in numbers, and where it stands among others."""

from __future__ import annotations

from prunebench import AgreementRecord, CellRecord

_NUMBERS = ("accuracy", "accuracy_best", "loss", "seconds_score", "seconds_train", "peak_gpu_bytes", "n_keep",
            "within_class_spearman", "pooled_spearman", "pearson")  # fmt: skip
_PLACE = ("method", "score_backbone", "projector", "train_arch", "recipe", "keep", "seed", "backbone_a", "seed_a",
          "backbone_b", "seed_b")  # fmt: skip


def numbers_of(record: CellRecord | AgreementRecord) -> dict[str, float]:
    """Return the numbers of a record by name, those that it has."""
    found = {name: getattr(record, name, None) for name in _NUMBERS}
    return {name: float(value) for name, value in found.items() if value is not None}


def place_of(record: CellRecord | AgreementRecord) -> dict[str, str]:
    """Return what tells a record from the others of its suite and data set, by name."""
    found = {name: str(getattr(record, name, "-")) for name in _PLACE}
    return {name: value for name, value in found.items() if value != "-"}
