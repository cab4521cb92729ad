"""Rows of one table to numbers: means with intervals, paired gains over the baseline, ranks."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from prunebench.board.grid import BASELINE, MEAN, NONE, UNPRUNED, Row, Table, caveats_of, mean
from prunebench.errors import UsageError
from prunebench.records import FINAL, complement
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
    baselines: dict[str, Row] = {}
    groups: dict[tuple[str, str], list[Row]] = defaultdict(list)
    for row in table.rows:
        whole = row.score_backbone in WHOLE
        groups[row.keep, "" if whole else row.score_backbone].append(row)
        if row.role == BASELINE and whole and (other := baselines.setdefault(row.keep, row)) is not row:
            raise UsageError(
                f"{table.section.suite} on {table.section.dataset} has two baselines, {other.method.label} and "
                f"{row.method.label}",
                "a gain needs one reference: give the role 'baseline' to one method of the suite",
            )
    numbers: dict[int, dict[str, Any]] = {}
    for (keep, backbone), rows in groups.items():
        numbers |= _column(rows, baselines.get(keep), ranked=not backbone)
    return [{**_facts(table, row), **numbers[id(row)]} for row in table.rows]


def _column(rows: Sequence[Row], baseline: Row | None, ranked: bool) -> dict[int, dict[str, Any]]:
    """Return the numbers of the rows that stand in one column of a table, by the id of the row."""
    complete = {str(index): row for index, row in enumerate(rows) if row.complete}
    # Written backwards, so that the first seed of an observation stays.
    distinct = {name: {row.observations[seed]: value for seed, value in reversed(row.accuracy.items())}
                for name, row in complete.items()}  # fmt: skip
    means = mean_intervals({name: list(values.values()) for name, values in distinct.items()}) if distinct else {}
    gain = _gains(complete, baseline) if baseline else {}
    places = _ranks({name: row for name, row in complete.items() if row.ranked}, means) if ranked else {}
    names = {str(index): row for index, row in enumerate(rows)}
    return {id(row): _numbers(row, means.get(name), gain.get(name), places.get(name)) for name, row in names.items()}


def _gains(complete: Mapping[str, Row], baseline: Row) -> dict[str, Gain]:
    """Return the gains over the `n` seeds that a row and the baseline share, equal pairs of observations taken once."""
    paired: dict[str, dict[int, float]] = {}
    for name, row in complete.items():
        if row.role not in (BASELINE, UNPRUNED):
            shared = [seed for seed in reversed(row.accuracy) if seed in baseline.accuracy]
            seeds = {(row.observations[seed], baseline.observations[seed]): seed for seed in shared}
            paired[name] = {seed: row.accuracy[seed] for seed in sorted(seeds.values())}
    shared_seeds = {name: len(complete[name].accuracy.keys() & baseline.accuracy.keys()) for name in paired}
    return {name: replace(gain, n=shared_seeds[name]) for name, gain in gains(paired, baseline.accuracy).items()}


def _ranks(rows: Mapping[str, Row], means: Mapping[str, Interval]) -> dict[str, Rank]:
    """Return ranks; means that are equal as printed are equal here."""
    values = {}
    for name, row in rows.items():
        shift = round(means[name].mean, DECIMALS) - math.fsum(row.accuracy.values()) / len(row.accuracy)
        values[name] = {seed: value + shift for seed, value in row.accuracy.items()}
    return ranks(values) if len(values) > 1 else {}


def _numbers(row: Row, found: Interval | None, gain: Gain | None, place: Rank | None) -> dict[str, Any]:
    best = row.by_seed("accuracy_best")
    return {
        **{f"accuracy_{name}": rounded(getattr(found, name, None)) for name in ("mean", "low", "high")},
        "accuracy_best_mean": rounded(mean(best.values())) if len(best) == len(row.seeds) else None,
        "n_observations": found.n if found else 0,
        **{f"gain_{name}": rounded(getattr(gain, name, None)) for name in ("mean", "low", "high")},
        "gain_n_seeds": gain.n if gain else None,
        "gain_significant": gain is not None and gain.significant,
        **dict(zip(("rank", "rank_low", "rank_high"), place or (None, None, None), strict=True)),
    }


def _facts(table: Table, row: Row) -> dict[str, Any]:
    cells = [row.cells[place] for place in sorted(row.cells)]
    values: dict[str, list[float]] = defaultdict(list)
    for cell in cells:
        for name, value in cell.diagnostics.items():
            if isinstance(value, int | float) and math.isfinite(value):
                values[name].append(value)
    return {
        **table.section._asdict(), **table.training._asdict(), **row.method._asdict(),
        "role": row.role, "score_backbone": row.score_backbone, "keep": row.keep, "pruning_rate": complement(row.keep),
        "n_seeds": len(row.accuracy), "n_seeds_expected": len(row.seeds),
        "n_backbones": row.finished_backbones, "n_backbones_expected": len(row.backbones),
        "deterministic": row.deterministic, "n_failed": sum(cell.status not in FINAL for cell in cells),
        "versions": row.versions,
        "diagnostics": "; ".join(f"{name}={mean(found):.6g}" for name, found in sorted(values.items())),
        "caveat": caveats_of(cells),
        "status": "ok" if row.complete else "hole", "hole": row.hole, "status_reason": row.reason,
    }  # fmt: skip
