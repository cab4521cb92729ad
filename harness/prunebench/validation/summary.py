"""What differs between records as markdown, for a comment on a pull request; nothing of the data can act as markup."""

from collections.abc import Sequence

from prunebench.describe import counted
from prunebench.records import CellRecord
from prunebench.validation.changes import Changes, Move
from prunebench.validation.lines import Row
from prunebench.validation.rules import Validation

_MOST, _WIDTH = 50, 160  # rows of a table, characters of a code span


def summary(found: Validation) -> str:
    """Return the faults, what is missing, and what differs from the base, as markdown."""
    verdict = counted(len(found.faults), "fault") if found.faults else "valid"
    lines = ["## Results", "", f"{found.n_rows} records, {verdict}. Against {code(found.changes.before)}: "
             f"{found.changes.counts}.", ""]  # fmt: skip
    lines += _table("Faults", "fault", [[code(str(fault))] for fault in found.faults])
    missing = [[code(file), str(len(cells)), code(cells[0])] for file, cells in found.missing.items()]
    lines += _table("Incomplete", "file | missing cells | the first", missing)
    return "\n".join([*lines, *_differences(found.changes)]).rstrip() + "\n"


def told(found: Changes) -> str:
    """Return what differs between two sets of records, as markdown."""
    lines = [f"## {code(found.before)} and {code(found.after)}", "", f"Records: {found.counts}. "
             f"Numbers that moved: {len(found.moved)}.", "", *_differences(found)]  # fmt: skip
    return "\n".join(lines).rstrip() + "\n"


def _differences(found: Changes) -> list[str]:
    """Return the tables of numbers that moved, and of records that changed, went and came."""
    head = "suite, data | number | training | keep | method | networks | before | after | difference"
    lines = _table("Moved", head, [_moved(move) for move in found.moved])
    changed = [[*_told(old, new), _reason(old, new)] for old, new in found.changed]
    lines += _table("Changed", "file | cell | old | new | why", changed)
    lines += _table("Removed", "file | cell | old", [_told(row) for row in found.removed])
    files = {file: [row for row in found.added if row.file == file] for file in sorted({r.file for r in found.added})}
    new = [[code(file), str(len(rows)), _range(rows)] for file, rows in files.items()]
    return lines + _table("New", "file | rows | accuracy", new)


def _moved(move: Move) -> list[str]:
    suite, dataset, *line = move.line
    found = move.difference
    ends = f" [{found.low:+.4f}, {found.high:+.4f}]" if found.low is not None and found.high is not None else ""
    over = f" over {found.n} seed{'' if found.n == 1 else 's'}" if move.paired else ""
    numbers = (f"{move.before:.4f}", f"{move.after:.4f}", f"{found.mean:+.4f}{ends}{over}")
    return [code(f"{suite}, {dataset}"), *map(code, line), *numbers]


def plain(text: str) -> str:
    """Return text on one line, without control characters."""
    return "".join(char if char.isprintable() else " " for char in text)


def code(text: str) -> str:
    """Return text as a code span: no markup, no mention and no line break of it survives."""
    shown = plain(text).replace("`", "'").replace("|", "¦")
    return f"`{shown[:_WIDTH] + ('…' if len(shown) > _WIDTH else '') or ' '}`"


def _reason(old: Row, new: Row) -> str:
    if old.record.status != "ok" or old.record.key != new.record.key:
        return "failed before" if old.record.status != "ok" else "another version"
    return code(new.record.superseded) if new.record.superseded else "not told"


def _told(*rows: Row) -> list[str]:
    return [code(rows[0].file), code(" ".join(map(str, rows[0].record.place[1:]))), *map(_value, rows)]


def _value(row: Row) -> str:
    record = row.record
    value = record.accuracy if isinstance(record, CellRecord) else record.within_class_spearman
    return f"{value:.4f}" if record.status == "ok" and value is not None else code(record.status)


def _range(rows: Sequence[Row]) -> str:
    records = [row.record for row in rows]
    values = [r.accuracy for r in records if isinstance(r, CellRecord) and r.accuracy is not None]
    return f"{min(values):.4f} to {max(values):.4f}" if values else ""


def _table(title: str, head: str, rows: Sequence[Sequence[str]]) -> list[str]:
    if not rows:
        return []
    more = [f"… and {len(rows) - _MOST} more", ""] if len(rows) > _MOST else []
    body = [f"| {' | '.join(row)} |" for row in rows[:_MOST]]
    return [f"### {title}", "", f"| {head} |", "|---" * len(rows[0]) + "|", *body, "", *more]
