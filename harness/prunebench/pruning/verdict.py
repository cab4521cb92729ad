"""A proof, and what it says in plain words by stated rules."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from prunebench.stats.moderated import Interval

Finding = Literal["better", "worse", "as-well", "unclear"]
MARGIN = 0.01  # of accuracy: what is smaller does not matter


@dataclass(frozen=True, kw_only=True)
class WorstClass:
    """The class that a probe on the kept part knows least, and its accuracies (recall)."""

    name: str
    kept: float
    random: float
    everything: float


@dataclass(frozen=True, kw_only=True)
class ProofRow:
    """One budget: accuracies 0..1 on held-out samples, means over all splits, and paired differences.

    samples: that the budget keeps of all data.  trained_on: the mean size of the parts.  next_keep: the next larger
    budget, "" where everything is the next.  against_random, against_everything: what the differences say."""

    keep: str
    samples: int
    trained_on: float
    kept: Interval
    random: Interval
    everything: Interval
    next_keep: str
    next: Interval | None
    over_random: Interval
    over_everything: Interval
    against_random: Finding
    against_everything: Finding
    worst_class: WorstClass


@dataclass(frozen=True, kw_only=True)
class Proof:
    """What training on the kept part is worth beside random and beside everything.

    verdict: in words.  design: "repeated" (the selection is made anew without the held-out samples) or "restricted"
    (the one selection, without its held-out samples), "" where nothing was proven.  samples: that were judged.
    without_duplicates: minus everything, None where no near-duplicate was removed.  margin: the difference in accuracy
    that does not matter.  notes: what a reader has to know."""

    verdict: str
    rows: tuple[ProofRow, ...] = ()
    design: Literal["repeated", "restricted", ""] = ""
    samples: int = 0
    folds: int = 0
    repeats: int = 0
    draws: int = 0
    without_duplicates: Interval | None = None
    margin: float = MARGIN
    notes: tuple[str, ...] = ()

    def as_json(self) -> dict[str, Any]:
        """Return it as JSON-able values, of which `msgspec.convert` makes a proof again."""
        import msgspec

        found: dict[str, Any] = msgspec.to_builtins(self)
        return found


def bounds(found: Interval) -> tuple[float, float]:
    """Return the ends of an interval; all that is possible where there is none."""
    return -1.0 if found.low is None else found.low, 1.0 if found.high is None else found.high


def against_random(difference: Interval, margin: float = MARGIN) -> Finding:
    """Judge kept - random: better or worse where the interval leaves out 0, as-well where no gain above the margin is
    possible, else unclear."""
    low, high = bounds(difference)
    return "better" if low > 0 else "worse" if high < 0 else "as-well" if high <= margin else "unclear"


def against_everything(difference: Interval, margin: float = MARGIN) -> Finding:
    """Judge kept - everything: better or worse where the interval leaves out 0, as-well where no loss above the margin
    is possible, else unclear."""
    low, high = bounds(difference)
    return "better" if low > 0 else "worse" if high < 0 else "as-well" if low >= -margin else "unclear"


def only_duplicates(rows: Sequence[ProofRow], without_duplicates: Interval | None, margin: float = MARGIN) -> bool:
    """Say whether each budget is clearly worse than everything, and removing near-duplicates is not."""
    if without_duplicates is None or not all(row.against_everything == "worse" for row in rows):
        return False
    return against_everything(without_duplicates, margin) in ("as-well", "better")


def verdict(rows: Sequence[ProofRow], without_duplicates: Interval | None, margin: float = MARGIN) -> str:
    """Return what rows say, a sentence for each budget and question; without_duplicates is minus everything."""
    if all(row.against_random == row.against_everything == "unclear" for row in rows):
        widest = max(bounds(row.over_random)[1] for row in rows)
        return f"Too few samples to tell: a gain over random of up to {_points(widest)} is possible, and none is shown."
    told = []
    if only_duplicates(rows, without_duplicates, margin):
        told.append("Only the duplicates can go: every budget costs accuracy, and removing near-duplicates does not.")
    told += [f"Keep {row.keep}: {_random(row)}; {_everything(row)}." for row in rows]
    return " ".join(told)


def _random(row: ProofRow) -> str:
    low, high = bounds(row.over_random)
    return {
        "better": f"the kept part is better than random by {_range(low, high)}",
        "worse": f"worse than random: do not use this method here (it loses {_range(-high, -low)})",
        "as-well": "random does as well here: use random",
        "unclear": f"too few samples to tell it from random ({_signed(low)} to {_signed(high)} points)",
    }[row.against_random]


def _everything(row: ProofRow) -> str:
    low, high = bounds(row.over_everything)
    return {
        "better": f"it is better than everything by {_range(low, high)}",
        "worse": f"keeping everything is better by {_range(-high, -low)}",
        "as-well": f"it does as well as everything (at most {_points(max(0.0, -low))} are lost)",
        "unclear": f"too few samples to tell it from everything ({_signed(low)} to {_signed(high)} points)",
    }[row.against_everything]


def _points(value: float) -> str:
    return f"{100 * value:.1f} points"


def _signed(value: float) -> str:
    return f"{round(100 * value, 1) + 0.0:+.1f}"  # never -0.0


def _range(low: float, high: float) -> str:
    return f"{100 * low:.1f} to {_points(high)}"


def proof_text(proof: Proof, width: int = 80) -> str:
    """Return the verdict, the numbers in percent and the notes, in lines of at most `width` characters: one table where
    it fits, else one line for each number."""
    lines = _wrapped(proof.verdict, width)
    if proof.rows:
        cells = [_cells(row) for row in proof.rows]
        wide = _table([_HEAD, *cells])
        narrow = [f"{name}: {value}" for row in cells for name, value in zip(_HEAD, row, strict=True)]
        lines += ["", *(wide if max(map(len, wide)) <= width else narrow), ""]
        for row in proof.rows:
            worst = row.worst_class
            recall = (
                f"{_percent(worst.kept)} (random {_percent(worst.random)}, everything {_percent(worst.everything)})"
            )
            lines += _wrapped(f"Keep {row.keep}, class known least: {worst.name}, {recall}.", width)
        if proof.without_duplicates is not None:
            lines += _wrapped(f"Without near-duplicates - everything: {_spread(proof.without_duplicates)}.", width)
        times = f", {proof.repeats} times" if proof.repeats > 1 else ""
        how = f"Accuracy in percent on {proof.samples:,} samples in {proof.folds} folds{times}; 95 % intervals."
        lines += _wrapped(how, width)
    return "\n".join(lines + [line for note in proof.notes for line in _wrapped(f"Note: {note}.", width)])


_HEAD = ("keep", "kept", "random", "next", "everything", "kept - random", "kept - everything")


def _cells(row: ProofRow) -> tuple[str, ...]:
    more = "" if row.next is None else f"{_percent(row.next.mean)} ({row.next_keep})"
    means = [_percent(found.mean) for found in (row.kept, row.random)]
    return (row.keep, *means, more or "-", _percent(row.everything.mean), _spread(row.over_random),
            _spread(row.over_everything))  # fmt: skip


def _percent(value: float) -> str:
    return f"{100 * value:.1f}"


def _spread(found: Interval) -> str:
    low, high = bounds(found)
    return f"{_signed(found.mean)} [{_signed(low)}, {_signed(high)}]"


def _table(rows: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["  ".join(cell.rjust(size) for cell, size in zip(row, widths, strict=True)) for row in rows]


def _wrapped(text: str, width: int) -> list[str]:
    return textwrap.wrap(text, max(10, width), break_long_words=True, break_on_hyphens=False) or [""]
