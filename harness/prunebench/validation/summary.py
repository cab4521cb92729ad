"""A validation as markdown, for a comment on a pull request; nothing of the data can act as markup."""

from collections import Counter
from collections.abc import Sequence

from prunebench.records import CellRecord, Record
from prunebench.validation.lines import Row
from prunebench.validation.rules import Validation

_MOST = 50
_WIDTH = 160


def summary(found: Validation) -> str:
    """Return the faults, what is missing, changed and removed, and the new rows by file, as markdown."""
    counts = f"{len(found.added)} new, {len(found.changed)} changed, {len(found.removed)} removed"
    verdict = f"{len(found.faults)} fault(s)" if found.faults else "valid"
    lines = ["## Results", "", f"{found.n_rows} records, {verdict}. Against {code(found.base)}: {counts}.", ""]
    lines += _table("Faults", "fault", [[code(str(fault))] for fault in found.faults])
    missing = [[code(file), str(len(cells)), code(cells[0])] for file, cells in found.missing.items()]
    lines += _table("Incomplete", "file | missing cells | the first", missing)
    changed = [[*_told(old, new), _reason(old.record, new.record)] for old, new in found.changed]
    lines += _table("Changed", "file | cell | old | new | why", changed)
    lines += _table("Removed", "file | cell | old", [_told(row) for row in found.removed])
    counted = sorted(Counter(row.file for row in found.added).items())
    new = [[code(file), str(n), _range([row.record for row in found.added if row.file == file])] for file, n in counted]
    lines += _table("New", "file | rows | accuracy", new)
    return "\n".join(lines).rstrip() + "\n"


def plain(text: str) -> str:
    """Return text on one line, without control characters."""
    return "".join(char if char.isprintable() else " " for char in text)


def code(text: str) -> str:
    """Return text as a code span: no markup, no mention and no line break of it survives."""
    shown = plain(text).replace("`", "'").replace("|", "¦")
    return f"`{shown[:_WIDTH] + ('…' if len(shown) > _WIDTH else '') or ' '}`"


def accuracy(record: Record) -> str:
    """Return the accuracy as a fraction, the correlation of an agreement, or the status of what has neither."""
    value = record.accuracy if isinstance(record, CellRecord) else record.within_class_spearman
    return f"{value:.4f}" if record.status == "ok" and value is not None else code(record.status)


def _reason(old: Record, new: Record) -> str:
    if old.status != "ok":
        return "failed before"
    if old.key != new.key:
        return "another version"
    return code(new.superseded) if new.superseded else "not told"


def _told(*rows: Row) -> list[str]:
    file, cell = rows[0].file, " ".join(map(str, rows[0].record.place[1:]))
    return [code(file), code(cell), *(accuracy(row.record) for row in rows)]


def _range(records: Sequence[Record]) -> str:
    values = [r.accuracy for r in records if isinstance(r, CellRecord) and r.accuracy is not None]
    return f"{min(values):.4f} to {max(values):.4f}" if values else ""


def _table(title: str, head: str, rows: Sequence[Sequence[str]]) -> list[str]:
    if not rows:
        return []
    more = [f"… and {len(rows) - _MOST} more", ""] if len(rows) > _MOST else []
    body = [f"| {' | '.join(row)} |" for row in rows[:_MOST]]
    return [f"### {title}", "", f"| {head} |", "|---" * len(rows[0]) + "|", *body, "", *more]
