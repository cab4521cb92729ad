"""The tables of the board: frozen rows that every writer prints and none computes."""

from __future__ import annotations

from dataclasses import dataclass, fields
from decimal import Decimal
from typing import Any

from prunebench.leaderboard.cells import Section, Training

DECIMALS = 6  # of every number on the board: enough for a million test samples, blind to the last bits
POOLED = ("-", "mean")  # the score_backbone of the rows that stand for a whole method


def rounded(value: float | None) -> float | None:
    """Return the number as the board stores it; never a negative zero."""
    return None if value is None else round(value, DECIMALS) + 0.0


@dataclass(frozen=True, kw_only=True)
class AccuracyRow:
    """One method at one budget: accuracies and gains as fractions, seeds as the unit of every interval.

    score_backbone: "-" where the method needs none, "mean" for the mean over its backbones.  rank: shared by
    methods that the seeds cannot tell apart, None outside the ranking.  status: ok, incomplete or hole.
    """

    suite: str
    dataset: str
    protocol: str
    recipe: str
    train_arch: str
    method: str
    projector: str
    role: str
    score_backbone: str
    keep: str
    pruning_rate: str
    accuracy_mean: float | None
    accuracy_low: float | None
    accuracy_high: float | None
    accuracy_half_width: float | None
    accuracy_best_mean: float | None
    n_seeds: int
    n_seeds_expected: int
    n_failed: int
    gain_mean: float | None
    gain_low: float | None
    gain_high: float | None
    gain_excludes_zero: bool
    rank: int | None
    partial: bool
    conformance: str
    diagnostics: str
    caveat: str
    status: str
    status_reason: str

    @property
    def section(self) -> Section:
        return Section(self.suite, self.dataset, self.protocol, self.partial)

    @property
    def training(self) -> Training:
        return Training(self.train_arch, self.recipe)

    @property
    def label(self) -> str:
        return self.method if self.projector == "-" else f"{self.method} + {self.projector}"

    @property
    def is_headline(self) -> bool:
        return self.score_backbone in POOLED


@dataclass(frozen=True, kw_only=True)
class CorrelationRow:
    """One agreement number with its noise ceiling.

    quantity: method_tau and method_rho (between the rankings of the methods on two training architectures),
    or score_rho, score_rho_pooled, score_pearson (between the scores of one method from two backbones).
    recipe: "a | b" where the two differ.  comparison: archs; cross_backbone or seed_to_seed; with the prefix
    "control_" for pairs that involve an untrained network.  a, b: the architectures or backbones, "mean" for
    the mean over pairs.
    """

    suite: str
    dataset: str
    protocol: str
    quantity: str
    comparison: str
    recipe: str
    keep: str
    pruning_rate: str
    method: str
    projector: str
    a: str
    b: str
    value: float | None
    low: float | None
    high: float | None
    ceiling_a: float | None
    ceiling_b: float | None
    ceiling: float | None
    ratio: float | None
    n_methods: int | None
    n_seeds: int
    n_pairs: int | None
    status: str
    reason: str
    caveat: str = ""

    @property
    def section(self) -> Section:
        return Section(self.suite, self.dataset, self.protocol, False)

    @property
    def label(self) -> str:
        return self.method if self.projector == "-" else f"{self.method} + {self.projector}"


@dataclass(frozen=True, kw_only=True)
class FailureRow:
    """Cells of one method that gave no accuracy for one reason."""

    suite: str
    dataset: str
    protocol: str
    partial: bool
    recipe: str
    method: str
    projector: str
    status: str
    reason: str
    n_cells: int
    train_archs: str
    score_backbones: str
    keeps: str
    seeds: str

    @property
    def section(self) -> Section:
        return Section(self.suite, self.dataset, self.protocol, self.partial)

    @property
    def label(self) -> str:
        return self.method if self.projector == "-" else f"{self.method} + {self.projector}"


@dataclass(frozen=True, kw_only=True)
class Provenance:
    """What the records say about where they come from; each sorted and without repetition."""

    protocols: tuple[str, ...]
    prunebench_versions: tuple[str, ...]
    git_commits: tuple[str, ...]
    n_cells: int
    n_cells_dirty: int
    n_agreements: int
    missing: str


@dataclass(frozen=True, kw_only=True)
class Board:
    """Everything that is printed, in the order of printing."""

    accuracy: tuple[AccuracyRow, ...]
    correlation: tuple[CorrelationRow, ...]
    failures: tuple[FailureRow, ...]
    provenance: Provenance

    @property
    def sections(self) -> list[Section]:
        return sorted({row.section for row in self.accuracy} | {row.section for row in self.correlation})


def columns(row_type: type[Any]) -> list[str]:
    """Return the column names of a row type, in order."""
    return [field.name for field in fields(row_type)]


def cell_text(value: Any) -> str:
    """Return a value as the files hold it: six decimals, empty for None, "true" or "false"."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    return f"{value:.{DECIMALS}f}" if isinstance(value, float) else str(value)


def by_keep(keep: str) -> Decimal:
    """Sort key that puts the largest budget (the lowest pruning rate) first."""
    return -Decimal(keep)
