"""Cells gathered into entries: one method at one budget, with an accuracy for each seed."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from decimal import Decimal

from prunebench.errors import UsageError
from prunebench.leaderboard.cells import FAILURES, Cell, Entrant, Section, Training, plain_decimal

UNPRUNED, BASELINE = "unpruned", "baseline"


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One row before its statistics.

    values, best: seed to accuracy, where every scoring backbone of the row finished.  expected: the seeds that
    the section has for this training.  cells: all cells of the row, finished or not.
    """

    section: Section
    entrant: Entrant
    role: str
    training: Training
    keep: str
    score_backbone: str
    expected: tuple[int, ...]
    cells: tuple[Cell, ...]
    values: dict[int, float] = field(default_factory=dict)
    best: dict[int, float] = field(default_factory=dict)
    n_backbones: int = 1

    @property
    def complete(self) -> bool:
        return bool(self.expected) and len(self.values) == len(self.expected)

    @property
    def ranked(self) -> bool:
        """Whether the row takes part in ranks and correlations."""
        quarantined = any(cell.quarantined for cell in self.cells)
        return self.complete and not quarantined and not self.section.partial and self.role != UNPRUNED

    @property
    def n_failed(self) -> int:
        return sum(cell.status in FAILURES for cell in self.cells)

    @property
    def declined(self) -> bool:
        """Whether a method declined the input: a hole, and no fault."""
        return any(cell.status == "not_applicable" for cell in self.cells)

    @property
    def reason(self) -> str:
        """Why cells of this row hold no accuracy, most frequent reason first."""
        counts: dict[str, int] = defaultdict(int)
        for cell in self.cells:
            if cell.status != "ok":
                counts[f"{cell.status}: {cell.reason}" if cell.reason else cell.status] += 1
        absent = len(self.expected) * self.n_backbones - len(self.cells)
        if absent > 0:
            counts["not run"] += absent
        return "; ".join(f"{text} ({n})" for text, n in sorted(counts.items(), key=lambda item: (-item[1], item[0])))


def _by_seed(cells: Sequence[Cell], backbones: Sequence[str], attribute: str) -> dict[int, float]:
    """Return the mean over backbones by seed, for the seeds at which every backbone has the value."""
    values: dict[int, list[float]] = defaultdict(list)
    for cell in cells:
        value = getattr(cell, attribute)
        if value is not None:
            values[cell.seed].append(value)
    return {seed: math.fsum(sorted(v)) / len(v) for seed, v in sorted(values.items()) if len(v) == len(backbones)}


def _entry(slot: Entry, cells: Sequence[Cell], backbones: Sequence[str], label: str) -> Entry:
    chosen = [cell for cell in cells if cell.score_backbone in backbones]
    return Entry(
        section=slot.section,
        entrant=slot.entrant,
        role=slot.role,
        training=slot.training,
        keep=slot.keep,
        expected=slot.expected,
        score_backbone=label,
        cells=tuple(chosen),
        values=_by_seed(chosen, backbones, "accuracy"),
        best=_by_seed(chosen, backbones, "accuracy_best"),
        n_backbones=len(backbones),
    )


def _entries_of_slot(slot: Entry, cells: Sequence[Cell], backbones: Sequence[str]) -> list[Entry]:
    """Return a row a scoring backbone and their mean; a single row for a method that needs none."""
    if list(backbones) == ["-"]:
        return [_entry(slot, cells, backbones, "-")]
    single = [_entry(slot, cells, [backbone], backbone) for backbone in backbones]
    return [_entry(slot, cells, backbones, "mean"), *single]


def _section_entries(section: Section, cells: Sequence[Cell]) -> list[Entry]:
    """Return the full grid of one section: every method at every budget and training, run or not."""
    keeps = sorted({cell.keep for cell in cells if cell.role != UNPRUNED}, key=Decimal, reverse=True)
    by_slot: dict[tuple[Entrant, Training, str], list[Cell]] = defaultdict(list)
    backbones: dict[tuple[Entrant, Training], set[str]] = defaultdict(set)
    roles: dict[Entrant, str] = {}
    for cell in cells:
        by_slot[cell.entrant, cell.training, cell.keep].append(cell)
        backbones[cell.entrant, cell.training].add(cell.score_backbone)
        roles[cell.entrant] = min(cell.role, roles.get(cell.entrant, cell.role))
    entries = []
    for training in sorted({cell.training for cell in cells}):
        expected = tuple(sorted({cell.seed for cell in cells if cell.training == training}))
        for entrant, role in sorted(roles.items()):
            used = sorted(backbones[entrant, training]) or ["-"]
            for keep in ["1"] if role == UNPRUNED else keeps:
                slot = Entry(
                    section=section,
                    entrant=entrant,
                    role=role,
                    training=training,
                    keep=plain_decimal(keep),
                    score_backbone="",
                    expected=expected,
                    cells=(),
                )
                entries += _entries_of_slot(slot, by_slot[entrant, training, keep], used)
    return entries


def build_grid(cells: Sequence[Cell], missing: str) -> list[Entry]:
    """Return the entries of all sections under the policy for missing cells.

    "show": incomplete rows stay as holes and take no rank; "drop": they are left out; "error": UsageError
    names them, except where a method declined the input or the run was partial by wish.
    """
    by_section: dict[Section, list[Cell]] = defaultdict(list)
    for cell in cells:
        by_section[cell.section].append(cell)
    entries = [entry for section in sorted(by_section) for entry in _section_entries(section, by_section[section])]
    holes = [e for e in entries if not (e.complete or e.declined or e.section.partial)]
    if missing == "error" and holes:
        first = holes[0]
        raise UsageError(
            f"{len(holes)} rows are incomplete, the first: {first.entrant.method} on {first.section.suite}/"
            f"{first.section.dataset}, keep {first.keep}, {first.training.arch}: {first.reason}",
            f"run `prunebench run {first.section.suite}`, or allow holes with --missing show",
        )
    return [entry for entry in entries if entry.complete] if missing == "drop" else entries
