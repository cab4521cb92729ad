"""The tables of accuracy and of agreement as plain text for a terminal."""

import textwrap
from collections.abc import Collection, Sequence

from prunebench.board.render.view import Row, SectionView, TrainingView, marked, notes, number, percent, rate, sections
from prunebench.board.table import Board

COLUMN = 12


def render_terminal(board: Board, width: int = 80, shown: Collection[str] | None = None) -> str:
    """Return the tables of the suites `shown` (None: all) in plain text, no line wider than `width` (at least 24)."""
    width = max(width, 24)
    chosen = [view for view in sections(board) if shown is None or view.facts["suite"] in shown]
    trained = [table for view in chosen for table in view.trainings]
    parts = [_accuracy(view, table, width) for view in chosen for table in view.trainings]
    parts += [_agreement(view, width) for view in chosen if view.scores]
    said = ["accuracy in %, mean ± half-width of its 95 % interval over seeds"] if trained else []
    if baselines := sorted({table.baseline for table in trained} - {""}):
        said.append(f"+ - above or below {', '.join(baselines)}, after Holm's correction for the number of methods")
    said += notes([*(line for table in trained for line in table.lines), *(line for v in chosen for line in v.scores)])
    if failed := sum(row["n_records"] for view in chosen for row in view.failures):
        said.append(f"{failed} record{'s hold' if failed > 1 else ' holds'} no value: leaderboard.md says why")
    parts.append([line for text in (*said, *board.problems) for line in wrapped(text, width)])
    return "\n\n".join("\n".join(line.rstrip() for line in part) for part in parts if part) + "\n"


def wrapped(text: str, width: int) -> list[str]:
    """Return lines of whole words; only a word that is longer than a line is shortened."""
    lines = textwrap.wrap(text, width, break_long_words=False, break_on_hyphens=False)
    return [line if len(line) <= width else f"{line[: width - 1]}…" for line in lines]


def _table(rows: Sequence[tuple[str, list[str]]], width: int) -> list[str]:
    """Return aligned rows, in blocks of as many columns as fit; a name that is too long has lines of its own."""
    n = len(rows[0][1])
    column = min(COLUMN, (width - 6) // min(n, 2))
    label = max(6, min(1 + max(len(name) for name, _ in rows), width - column * min(n, 2)))
    size = max(1, (width - label) // column)
    text = []
    for start in range(0, n, size):
        for name, cells in rows:
            values = "".join(f"{cell:>{column}}" for cell in cells[start : start + size])
            text += [f"{name:<{label}}{values}"] if len(name) < label else [*wrapped(name, width), " " * label + values]
    return text


def _accuracy(view: SectionView, table: TrainingView, width: int) -> list[str]:
    text = wrapped(f"{view.facts['title']}, {table.facts['title']}", width)
    rows = [(marked(line), [_cell(line.rows.get(one)) for one in table.rates]) for line in table.lines]
    text += _table([("pruning rate", [f"{rate(one)} " for one in table.rates]), *rows], width) if rows else []
    said = [f"not run: {', '.join(table.not_run)}"] if table.not_run else []
    for line in table.lines:
        if holes := sorted({row["hole"] for row in line.rows.values() if len(row["hole"]) >= COLUMN}):
            said.append(f"hole in {line.label}: {', '.join(holes)}")
    said += [f"nothing pruned: {full['hole'] or _cell(full).strip()}"] if (full := table.unpruned) else []
    return text + [line for one in said for line in wrapped(one, width)]


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
    values = [(line, [line.cross["value"] if line.cross else None, line.ceiling]) for line in view.scores]
    rows = [("", ["backbones", "ceiling"]), *((marked(line), list(map(number, pair))) for line, pair in values)]
    return [*wrapped(f"{view.facts['title']}: Spearman of scores within class", width), *_table(rows, width)]
