"""What the statistics of the board hold, on tables with planted truth; run this file, with a number of tables.

Spreads are log-normal about that of the table; the records in results/ differ by .4 to .9 (standard deviation of
the log of the standard deviation, sampling noise taken off).  Beside each number stands that of a plain t test per
method with no correction for the number of methods.
"""

from __future__ import annotations

import json
import math
import statistics
import sys
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from scipy.special import polygamma
from scipy.stats import t as student

from prunebench import stats
from prunebench.stats.moderated import Floats

RESULTS = Path(__file__).resolve().parents[2] / "results"
Table = dict[str, dict[int, float]]


def recorded_spreads() -> Iterator[tuple[str, int, int, float]]:
    """Yield each table of the committed records with 5 methods: its name, methods, seeds, and spread of log sd."""
    cells: dict[str, dict[str, dict[int, list[float]]]] = defaultdict(lambda: defaultdict(lambda: defaultdict(list)))
    for path in sorted(RESULTS.glob("*/*/*.jsonl")):
        for record in map(json.loads, path.read_text(encoding="utf-8").splitlines()):
            if record.get("status") == "ok" and record.get("accuracy") is not None:
                table = f"{record['suite']} {record['train_arch']} keep {record['keep']}"
                cells[table][f"{record['method']} {record.get('projector')}"][record["seed"]].append(record["accuracy"])
    for name, methods in cells.items():
        seeds = max(len(by_seed) for by_seed in methods.values())
        rows = [[statistics.mean(v) for v in by_seed.values()] for by_seed in methods.values() if len(by_seed) == seeds]
        logs = [math.log(sd) for sd in map(statistics.stdev, rows) if sd > 1e-9] if seeds > 1 else []
        if len(logs) >= 5:
            sampling = float(polygamma(1, (seeds - 1) / 2)) / 4
            yield name, len(rows), seeds, math.sqrt(max(statistics.variance(logs) - sampling, 0.0))


def table_of(values: Floats) -> Table:
    return {f"m{row:02}": dict(enumerate(numbers)) for row, numbers in enumerate(values.tolist())}


def formerly_worse_than_best(values: Floats, level: float = 0.05) -> np.ndarray:
    """Return which methods a paired t test of this level tells from the best, as ranks were once given."""
    gaps = values[values.mean(axis=1).argmax()] - values
    seeds = values.shape[1]
    with np.errstate(invalid="ignore", divide="ignore"):
        t = gaps.mean(axis=1) / (gaps.std(axis=1, ddof=1) / math.sqrt(seeds))
    return np.nan_to_num(t) > student.ppf(1 - level / 2, seeds - 1)


def accuracy_line(rng: np.random.Generator, methods: int, seeds: int, unequal: float, tables: int) -> str:
    counts = np.zeros(10)
    plain = student.ppf(0.975, seeds - 1)
    for _ in range(tables):
        spread = np.exp(unequal * rng.normal(size=(methods, 1)))
        spread[0] = 1
        values = spread * rng.normal(size=(methods, seeds)) + 0.3 * rng.normal(size=seeds)
        table = table_of(values)
        counts[0] += max(rank.rank for rank in stats.ranks(table).values()) > 1
        counts[1] += formerly_worse_than_best(values).any()
        own = {name: stats.mean_intervals({"": list(row.values())})[""] for name, row in table.items()}
        means = stats.mean_intervals({name: list(row.values()) for name, row in table.items()}).values()
        counts[2] += sum(found.low <= 0 <= found.high for found in means) / methods
        counts[3] += sum(found.half_width for found in means) / sum(found.half_width for found in own.values())
        gains = stats.gains({k: row for k, row in table.items() if k != "m00"}, table["m00"]).values()
        counts[4] += sum(found.low <= 0 <= found.high for found in gains) / (methods - 1)
        counts[5] += any(found.significant for found in gains)
        gaps = np.abs((values[1:] - values[0]).mean(axis=1)) / (values[1:] - values[0]).std(axis=1, ddof=1)
        counts[6] += (gaps * math.sqrt(seeds) > plain).any()
        values[0] -= 4 * math.sqrt(2 / seeds)
        counts[7] += stats.ranks(table_of(values))["m00"].rank > 1
        counts[8] += formerly_worse_than_best(values)[0]
        counts[9] += formerly_worse_than_best(values, 0.1 / methods / (methods - 1))[0]
    share = counts / tables
    return (
        f"{methods:3} methods {seeds} seeds spread {unequal:.1f}: familywise error of ranks {share[0]:.3f} (before "
        f"{share[1]:.2f}), of gains {share[5]:.3f} (before {share[6]:.2f}); coverage of means {share[2]:.3f}, of gains "
        f"{share[4]:.3f}; width {share[3]:.2f} of plain t; power {share[7]:.2f} (before "
        f"{share[8]:.2f}, with Bonferroni's correction {share[9]:.2f})"
    )


def agreement_line(rng: np.random.Generator, methods: int, seeds: int, tau: float, tables: int) -> str:
    inside, errors, widths = 0, [], []
    rho = math.sin(math.pi / 2 * tau)
    for _ in range(tables):
        one, noise = rng.normal(size=(30, methods)), rng.normal(size=(30, methods))
        two = rho * one + (math.sqrt(1 - rho**2) * noise if tau < 1 else 0 * noise)
        true = stats.rank_statistic(one, two, "tau")
        best = int(np.argmin(np.abs(true - tau)))
        spread = 0.4 * np.exp(0.5 * rng.normal(size=(methods, 1)))
        a, b = (side[best][:, None] + spread * rng.normal(size=(methods, seeds)) for side in (one, two))
        found = stats.rank_agreement(a, b, "tau")
        inside += found.low - 1e-9 <= true[best] <= found.high + 1e-9
        widths.append(found.high - found.low)
        errors += [found.ratio - true[best]] if found.ratio is not None else []
    error = statistics.stdev(errors) / math.sqrt(len(errors))
    return (
        f"{methods:3} methods {seeds} seeds true tau {tau}: coverage {inside / tables:.3f}, width "
        f"{statistics.mean(widths):.2f}, bias of the ratio {statistics.mean(errors):+.3f} +- {error:.3f}"
    )


def main(tables: int) -> None:
    for name, methods, seeds, unequal in recorded_spreads():
        print(f"records: {name}: {methods} methods, {seeds} seeds, spread {unequal:.2f}")
    rng = np.random.default_rng(0)
    for methods, count in ((10, tables), (50, tables // 4)):
        for seeds in (3, 5):
            for unequal in (0.0, 0.4, 0.8):
                print(accuracy_line(rng, methods, seeds, unequal, count), flush=True)
    for methods, count in ((9, 2 * tables), (50, tables // 2)):
        for seeds in (3, 5):
            for tau in (1.0, 0.8, 0.4):
                print(agreement_line(rng, methods, seeds, tau, count), flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 100)
