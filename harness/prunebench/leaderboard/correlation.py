"""Entries to rank correlations between training architectures, over methods."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Sequence
from decimal import Decimal
from itertools import combinations
from typing import Literal

import numpy as np

from prunebench.leaderboard.cells import Entrant, Section, Training, pruning_rate
from prunebench.leaderboard.grid import UNPRUNED, Entry
from prunebench.leaderboard.tables import POOLED, CorrelationRow, rounded
from prunebench.stats import Floats, Statistic, rank_agreement

QUANTITIES: tuple[tuple[Literal["method_tau", "method_rho"], Statistic], ...] = (
    ("method_tau", "tau"),
    ("method_rho", "rho"),
)


def joint_ceiling(ceiling_a: float | None, ceiling_b: float | None) -> float | None:
    """Return the geometric mean of two noise ceilings, or None where one is unknown or not positive."""
    if ceiling_a is None or ceiling_b is None or min(ceiling_a, ceiling_b) <= 0:
        return None
    return float((ceiling_a * ceiling_b) ** 0.5)


def _matrices(a: dict[Entrant, Entry], b: dict[Entrant, Entry]) -> tuple[Floats, Floats]:
    """Return accuracies [methods, seeds] on both architectures, for what both have in full."""
    methods = sorted(a.keys() & b.keys())
    seeds = sorted(set.intersection(*[set(side[name].values) for side in (a, b) for name in methods]))
    first = np.array([[a[name].values[seed] for seed in seeds] for name in methods], dtype=np.float64)
    second = np.array([[b[name].values[seed] for seed in seeds] for name in methods], dtype=np.float64)
    return first.reshape(len(methods), len(seeds)), second.reshape(len(methods), len(seeds))


def _pair_rows(
    section: Section, keep: str, pair: tuple[Training, Training], entries: dict[Training, dict[Entrant, Entry]]
) -> list[CorrelationRow]:
    a, b = entries[pair[0]], entries[pair[1]]
    first, second = _matrices(a, b) if a.keys() & b.keys() else (np.zeros((0, 0)), np.zeros((0, 0)))
    rows = []
    for quantity, statistic in QUANTITIES:
        found = rank_agreement(first, second, statistic)
        rows.append(
            CorrelationRow(
                suite=section.suite,
                dataset=section.dataset,
                protocol=section.protocol,
                quantity=quantity,
                comparison="archs",
                recipe=" | ".join(dict.fromkeys(training.recipe for training in pair)),
                keep=keep,
                pruning_rate=pruning_rate(keep),
                method="",
                projector="",
                a=pair[0].arch,
                b=pair[1].arch,
                value=rounded(found.value),
                low=rounded(found.low),
                high=rounded(found.high),
                ceiling_a=rounded(found.ceiling_a),
                ceiling_b=rounded(found.ceiling_b),
                ceiling=rounded(joint_ceiling(found.ceiling_a, found.ceiling_b)),
                ratio=rounded(found.ratio),
                n_methods=found.n_methods,
                n_seeds=found.n_seeds,
                n_pairs=None,
                status="ok" if found.value is not None else "insufficient",
                reason=found.reason,
            )
        )
    return rows


def _pairs(trainings: Collection[Training]) -> list[tuple[Training, Training]]:
    """Return the pairs of different architectures: under one recipe where they share one, else under any."""
    recipes: dict[str, set[str]] = defaultdict(set)
    for training in trainings:
        recipes[training.arch].add(training.recipe)
    return [
        (a, b)
        for a, b in combinations(sorted(trainings), 2)
        if a.arch != b.arch and (a.recipe == b.recipe or not recipes[a.arch] & recipes[b.arch])
    ]


def method_correlation_rows(entries: Sequence[Entry]) -> list[CorrelationRow]:
    """Return method_tau and method_rho for each budget and pair of architectures.

    Over the methods, the baseline among them, that are complete on both; the unpruned row has no rank.
    """
    grid: dict[Section, dict[str, dict[Training, dict[Entrant, Entry]]]] = defaultdict(dict)
    for entry in entries:
        if entry.section.partial or entry.role == UNPRUNED or entry.score_backbone not in POOLED:
            continue
        entrants = grid[entry.section].setdefault(entry.keep, {}).setdefault(entry.training, {})
        if entry.ranked:
            entrants[entry.entrant] = entry
    return [
        row
        for section, by_keep in sorted(grid.items())
        for keep, by_training in sorted(by_keep.items(), key=lambda item: Decimal(item[0]), reverse=True)
        for pair in _pairs(by_training.keys())
        for row in _pair_rows(section, keep, pair, by_training)
    ]
