"""What the page shows, as one JSON text: every table by column, each column in the shortest of a few forms."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import numpy as np
import pandas as pd
from markupsafe import Markup
from numpy.typing import NDArray

from prunebench.board.cells import DECIMALS, METHOD, SECTION, TRAINING
from prunebench.board.correlation import MEASURES, more_of
from prunebench.board.table import Board

KEY_LETTERS = 8  # of a key, enough to find its record in a file
SECONDS_DIGITS = 2
MADE = (
    "scorer", "scorer_version", "scorer_dist", "scorer_params", "projector_version", "run_id", "started",
    "machine_class", "prunebench_version", "git_commit", "git_dirty", "status", "status_reason", "attempt",
    "superseded",
)  # fmt: skip
CELL = (*SECTION, *TRAINING, *METHOD, "role", "keep", "score_backbone", "seed", "accuracy", "seconds_score",
        "seconds_train", "n_train", "n_keep", "selector", "selector_params", "train_key", *MADE)  # fmt: skip
COMPARISON = (*SECTION, *METHOD, "backbone_a", "seed_a", "backbone_b", "seed_b", *MEASURES.values(), "n", *MADE)


def page_json(board: Board) -> Markup:
    """Return everything that the page shows as JSON that can stand inside a script element.
    A column is {"values": [...]}, or {"runs": [value, count, ...]} where values repeat; "scale" divides numbers,
    "words" are what numbers stand for, and "text" with "width" is one text for values of equal length."""
    cells, compared = _records(board.cells, CELL), _records(board.comparisons, COMPARISON)
    more = pd.DataFrame(map(more_of, board.comparisons.record)).add_prefix("score_")
    compared = compared.join(more.astype("float64"))  # what a suite asks for beside correlations
    tables = {
        "accuracy": board.accuracy, "rank_correlation": board.rank_correlation, "failures": board.failures,
        "tables": board.tables, "sections": board.sections, "methods": board.methods, "cells": cells,
        "comparisons": compared,
    }  # fmt: skip
    data: dict[str, Any] = {name: _table(frame) for name, frame in tables.items()}
    data["measures"] = MEASURES | {str(name): str(name) for name in more}
    data["metrics"] = [
        {"column": one.column, "title": one.spec.label or one.spec.name, "says": one.spec.summary,
         "scope": one.spec.scope, "falling": one.spec.higher_is_better}
        for one in board.metrics
    ]  # fmt: skip
    scored = {*board.cells.scores_key}
    data["exhibits"] = [
        msgspec.to_builtins(one) | {"stale": sorted({o.method for o in one.opinions if o.scores_key not in scored})}
        for one in board.exhibits
    ]
    return Markup(json.dumps(data, ensure_ascii=False, separators=(",", ":")).replace("<", "\\u003c"))


def _records(records: pd.DataFrame, names: tuple[str, ...]) -> pd.DataFrame:
    """Return the fields of records that the page shows.  train_key: how many rows above the same training stands, 0 for
    a training of its own."""
    frame = records[list(names)].assign(key=records.key.astype("str").str[:KEY_LETTERS]).reset_index(drop=True)
    if "train_key" in names:
        known = frame.train_key.mask(frame.train_key == "", frame.index.astype("str"))
        frame["train_key"] = frame.index - frame.index.to_series().groupby(known.to_numpy()).transform("min")
    for name in {"scorer_params", "selector_params"} & {*names}:
        frame[name] = frame[name].map(lambda given: ", ".join(f"{k} = {v}" for k, v in sorted(given.items())))
    for name in {"seconds_score", "seconds_train"} & {*names}:
        frame[name] = [float(f"{value:.{SECONDS_DIGITS}g}") for value in frame[name]]
    floats = {"accuracy", *MEASURES.values()} & {*names}
    counts = {"seed", "seed_a", "seed_b", "n", "n_train", "n_keep", "attempt", "train_key"} & {*names}
    return frame.astype(dict.fromkeys(floats, "float64") | dict.fromkeys(counts, "Int64"))


def _table(frame: pd.DataFrame) -> dict[str, Any]:
    return {"rows": len(frame), "columns": {str(name): _column(str(name), frame[name]) for name in frame.columns}}


def _column(name: str, values: pd.Series[Any]) -> dict[str, Any]:
    if name == "key":
        return {"text": "".join(values), "width": KEY_LETTERS}
    if name.startswith("seconds"):
        return _listed(values.to_numpy(dtype=np.float64))
    if pd.api.types.is_float_dtype(values):
        return {"scale": 10**DECIMALS} | _listed(np.rint(values.to_numpy(dtype=np.float64) * 10**DECIMALS))
    if pd.api.types.is_bool_dtype(values) or pd.api.types.is_integer_dtype(values):
        return _listed(np.asarray(values.astype("Float64").to_numpy(na_value=np.nan), dtype=np.float64))
    codes, found = pd.factorize(values)  # a few distinct ones are made texts of, and not all
    words = sorted({str(one) for one in found})
    at = np.array([*map(words.index, map(str, found)), -1], dtype=np.float64)  # the last is for what is missing
    return {"words": words} | _listed(at[codes])


def _listed(values: NDArray[np.float64]) -> dict[str, Any]:
    """Return numbers in order or as runs of equal ones, None for NaN."""
    differs = (values[1:] != values[:-1]) & ~(np.isnan(values[1:]) & np.isnan(values[:-1]))
    starts = np.flatnonzero(np.append(True, differs)) if len(values) else np.zeros(0, dtype=np.int64)
    if 2 * len(starts) >= len(values):
        return {"values": _plain(values)}
    counts = np.diff(np.append(starts, len(values))).tolist()
    return {"runs": [part for run in zip(_plain(values[starts]), counts, strict=True) for part in run]}


def _plain(values: NDArray[np.float64]) -> list[float | int | None]:
    if np.isnan(values).any() or (values % 1).any():
        return [None if one != one else int(one) if one.is_integer() else one for one in values.tolist()]
    return list(values.astype(np.int64).tolist())
