"""The rows of the tables of accuracies: every method at every budget, with the cells that its mean is over."""

import math
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from decimal import Decimal
from functools import partial
from itertools import groupby
from operator import itemgetter
from typing import Any, NamedTuple

import pandas as pd

from prunebench.board.cells import MEAN, METHOD, NONE, SECTION, TRAINING, UNPRUNED, groups, mean
from prunebench.records import FINAL, CellRecord, Record, complement

TABLE = [*SECTION, *TRAINING]
ROW = [*TABLE, *METHOD, "role", "keep", "score_backbone"]
MADE_OF = ("scorer_version", "projector_version", "scorer", "scorer_params", "selector", "selector_params")
Cell = tuple[int, str, Any]  # the number of the row, the backbone, and the record or NaN


class Grid(NamedTuple):
    """Three views of the same cells, indexed by the number of the row of the board."""

    cells: pd.DataFrame  # one row per cell that a mean is over, without a `record` where it was not run
    seeds: pd.DataFrame  # one row per seed: the mean over the backbones; equal `observation`s are one
    rows: pd.DataFrame  # what is known of a row before its statistics


def make_grid(cells: pd.DataFrame, named: Mapping[str, Sequence[str]], by_rate: Collection[str] = ()) -> Grid:
    """Return every method at every budget; a mean is over the backbones `named` by the suite and any others seen.
    by_rate: methods whose parameters the registry sets by pruning rate."""
    places = pd.DataFrame(_places(cells, named), columns=["row", *ROW, "backbone", "seed"]).astype({"seed": "int64"})
    have = cells.drop(columns="role").rename(columns={"score_backbone": "backbone"})
    found = places.merge(have, how="left", on=[*TABLE, *METHOD, "keep", "backbone", "seed"]).set_index("row")
    versions = partial(versions_in, by_rate=by_rate)
    lines = cells.groupby([*TABLE, *METHOD]).agg(quarantined=("quarantined", any), versions=("record", versions))
    seeds = _means_by_seed(found)
    by_row = {row: list(members) for row, members in groupby(found[["backbone", "record"]].itertuples(), itemgetter(0))}
    counts = seeds.groupby("row").agg(
        n_seeds=("accuracy", "count"), n_seeds_expected=("accuracy", "size"), n_observed=("observation", "nunique"),
        accuracy_best_mean=("accuracy_best", mean),
    )  # fmt: skip
    rows = found[ROW].loc[~found.index.duplicated()].join(counts).merge(lines, how="left", on=[*TABLE, *METHOD])
    rows = rows.fillna({"versions": ""})
    rows["complete"] = rows.n_seeds == rows.n_seeds_expected
    rows["deterministic"] = rows.complete & (rows.n_seeds > 1) & (rows.n_observed == 1)
    rows["ranked"] = rows.complete & ~rows.quarantined.eq(True) & (rows.versions == "") & (rows.role != UNPRUNED)
    rows["pruning_rate"] = rows.keep.map(complement)
    facts = [_facts(by_row[row], n, of) for row, n, of in rows[["n_seeds", "n_seeds_expected"]].itertuples()]
    return Grid(found, seeds, rows.join(pd.DataFrame(facts)))


def _means_by_seed(found: pd.DataFrame) -> pd.DataFrame:
    """Return the mean over the backbones and the name of the observation: equal keys throughout are one."""
    known = found.assign(train_key=found.train_key.fillna(""))
    groups = known.groupby(["row", "seed"])
    seeds: pd.DataFrame = groups[["accuracy", "accuracy_best"]].mean()
    seeds = seeds.where(groups[["accuracy", "accuracy_best"]].count().eq(groups.size(), axis=0))
    keys: dict[Any, list[str]] = defaultdict(list)
    for row, seed, key in zip(known.index, known.seed, known.train_key, strict=True):
        keys[row, seed].append(key)
    names = [" ".join(keys[place]) if all(keys[place]) else f"seed {place[1]}" for place in seeds.index]
    return seeds.assign(observation=pd.Series(names, index=seeds.index, dtype=object))


def _places(cells: pd.DataFrame, named: Mapping[str, Sequence[str]]) -> Iterator[tuple[Any, ...]]:
    """Yield the number and the fields of every row, with each backbone and seed that its mean is over."""
    number = 0
    for section, mine in groups(cells, SECTION):
        roles = mine.groupby(METHOD).role.min()
        keeps = sorted(set(mine.keep[mine.role != UNPRUNED]), key=Decimal, reverse=True)
        seen = set(mine.score_backbone) | {*named.get(section[0], ())} - {NONE}
        for training, members in groups(mine, TRAINING):
            seeds, read = sorted(set(members.seed)), members.groupby(METHOD).score_backbone.agg(set)
            for method, role in zip(roles.index.to_list(), roles, strict=True):
                own = read.get(method, set())
                backbones = [NONE] if own <= {NONE} else sorted(seen - {NONE} | own)
                for keep in ["1"] if role == UNPRUNED else keeps:
                    for label in backbones if backbones == [NONE] else [MEAN, *backbones]:
                        row = (number, *section, *training, *method, role, keep, label)
                        chosen = backbones if label == MEAN else [label]
                        yield from ((*row, backbone, seed) for backbone in chosen for seed in seeds)
                        number += 1


def _facts(cells: Sequence[Cell], n_seeds: int, n_seeds_expected: int) -> dict[str, Any]:
    """Return what the cells of one row of the board say beside their numbers."""
    records = [record for _, _, record in cells if isinstance(record, CellRecord)]
    unfinished = {backbone for _, backbone, record in cells if getattr(record, "status", "") != "ok"}
    touched = {backbone for _, backbone, record in cells if isinstance(record, CellRecord)}
    backbones = {backbone for _, backbone, _ in cells}
    whole = len(backbones - unfinished)
    if n_seeds == n_seeds_expected:
        hole = ""
    elif not any(record.status == "ok" for record in records):
        hole = " or ".join(sorted({record.status.replace("_", " ") for record in records})) or "not run"
    elif not n_seeds or touched != backbones:
        hole = f"{whole} of {len(backbones)} backbones"
    else:
        hole = f"{n_seeds} of {n_seeds_expected} seeds"
    return {
        "n_backbones": whole, "n_backbones_expected": len(backbones),
        "n_failed": sum(record.status not in FINAL for record in records), "diagnostics": _diagnostics(records),
        "caveat": caveats_of(records), "status": "hole" if hole else "ok", "hole": hole,
        "status_reason": _reason(cells, len(backbones)),
    }  # fmt: skip


def _reason(cells: Sequence[Cell], n_backbones: int) -> str:
    """Return why cells of a row hold no accuracy, the most frequent reason first."""
    counts: Counter[str] = Counter()
    for _, backbone, record in cells:
        if not isinstance(record, CellRecord):
            counts["not run" if n_backbones == 1 else f"not run with {backbone}"] += 1
        elif record.status != "ok":
            counts[": ".join(filter(None, [record.status, record.status_reason]))] += 1
    return "; ".join(f"{text} ({n})" for text, n in sorted(counts.items(), key=lambda item: (-item[1], item[0])))


def _diagnostics(records: Sequence[Any]) -> str:
    values: dict[str, list[float]] = defaultdict(list)
    for record in records:
        for name, value in record.diagnostics.items():
            if isinstance(value, int | float) and math.isfinite(value):
                values[name].append(value)
    return "; ".join(f"{name}={mean(found):.6g}" for name, found in sorted(values.items()))


def caveats_of(records: Iterable[Record]) -> str:
    """Return what is said against some records, each sentence once."""
    return "; ".join(sorted({part for record in records for part in record.caveat.split("; ") if part}))


def versions_in(records: Iterable[Record], by_rate: Collection[str] = ()) -> str:
    """Return what differs between the finished records of one line that should be one method; empty for one version.
    Methods `by_rate` are compared in their parameters at equal pruning rates alone."""
    finished = [record for record in records if record.status == "ok"]
    for name in MADE_OF:
        found = defaultdict(set)
        for record in finished:
            rate = getattr(record, "keep", "") if record.method in by_rate and name.endswith("_params") else ""
            found[rate].add(str(getattr(record, name, "")))
        if mixed := [values for values in found.values() if len(values) > 1]:
            return f"{len(mixed[0])} versions in one row, {name.replace('_', ' ')} {' and '.join(sorted(mixed[0]))}"
    return ""
