"""Accuracy rows pivoted into the headline table: one line a method, one column a pruning rate."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal

from prunebench.leaderboard.cells import Section, Training, plain_decimal
from prunebench.leaderboard.tables import AccuracyRow, Board, CorrelationRow

MINUS = "\N{MINUS SIGN}"
DAGGER = "\N{DAGGER}"
BOLD = "bold where its interval excludes 0, as one in twenty does by chance"  # no correction for many methods


@dataclass(frozen=True)
class Line:
    """One method, or one of its scoring backbones, over the pruning rates of its table.

    style: index of its look in charts, the same for a method in every chart of a section.
    """

    label: str
    score_backbone: str
    role: str
    style: int
    rows: dict[str, AccuracyRow]

    @property
    def caveat(self) -> str:
        return joined_caveats(self.rows.values())


@dataclass(frozen=True)
class Headline:
    """The table of one training; `rates` ascending decimal strings; `unpruned` None where it was not run."""

    section: Section
    training: Training
    rates: tuple[str, ...]
    lines: tuple[Line, ...]
    details: tuple[Line, ...]
    unpruned: AccuracyRow | None


def percent(value: float | None, dash: str = "-") -> str:
    """Return a fraction in percent with one decimal."""
    return dash if value is None else f"{value * 100:.1f}"


def signed_percent(value: float, minus: str = MINUS) -> str:
    """Return a difference of fractions in points with one decimal and its sign; zero has none."""
    text = f"{abs(value) * 100:.1f}"
    return text if text == "0.0" else f"{'+' if value > 0 else minus}{text}"


def rate_label(rate: str) -> str:
    """Return a pruning rate as exact percent ("0.9" -> "90 %")."""
    return f"{plain_decimal(str(Decimal(rate) * 100))} %"


def number(value: float | None, dash: str = "-") -> str:
    """Return a correlation with two decimals and a true minus sign."""
    if value is None:
        return dash
    text = f"{abs(value):.2f}"
    return f"{MINUS}{text}" if value < 0 and text != "0.00" else text


def _standing(line: Line) -> tuple[float, float, str, str]:
    """Sort key: lines without a hole first, by falling mean accuracy over the pruning rates."""
    values = [row.accuracy_mean for row in line.rows.values() if row.accuracy_mean is not None]
    mean = sum(sorted(values)) / len(values) if values else 0.0
    return len(line.rows) - len(values), -mean, line.label, line.score_backbone


def _lines(rows: Iterable[AccuracyRow], styles: dict[str, int]) -> tuple[Line, ...]:
    found: dict[tuple[str, str], Line] = {}
    for row in rows:
        fresh = Line(row.label, row.score_backbone, row.role, styles.get(row.label, 0), {})
        line = found.setdefault((row.label, row.score_backbone), fresh)
        line.rows[row.pruning_rate] = row
    return tuple(sorted(found.values(), key=_standing))


def headlines(board: Board, section: Section | None = None) -> list[Headline]:
    """Return the headline tables of the board, or of one section of it, in order."""
    tables = []
    for chosen in board.sections if section is None else [section]:
        rows = [row for row in board.accuracy if row.section == chosen]
        labels = sorted({row.label for row in rows if row.role == "method"})
        styles = {label: index for index, label in enumerate(labels)}
        for training in sorted({row.training for row in rows}):
            mine = [row for row in rows if row.training == training]
            pruned = [row for row in mine if row.role != "unpruned"]
            unpruned = [row for row in mine if row.role == "unpruned" and row.is_headline]
            tables.append(
                Headline(
                    section=chosen,
                    training=training,
                    rates=tuple(sorted({row.pruning_rate for row in pruned}, key=Decimal)),
                    lines=_lines((row for row in pruned if row.is_headline), styles),
                    details=_lines((row for row in pruned if not row.is_headline), styles),
                    unpruned=unpruned[0] if unpruned else None,
                )
            )
    return tables


def joined_caveats(rows: Iterable[AccuracyRow | CorrelationRow]) -> str:
    """Return what the methods say against their own scores in these rows, each sentence once."""
    return "; ".join(sorted({part for row in rows for part in row.caveat.split("; ") if part}))


def marked(line: Line | AgreementLine) -> str:
    """Return the label of a line, with a dagger where its scores come with a caveat."""
    return f"{line.label} {DAGGER}" if line.caveat else line.label


def caveat_notes(lines: Iterable[Line | AgreementLine]) -> list[str]:
    """Return "† method: caveat" for each marked line."""
    return sorted({f"{DAGGER} {line.label}: {line.caveat}" for line in lines if line.caveat})


def baseline_of(rows: Iterable[AccuracyRow]) -> str:
    """Return the label of the method that gains are measured against, or an empty string."""
    return next((row.label for row in rows if row.role == "baseline"), "")


def arch_correlations(board: Board, section: Section) -> list[CorrelationRow]:
    """Return the rank correlations between architectures of one section."""
    return [row for row in board.correlation if row.comparison == "archs" and _belongs(row, section)]


@dataclass(frozen=True)
class AgreementLine:
    """One method's agreement of scores: means by comparison, the pairs behind the cross-backbone mean."""

    label: str
    cross: CorrelationRow | None
    seed: CorrelationRow | None
    control: CorrelationRow | None
    pooled: CorrelationRow | None
    pearson: CorrelationRow | None
    pairs: tuple[CorrelationRow, ...]

    @property
    def caveat(self) -> str:
        return joined_caveats(row for row in (self.cross, self.seed) if row is not None)


def agreement_lines(board: Board, section: Section) -> list[AgreementLine]:
    """Return one line a method and projector, highest agreement across backbones first."""
    mine = [row for row in board.correlation if row.comparison != "archs" and _belongs(row, section)]

    def mean(rows: Sequence[CorrelationRow], quantity: str, comparison: str) -> CorrelationRow | None:
        named = [row for row in rows if (row.quantity, row.comparison, row.a) == (quantity, comparison, "mean")]
        return named[0] if named else None

    lines = []
    for label in sorted({row.label for row in mine}):
        rows = [row for row in mine if row.label == label]
        pairs = [row for row in rows if row.quantity == "score_rho" and row.a != "mean"]
        lines.append(
            AgreementLine(
                label=label,
                cross=mean(rows, "score_rho", "cross_backbone"),
                seed=mean(rows, "score_rho", "seed_to_seed"),
                control=mean(rows, "score_rho", "control_cross_backbone"),
                pooled=mean(rows, "score_rho_pooled", "cross_backbone"),
                pearson=mean(rows, "score_pearson", "cross_backbone"),
                pairs=tuple(pairs),
            )
        )
    return sorted(lines, key=lambda line: (-_value(line.cross), line.label))


def _value(row: CorrelationRow | None) -> float:
    return -2.0 if row is None or row.value is None else row.value


def _belongs(row: CorrelationRow, section: Section) -> bool:
    return row.section == section
