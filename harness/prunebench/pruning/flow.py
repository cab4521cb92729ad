"""From samples and features to what is kept: near-duplicates, scores, budgets, neighbours, in the order data flow."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from prunebench.contexts import silent
from prunebench.describe import counted
from prunebench.errors import DataError, UsageError, did_you_mean
from prunebench.pruning.cells import inverse
from prunebench.pruning.choose import check_budgets
from prunebench.pruning.evidence import Evidence
from prunebench.pruning.ledger import Findings, make_ledger
from prunebench.pruning.likeness import Likeness
from prunebench.pruning.neighbours import id_order
from prunebench.pruning.progress import Part, Progress, part
from prunebench.pruning.scoring import Method, expected_seconds, head
from prunebench.pruning.search import Search
from prunebench.pruning.selecting import Choice, Kept, select
from prunebench.pruning.source import Source
from prunebench.pruning.votes import label_votes
from prunebench.stages.bench import Bench
from prunebench.stages.heads import READ_PREDICTIONS

if TYPE_CHECKING:
    import pandas as pd

VOTERS = 15
DUPLICATE_COSINE = 0.95  # at which near-duplicates are told where none are to be removed


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """What to keep and how: all that decides the result beside the data.

    keep: budgets as they are written, such as "0.1" or "500"; the first is that of most columns of the ledger.
    protect: ids that are always kept, and count.  drop_duplicates: cosine from which samples are near-duplicates, of
    which one stays, or None.  clusters: number of pseudo-classes for data without labels, or None.  reference: samples
    such as a test set, of which near-duplicates are told, with features by the same network.
    search: how neighbours over all classes are searched."""

    keep: tuple[str, ...]
    method: Method
    choice: Choice = field(default_factory=Choice)
    protect: tuple[str, ...] = ()
    drop_duplicates: float | None = None
    clusters: int | None = None
    reference: Source | None = None
    search: Search = "auto"


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What came of it: the ledger, and for each budget the rows of the source that are kept, int64, sorted.

    whole: the evidence of all samples; evidence: that which the method read, of the samples `rows` of the source (all
    but removed near-duplicates).  found: what else is known of all samples.  nested: whether smaller budgets are inside
    larger ones.  notes: what a reader has to know, one sentence each.  like: how neighbours were searched.
    reference: the samples that these were compared with."""

    source: Source
    whole: Evidence
    evidence: Evidence
    found: Findings
    rows: NDArray[np.int64]
    kept: Mapping[str, Kept]
    ledger: pd.DataFrame
    nested: bool
    notes: tuple[str, ...]
    like: Likeness
    reference: Source | None = None

    def indices(self, keep: str = "") -> NDArray[np.int64]:
        """Return the kept rows of the source at a budget as it was written, by default the first."""
        return np.sort(self.rows[self.kept[keep or next(iter(self.kept))].rows])


def prune_features(bench: Bench, source: Source, wanted: Wanted, progress: Progress = silent) -> Outcome:
    """Choose what to keep of samples with features.  Raises UsageError for what these data cannot have, DataError for
    features that no method can read."""
    evidence, notes = _evidence(source, wanted.clusters)
    every = evidence
    protected = _protected(source, wanted.protect)
    budgets = check_budgets(wanted.keep, len(source), int(protected.sum()))
    progress(0.05, "looking for near-duplicates")
    cosine = wanted.drop_duplicates or DUPLICATE_COSINE
    like = Likeness(bench.store, evidence, wanted.search)
    group, stays = _duplicates(like, cosine, protected, part(progress, 0.05, 0.3))
    rows = np.arange(len(source))
    if wanted.drop_duplicates is not None:
        rows = np.flatnonzero(stays == rows)
        evidence = evidence.take(rows)
        notes += (f"{len(source) - len(rows)} near-duplicates were removed first (cosine {cosine:g})",)
        if (least := min(budgets.values())) > len(rows):
            notes += (f"without near-duplicates {len(rows)} samples are left, fewer than the budget of {least}",)
    else:
        stays = rows
    counts = [min(count, len(rows)) for count in budgets.values()]
    found_kept, nested, told = _chosen(bench, evidence, wanted, counts, protected[rows], part(progress, 0.3, 0.8))
    kept, notes = dict(zip(budgets, found_kept, strict=True)), notes + told
    progress(0.8, "looking for neighbours")
    first = found_kept[0]
    findings = _findings(like, source, rows[first.rows], group, stays, part(progress, 0.8, 0.95))
    if wanted.reference is not None:
        findings = replace(findings, leaks=_leaks(like, wanted.reference, cosine))
        share = f"{len(findings.leaks or ()):,} of {len(source):,} samples"
        notes += (f"{share} are near-duplicates of a sample of {wanted.reference.title} (cosine {cosine:g})",)
    labels = every.labels if every.labelled else None
    ledger = make_ledger(source, rows, kept, first.reasons(protected[rows]), findings, every.class_names, labels)
    return Outcome(
        source=source, whole=every, evidence=evidence, found=findings, rows=rows, kept=kept, ledger=ledger,
        nested=nested, notes=(*source.notes, *source.remarks(), *notes, *like.notes()), like=like,
        reference=wanted.reference,
    )  # fmt: skip


def _chosen(
    bench: Bench, evidence: Evidence, wanted: Wanted, counts: Sequence[int], protected: NDArray[np.bool_],
    progress: Part,
) -> tuple[list[Kept], bool, tuple[str, ...]]:  # fmt: skip
    """Return what each budget keeps, whether smaller ones are inside larger ones, and what to know of it."""
    what = f"scoring by {wanted.method.scorer}"
    progress(0.0, what)
    if seconds := expected_seconds(bench, evidence, wanted.method, max(counts)):
        progress.expect(what, seconds)

    def told(fraction: float, text: str = "") -> None:
        progress(fraction, f"{what}: {text}" if text else what)

    bench = replace(bench, progress=told)
    found, nested = select(bench, evidence, wanted.method, wanted.choice, counts, protected)
    notes = tuple(dict.fromkeys(one.scored.caveat for one in found if one.scored.caveat))
    if READ_PREDICTIONS & bench.catalogue.scorer(wanted.method.scorer).spec.needs:
        right = f"right on {head(bench.store, evidence).accuracy:.0%} of the samples, none of which it saw"
        notes += (f"class predictions are of a head that was fitted on the features, {right}",)
    if not nested and len(counts) > 1:
        notes += ("the method chooses each budget anew: a smaller one need not be inside a larger one",)
    return found, nested, notes


def _evidence(source: Source, clusters: int | None) -> tuple[Evidence, tuple[str, ...]]:
    features = source.features
    if features is None or not len(source):
        raise DataError(f"{source.title} has no sample to score", "look at what was skipped, and why")
    if bad := int((~np.isfinite(features)).any(axis=1).sum()):
        raise DataError(
            f"{bad:,} of {len(source):,} feature vectors hold NaN or infinity", "remove or mend these samples"
        )
    ties = _ties(source)
    if source.labels is not None:
        if clusters is not None:
            raise UsageError("the data have labels, and pseudo-classes were asked for", "leave --clusters out")
        return Evidence(features=features, labels=source.labels, class_names=source.class_names, ties=ties), ()
    if clusters is None:
        labels = np.zeros(len(source), dtype=np.int64)
        return Evidence(features=features, labels=labels, class_names=("all",), labelled="", ties=ties), ()
    labels = _clustered(features, clusters)
    names = tuple(f"cluster {number}" for number in range(int(labels.max()) + 1))
    note = f"classes are {counted(len(names), 'cluster')} of the features, not labels"
    return Evidence(features=features, labels=labels, class_names=names, labelled="clusters", ties=ties), (note,)


def _ties(source: Source) -> NDArray[np.int64] | None:
    """Return the samples in the order of their ids, int64 [n], None where this is that of the rows, or ids are rows."""
    if source.positions is not None and source.ids == tuple(map(str, source.positions.tolist())):
        return None
    order = id_order(source.ids)
    return None if (order == np.arange(len(order))).all() else order


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


def _duplicates(
    like: Likeness, cosine: float, protected: NDArray[np.bool_], progress: Progress
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the group of near-duplicates of each sample, -1 for none, and the sample that stays in its place, itself
    for one that stays; both int64 [n].

    A copy in another class is a doubt about a label and no spare: one sample stays for each class of a group, the first
    in the order of the evidence.  Protected samples stay, and stand for others."""
    from prunebench.pruning.kernels import lead

    evidence, group = like.evidence, like.duplicates(cosine, progress)
    rank = inverse(evidence.order, len(evidence))
    stays, cosines = np.arange(len(group)), np.ones(len(group), dtype=np.float32)
    members = np.flatnonzero(group >= 0)
    members = members[np.lexsort((rank[members], ~protected[members], evidence.labels[members], group[members]))]
    sets = np.stack([group[members], evidence.labels[members]])
    changes = np.flatnonzero((np.diff(sets, axis=1) != 0).any(axis=0)) + 1
    starts = np.array([0, *changes, len(members)]) if len(members) else np.zeros(1, dtype=np.int64)
    lead(evidence.features, members, starts, cosine, stays, cosines)
    return group, np.where(protected, np.arange(len(group)), stays)


def _findings(
    like: Likeness, source: Source, kept: NDArray[np.int64], group: NDArray[np.int64], stays: NDArray[np.int64],
    progress: Progress,
) -> Findings:  # fmt: skip
    """Return what is known of each sample of the source; `kept` are rows of it."""
    neighbour, cosine = like.kept(kept, part(progress, 0, 0.5))
    dropped = np.ones(len(source), dtype=np.bool_)
    dropped[kept] = False
    suspected = votes = None
    if source.labels is not None and len(source.class_names) > 1:
        found = label_votes(like.neighbours(VOTERS, part(progress, 0.5, 1)), source.labels, group)
        suspected, votes = np.where(found.suspected, found.voted, -1), found.share
    return Findings(
        group=group, copy_of=np.where(stays == np.arange(len(stays)), -1, stays), suspected=suspected, votes=votes,
        neighbour=np.where(dropped, neighbour, -1), cosine=cosine,
    )  # fmt: skip


def _leaks(like: Likeness, reference: Source, cosine: float) -> dict[int, tuple[str, float]]:
    """Return for each row that nearly equals a reference sample the id of the most similar one, and the cosine."""
    if reference.features is None or not len(reference):
        raise DataError(f"{reference.title} has no sample to compare with", "look at what was skipped, and why")
    if (d := like.evidence.features.shape[1]) != (other := reference.features.shape[1]):
        text = f"features of the data have {d} dimensions, and those of {reference.title} {other}"
        raise DataError(text, "compute both with the same network")
    found = like.leaks(reference.features, cosine)
    pairs = zip(*(found[name].tolist() for name in ("train", "reference", "cosines")), strict=True)
    return {row: (reference.ids[other], cosine) for row, other, cosine in pairs}
