"""Entries to accuracy rows: means over seeds, paired gains over the baseline, shared ranks."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from prunebench.errors import UsageError
from prunebench.leaderboard.cells import Section, Training, pruning_rate
from prunebench.leaderboard.grid import BASELINE, UNPRUNED, Entry
from prunebench.leaderboard.tables import POOLED, AccuracyRow, rounded
from prunebench.stats import Interval, mean_interval, paired_difference, tie_groups

Slot = tuple[Section, Training, str]  # the last is keep


@dataclass(frozen=True)
class _NoInterval:
    """Stands for the interval of a hole."""

    mean: None = None
    low: None = None
    high: None = None
    half_width: None = None
    excludes_zero: bool = False


def _slot(entry: Entry) -> Slot:
    return entry.section, entry.training, entry.keep


def _baselines(entries: Sequence[Entry]) -> dict[Slot, Mapping[int, float]]:
    """Return the baseline's accuracy by seed for each slot; raises UsageError for a second baseline."""
    found: dict[Slot, Entry] = {}
    for entry in entries:
        if entry.role != BASELINE or entry.score_backbone not in POOLED:
            continue
        other = found.setdefault(_slot(entry), entry)
        if other is not entry:
            raise UsageError(
                f"{entry.section.suite}/{entry.section.dataset} has two baselines, {other.entrant.method} and "
                f"{entry.entrant.method}",
                "gains need one reference method a suite: give role 'baseline' to one of them",
            )
    return {slot: entry.values for slot, entry in found.items()}


def _ranks(entries: Sequence[Entry]) -> dict[tuple[Slot, str], int]:
    """Return the shared rank of each ranked headline entry, by slot and label."""
    contenders: dict[Slot, dict[str, Mapping[int, float]]] = defaultdict(dict)
    for entry in entries:
        if entry.ranked and entry.score_backbone in POOLED:
            contenders[_slot(entry)]["\t".join(entry.entrant)] = entry.values
    return {
        (slot, label): rank
        for slot, values in contenders.items()
        if len(values) > 1
        for label, rank in tie_groups(values).items()
    }


def _diagnostics(entry: Entry) -> str:
    """Return the mean of each number that the cells report about themselves, as "name=value; ..."."""
    values: dict[str, list[float]] = defaultdict(list)
    for cell in entry.cells:
        for name, number in cell.diagnostics.items():
            values[name].append(number)
    return "; ".join(f"{name}={math.fsum(sorted(v)) / len(v):.6g}" for name, v in sorted(values.items()))


def _row(entry: Entry, baseline: Mapping[int, float], rank: int | None) -> AccuracyRow:
    accuracy = mean_interval(list(entry.values.values())) if entry.values else _NoInterval()
    best = math.fsum(entry.best.values()) / len(entry.best) if entry.best else None
    gain: Interval | _NoInterval = _NoInterval()
    if entry.role not in (BASELINE, UNPRUNED):
        gain = paired_difference(entry.values, baseline) or gain
    status = "ok" if entry.complete else "incomplete" if entry.values else "hole"
    section = entry.section
    return AccuracyRow(
        suite=section.suite,
        dataset=section.dataset,
        protocol=section.protocol,
        recipe=entry.training.recipe,
        train_arch=entry.training.arch,
        method=entry.entrant.method,
        projector=entry.entrant.projector,
        role=entry.role,
        score_backbone=entry.score_backbone,
        keep=entry.keep,
        pruning_rate=pruning_rate(entry.keep),
        accuracy_mean=rounded(accuracy.mean),
        accuracy_low=rounded(accuracy.low),
        accuracy_high=rounded(accuracy.high),
        accuracy_half_width=rounded(accuracy.half_width),
        accuracy_best_mean=rounded(best),
        n_seeds=len(entry.values),
        n_seeds_expected=len(entry.expected),
        n_failed=entry.n_failed,
        gain_mean=rounded(gain.mean),
        gain_low=rounded(gain.low),
        gain_high=rounded(gain.high),
        gain_excludes_zero=gain.excludes_zero,
        rank=rank,
        partial=section.partial,
        conformance=" | ".join(sorted({cell.conformance for cell in entry.cells if cell.conformance})),
        diagnostics=_diagnostics(entry),
        caveat="; ".join(sorted({cell.caveat for cell in entry.cells if cell.caveat})),
        status=status,
        status_reason=entry.reason,
    )


def accuracy_rows(entries: Sequence[Entry]) -> list[AccuracyRow]:
    """Return one row an entry, in the order of the entries."""
    baselines, ranks = _baselines(entries), _ranks(entries)
    rows = []
    for entry in entries:
        slot, label = _slot(entry), "\t".join(entry.entrant)
        rank = ranks.get((slot, label)) if entry.score_backbone in POOLED else None
        rows.append(_row(entry, baselines.get(slot, {}), rank))
    return rows
