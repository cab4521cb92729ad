"""The rows of the tables of accuracies: every method at every budget, with the cells that its mean is over."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from decimal import Decimal
from typing import Any, NamedTuple

import pandas as pd

from prunebench.board.cells import MEAN, METHOD, NONE, SECTION, TRAINING, UNPRUNED, groups, mean
from prunebench.records import FINAL, CellRecord, Record, complement

TABLE = [*SECTION, *TRAINING]
ROW = [*TABLE, *METHOD, "role", "keep", "score_backbone"]
LINE = [*TABLE, *METHOD]
MADE_OF = ("scorer_version", "projector_version", "scorer", "scorer_params", "selector", "selector_params")
Cell = tuple[int, str, Any]  # the number of the row, the backbone, and the record or NaN


class Place(NamedTuple):
    """What a row of the board stands for.  line: values in the columns LINE."""

    line: tuple[str, ...]
    role: str
    keep: str
    score_backbone: str
    backbones: Sequence[str]
    seeds: Sequence[int]

    @property
    def row(self) -> tuple[str, ...]:
        """The values in the columns ROW."""
        return (*self.line, self.role, self.keep, self.score_backbone)


class Grid(NamedTuple):
    """Three views of the same cells, indexed by the number of the row of the board."""

    cells: pd.DataFrame  # one row per cell that a mean is over, without a `record` where it was not run
    seeds: pd.DataFrame  # one row per seed: the mean over the backbones; equal `observation`s are one
    rows: pd.DataFrame  # what is known of a row before its statistics


def by_row_and_seed(seeds: pd.Series[Any]) -> dict[int, dict[int, Any]]:
    """Return the values of a column of `Grid.seeds` by row and seed."""
    found: dict[int, dict[int, Any]] = defaultdict(dict)
    for (row, seed), value in zip(seeds.index, seeds, strict=True):
        found[row][seed] = value
    return found


def make_grid(cells: pd.DataFrame, named: Mapping[str, Sequence[str]], by_rate: Collection[str] = ()) -> Grid:
    """Return every method at every budget; a mean is over the backbones `named` by the suite and any others seen.
    by_rate: methods whose parameters the registry sets by pruning rate."""
    places = [*_places(cells, named)]
    found = _cells_of(places, cells)
    seeds = _means_by_seed(found)
    by_row: dict[int, list[Cell]] = defaultdict(list)
    for cell in zip(found.index, found.backbone, found.record, strict=True):
        by_row[cell[0]].append(cell)
    best = {row: mean(values.values()) for row, values in by_row_and_seed(seeds.accuracy_best).items()}
    counts = seeds.groupby("row").agg(
        n_seeds=("accuracy", "count"), n_seeds_expected=("accuracy", "size"), n_observed=("observation", "nunique")
    ).assign(accuracy_best_mean=pd.Series(best, dtype="float64"))  # fmt: skip
    rows = pd.DataFrame([place.row for place in places], columns=ROW).join(counts).join(_lines(places, cells, by_rate))
    rows["complete"] = rows.n_seeds == rows.n_seeds_expected
    rows["deterministic"] = rows.complete & (rows.n_seeds > 1) & (rows.n_observed == 1)
    rows["ranked"] = rows.complete & ~rows.quarantined.eq(True) & (rows.versions == "") & (rows.role != UNPRUNED)
    rows["pruning_rate"] = rows.keep.map(complement)
    facts = [_facts(by_row[row], n, of) for row, n, of in rows[["n_seeds", "n_seeds_expected"]].itertuples()]
    return Grid(found, seeds, rows.join(pd.DataFrame(facts)))


def _cells_of(places: Sequence[Place], cells: pd.DataFrame) -> pd.DataFrame:
    """Return the cells of each row, its backbones and seeds in order; one that was not run is a row without values."""
    by_place = zip(*(cells[name] for name in (*LINE, "keep", "score_backbone", "seed")), strict=True)
    known = {place: at for at, place in enumerate(by_place)}
    wanted = [
        (number, backbone, seed, known.get((*place.line, place.keep, backbone, seed), -1))
        for number, place in enumerate(places) for backbone in place.backbones for seed in place.seeds
    ]  # fmt: skip
    rows = pd.DataFrame(wanted, columns=["row", "backbone", "seed", "at"]).astype({"seed": "int64"})
    have = cells[["record", "train_key", "accuracy", "accuracy_best"]].reset_index(drop=True)
    found = have.reindex(rows.pop("at")).set_axis(rows.index)
    return rows.join(found).set_index("row")


def _lines(places: Sequence[Place], cells: pd.DataFrame, by_rate: Collection[str]) -> pd.DataFrame:
    """Return for each row whether a record of its line is in quarantine, and which versions stand in the line."""
    members: dict[tuple[Any, ...], list[CellRecord]] = defaultdict(list)
    held = set[tuple[Any, ...]]()
    columns = [cells[name] for name in LINE]
    for record, is_held, *line in zip(cells.record, cells.quarantined, *columns, strict=True):
        members[tuple(line)].append(record)
        held |= {tuple(line)} if is_held else set()
    versions = {line: versions_in(records, by_rate) for line, records in members.items()}
    return pd.DataFrame(
        {"quarantined": [place.line in held for place in places],
         "versions": [versions.get(place.line, "") for place in places]},
    )  # fmt: skip


def _means_by_seed(found: pd.DataFrame) -> pd.DataFrame:
    """Return the mean over the backbones and the name of the observation: equal keys throughout are one."""
    known = found.assign(train_key=found.train_key.fillna(""))
    groups = known.groupby(["row", "seed"])
    seeds: pd.DataFrame = groups[["accuracy", "accuracy_best"]].mean()
    seeds = seeds.where(groups[["accuracy", "accuracy_best"]].count().eq(groups.size(), axis=0))
    keys: dict[Any, list[str]] = defaultdict(list)
    for row, seed, key in zip(known.index.tolist(), known.seed.tolist(), known.train_key.tolist(), strict=True):
        keys[row, seed].append(key)
    names = [" ".join(keys[place]) if all(keys[place]) else f"seed {place[1]}" for place in seeds.index]
    return seeds.assign(observation=pd.Series(names, index=seeds.index, dtype=object))


def _places(cells: pd.DataFrame, named: Mapping[str, Sequence[str]]) -> Iterator[Place]:
    """Yield every row in order, with each backbone and seed that its mean is over."""
    for section, mine in groups(cells[[*LINE, "role", "keep", "score_backbone", "seed"]], SECTION):
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
                        chosen = backbones if label == MEAN else [label]
                        yield Place((*section, *training, *method), role, keep, label, chosen, seeds)


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
        values = [str(getattr(record, name, "")) for record in finished]
        if len({*values}) < 2:
            continue
        found = defaultdict(set)
        for record, value in zip(finished, values, strict=True):
            rate = getattr(record, "keep", "") if record.method in by_rate and name.endswith("_params") else ""
            found[rate].add(value)
        if mixed := [values for values in found.values() if len(values) > 1]:
            return f"{len(mixed[0])} versions in one row, {name.replace('_', ' ')} {' and '.join(sorted(mixed[0]))}"
    return ""
