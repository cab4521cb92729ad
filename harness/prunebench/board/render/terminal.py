"""The tables of accuracy and of agreement as plain text for a terminal."""

from __future__ import annotations

import textwrap
from collections.abc import Collection, Iterable, Sequence

from prunebench.board.render.view import (
    Row,
    ScoreLine,
    SectionView,
    TrainingView,
    marked,
    notes,
    number,
    percent,
    rate,
    sections,
)
from prunebench.board.table import Board

COLUMN = 12


def render_terminal(board: Board, width: int = 80, shown: Collection[str] | None = None) -> str:
    """Return the tables of the suites `shown` (None: all) in plain text, no line wider than `width` (at least 24).

    A cell is the mean accuracy in percent with the half-width of its interval; "+" or "-" behind it marks a gain over
    the baseline that differs from 0.
    """
    width = max(width, 24)
    chosen = [view for view in sections(board) if shown is None or view.facts["suite"] in shown]
    parts = [_table(view, table, width) for view in chosen for table in view.trainings]
    parts += [_agreement(view, width) for view in chosen if view.scores]
    trained = [table for view in chosen for table in view.trainings]
    said = ["accuracy in %, mean ± half-width of its 95 % interval over seeds"] if trained else []
    if baselines := sorted({table.baseline for table in trained} - {""}):
        said.append(f"+ - above or below {', '.join(baselines)}, after Holm's correction for the number of methods")
    said += sorted({note for table in trained for note in notes(table.lines)})
    said += sorted({note for view in chosen for note in notes(view.scores)} - set(said))
    if failed := sum(row["n_records"] for view in chosen for row in view.failures):
        said.append(f"{failed} record{'s hold' if failed > 1 else ' holds'} no value: leaderboard.md says why")
    parts.append([line for text in (*said, *board.problems) for line in wrapped(text, width)])
    return "\n\n".join("\n".join(line.rstrip() for line in part) for part in parts if part) + "\n"


def wrapped(text: str, width: int) -> list[str]:
    """Return lines of whole words; only a word that is longer than a line is shortened."""
    lines = textwrap.wrap(text, width, break_long_words=False, break_on_hyphens=False)
    return [line if len(line) <= width else f"{line[: width - 1]}…" for line in lines]


def _named(name: str, label: int, cells: Sequence[str], width: int, column: int = COLUMN) -> list[str]:
    """Return the line of a table; a name that is too long for its column has lines of its own."""
    values = "".join(f"{cell:>{column}}" for cell in cells)
    return [f"{name:<{label}}{values}"] if len(name) < label else [*wrapped(name, width), f"{'':<{label}}{values}"]


def _label_width(names: Iterable[str], room: int) -> int:
    return max(6, min(max(map(len, names), default=6) + 1, room))


def _table(view: SectionView, table: TrainingView, width: int) -> list[str]:
    text = wrapped(f"{view.facts['title']}, {table.facts['title']}", width)
    label = _label_width([*map(marked, table.lines), "pruning rate"], width - COLUMN * min(len(table.rates), 2))
    size = max(1, (width - label) // COLUMN)
    for start in range(0, len(table.rates), size):
        rates = table.rates[start : start + size]
        text += _named("pruning rate", label, [f"{rate(one)} " for one in rates], width)
        for line in table.lines:
            text += _named(marked(line), label, [_cell(line.rows.get(one)) for one in rates], width)
    if table.not_run:
        text += wrapped(f"not run: {', '.join(table.not_run)}", width)
    for line in table.lines:
        if holes := sorted({row["hole"] for row in line.rows.values() if len(row["hole"]) >= COLUMN}):
            text += wrapped(f"hole in {line.label}: {', '.join(holes)}", width)
    if full := table.unpruned:
        text += wrapped(f"nothing pruned: {full['hole'] or _cell(full).strip()}", width)
    return text


def _cell(row: Row | None) -> str:
    if row is None or row["accuracy_mean"] is None:
        hole = row["hole"] if row else "not run"
        return hole if len(hole) < COLUMN else "hole"
    low, high = row["accuracy_low"], row["accuracy_high"]
    # Tenths of a point would say nothing of an interval so wide, and would not fit.
    wide = low is not None and high - low >= 0.2
    between = "" if low is None else f"±{(high - low) * 50:.0f}" if wide else f"±{percent((high - low) / 2)}"
    sign = "" if not row["gain_significant"] else "+" if row["gain_mean"] > 0 else "-"
    return f"{percent(row['accuracy_mean'])}{between}{sign or ' '}"


def _agreement(view: SectionView, width: int) -> list[str]:
    """Return the agreement of scores of a section, mean over pairs, beside its ceiling."""
    column = min(COLUMN, (width - 6) // 2)
    label = _label_width([marked(line) for line in view.scores], width - 2 * column)
    text = wrapped(f"{view.facts['title']}: Spearman of scores within class", width)
    text += _named("", label, ["backbones", "ceiling"], width, column)
    for line in view.scores:
        text += _named(marked(line), label, _values(line), width, column)
    return text


def _values(line: ScoreLine) -> list[str]:
    return [number(line.cross["value"]), number(line.cross["ceiling"])] if line.cross else ["-", "-"]
