"""Does training on the kept part do as well?  A linear probe on held-out samples says so, with intervals.

Each sample is held out once in a repeat, and a probe is trained on parts of the other folds alone: on what is kept, on
random parts of the same size, on the next larger budget, and on everything.  All of them judge the same held-out
samples, so differences are paired.  A selection that saw all samples could have been led by those held out, so it is
made anew inside the training folds of each split wherever that can be paid for (design "repeated"; it is given as
`choose`).  Otherwise the one selection is restricted to the training folds and compared with random parts of the size
that is left (design "restricted"): no sample is trained on and judged, but the choice of the others knew it, which
flatters the method a little, most where scores come from labels.  Near-duplicates are held out together.

The penalty of a probe is one of three, chosen for each kind of part by probes of four fifths of it that judge a fifth
of the training folds, in all splits of the first repeat together: samples that are far out want a weaker penalty than
typical ones, and no kind of part is to lose for that.

All parts, everything too, are (folds - 1) / folds of what you would train on: accuracies are a little low, and
differences are between equals.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from prunebench.contexts import silent
from prunebench.pruning.probe import PRIORS, Fits, standardised, threads_for
from prunebench.pruning.splits import (
    BEYOND,
    EVERYTHING,
    NO_COPIES,
    Arm,
    Arms,
    Choose,
    Ints,
    Judged,
    sample,
    splits,
    units_of,
)
from prunebench.pruning.verdict import (
    MARGIN,
    Proof,
    ProofRow,
    WorstClass,
    against_everything,
    against_random,
    verdict,
)
from prunebench.stats.moderated import Interval
from prunebench.stats.resampled import corrected_interval

FOLDS, DRAWS, MIN_SAMPLES = 5, 3, 30


@dataclass
class _Tally:
    """Accuracy of each split, and right answers of each class, of one arm."""

    accuracy: list[float] = field(default_factory=list)
    trained_on: list[float] = field(default_factory=list)
    right: Any = 0.0  # float64 [n_classes] once a split was judged


def prove(
    features: NDArray[np.floating],
    labels: Ints,
    n_classes: int,
    kept: Mapping[str, Ints],
    *,
    choose: Choose | None = None,
    beyond: Ints | None = None,
    by_class: bool = True,
    group: Ints | None = None,
    copy_of: Ints | None = None,
    class_names: Sequence[str] = (),
    seed: int = 0,
    folds: int = FOLDS,
    repeats: int | None = None,
    draws: int = DRAWS,
    at_most: int | None = None,
    margin: float = MARGIN,
    fits: Fits | None = None,
    progress: Callable[[float, str], None] = silent,
) -> Proof:
    """Compare a probe trained on what is kept with one on random parts, on more, and on everything.

    features: floating [n, d].  labels: int64 [n].  kept: rows int64 by budget.  choose: (rows int64, number to keep by
    budget, seed) to the kept ones of these rows by budget; None restricts `kept` instead.  beyond: what twice the
    largest budget keeps; without it, `choose` is asked for it.  by_class: whether random parts have the class shares of
    the data, as those of the method do.  group: int64 [n], near-duplicates that are held out together, -1 for none;
    copy_of: int64 [n], the row in whose place a removed near-duplicate was, -1 for none: only "everything" trains on
    these, and none is judged.  repeats: of the folds, by default as `usual_repeats` says.  draws: random parts of each
    split.  at_most: number of samples, drawn by class, that take part.  fits: what earlier proofs of the same features,
    labels, copies, `at_most` and seed fitted, which is not fitted again.

    Intervals are 95 % of the corrected resampled t (Nadeau and Bengio 2003), see `corrected_interval`.  The result has
    no rows, and a verdict that says so, where there is one class or too little.  Raises DataError where `choose`
    returns what it was not given."""
    if n_classes < 2 or len(np.unique(labels)) < 2:
        return Proof(verdict="Nothing to prove: there is one class.", margin=margin)
    drawn = sample(labels, copy_of, at_most, seed)
    spare = np.zeros(len(labels), dtype=np.bool_) if copy_of is None else copy_of >= 0
    judged = int((~spare[drawn]).sum())
    least = min(int(np.isin(rows, drawn).sum()) for rows in kept.values())
    if judged < MIN_SAMPLES or least < folds:
        text = f"Too few samples to tell: {judged} take part and a budget keeps {least} of them"
        return Proof(verdict=f"{text}; {MIN_SAMPLES} and {folds} are needed.", margin=margin)
    data = Judged(
        rows=drawn, features=standardised(features[drawn] if len(drawn) < len(labels) else features),
        labels=labels[drawn], units=units_of(group, copy_of, len(labels))[drawn], copies=spare[drawn],
        n_classes=n_classes,
    )  # fmt: skip
    wanted = kept if beyond is None else {**kept, BEYOND: beyond}
    inside = {keep: np.flatnonzero(np.isin(drawn, rows)) for keep, rows in wanted.items()}
    repeats = repeats or usual_repeats(judged)
    parted = list(splits(data, inside, folds, repeats, seed, restricted=choose is None))
    tallies, unsolved = _tallies(Arms(data, inside, choose, by_class, draws, seed), parted,
                                 folds if repeats > 1 else 1, Fits() if fits is None else fits, progress)  # fmt: skip
    told = _Rows(tallies, {keep: len(rows) for keep, rows in kept.items()},
                 np.bincount(data.labels[~data.copies], minlength=n_classes) * repeats,
                 folds, judged, margin, tuple(class_names) or tuple(map(str, range(n_classes))))  # fmt: skip
    rows = told.rows()
    lost = told.difference(NO_COPIES, EVERYTHING) if data.copies.any() else None
    return Proof(
        verdict=verdict(rows, lost, margin), rows=rows, design="restricted" if choose is None else "repeated",
        samples=judged, folds=folds, repeats=repeats, draws=draws, without_duplicates=lost, margin=margin,
        notes=_notes(judged, int((~spare).sum()), folds, unsolved, choose is None),
    )  # fmt: skip


def usual_repeats(n: int) -> int:
    """Return how often n samples are held out: 4 times below 5,000, twice below 20,000, else once."""
    return 4 if n < 5_000 else 2 if n < 20_000 else 1


def _tallies(
    arms: Arms, parted: Sequence[tuple[Ints, Ints]], n_tuned: int, fits: Fits, progress: Callable[[float, str], None]
) -> tuple[dict[Arm, _Tally], int]:
    """Return what each arm is worth, and how many fits did not converge; the first splits choose the penalties."""
    data, n_classes = arms.data, arms.data.n_classes
    made = [arms.of(train, number) for number, (train, _) in enumerate(parted[:n_tuned])]
    with threads_for(n_classes):
        priors = _priors(fits, data, made, [arms.validation(train) for train, _ in parted[:n_tuned]])
    tallies: dict[Arm, _Tally] = {}
    unsolved = 0
    for number, (train, test) in enumerate(parted):
        progress(number / len(parted), f"proof, split {number + 1} of {len(parted)}")
        parts_of = made[number] if number < n_tuned else arms.of(train, number)
        with threads_for(n_classes):
            for arm, parts in parts_of.items():
                unsolved += _judge(fits, data, parts, test, priors[arm], tallies.setdefault(arm, _Tally()))
    return tallies, unsolved


def _priors(
    fits: Fits, data: Judged, made: Sequence[Mapping[Arm, Sequence[Ints]]], validation: Sequence[Ints]
) -> dict[Arm, float]:
    """Return the prior of each arm: the middle one, unless probes with another, of the parts without the validation
    samples, are right about more of these than chance explains, the root of how many the middle one gets wrong."""
    right: dict[Arm, Ints] = {}
    for parts_of, held in zip(made, validation, strict=True):
        for arm, parts in parts_of.items():
            some = np.setdiff1d(parts[0], held)
            each = [fits.right(data.features, data.labels, some, held, prior)[0].sum() for prior in PRIORS]
            found = np.array(each, dtype=np.int64)
            right[arm] = right[arm] + found if arm in right else found
    judged = sum(map(len, validation))
    return {arm: PRIORS[_best(found, judged)] for arm, found in right.items()}


def _best(right: Ints, judged: int) -> int:
    best = int(right.argmax())
    return best if right[best] - right[1] > math.sqrt(judged - right[1]) else 1


def _judge(fits: Fits, data: Judged, parts: Sequence[Ints], test: Ints, prior: float, tally: _Tally) -> int:
    """Train on each part, judge the held-out samples, and note the mean; return how many fits did not converge."""
    right, unsolved = np.zeros(len(test)), 0
    for rows in parts:
        found, converged = fits.right(data.features, data.labels, rows, test, prior)
        right += found
        unsolved += not converged
    right /= len(parts)
    tally.accuracy.append(float(right.mean()))
    tally.trained_on.append(float(np.mean([len(rows) for rows in parts])))
    tally.right = tally.right + np.bincount(data.labels[test], right, data.n_classes)
    return unsolved


@dataclass(frozen=True)
class _Rows:
    """From tallies to rows."""

    tallies: Mapping[Arm, _Tally]
    sizes: Mapping[str, int]
    class_sizes: Ints  # judged over all repeats
    folds: int
    samples: int
    margin: float
    names: tuple[str, ...]

    def accuracy(self, arm: Arm) -> Interval:
        return corrected_interval(self.tallies[arm].accuracy, self.folds, self.samples)

    def difference(self, arm: Arm, other: Arm) -> Interval:
        pairs = zip(self.tallies[arm].accuracy, self.tallies[other].accuracy, strict=True)
        return corrected_interval([one - two for one, two in pairs], self.folds, self.samples)

    def rows(self) -> tuple[ProofRow, ...]:
        order = sorted(self.sizes, key=lambda keep: self.sizes[keep])
        return tuple(self._row(keep, (*order, BEYOND)[order.index(keep) + 1]) for keep in self.sizes)

    def _row(self, keep: str, following: str) -> ProofRow:
        kept, random, everything = ("kept", keep), ("random", keep), EVERYTHING
        over_random, over_everything = self.difference(kept, random), self.difference(kept, everything)
        more = ("kept", following)
        return ProofRow(
            keep=keep, samples=self.sizes[keep], trained_on=float(np.mean(self.tallies[kept].trained_on)),
            kept=self.accuracy(kept), random=self.accuracy(random), everything=self.accuracy(everything),
            next_keep=following if more in self.tallies else "",
            next=self.accuracy(more) if more in self.tallies else None,
            over_random=over_random, over_everything=over_everything,
            against_random=against_random(over_random, self.margin),
            against_everything=against_everything(over_everything, self.margin),
            worst_class=self._worst([kept, random, everything]),
        )  # fmt: skip

    def _worst(self, arms: Sequence[Arm]) -> WorstClass:
        share: list[Any] = [self.tallies[arm].right / np.maximum(self.class_sizes, 1) for arm in arms]
        worst = int(np.where(self.class_sizes > 0, share[0], np.inf).argmin())
        kept, random, everything = (float(one[worst]) for one in share)
        return WorstClass(name=self.names[worst], kept=kept, random=random, everything=everything)


def _notes(judged: int, all_samples: int, folds: int, unsolved: int, restricted: bool) -> tuple[str, ...]:
    notes = [f"each part, everything too, is {folds - 1}/{folds} of what you would train on"]
    if restricted:
        notes.append("the selection knew the samples it is judged by, though none was trained on: a little flattering")
    else:
        notes.append("the selection was made anew in each split, without the samples it is judged by")
    if judged < all_samples:
        notes.append(f"{judged:,} of {all_samples:,} samples, drawn by class, take part")
    if unsolved:
        notes.append(f"{unsolved} probes stopped before they converged")
    return tuple(notes)
