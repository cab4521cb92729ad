"""Is the cut safe? Proof and stability of an outcome, of as many samples as they can be had for.

What takes part is decided by sizes, never by a clock: the same input gives the same pages."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from prunebench.contexts import silent
from prunebench.pruning.board_row import BoardRow, nearest_board_row
from prunebench.pruning.evidence import Evidence
from prunebench.pruning.flow import Outcome, Wanted, prune_features
from prunebench.pruning.progress import Progress, part
from prunebench.pruning.proof import FOLDS, prove
from prunebench.pruning.selecting import select
from prunebench.pruning.source import Source
from prunebench.pruning.splits import Choose
from prunebench.pruning.stability import Stability, agreement, backbone_text, stability_text
from prunebench.pruning.verdict import Proof, proof_text
from prunebench.stages.bench import Bench

SEEDS = 4  # of the method, beside the one that was asked for
ALONE = 50_000_000  # numbers in features times classes up to which a proof takes seconds
BESIDE_PICTURES = 1_000_000_000  # the same where embedding took far longer than the proof will
ANEW = 5_000  # samples up to which the choice is made anew for each split and seed


@dataclass(frozen=True, kw_only=True)
class Assurance:
    """Proof, stability under other seeds, and the nearest row of the board; None where they were not asked for, or
    cannot be had.  backbones: by the name of another backbone, how the choice on its features agrees."""

    proof: Proof | None = None
    stability: Stability | None = None
    board: BoardRow | None = None
    backbones: Mapping[str, Stability] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        """Return them for a manifest."""
        several = {name: found.as_json() for name, found in self.backbones.items()}
        one = {name: getattr(self, name) for name in ("proof", "stability", "board")}
        return {**{name: found and found.as_json() for name, found in one.items()}, "backbones": several}


def with_probabilities(outcome: Outcome, found: Assurance) -> Outcome:
    """Return the outcome with the keep probability of each sample in its ledger, where stability is known."""
    if found.stability is None:
        return outcome
    ledger = outcome.ledger.copy()
    ledger["keep_probability"] = np.nan
    ledger.loc[: len(outcome.source) - 1, "keep_probability"] = np.round(found.stability.keep_probability, 4)
    return replace(outcome, ledger=ledger)


def assure(
    bench: Bench, outcome: Outcome, wanted: Wanted, asked: bool | None, progress: Progress = silent
) -> Assurance:
    """Return what is known of the safety of a cut.  asked: True for both at any size, False for none; None for a proof
    where there are labels and it takes a tenth of the run at most, and stability of small data."""
    if asked is False:
        return Assurance()
    whole, n = outcome.whole, len(outcome.source)
    size = whole.features.shape[1] * len(whole.class_names)
    within = BESIDE_PICTURES if outcome.source.pictures is not None else ALONE
    choose, proof = chooser(bench, whole, wanted), None
    labelled = outcome.source.labels is not None and len(whole.class_names) > 1
    if labelled and (asked or n * size <= within or outcome.source.pictures is not None):
        copies = outcome.found.copy_of
        proof = prove(
            whole.features, whole.labels, len(whole.class_names),
            {keep: outcome.indices(keep) for keep in outcome.kept}, choose=choose if n <= ANEW else None,
            by_class=_by_class(bench, wanted), group=held_together(outcome.found.group, whole.labels),
            copy_of=copies if copies is not None and (copies >= 0).any() else None, class_names=whole.class_names,
            seed=wanted.method.seed, at_most=None if asked else max(ANEW, BESIDE_PICTURES // size),
            progress=part(progress, 0.0, 0.7),
        )  # fmt: skip
    stable = _stability(bench, outcome, wanted, part(progress, 0.7, 1.0)) if asked or n <= ANEW else None
    share = len(next(iter(outcome.kept.values())).rows) / n
    board = nearest_board_row(wanted.method.scorer, share, projector=wanted.method.projector)
    return Assurance(proof=proof, stability=stable, board=board)


def chooser(bench: Bench, evidence: Evidence, wanted: Wanted) -> Choose:
    """Return a function that makes the choice anew among some rows, int64, under a seed."""

    def choose(rows: NDArray[np.int64], counts: Mapping[str, int], seed: int) -> dict[str, NDArray[np.int64]]:
        method = replace(wanted.method, seed=seed)
        nobody = np.zeros(len(rows), dtype=np.bool_)
        kept, _ = select(bench, evidence.take(rows), method, wanted.choice, list(counts.values()), nobody)
        return {keep: rows[one.rows] for keep, one in zip(counts, kept, strict=True)}

    return choose


def held_together(group: NDArray[np.int64] | None, labels: NDArray[np.int64]) -> NDArray[np.int64] | None:
    """Return the groups of near-duplicates that are held out as one, int64 [n], -1 for none.

    A group that fills a good part of a class is no set of copies: held out as one, it would take the class away."""
    if group is None:
        return None
    sizes = np.bincount(group[group >= 0], minlength=1)[np.maximum(group, 0)]
    return np.where(2 * FOLDS * sizes > np.bincount(labels)[labels], -1, group)


def _by_class(bench: Bench, wanted: Wanted) -> bool:
    """Tell whether random parts are to have the class shares of the data."""
    spec = bench.catalogue.scorer(wanted.method.scorer).spec
    order = bench.catalogue.selector(wanted.choice.selector or spec.selector).spec.order
    return wanted.choice.balance == "class" or (not wanted.choice.balance and order != "all")


def _stability(bench: Bench, outcome: Outcome, wanted: Wanted, progress: Progress) -> Stability:
    """Return how the choice of the first budget agrees with those under other seeds."""
    keep = next(iter(outcome.kept))
    protected = np.isin(outcome.ledger["id"].to_numpy()[outcome.rows], wanted.protect)
    chosen, count = [outcome.indices(keep)], len(outcome.kept[keep].rows)
    for seed in range(1, SEEDS + 1):
        progress(seed / (SEEDS + 1), f"choosing again, seed {seed} of {SEEDS}")
        method = replace(wanted.method, seed=wanted.method.seed + seed)
        made, _ = select(bench, outcome.evidence, method, wanted.choice, [count], protected)
        chosen.append(outcome.rows[made[0].rows])
    labels = outcome.whole.labels if _by_class(bench, wanted) else None
    return agreement(chosen, len(outcome.source), labels)


def across(
    bench: Bench, outcome: Outcome, wanted: Wanted, others: Mapping[str, Source], progress: Progress = silent
) -> dict[str, Stability]:
    """Return how the choice of the first budget agrees with what the same would be on the features of other backbones,
    by their names."""
    place, n = {name: row for row, name in enumerate(outcome.source.ids)}, len(outcome.source)
    labels, found = outcome.whole.labels if _by_class(bench, wanted) else None, dict[str, Stability]()
    for number, (name, source) in enumerate(others.items()):
        step = part(progress, number / len(others), (number + 1) / len(others))
        other = prune_features(bench, source, replace(wanted, reference=None), step)
        rows = [place[source.ids[row]] for row in other.indices() if source.ids[row] in place]
        found[name] = agreement([outcome.indices(), np.array(rows, dtype=np.int64)], n, labels)
    return found


def texts(found: Assurance, width: int = 80) -> list[str]:
    """Return what a person should read of them, in lines of at most `width` characters."""
    told = [proof_text(found.proof, width)] if found.proof else []
    plain = [stability_text(found.stability)] if found.stability else []
    plain += [backbone_text(name, one) for name, one in found.backbones.items()]
    plain += [found.board.text()] if found.board else []
    return told + ["\n".join(textwrap.wrap(text, width, break_on_hyphens=False)) for text in plain]
