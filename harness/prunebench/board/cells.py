"""Records as one tidy table: one row per record, one record per place on the board."""

import math
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, cast

import msgspec
import pandas as pd

from prunebench.errors import ResultConflict
from prunebench.records import FINAL, AgreementRecord, CellRecord, Record, complement, encode
from prunebench.registry import Listing, standing

SECTION = ["suite", "dataset", "protocol", "dataset_fingerprint"]  # results of two sections never share a table
TRAINING = ["train_arch", "recipe", "recipe_digest"]
METHOD = ["method", "projector"]
BASELINE, UNPRUNED, NONE, MEAN = "baseline", "unpruned", "-", "mean"
WHOLE = (NONE, MEAN)  # the score_backbone of the rows that stand for a whole method
CORRELATIONS = ("within_class_spearman", "pooled_spearman", "pearson")
FIELDS = [*dict.fromkeys([*CellRecord.__struct_fields__, *AgreementRecord.__struct_fields__]), "record", "quarantined"]
DECIMALS = 6  # of every number on the board: enough for a million test samples, blind to the last bits


def plain(keep: str) -> str:
    """Return a decimal string without trailing zeros: "0.10" to "0.1"."""
    return complement(complement(keep))


def label(row: Mapping[Any, Any]) -> str:
    """Return the name of a line of a table."""
    return str(row["method"] if row["projector"] == NONE else f"{row['method']} + {row['projector']}")


def mean(values: Iterable[float | None]) -> float | None:
    """Return the mean whatever the order of the values, or None where one is missing or there is none."""
    given = list(values)
    known = sorted(value for value in given if value is not None and not math.isnan(value))
    return math.fsum(known) / len(known) if known and len(known) == len(given) else None


def groups(frame: pd.DataFrame, by: list[str]) -> Iterator[tuple[tuple[Any, ...], pd.DataFrame]]:
    """Yield the values in some columns with the rows that hold them, sorted by those values."""
    yield from cast("Iterator[tuple[tuple[Any, ...], pd.DataFrame]]", iter(frame.groupby(by)))


def rounded(value: float | None) -> float | None:
    """Return the number as the board stores it; never a negative zero."""
    return None if value is None else round(value, DECIMALS) + 0.0


def tidy(records: Iterable[Record], listings: Mapping[str, Listing] | None) -> pd.DataFrame:
    """Return one row per place with the fields of its record; raises ResultConflict for two results of one place."""
    rows = []  # who is in quarantine is decided when the board is written, not when the record was
    for one in _one_per_place(records):
        record, held = one, False
        if listings is not None:
            dist, _, version = one.scorer_dist.rpartition(" ")
            found = standing(listings, "scorer", one.scorer, dist, version)
            caveat = "; ".join(filter(None, [one.caveat, found.remark]))
            record, held = msgspec.structs.replace(one, caveat=caveat), found.tier == "quarantine"
        rows.append({**msgspec.structs.asdict(record), "record": record, "quarantined": held})
    return pd.DataFrame(rows, columns=FIELDS, dtype=object)


def cells_in(every: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of cells; a failure that does not know the content of its recipe stands with the known one."""
    cells = every[every.backbone_a.isna()]
    cells = cells.astype({"seed": "int64", "accuracy": "float64", "accuracy_best": "float64"})
    cells = cells.assign(keep=cells.keep.map(plain))
    same = [*SECTION, *TRAINING[:2]]
    known = cells[cells.recipe_digest != ""].groupby(same).recipe_digest.agg(["nunique", "first"])
    found = cells[same].merge(known, how="left", on=same).set_axis(cells.index)
    cells.loc[(cells.recipe_digest == "") & (found["nunique"] == 1), "recipe_digest"] = found["first"]
    return cells.drop_duplicates([*same, "recipe_digest", *METHOD, "score_backbone", "keep", "seed"], keep="last")


def _one_per_place(records: Iterable[Record]) -> list[Record]:
    """Return one record per place, sorted by place: a finished one over a failure, attempts of one key averaged."""
    places: dict[tuple[Any, ...], dict[str, Record]] = defaultdict(dict)
    for one in records:
        section = [getattr(one, name) for name in SECTION]
        places[(*section, *one.place, getattr(one, "recipe_digest", ""))][encode(one)] = one
    return [_merged([places[place][text] for text in sorted(places[place])]) for place in sorted(places)]


def _merged(attempts: Sequence[Record]) -> Record:
    finished = [one for one in attempts if one.status == "ok"]
    first = (finished or [one for one in attempts if one.status in FINAL] or attempts)[0]
    if len(keys := sorted({one.key for one in finished})) > 1:
        raise ResultConflict(
            f"two finished records claim one place on the board: {first.method} in {first.file}, "
            f"{', '.join(map(str, first.place[2:]))} (keys {' and '.join(keys)})",
            "give variants of a method names of their own, or remove the record of the older version",
        )
    if len(finished) < 2:
        return first
    names = ("accuracy", "accuracy_best") if isinstance(first, CellRecord) else CORRELATIONS
    return msgspec.structs.replace(first, **{name: mean(getattr(one, name) for one in finished) for name in names})
