"""Records as one tidy table: one row per record, one record per place on the board."""

import math
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from itertools import chain
from operator import attrgetter
from sys import intern
from typing import Any, cast

import msgspec
import pandas as pd

from prunebench.errors import ResultConflict
from prunebench.records import AgreementRecord, CellRecord, Record, complement
from prunebench.registry import Listing, Trust, trust_in

SECTION = ["suite", "dataset", "protocol", "dataset_fingerprint"]  # results of two sections never share a table
TRAINING = ["train_arch", "recipe", "recipe_digest"]
METHOD = ["method", "projector"]
BASELINE, UNPRUNED, NONE, MEAN = "baseline", "unpruned", "-", "mean"
WHOLE = (NONE, MEAN)  # the score_backbone of the rows that stand for a whole method
CORRELATIONS = ("within_class_spearman", "pooled_spearman", "pearson")
# The fields that both kinds of record have, and those of one kind, each with the names in them first.
_NAMES: Mapping[type[Record] | None, tuple[str, ...]] = {
    None: (*SECTION, *METHOD, "scorer", "scorer_version", "scorer_dist", "projector_version", "status", "status_reason",
           "caveat", "run_id", "started", "machine_class", "prunebench_version", "git_commit"),
    CellRecord: (*TRAINING, "role", "score_backbone", "selector"),
    AgreementRecord: ("backbone_a", "backbone_b"),
}  # fmt: skip
_BOTH = [one for one in CellRecord.__struct_fields__ if one in AgreementRecord.__struct_fields__]
_OTHERS = {
    kind: [one for one in (kind.__struct_fields__ if kind else _BOTH)
           if one not in names and (kind is None or one not in _BOTH)]
    for kind, names in _NAMES.items()
}  # fmt: skip
_GETTERS = {kind: (attrgetter(*names), attrgetter(*_OTHERS[kind])) for kind, names in _NAMES.items()}
_NOTHING = {kind: (math.nan,) * len([*names, *_OTHERS[kind]]) for kind, names in _NAMES.items() if kind}
FIELDS = [*chain.from_iterable((*names, *_OTHERS[kind]) for kind, names in _NAMES.items()), "record", "quarantined"]
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


def rounded_bounds(low: float | None, high: float | None) -> tuple[float | None, float | None]:
    """Return the interval as the board stores it: none that is narrower than its decimals and would have width 0."""
    bounds = rounded(low), rounded(high)
    return bounds if bounds[0] != bounds[1] else (None, None)


def tidy(records: Iterable[Record], listings: Mapping[str, Listing] | None) -> pd.DataFrame:
    """Return one row per place with the fields of its record; raises ResultConflict for two records of one place."""

    @cache
    def known(scorer: str, dist: str, version: str) -> Trust:
        return trust_in(listings, "scorer", scorer, dist, version) if listings is not None else Trust("core")

    rows = []
    for one in _in_order(records):
        # Who is in quarantine is decided when the board is written, not when the record was.
        dist, _, version = one.scorer_dist.rpartition(" ")
        tier, remark = known(one.scorer, dist, version)
        caveat = "; ".join(filter(None, [one.caveat, remark]))
        record = one if caveat == one.caveat else msgspec.structs.replace(one, caveat=caveat)
        own = (_values(kind, record) if isinstance(record, kind) else nothing for kind, nothing in _NOTHING.items())
        rows.append((*_values(None, record), *chain.from_iterable(own), record, tier == "quarantine"))
    return pd.DataFrame(rows, columns=FIELDS, dtype=object)


def _values(kind: type[Record] | None, record: Record) -> Iterable[Any]:
    """Return the values of the fields that only this kind of record has, or, for None, that both kinds have.  Equal
    names are one text in memory: tables are grouped and joined by them again and again."""
    names, others = _GETTERS[kind]
    return chain(map(intern, names(record)), others(record))


def cells_in(every: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of cells; a failure that does not know the content of its recipe stands with the known one."""
    cells = every[every.backbone_a.isna()]
    cells = cells.astype({"seed": "int64", "accuracy": "float64", "accuracy_best": "float64"})
    cells = cells.assign(keep=cells.keep.map(plain))
    same = [*SECTION, *TRAINING[:2]]
    known = cells[cells.recipe_digest != ""].groupby(same).recipe_digest.agg(["nunique", "first"])
    found = cells[same].merge(known, how="left", on=same).set_axis(cells.index)
    cells.loc[(cells.recipe_digest == "") & (found["nunique"] == 1), "recipe_digest"] = found["first"]
    return cells


def _in_order(records: Iterable[Record]) -> list[Record]:
    """Return records sorted by place; raises ResultConflict for two of one place, where each would count."""
    places: dict[tuple[Any, ...], Record] = {}
    section = attrgetter(*SECTION)
    for one in records:
        place = (*section(one), *one.place, getattr(one, "recipe_digest", ""))
        if (other := places.get(place)) is not None:
            raise ResultConflict(
                f"two records claim one place on the board: {one.method} in {one.file}, "
                f"{', '.join(map(str, one.place[2:]))} (keys {' and '.join(sorted([one.key, other.key]))})",
                "give variants of a method names of their own, or remove the record of the older version",
            )
        places[place] = one
    return [places[place] for place in sorted(places)]
