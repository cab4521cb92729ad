"""What the cells of a suite keep: ids and scores out of the store, as files that others can read."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from prunebench.contexts import Dataset
from prunebench.errors import DataError
from prunebench.plan import Goal, Plan
from prunebench.pruning.output import MANIFEST, check_replaceable, replaced, write_selection
from prunebench.store import Store

if TYPE_CHECKING:
    import pandas as pd

Form = Literal["csv", "parquet", "npz", "txt"]
AXES = ("method", "score_backbone", "projector", "keep", "seed")


@dataclass(frozen=True)
class CellSelection:
    """What one cell keeps.  axes: method, score_backbone, projector, keep, seed.  table: one row per training sample,
    with its id, label, score (higher is kept first), and whether it is kept, 1 or 0."""

    axes: Mapping[str, Any]
    keys: Mapping[str, str]
    table: pd.DataFrame

    @property
    def name(self) -> str:
        """The name of its file, without an ending."""
        parts = [str(self.axes[axis]) for axis in AXES if self.axes[axis] != "-"]
        return "_".join("".join(c if c.isalnum() or c in "-.+" else "-" for c in part) for part in parts)


def selections(plan: Plan, data: Dataset, store: Store) -> Iterator[CellSelection]:
    """Yield what each selection of a plan keeps, once for all networks that train on it.  Raises DataError for one that
    was not computed, or whose artefact is not in the cache any more."""
    import pandas as pd

    distinct: dict[str, Goal] = {goal.task.upstream["subset"].key: goal for goal in plan.cells}
    for goal in distinct.values():
        subset = goal.task.upstream["subset"]
        scores = subset.upstream["scores"]
        chosen, scored = store.read("subset", subset.key), store.read("scores", scores.key)
        axes = {axis: goal.axes[axis] for axis in AXES}
        if chosen is None or scored is None:
            text = f"{', '.join(f'{axis} {value}' for axis, value in axes.items() if value != '-')} is not in the cache"
            raise DataError(text, f"run it first: prunebench run {plan.suite.name}, with the same filters and --cache")
        kept = np.zeros(len(data.train), dtype=np.int64)
        kept[chosen.arrays["indices"]] = 1
        columns = {
            "id": list(data.train.ids), "label": [data.class_names[label] for label in data.train.labels],
            "score": scored.arrays["scores"], "kept": kept,
        }  # fmt: skip
        yield CellSelection(axes, {"subset": subset.key, "scores": scores.key}, pd.DataFrame(columns))


def export_selections(found: Sequence[CellSelection], plan: Plan, folder: Path, form: Form) -> list[Path]:
    """Write a file for each selection, and a manifest with the fingerprint of the data; return the files."""
    check_replaceable(folder)
    files = []
    with replaced(folder) as scratch:
        cells = []
        for one in found:
            path = write_selection(one.table, {**_facts(plan), **one.axes}, scratch / f"{one.name}.{form}")
            files.append(folder / path.name)
            kept = int(one.table["kept"].sum())
            cells.append({"file": path.name, **one.axes, "kept": kept, "keys": dict(one.keys)})
        facts = {"schema": 1, **_facts(plan), "cells": cells}
        (scratch / MANIFEST).write_text(json.dumps(facts, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    return files


def _facts(plan: Plan) -> dict[str, str]:
    axes = plan.cells[0].axes
    return {"suite": plan.suite.name, "protocol": plan.protocol, "dataset": plan.suite.dataset,
            "dataset_fingerprint": axes["dataset_fingerprint"]}  # fmt: skip
