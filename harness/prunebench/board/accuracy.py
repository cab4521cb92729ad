"""Rows of one table to numbers: means with intervals, paired gains over the baseline, ranks."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from prunebench.board.grid import BASELINE, FAILURES, MEAN, NONE, UNPRUNED, Row, Table
from prunebench.errors import UsageError
from prunebench.records import complement
from prunebench.stats import Gain, Interval, Rank, gains, mean_intervals, ranks

DECIMALS = 6  # of every number on the board: enough for a million test samples, blind to the last bits
WHOLE = (NONE, MEAN)  # the score_backbone of the rows that stand for a whole method
COLUMNS = (
    "suite", "dataset", "protocol", "dataset_fingerprint", "train_arch", "recipe", "recipe_digest", "method",
    "projector", "role", "score_backbone", "keep", "pruning_rate", "accuracy_mean", "accuracy_low", "accuracy_high",
    "accuracy_best_mean", "n_seeds", "n_seeds_expected", "n_backbones", "n_backbones_expected", "n_observations",
    "deterministic", "n_failed", "gain_mean", "gain_low", "gain_high", "gain_n_seeds", "gain_significant", "rank",
    "rank_low", "rank_high", "versions", "diagnostics", "caveat", "status", "hole", "status_reason",
)  # fmt: skip
INTEGERS = ("gain_n_seeds", "rank", "rank_low", "rank_high")


def rounded(value: float | None) -> float | None:
    """Return the number as the board stores it; never a negative zero."""
    return None if value is None else round(value, DECIMALS) + 0.0


def accuracy_rows(table: Table) -> list[dict[str, Any]]:
    """Return one dict of COLUMNS for each row of a table, in its order; raises UsageError for a second baseline."""
    baselines = _baselines(table)
    groups: dict[tuple[str, str], list[Row]] = defaultdict(list)
    for row in table.rows:
        groups[row.keep, "" if row.score_backbone in WHOLE else row.score_backbone].append(row)
    numbers: dict[int, dict[str, Any]] = {}
    for (keep, backbone), rows in groups.items():
        numbers |= _column(rows, baselines.get(keep), ranked=not backbone)
    return [{**_facts(table, row), **numbers[id(row)]} for row in table.rows]


def _baselines(table: Table) -> dict[str, Row]:
    found: dict[str, Row] = {}
    for row in table.rows:
        if row.role == BASELINE and row.score_backbone in WHOLE:
            other = found.setdefault(row.keep, row)
            if other is not row:
                raise UsageError(
                    f"{table.section.suite} on {table.section.dataset} has two baselines, {other.method.label} and "
                    f"{row.method.label}",
                    "a gain needs one reference: give the role 'baseline' to one method of the suite",
                )
    return found


def _column(rows: Sequence[Row], baseline: Row | None, ranked: bool) -> dict[int, dict[str, Any]]:
    """Return the numbers of the rows that stand in one column of a table, by the id of the row."""
    complete = {str(index): row for index, row in enumerate(rows) if row.complete}
    distinct = {name: list(_distinct(row).values()) for name, row in complete.items()}
    means: Mapping[str, Interval] = mean_intervals(distinct) if distinct else {}
    gain = _gains(complete, baseline) if baseline else {}
    places = _ranks({name: row for name, row in complete.items() if row.ranked}, means) if ranked else {}
    return {
        id(row): _numbers(row, means.get(str(index)), gain.get(str(index)), places.get(str(index)))
        for index, row in enumerate(rows)
    }


def _distinct(row: Row) -> dict[str, float]:
    """Return the accuracy of each distinct observation."""
    found: dict[str, float] = {}
    for seed, value in row.accuracy.items():
        found.setdefault(row.observations[seed], value)
    return found


def _gains(complete: Mapping[str, Row], baseline: Row) -> dict[str, Gain]:
    paired: dict[str, dict[int, float]] = {}
    for name, row in complete.items():
        if row.role in (BASELINE, UNPRUNED):
            continue
        shared = [seed for seed in row.accuracy if seed in baseline.accuracy]
        seen = {(row.observations[seed], baseline.observations[seed]): seed for seed in reversed(shared)}
        paired[name] = {seed: row.accuracy[seed] for seed in sorted(seen.values())}
    return gains(paired, baseline.accuracy)


def _ranks(rows: Mapping[str, Row], means: Mapping[str, Interval]) -> dict[str, Rank]:
    """Return ranks; means that are equal as printed are equal here."""
    if len(rows) < 2:
        return {}
    values = {}
    for name, row in rows.items():
        plain = math.fsum(row.accuracy.values()) / len(row.accuracy)
        shift = round(means[name].mean, DECIMALS) - plain
        values[name] = {seed: value + shift for seed, value in row.accuracy.items()}
    return ranks(values)


def _numbers(row: Row, found: Interval | None, gain: Gain | None, place: Rank | None) -> dict[str, Any]:
    best = row.by_seed("accuracy_best") if row.complete else {}
    return {
        "accuracy_mean": rounded(found.mean) if found else None,
        "accuracy_low": rounded(found.low) if found else None,
        "accuracy_high": rounded(found.high) if found else None,
        "accuracy_best_mean": rounded(math.fsum(sorted(best.values())) / len(best)) if best else None,
        "n_observations": found.n if found else 0,
        "gain_mean": rounded(gain.mean) if gain else None,
        "gain_low": rounded(gain.low) if gain else None,
        "gain_high": rounded(gain.high) if gain else None,
        "gain_n_seeds": gain.n if gain else None,
        "gain_significant": gain.significant if gain else False,
        "rank": place.rank if place else None,
        "rank_low": place.low if place else None,
        "rank_high": place.high if place else None,
    }


def _facts(table: Table, row: Row) -> dict[str, Any]:
    cells = [row.cells[place] for place in sorted(row.cells)]
    return {
        **table.section._asdict(),
        **table.training._asdict(),
        **row.method._asdict(),
        "role": row.role,
        "score_backbone": row.score_backbone,
        "keep": row.keep,
        "pruning_rate": complement(row.keep),
        "n_seeds": len(row.accuracy),
        "n_seeds_expected": len(row.seeds),
        "n_backbones": row.finished_backbones,
        "n_backbones_expected": len(row.backbones),
        "deterministic": row.deterministic,
        "n_failed": sum(cell.status in FAILURES for cell in cells),
        "versions": row.versions,
        "diagnostics": _diagnostics(row),
        "caveat": "; ".join(sorted({part for cell in cells for part in cell.caveat.split("; ") if part})),
        "status": "ok" if row.complete else "hole",
        "hole": row.hole,
        "status_reason": row.reason,
    }


def _diagnostics(row: Row) -> str:
    """Return the mean of each number that the cells report about themselves, as "name=value; ..."."""
    values: dict[str, list[float]] = defaultdict(list)
    for cell in row.cells.values():
        for name, value in cell.diagnostics.items():
            if isinstance(value, int | float) and math.isfinite(value):
                values[name].append(value)
    return "; ".join(f"{name}={math.fsum(sorted(v)) / len(v):.6g}" for name, v in sorted(values.items()))
