"""The rows of the tables of accuracies: every method at every budget, and the cells that its mean is over, run or not."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from typing import Any, NamedTuple

import pandas as pd

from prunebench.board.cells import MEAN, METHOD, NONE, SECTION, TRAINING, UNPRUNED, mean, versions_in
from prunebench.records import FINAL, Record, complement

TABLE = [*SECTION, *TRAINING]
ROW = [*TABLE, *METHOD, "role", "keep", "score_backbone"]


class Grid(NamedTuple):
    """Three views of the same cells, in the order of printing.

    cells: one row per row of the board and cell that its mean is over, whose `record` is missing where it was not
    run; indexed by the number of the row.  seeds: the mean over the backbones, one row per row of the board and seed;
    equal `observation`s are one.  rows: what is known of each row of the board before its statistics.
    """

    cells: pd.DataFrame
    seeds: pd.DataFrame
    rows: pd.DataFrame


def make_grid(cells: pd.DataFrame, named: Mapping[str, Sequence[str]]) -> Grid:
    """Return every table with every method of its section at every budget.

    named: suite to the backbones that it names.  A mean is over those, any others seen in the section, and the seeds
    seen in the table.
    """
    places = pd.DataFrame(_places(cells, named), columns=["row", *ROW, "backbone", "seed"]).astype({"seed": "int64"})
    have = cells.drop(columns="role").rename(columns={"score_backbone": "backbone"})
    found = places.merge(have, how="left", on=[*TABLE, *METHOD, "keep", "backbone", "seed"]).set_index("row")
    seeds = found.groupby(["row", "seed"]).agg(
        accuracy=("accuracy", mean), accuracy_best=("accuracy_best", mean), observation=("train_key", _joined)
    )  # fmt: skip
    seeds["observation"] = [name or f"seed {seed}" for (_, seed), name in seeds.observation.items()]
    lines = cells.groupby([*TABLE, *METHOD]).agg(quarantined=("quarantined", "any"), versions=("record", versions_in))
    facts = [_row(mine, seeds.loc[[row]]) for row, mine in found.groupby("row")]
    rows = found[ROW].loc[~found.index.duplicated()].join(pd.DataFrame(facts, index=found.index.unique()))
    rows = rows.merge(lines, how="left", on=[*TABLE, *METHOD]).fillna({"quarantined": False, "versions": ""})
    ranked = rows.complete & ~rows.quarantined.astype(bool) & (rows.versions == "") & (rows.role != UNPRUNED)
    return Grid(found, seeds, rows.assign(ranked=ranked))


def _places(cells: pd.DataFrame, named: Mapping[str, Sequence[str]]) -> Iterator[tuple[Any, ...]]:
    """Yield the number and the fields of every row, with each backbone and seed that its mean is over."""
    number = 0
    for section, mine in cells.groupby(SECTION):
        roles = mine.groupby(METHOD).role.min()
        keeps = sorted(set(mine.keep[mine.role != UNPRUNED]), key=Decimal, reverse=True)
        seen = set(mine.score_backbone) | {*named.get(section[0], ())} - {NONE}
        for training, members in mine.groupby(TRAINING):
            seeds, read = sorted(set(members.seed)), members.groupby(METHOD).score_backbone.agg(set)
            for method, role in roles.items():
                own = read.get(method, set())
                backbones = [NONE] if own <= {NONE} else sorted(seen - {NONE} | own)
                for keep in ["1"] if role == UNPRUNED else keeps:
                    for label in backbones if backbones == [NONE] else [MEAN, *backbones]:
                        row = (number, *section, *training, *method, role, keep, label)
                        chosen = backbones if label == MEAN else [label]
                        yield from ((*row, backbone, seed) for backbone in chosen for seed in seeds)
                        number += 1


def _joined(keys: pd.Series[Any]) -> str:
    """Return the name of an observation: what was trained on the same keys throughout has one; "" for unknown keys."""
    return " ".join(keys) if all(isinstance(key, str) and key for key in keys) else ""


def records_of(cells: pd.DataFrame) -> list[Any]:
    """Return the records that there are of some cells."""
    return list(cells.record.dropna())


def _row(cells: pd.DataFrame, seeds: pd.DataFrame) -> dict[str, Any]:
    """Return the facts of one row of the board from its cells and seeds."""
    records, n_seeds = records_of(cells), int(seeds.accuracy.count())
    complete = n_seeds == len(seeds)
    finished = (cells.status == "ok").groupby(cells.backbone).all()
    return {
        "pruning_rate": complement(cells.keep.iloc[0]), "complete": complete,
        "deterministic": complete and n_seeds > 1 and seeds.observation.nunique() == 1,
        "accuracy_best_mean": mean(seeds.accuracy_best), "n_seeds": n_seeds, "n_seeds_expected": len(seeds),
        "n_backbones": int(finished.sum()), "n_backbones_expected": len(finished),
        "n_failed": sum(record.status not in FINAL for record in records), "diagnostics": _diagnostics(records),
        "caveat": caveats_of(records), "status": "ok" if complete else "hole",
        "hole": "" if complete else _hole(cells, finished, n_seeds), "status_reason": _reason(cells),
    }  # fmt: skip


def _hole(cells: pd.DataFrame, finished: pd.Series[bool], n_seeds: int) -> str:
    """Return what is lacking, as "1 of 2 backbones" or "3 of 5 seeds"."""
    known = cells.status.dropna()
    if not (known == "ok").any():
        return " or ".join(sorted(set(known.str.replace("_", " ")))) or "not run"
    if not n_seeds or cells.backbone[cells.status.notna()].nunique() < len(finished):
        return f"{finished.sum()} of {len(finished)} backbones"
    return f"{n_seeds} of {cells.seed.nunique()} seeds"


def _reason(cells: pd.DataFrame) -> str:
    """Return why cells of a row hold no accuracy, the most frequent reason first."""
    absent = "not run with {}" if cells.backbone.nunique() > 1 else "not run"
    lost = cells[cells.status != "ok"]
    counts = Counter(
        ": ".join(filter(None, [status, why])) if isinstance(status, str) else absent.format(backbone)
        for backbone, status, why in zip(lost.backbone, lost.status, lost.status_reason, strict=True)
    )
    return "; ".join(f"{text} ({n})" for text, n in sorted(counts.items(), key=lambda item: (-item[1], item[0])))


def _diagnostics(records: Sequence[Any]) -> str:
    values: dict[str, list[float]] = defaultdict(list)
    for record in records:
        for name, value in record.diagnostics.items():
            if isinstance(value, int | float) and math.isfinite(value):
                values[name].append(value)
    return "; ".join(f"{name}={mean(found):.6g}" for name, found in sorted(values.items()))


def caveats_of(records: Sequence[Record]) -> str:
    """Return what is said against some records, each sentence once."""
    return "; ".join(sorted({part for record in records for part in record.caveat.split("; ") if part}))
