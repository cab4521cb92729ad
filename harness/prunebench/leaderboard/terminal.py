"""The headline tables as plain text for a terminal."""

from __future__ import annotations

from decimal import Decimal

from prunebench.leaderboard.cells import Section
from prunebench.leaderboard.headline import (
    Headline,
    Line,
    agreement_lines,
    baseline_of,
    caveat_notes,
    headlines,
    marked,
    number,
    percent,
    rate_label,
)
from prunebench.leaderboard.tables import AccuracyRow, Board

COLUMN = 11
LABEL = 26


def _cell(row: AccuracyRow | None) -> str:
    """Return "82.1±0.4+": mean, half-width, and + or - where the interval of its gain excludes 0."""
    if row is None or row.accuracy_mean is None:
        return "-"
    half = ""
    if row.accuracy_half_width is not None:
        wide = row.accuracy_half_width >= 0.1  # tenths of a point would say nothing, and would not fit
        half = f"±{row.accuracy_half_width * 100:.0f}" if wide else f"±{percent(row.accuracy_half_width)}"
    sign = ""
    if row.gain_excludes_zero and row.gain_mean is not None:
        sign = "+" if row.gain_mean > 0 else "-"
    return f"{percent(row.accuracy_mean)}{half}{sign or ' '}"


def _shortened(text: str, width: int) -> str:
    return text if len(text) <= width else text[: width - 1] + "…"


def _blocks(rates: tuple[str, ...], room: int) -> list[tuple[str, ...]]:
    """Split the columns into blocks that fit the width."""
    size = max(1, room // COLUMN)
    return [rates[start : start + size] for start in range(0, len(rates), size)]


def _title(table: Headline) -> str:
    section, training = table.section, table.training
    partial = " (partial, unranked)" if section.partial else ""
    return f"{section.suite} / {section.dataset} / {training.arch} / {training.recipe}{partial}"


def _table(table: Headline, width: int) -> list[str]:
    label = min(LABEL, max([len(marked(line)) for line in table.lines] + [len("pruning rate")]))
    label = max(8, min(label, width - COLUMN))
    text = [_shortened(_title(table), width)]
    for rates in _blocks(table.rates, width - label):
        heads = "".join(f"{rate_label(rate) + ' ':>{COLUMN}}" for rate in rates)
        text.append(f"{'pruning rate':<{label}}"[:label] + heads)
        text += [_line(line, rates, label) for line in table.lines]
    if table.unpruned is not None:
        full = table.unpruned
        count = "" if full.status == "ok" else f" ({full.n_seeds} of {full.n_seeds_expected} seeds)"
        text.append(_shortened(f"nothing pruned: {_cell(full).strip()}{count}", width))
    return [line.rstrip() for line in text]


def _line(line: Line, rates: tuple[str, ...], label: int) -> str:
    cells = "".join(f"{_cell(line.rows.get(rate)):>{COLUMN}}" for rate in rates)
    return f"{_shortened(marked(line), label):<{label}}{cells}"


def _agreement(board: Board, section: Section, width: int) -> str:
    """Return the agreement of scores of a section, mean over pairs, with that of two seeds beside it."""
    lines = agreement_lines(board, section)
    if not lines:
        return ""
    column = min(COLUMN, (width - 8) // 2)
    label = min(width - 2 * column, max(len(marked(line)) for line in lines) + 1)
    text = [_shortened(f"{section.suite} / {section.dataset}: Spearman of scores within class", width)]
    text.append(" " * label + f"{'backbones':>{column}}"[-column:] + f"{'seeds':>{column}}")
    for line in lines:
        values = [row.value if row else None for row in (line.cross, line.seed)]
        name = _shortened(marked(line), label)
        text.append(f"{name:<{label}}" + "".join(f"{number(value):>{column}}" for value in values))
    return "\n".join(text)


def render_terminal(board: Board, width: int = 80, at_keep: str | None = None) -> str:
    """Return the headline tables in plain text, no line longer than `width` columns (at least 24).

    at_keep: a kept fraction (decimal string) to restrict the columns to.  A cell is the mean accuracy in
    percent with its half-width; "+" or "-" behind it marks a gain over the baseline that excludes 0.
    """
    width = max(width, 24)
    parts = []
    for table in headlines(board):
        if at_keep is not None:
            rates = tuple(rate for rate in table.rates if Decimal(rate) == 1 - Decimal(at_keep))
            table = Headline(table.section, table.training, rates, table.lines, table.details, table.unpruned)
        parts.append("\n".join(_table(table, width)))
    parts += [text for section in board.sections if (text := _agreement(board, section, width))]
    notes = ["accuracy in %, mean ± 95 % interval over seeds"] if board.accuracy else []
    if baseline := baseline_of(board.accuracy):
        notes += [f"+ - above or below {baseline}: the 95 % interval of the difference excludes 0"]
    notes += sorted({note for table in headlines(board) for note in caveat_notes(table.lines)})
    if failed := sum(row.n_cells for row in board.failures):
        notes += [f"{failed} cells gave no accuracy: see leaderboard.md"]
    if notes:
        parts.append("\n".join(_shortened(note, width) for note in notes))
    return "\n\n".join(parts) + "\n"
