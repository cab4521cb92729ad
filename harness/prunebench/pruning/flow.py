"""From samples and features to what is kept: near-duplicates, scores, budgets, neighbours, in the order data flow."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from prunebench.contexts import silent
from prunebench.errors import DataError, UsageError, did_you_mean
from prunebench.pruning.choose import check_budgets
from prunebench.pruning.evidence import Evidence
from prunebench.pruning.ledger import Findings, make_ledger
from prunebench.pruning.neighbours import label_votes, near_duplicates, nearest_kept
from prunebench.pruning.scoring import Method
from prunebench.pruning.selecting import Choice, Kept, select
from prunebench.pruning.source import Source
from prunebench.stages.bench import Bench

if TYPE_CHECKING:
    import pandas as pd

VOTERS = 15
_SUSPECT = 0.6  # of the neighbours have another class


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """What to keep and how: all that decides the result beside the data.

    keep: budgets as they are written, such as "0.1" or "500"; the first is that of most columns of the ledger.
    protect: ids that are always kept, and count.  drop_duplicates: cosine from which samples are near-duplicates, of
    which one stays, or None.  clusters: number of pseudo-classes for data without labels, or None."""

    keep: tuple[str, ...]
    method: Method
    choice: Choice = field(default_factory=Choice)
    protect: tuple[str, ...] = ()
    drop_duplicates: float | None = None
    clusters: int | None = None


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What came of it: the ledger, and for each budget the rows of the source that are kept, int64, sorted.

    evidence: what methods read, of the samples `rows` of the source (all but removed near-duplicates).  nested: whether
    smaller budgets are inside larger ones.  notes: what a reader has to know, one sentence each."""

    source: Source
    evidence: Evidence
    rows: NDArray[np.int64]
    kept: Mapping[str, Kept]
    ledger: pd.DataFrame
    nested: bool
    notes: tuple[str, ...]

    def indices(self, keep: str = "") -> NDArray[np.int64]:
        """Return the kept rows of the source at a budget as it was written, by default the first."""
        return np.sort(self.rows[self.kept[keep or next(iter(self.kept))].rows])


def prune_features(
    bench: Bench, source: Source, wanted: Wanted, progress: Callable[[float, str], None] = silent
) -> Outcome:
    """Choose what to keep of samples with features.  Raises UsageError for what these data cannot have, DataError for
    features that no method can read."""
    evidence, notes = _evidence(source, wanted.clusters)
    protected = _protected(source, wanted.protect)
    budgets = check_budgets(wanted.keep, len(source), int(protected.sum()))
    group = copy_of = None
    rows = np.arange(len(source))
    if wanted.drop_duplicates is not None:
        progress(0.1, "looking for near-duplicates")
        found = near_duplicates(evidence.features, wanted.drop_duplicates)
        group, copy_of = found.group, _copies(found.group, evidence.labels, protected)
        rows = np.flatnonzero(copy_of < 0)
        evidence = evidence.take(rows)
        notes += (
            f"{len(source) - len(rows)} near-duplicates were removed first (cosine {wanted.drop_duplicates:g})",
        )
        if (least := min(budgets.values())) > len(rows):
            notes += (f"without near-duplicates {len(rows)} samples are left, fewer than the budget of {least}",)
    counts = [min(count, len(rows)) for count in budgets.values()]
    progress(0.3, f"scoring by {wanted.method.scorer}")
    found_kept, nested = select(bench, evidence, wanted.method, wanted.choice, counts, protected[rows])
    kept = dict(zip(budgets, found_kept, strict=True))
    notes += tuple(dict.fromkeys(one.scored.caveat for one in found_kept if one.scored.caveat))
    if not nested and len(budgets) > 1:
        notes += ("the method chooses each budget anew: a smaller one need not be inside a larger one",)
    progress(0.8, "looking for neighbours")
    first = found_kept[0]
    findings = _findings(source, rows[first.rows], group, copy_of)
    labels = source.labels if source.labels is not None else evidence.labels if wanted.clusters else None
    names = source.class_names if source.labels is not None else evidence.class_names
    ledger = make_ledger(source, rows, kept, first.reasons(protected[rows]), findings, names, labels)
    return Outcome(
        source=source, evidence=evidence, rows=rows, kept=kept, ledger=ledger, nested=nested, notes=source.notes + notes
    )


def _evidence(source: Source, clusters: int | None) -> tuple[Evidence, tuple[str, ...]]:
    features = source.features
    if features is None or not len(source):
        raise DataError(f"{source.title} has no sample to score", "look at what was skipped, and why")
    if bad := int((~np.isfinite(features)).any(axis=1).sum()):
        raise DataError(f"{bad} of {len(source)} feature vectors hold NaN or infinity", "remove or mend these samples")
    if source.labels is not None:
        if clusters is not None:
            raise UsageError("the data have labels, and pseudo-classes were asked for", "leave --clusters out")
        return Evidence(features=features, labels=source.labels, class_names=source.class_names), ()
    if clusters is None:
        labels = np.zeros(len(source), dtype=np.int64)
        return Evidence(features=features, labels=labels, class_names=("all",), labelled=""), ()
    labels = _clustered(features, clusters)
    names = tuple(f"cluster {number}" for number in range(int(labels.max()) + 1))
    note = f"the {len(names)} classes are clusters of the features, not labels"
    return Evidence(features=features, labels=labels, class_names=names, labelled="clusters"), (note,)


def _clustered(features: NDArray[np.float32], clusters: int) -> NDArray[np.int64]:
    """Return pseudo-classes int64 [n], from 0, none empty: k-means on features of unit length."""
    from sklearn.cluster import MiniBatchKMeans
    from sklearn.preprocessing import normalize

    if clusters > len(features):
        raise UsageError(f"{clusters} clusters of {len(features)} samples", "ask for fewer")
    found = MiniBatchKMeans(clusters, random_state=0, n_init=3, batch_size=4096).fit_predict(normalize(features))
    labels: NDArray[np.int64] = np.unique(found, return_inverse=True)[1].astype(np.int64)
    return labels


def _protected(source: Source, protect: Sequence[str]) -> NDArray[np.bool_]:
    place = {name: row for row, name in enumerate(source.ids)}
    mask = np.zeros(len(source), dtype=np.bool_)
    if unknown := [name for name in protect if name not in place]:
        text = f"{len(unknown)} of {len(protect)} protected ids are not in the data, such as {unknown[0]!r}"
        raise UsageError(text, did_you_mean(unknown[0], source.ids[:10_000]))
    mask[[place[name] for name in protect]] = True
    return mask


def _copies(group: NDArray[np.int64], labels: NDArray[np.int64], protected: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Return for each sample the row that stays in its place, -1 where it stays itself, int64 [n].

    Of each group one sample of each class stays, since a copy in another class is a doubt about a label and no spare:
    a protected one, else the first of the input; all protected ones stay."""
    n = len(group)
    copy_of = np.full(n, -1, dtype=np.int64)
    members = np.flatnonzero(group >= 0)
    members = members[np.lexsort((members, ~protected[members], labels[members], group[members]))]
    pair = np.stack([group[members], labels[members]])
    starts = np.flatnonzero(np.concatenate([[True], (pair[:, 1:] != pair[:, :-1]).any(axis=0)])) if len(members) else []
    heads = np.repeat(members[starts], np.diff([*starts, len(members)])) if len(members) else members
    spare = (members != heads) & ~protected[members]
    copy_of[members[spare]] = heads[spare]
    return copy_of


def _findings(
    source: Source, kept: NDArray[np.int64], group: NDArray[np.int64] | None,
    copy_of: NDArray[np.int64] | None,
) -> Findings:  # fmt: skip
    """Return what is known of each sample of the source; `kept` are rows of it."""
    assert source.features is not None
    neighbour, cosine = nearest_kept(source.features, kept, labels=source.labels)
    suspected = votes = None
    if source.labels is not None and len(source.class_names) > 1:
        voted, votes = label_votes(source.features, source.labels, min(VOTERS, len(source) - 1))
        suspected = np.where((voted != source.labels) & (votes >= _SUSPECT), voted, -1)
    dropped = np.ones(len(source), dtype=np.bool_)
    dropped[kept] = False
    return Findings(
        group=group, copy_of=copy_of, neighbour=np.where(dropped, neighbour, -1), cosine=cosine, suspected=suspected,
        votes=votes,
    )  # fmt: skip
