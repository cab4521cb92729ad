"""The tables of the board arranged as they are read: sections, trainings, one line per method, one column per rate."""

import re
from collections import defaultdict
from collections.abc import Hashable, Iterable, Sequence
from decimal import Decimal
from typing import Any, NamedTuple

import pandas as pd

from prunebench.board.cells import BASELINE, MEAN, SECTION, TRAINING, UNPRUNED, WHOLE, label, plain
from prunebench.board.correlation import CONTROL, CROSS, MEASURES, NOISE, SEEDS
from prunebench.board.table import Board

MINUS, DAGGER = "\N{MINUS SIGN}", "\N{DAGGER}"
NUMBER = re.compile(r"(?<![\w.])\d[\d,]*(?:\.\d+)?(?![\w.]*\w)")  # not a part of a name or a version

Row = dict[Hashable, Any]


class Line(NamedTuple):
    """One method over the pruning rates of a table."""

    label: str
    rows: dict[str, Row]

    @property
    def note(self) -> str:
        return noted(self.rows.values())

    @property
    def not_run(self) -> bool:
        return all(row["hole"] == "not run" for row in self.rows.values())

    @property
    def place(self) -> tuple[int, float, str]:
        """Sort key: lines without a hole first, by falling mean over the rates."""
        values = [row["accuracy_mean"] for row in self.rows.values() if row["accuracy_mean"] is not None]
        mean = sum(sorted(values)) / max(len(values), 1)
        return len(self.rows) - len(values), -mean, self.label


class TrainingView(NamedTuple):
    """One table of accuracies; `unpruned` is None where the full set was not trained on."""

    facts: Row
    rates: list[str]
    lines: list[Line]
    not_run: list[str]
    unpruned: Row | None
    baseline: str
    metrics: list[tuple[str, str, str]]
    firsts: dict[str, tuple[int, int]]  # by rate: how many methods share the first rank, of how many ranked


class ScoreLine(NamedTuple):
    """The agreement of one method's scores: the means by comparison, and every row behind them."""

    label: str
    cross: Row | None
    seed: Row | None
    control: Row | None
    rows: list[Row]

    @property
    def note(self) -> str:
        return noted(row for row in (self.cross, self.seed) if row)

    @property
    def ceiling(self) -> float | None:
        if self.cross or not self.seed:
            return self.cross["ceiling"] if self.cross else None
        return 1.0 if self.seed["deterministic"] else self.seed["value"]

    @property
    def place(self) -> tuple[float, str]:
        """Sort key: the highest agreement across backbones first."""
        value = self.cross["value"] if self.cross else None
        return (2.0 if value is None else -value), self.label


class SectionView(NamedTuple):
    """All that the board shows of one section."""

    facts: Row
    trainings: list[TrainingView]
    archs: list[tuple[Row, Row]]
    scores: list[ScoreLine]
    failures: list[Row]

    @property
    def measured(self) -> tuple[list[str], list[tuple[str, str, list[Row | None]]]]:
        """What was measured beside rank correlation, or under noise: the quantities, and a line for each method and
        comparison with the mean of each of them; nothing where neither was asked for."""
        means = {(line.label, row["comparison"], row["quantity"]): row
                 for line in self.scores for row in line.rows if row["a"] == MEAN}  # fmt: skip
        beside = list(dict.fromkeys(quantity for *_, quantity in means if quantity not in MEASURES))
        if not beside and not any(NOISE in comparison for _, comparison, _ in means):
            return [], []
        names, lines = ["score_rho", "score_pearson", *beside], dict.fromkeys(place[:2] for place in means)
        return names, [(*line, [means.get((*line, name)) for name in names]) for line in lines]


def records(frame: pd.DataFrame) -> list[Row]:
    """Return the rows of a table, None where there is no number."""
    return frame.astype(object).where(frame.notna(), None).to_dict("records")


def noted(rows: Iterable[Row]) -> str:
    """Return what is to be said against these rows; sentences that differ in their numbers alone are one."""
    said = {part for row in rows for part in (*row["caveat"].split("; "), row.get("versions")) if part}
    alike: dict[str, list[str]] = defaultdict(list)
    for sentence in sorted(said):
        alike[NUMBER.sub("#", sentence)].append(sentence)
    return "; ".join(sorted(_folded(sentences) for sentences in alike.values()))


def _folded(sentences: Sequence[str]) -> str:
    columns = [
        sorted(set(column), key=lambda text: float(text.replace(",", "")))
        for column in zip(*map(NUMBER.findall, sentences), strict=True)
    ]
    ranges = iter([f"{c[0]} to {c[-1]}" if len(c) > 2 else " and ".join(c) for c in columns])
    return NUMBER.sub(lambda _: next(ranges), sentences[0])


def notes(lines: Iterable[Line | ScoreLine]) -> list[str]:
    """Return "† method: caveat" for each line that has one."""
    return sorted({f"{DAGGER} {line.label}: {line.note}" for line in lines if line.note})


def marked(line: Line | ScoreLine) -> str:
    """Return the label of a line, with a dagger where there is a note about it."""
    return f"{line.label} {DAGGER}" if line.note else line.label


def sections(board: Board) -> list[SectionView]:
    """Return the sections of the board in their order."""
    everything = [records(frame) for frame in (board.accuracy, board.rank_correlation, board.tables, board.failures)]
    found: list[SectionView] = []
    for facts in records(board.sections):
        rows, correlations, tables, failed = (_of(rows, facts, SECTION) for rows in everything)
        trainings = [_training(board, table, _of(rows, table, TRAINING)) for table in tables]
        tau, rho = ([row for row in correlations if row["quantity"] == name] for name in ("method_tau", "method_rho"))
        scores = _score_lines([row for row in correlations if row["comparison"] != "archs"])
        found.append(SectionView(facts, trainings, list(zip(tau, rho, strict=True)), scores, failed))
    return found


def _of(rows: Iterable[Row], facts: Row, names: Sequence[str]) -> list[Row]:
    return [row for row in rows if all(row[name] == facts[name] for name in names)]


def _training(board: Board, table: Row, rows: list[Row]) -> TrainingView:
    pruned = [row for row in rows if row["role"] != UNPRUNED]
    lines = _lines(row for row in pruned if row["score_backbone"] in WHOLE)
    rates = sorted({row["pruning_rate"] for row in pruned}, key=Decimal)
    columns = []
    for metric in board.metrics:
        for rate in rates if metric.spec.scope == "cell" else rates[:1]:
            if any(row[metric.column] is not None for row in pruned if row["pruning_rate"] == rate):
                title = f"{metric.spec.label or metric.spec.name}{'' if metric.spec.higher_is_better else ' ↓'}"
                columns.append((title, metric.column, rate if metric.spec.scope == "cell" else ""))
    ranks = {rate: [line.rows[rate]["rank"] for line in lines if rate in line.rows] for rate in rates}
    firsts = {rate: (found.count(1), sum(rank is not None for rank in found)) for rate, found in ranks.items()}
    return TrainingView(
        table, rates, [line for line in lines if not line.not_run], [line.label for line in lines if line.not_run],
        next((row for row in rows if row["role"] == UNPRUNED and row["score_backbone"] in WHOLE), None),
        next((label(row) for row in rows if row["role"] == BASELINE), ""), columns, firsts,
    )  # fmt: skip


def _lines(rows: Iterable[Row]) -> list[Line]:
    """Return one line per method."""
    found: dict[str, Line] = {}
    for row in rows:
        found.setdefault(label(row), Line(label(row), {})).rows[row["pruning_rate"]] = row
    return sorted(found.values(), key=lambda line: line.place)


def _score_lines(rows: Sequence[Row]) -> list[ScoreLine]:
    lines = []
    for name in sorted({label(row) for row in rows}):
        mine = [row for row in rows if label(row) == name]
        means = {row["comparison"]: row for row in mine if (row["quantity"], row["a"]) == ("score_rho", "mean")}
        lines.append(ScoreLine(name, means.get(CROSS), means.get(SEEDS), means.get(CONTROL + CROSS), mine))
    return sorted(lines, key=lambda line: line.place)


def percent(value: float | None) -> str:
    """Return a fraction in percent with one decimal."""
    return "-" if value is None else f"{value * 100:.1f}"


def number(value: float | None) -> str:
    """Return a correlation with two decimals and a true minus sign."""
    text = "-" if value is None else f"{abs(value):.2f}"
    return f"{MINUS}{text}" if value is not None and value < 0 and text != "0.00" else text


def rate(text: str) -> str:
    """Return a pruning rate as exact percent ("0.9" to "90 %")."""
    return f"{plain(str(Decimal(text) * 100))} %"
