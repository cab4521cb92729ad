"""A validation as markdown, for a comment on a pull request; nothing of the data can act as markup."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from prunebench.records import Record
from prunebench.validation.lines import Row
from prunebench.validation.rules import Validation

_MOST = 50
_WIDTH = 160


def summary(found: Validation) -> str:
    """Return the problems, the changed and removed rows, and the new rows by file, as markdown."""
    differences = found.differences
    counts = f"{len(differences.added)} new, {len(differences.changed)} changed, {len(differences.removed)} removed"
    verdict = f"{len(found.problems)} problem(s)" if found.problems else "valid"
    lines = ["## Results", "", f"{found.n_rows} records, {verdict}. Against {code(found.base)}: {counts}.", ""]
    lines += _table("Problems", ("problem",), [(code(str(problem)),) for problem in found.problems])
    changed = [
        (*_place(new), accuracy(old.record), accuracy(new.record), _reason(old.record, new.record))
        for old, new in differences.changed
    ]
    lines += _table("Changed", ("file", "cell", "old", "new", "why"), changed)
    lines += _table(
        "Removed", ("file", "cell", "old"), [(*_place(row), accuracy(row.record)) for row in differences.removed]
    )
    new = Counter(row.file for row in differences.added)
    lines += _table("New", ("file", "rows", "accuracy"), [
        (code(file), str(count), _range([row.record for row in differences.added if row.file == file]))
        for file, count in sorted(new.items())
    ])  # fmt: skip
    return "\n".join(lines).rstrip() + "\n"


def code(text: str) -> str:
    """Return text as a code span: no markup, no mention and no line break of it survives."""
    plain = "".join(char if char.isprintable() else " " for char in text).replace("`", "'").replace("|", "¦")
    return f"`{plain[:_WIDTH] + ('…' if len(plain) > _WIDTH else '') or ' '}`"


def accuracy(record: Record) -> str:
    """Return the accuracy as a fraction, the correlation of an agreement, or the status of what has neither."""
    value = record.get("within_class_spearman" if record["kind"] == "agreement" else "accuracy")
    return f"{value:.4f}" if record["status"] == "ok" and value is not None else code(str(record["status"]))


def _reason(old: Record, new: Record) -> str:
    if old["status"] != "ok":
        return "failed before"
    if old["key"] != new["key"]:
        return "another version"
    return code(str(new["superseded"])) if new.get("superseded") else "not told"


def _place(row: Row) -> tuple[str, str]:
    return code(row.file), code(" ".join(map(str, row.place[2:])))


def _range(records: Sequence[Record]) -> str:
    values = [record["accuracy"] for record in records if record["kind"] == "cell" and record["status"] == "ok"]
    return f"{min(values):.4f} to {max(values):.4f}" if values else ""


def _table(title: str, head: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> list[str]:
    if not rows:
        return []
    more = [f"… and {len(rows) - _MOST} more", ""] if len(rows) > _MOST else []
    body = [f"| {' | '.join(row)} |" for row in rows[:_MOST]]
    return [f"### {title}", "", f"| {' | '.join(head)} |", "|" + "---|" * len(head), *body, "", *more]
