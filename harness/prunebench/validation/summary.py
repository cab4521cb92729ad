"""A validation as markdown, for a comment on a pull request; nothing of the data can act as markup."""

from collections.abc import Sequence

from prunebench.records import CellRecord
from prunebench.validation.lines import Row
from prunebench.validation.rules import Validation

_MOST, _WIDTH = 50, 160  # rows of a table, characters of a code span


def summary(found: Validation) -> str:
    """Return the faults, what is missing, changed and removed, and the new rows by file, as markdown."""
    counts = f"{len(found.added)} new, {len(found.changed)} changed, {len(found.removed)} removed"
    verdict = f"{len(found.faults)} fault(s)" if found.faults else "valid"
    lines = ["## Results", "", f"{found.n_rows} records, {verdict}. Against {code(found.base)}: {counts}.", ""]
    lines += _table("Faults", "fault", [[code(str(fault))] for fault in found.faults])
    missing = [[code(file), str(len(cells)), code(cells[0])] for file, cells in found.missing.items()]
    lines += _table("Incomplete", "file | missing cells | the first", missing)
    changed = [[*_told(old, new), _reason(old, new)] for old, new in found.changed]
    lines += _table("Changed", "file | cell | old | new | why", changed)
    lines += _table("Removed", "file | cell | old", [_told(row) for row in found.removed])
    files = {file: [row for row in found.added if row.file == file] for file in sorted({r.file for r in found.added})}
    new = [[code(file), str(len(rows)), _range(rows)] for file, rows in files.items()]
    lines += _table("New", "file | rows | accuracy", new)
    return "\n".join(lines).rstrip() + "\n"


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
