"""The ledger: one row per sample of the input, which says what became of it and why."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from prunebench.pruning.selecting import DUPLICATE, Kept
from prunebench.pruning.source import Skipped, Source

if TYPE_CHECKING:
    import pandas as pd

COLUMNS: Mapping[str, str] = {
    "id": "as in the input",
    "position": "place in the input, from 0; the column is there where the input has an order: not for a folder",
    "class": "name of its class, empty where there is none",
    "score": "of the method, higher is kept first; empty for what was not scored",
    "rank": "place in the order in which samples are taken, from 1",
    "kept": "1 if it is kept at the first budget, 0 if not",
    "reason": "why: see the table of reasons",
    "kept_neighbour": "of a sample that is not kept: the most similar one that is, in its class if it has one",
    "cosine": "similarity to the kept neighbour",
    "duplicate_group": "number of its group of near-duplicates, empty where it has none",
    "copy_of": "of a removed near-duplicate: the sample of its group that stayed",
    "suspected_class": "the class that most of its neighbours have, where that is another one",
    "votes": "fraction of its neighbours with that class",
    "reference_copy": "the sample of the reference set that it is a near-duplicate of",
    "reference_cosine": "similarity to it",
    "picture_notes": "what was decided when the picture was decoded: see the table of notes",
    "keep_probability": "fraction of repeated choices, with other seeds, that keep it",
}


@dataclass(frozen=True, kw_only=True)
class Findings:
    """What was found out about n readable samples, besides scores; each is None where nobody asked.

    group: int64 [n], -1 for none.  copy_of: int64 [n], the row that stayed, -1 for one that was not removed.
    neighbour: int64 [n] and cosine: float32 [n] of the nearest kept sample.  suspected: int64 [n], a class or -1, with
    votes float32 [n].  leaks: by row, the id of a reference sample that it nearly equals, and the cosine."""

    group: NDArray[np.int64] | None = None
    copy_of: NDArray[np.int64] | None = None
    neighbour: NDArray[np.int64] | None = None
    cosine: NDArray[np.float32] | None = None
    suspected: NDArray[np.int64] | None = None
    votes: NDArray[np.float32] | None = None
    leaks: Mapping[int, tuple[str, float]] | None = None


def make_ledger(
    source: Source, rows: NDArray[np.int64], kept: Mapping[str, Kept], reasons: NDArray[np.object_], found: Findings,
    classes: Sequence[str], labels: NDArray[np.int64] | None,
) -> pd.DataFrame:  # fmt: skip
    """Return the ledger in the order of the input; what could not be read comes last, with its reason.

    rows: int64 [m], the samples of the source that were scored, those that `kept` and `reasons` count; the others were
    removed as near-duplicates.  kept: by budget as it was written, the first one is that of the column "kept"."""
    import pandas as pd

    n, first = len(source), next(iter(kept.values()))
    table = pd.DataFrame({"id": list(source.ids)})
    if source.positions is not None:
        table["position"] = pd.Series(source.positions).astype("Int64")
    table["class"] = "" if labels is None else [classes[label] for label in labels]
    table["score"] = _spread(n, rows, first.scored.scores)
    place = np.empty(len(rows))
    place[first.order] = np.arange(1, len(rows) + 1)
    table["rank"] = pd.Series(_spread(n, rows, place)).astype("Int64")
    for name, one in {"kept": first, **{f"kept_{keep}": one for keep, one in kept.items() if len(kept) > 1}}.items():
        table[name] = 0
        table.loc[rows[one.rows], name] = 1
    table["reason"] = DUPLICATE
    table.loc[rows, "reason"] = reasons
    ids = np.array(source.ids, dtype=object)
    for name, index in (("kept_neighbour", found.neighbour), ("copy_of", found.copy_of)):
        if index is not None:
            table[name] = np.where(index >= 0, ids[index], "")
    if found.cosine is not None and found.neighbour is not None:
        table["cosine"] = np.where(found.neighbour >= 0, np.round(found.cosine, 6), np.nan)
    if found.group is not None:
        table["duplicate_group"] = pd.Series(np.where(found.group >= 0, found.group, np.nan)).astype("Int64")
    if found.suspected is not None and found.votes is not None:
        names = np.array([*classes, ""], dtype=object)
        table["suspected_class"] = names[found.suspected]
        table["votes"] = np.where(found.suspected >= 0, np.round(found.votes, 4), np.nan)
    if found.leaks is not None:
        table["reference_copy"] = [found.leaks.get(row, ("", 0.0))[0] for row in range(n)]
        table["reference_cosine"] = [
            round(found.leaks[row][1], 6) if row in found.leaks else np.nan for row in range(n)
        ]
    if source.decoded:
        table["picture_notes"] = [" ".join(source.decoded.get(row, ())) for row in range(n)]
    budgets = [name for name in map(str, table) if name == "kept" or name.removeprefix("kept_") in kept]
    return pd.concat([table, _unread(source.skipped, budgets)], ignore_index=True) if source.skipped else table


def _spread(n: int, rows: NDArray[np.int64], values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return values [n], NaN where there is none."""
    spread = np.full(n, np.nan)
    spread[rows] = values
    return spread


def _unread(skipped: Sequence[Skipped], budgets: Sequence[str]) -> pd.DataFrame:
    import pandas as pd

    texts = [f"unreadable: {one.code}: {one.reason}" for one in skipped]
    never = dict.fromkeys(budgets, 0)
    return pd.DataFrame({"id": [one.id for one in skipped], "class": "", **never, "reason": texts})
