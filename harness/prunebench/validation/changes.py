"""Two sets of records: which came, went or changed, and which numbers moved by how much."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from prunebench.records import CellRecord, Record, complement
from prunebench.stats import Interval, mean_intervals
from prunebench.stats.unpaired import difference, samples
from prunebench.validation.lines import Row

DECIMALS = 6  # as on the board: the last bits of another processor are no move
CORRELATIONS = ("within_class_spearman", "pooled_spearman", "pearson")
Line = tuple[str, ...]  # suite, data set, number, training, keep, method, and networks that score
Values = Mapping[Line, Mapping[str, float]]  # the number of each line by seed


class Move(NamedTuple):
    """A number that is not what it was: the mean of a line before and after, and the difference with its interval.
    paired: over the `n` seeds that both sides have; else the two sides share none."""

    line: Line
    before: float
    after: float
    difference: Interval
    paired: bool


class Changes(NamedTuple):
    """Records by what became of them, (old, new) where they are not equal, and the numbers that moved, the largest
    differences first; before, after: names of what is compared."""

    before: str
    after: str
    added: tuple[Row, ...]
    changed: tuple[tuple[Row, Row], ...]
    removed: tuple[Row, ...]
    moved: tuple[Move, ...]

    @property
    def any(self) -> bool:
        """Whether a number moved, or records came or went."""
        return bool(self.added or self.removed or self.moved)

    @property
    def facts(self) -> dict[str, Any]:
        """All of it as plain values for JSON."""
        counts = {"new": len(self.added), "changed": len(self.changed), "removed": len(self.removed)}
        names = ("suite", "dataset", "number", "training", "keep", "method", "networks")
        moved = [
            {**dict(zip(names, one.line, strict=True)), "before": one.before, "after": one.after, "paired": one.paired,
             "difference": one.difference.mean, "low": one.difference.low, "high": one.difference.high,
             "n": one.difference.n}
            for one in self.moved
        ]  # fmt: skip
        return {"before": self.before, "after": self.after, "records": counts, "moved": moved}

    @property
    def counts(self) -> str:
        """The numbers of records as one phrase."""
        return f"{len(self.added)} new, {len(self.changed)} changed, {len(self.removed)} removed"


def changes(before: tuple[str, Sequence[Row]], after: tuple[str, Sequence[Row]]) -> Changes:
    """Return what differs between two sets of records, each with its name."""
    old, new = ({(row.file, *row.record.place): row for row in side} for _, side in (before, after))
    return Changes(
        before[0], after[0],
        tuple(row for place, row in new.items() if place not in old),
        tuple((old[place], row) for place, row in new.items() if place in old and old[place].record != row.record),
        tuple(row for place, row in old.items() if place not in new),
        tuple(sorted(_moves(_values(before[1]), _values(after[1])), key=_place)),
    )  # fmt: skip


def _place(move: Move) -> tuple[float, Line]:
    return -abs(move.difference.mean), move.line


def _values(rows: Sequence[Row]) -> Values:
    found: dict[Line, dict[str, float]] = defaultdict(dict)
    for row in rows:
        for number, line, seed, value in _numbers(row.record):
            found[(row.record.suite, row.record.dataset, number, *line)][seed] = round(value, DECIMALS)
    return found


def _numbers(record: Record) -> Iterator[tuple[str, Line, str, float]]:
    """Yield the numbers of a record that the board shows means of, with the rest of the line and the seed."""
    method = f"{record.method} + {record.projector}".removesuffix(" + -")
    if isinstance(record, CellRecord):
        if record.accuracy is not None:
            line = (f"{record.train_arch}, {record.recipe}", complement(complement(record.keep)), method)
            yield "accuracy", (*line, record.score_backbone), str(record.seed), record.accuracy
        return
    _, *_, a, seed_a, b, seed_b = record.place
    seeds = str(seed_a) if seed_a == seed_b else f"{seed_a} and {seed_b}"
    numbers = {name: getattr(record, name) for name in CORRELATIONS} | (record.measures or {})
    for number, value in numbers.items():
        if value is not None:
            yield number, ("-", "-", method, f"{a} and {b}" if a != b else a), seeds, value


def _moves(before: Values, after: Values) -> Iterator[Move]:
    """Yield the lines of both sides whose values differ; the spread of differences is moderated within a table."""
    tables: dict[Line, list[Line]] = defaultdict(list)
    for line in sorted(before.keys() & after.keys()):
        if before[line] != after[line]:
            tables[line[:5]].append(line)
    for lines in tables.values():
        shared = {line: sorted(before[line].keys() & after[line]) for line in lines}
        pairs = {" ".join(line): [after[line][seed] - before[line][seed] for seed in shared[line]] for line in lines}
        found = mean_intervals({name: values for name, values in pairs.items() if any(values)})
        for line in lines:
            old, new = (samples({"": list(side[line].values())})[""] for side in (before, after))
            # Seeds that came or went beside equal ones are no new observation of those.
            apart = Interval(new.mean - old.mean, None, None, 0) if shared[line] else difference(new, old)
            moved = found.get(" ".join(line))
            yield Move(line, old.mean, new.mean, moved or apart, moved is not None)
