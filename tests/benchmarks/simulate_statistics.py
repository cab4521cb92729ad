"""What the statistics of the board hold, on tables with planted truth; run this file, with a number of tables.

Spreads are log-normal about that of the table; the records in results/ differ by 0 to 1.3 (standard deviation of
the log of the standard deviation, sampling noise taken off).  Each line has a number, its Monte Carlo error, and what
it should be.  At 3 seeds the power to find a method that is 4 standard errors worse should be above that of plain
paired t tests, which call equal methods different in most tables.  Beside it stands the most that any procedure can
have whose familywise error is 5 %: that of the likelihood ratio of Neyman and Pearson, which knows how spreads are
distributed, how much worse the method is, and its spread; first where it looks for worse methods alone, then for
better ones as well.
"""

from __future__ import annotations

import json
import math
import statistics
import sys
from collections import defaultdict
from collections.abc import Iterator
from itertools import product
from pathlib import Path

import numpy as np
from scipy.special import logsumexp, polygamma
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


def shifted(methods: int, seeds: int, errors: float = 4) -> Floats:
    """Return by how much each method is worse: the first by so many standard errors of a difference."""
    return np.eye(methods)[0][:, None] * errors * math.sqrt(2 / seeds)


def drawn(rng: np.random.Generator, methods: int, seeds: int, unequal: float) -> Floats:
    spread = np.exp(unequal * rng.normal(size=(methods, 1)))
    spread[0] = 1
    return spread * rng.normal(size=(methods, seeds))


def most_power(rng: np.random.Generator, methods: int, seeds: int, unequal: float, signs: tuple[int, ...]) -> float:
    """Return the power of the likelihood ratio of "one of them differs" to "none does", at a level of 5 %."""
    grid = np.linspace(-4, 4, 81) if unequal else np.zeros(1)
    prior = -(grid**2) / 2 / (unequal or 1) ** 2
    shift = shifted(methods, seeds)

    def ratio(values: Floats) -> float:
        means, squares = values.mean(axis=1)[:, None], ((values - values.mean(axis=1, keepdims=True)) ** 2).sum(axis=1)
        equal = -seeds * grid - (squares[:, None] + seeds * means**2) / 2 * np.exp(-2 * grid) + prior
        other = -(squares[:, None] + seeds * (means - np.array(signs) * shift.max()) ** 2) / 2
        terms = logsumexp(other, axis=1) - logsumexp(equal, axis=1) + logsumexp(prior) - math.log(len(signs))
        return float(logsumexp(terms))

    equal, worse = (
        [ratio(drawn(rng, methods, seeds, unequal) - by) for _ in range(4000)] for by in (np.zeros((1, 1)), shift)
    )
    return float(np.mean(np.array(worse) > np.quantile(equal, 0.95)))


def line(what: str, found: float, error: float, least: float = -math.inf, most: float = math.inf) -> str:
    bar = " and ".join(f"{word} {end:+.3f}" for word, end in (("above", least), ("below", most)) if math.isfinite(end))
    missed = max(least - found, found - most)
    verdict = "met" if missed <= 0 else "missed, within 2 errors" if missed <= 2 * error else "MISSED"
    return f"  {what:27} {found:+.3f} +- {error:.3f}" + (f"   {bar}: {verdict}" if bar else "")


def accuracy_lines(rng: np.random.Generator, methods: int, seeds: int, unequal: float, tables: int) -> Iterator[str]:
    counts = np.zeros((tables, 10))
    for row in counts:
        values = drawn(rng, methods, seeds, unequal) + 0.3 * rng.normal(size=seeds)
        table, worse, far = table_of(values), values - shifted(methods, seeds), values - shifted(methods, seeds, 8)
        row[0] = max(rank.rank for rank in stats.ranks(table).values()) > 1
        gains = stats.gains({k: v for k, v in table.items() if k != "m00"}, table["m00"]).values()
        row[1] = any(found.significant for found in gains)
        means = stats.mean_intervals({name: list(found.values()) for name, found in table.items()}).values()
        row[2] = np.mean([found.low <= 0 <= found.high for found in means])
        row[3] = np.mean([found.low <= 0 <= found.high for found in gains])
        row[4] = stats.ranks(table_of(worse))["m00"].rank > 1
        row[5] = formerly_worse_than_best(worse)[0]
        row[6] = formerly_worse_than_best(values).any()
        row[7], row[8] = stats.ranks(table_of(far))["m00"].rank > 1, formerly_worse_than_best(far)[0]
        better = stats.ranks(table_of(values + shifted(methods, seeds)))
        row[9] = [name for name, found in better.items() if found.rank == 1] == ["m00"]
    share, errors = counts.mean(axis=0), counts.std(axis=0) / math.sqrt(tables)
    yield f"{methods} methods, {seeds} seeds, spreads differ by {unequal}: {tables} tables"
    yield line("familywise error of ranks", share[0], errors[0], most=0.05)
    yield line("familywise error of gains", share[1], errors[1], most=0.05)
    yield line("coverage of means", share[2], errors[2], least=0.925)
    yield line("coverage of gains", share[3], errors[3], least=0.925)
    yield line("power of ranks", share[4], errors[4], least=share[5] if seeds == 3 else -math.inf)
    most = [most_power(rng, methods, seeds, unequal, signs) for signs in ((-1,), (-1, 1))]
    yield f"  plain t: power {share[5]:.3f}, familywise error {share[6]:.2f}; most power {most[0]:.2f}, {most[1]:.2f}"
    yield f"  8 errors worse: power {share[7]:.3f}, plain t {share[8]:.3f}; 4 better: alone at rank 1 {share[9]:.3f}"


def agreement_lines(rng: np.random.Generator, methods: int, seeds: int, tau: float, tables: int) -> Iterator[str]:
    inside, errors = [], []
    rho = math.sin(math.pi / 2 * tau)
    for _ in range(tables):
        one, noise = rng.normal(size=(30, methods)), rng.normal(size=(30, methods))
        two = rho * one + (math.sqrt(1 - rho**2) * noise if tau < 1 else 0 * noise)
        true = stats.rank_statistic(one, two, "tau")
        best = int(np.argmin(np.abs(true - tau)))
        spread = 0.4 * np.exp(0.5 * rng.normal(size=(methods, 1)))
        a, b = (side[best][:, None] + spread * rng.normal(size=(methods, seeds)) for side in (one, two))
        found = stats.rank_agreement(a, b, "tau")
        inside.append(found.low - 1e-9 <= true[best] <= found.high + 1e-9)
        errors += [found.ratio - true[best]] if found.ratio is not None else []
    yield f"{methods} methods, {seeds} seeds, true tau {tau}: {tables} tables"
    yield line("coverage of tau", float(np.mean(inside)), float(np.std(inside)) / math.sqrt(tables), least=0.925)
    off = statistics.stdev(errors)
    yield line("bias of the ratio", statistics.mean(errors), off / math.sqrt(len(errors)), -0.03, 0.03)
    yield line("standard error of the ratio", off, off / math.sqrt(2 * len(errors)))


def main(tables: int, *only: str) -> None:
    """Print the bars of what is named in `only`: records, accuracy, agreement, or numbers of methods; all by default.
    Each case has a seed of its own, so that its numbers do not depend on what else is printed."""
    kinds = {
        "accuracy": (accuracy_lines, 10, (0.0, 0.4, 0.8), 1),
        "agreement": (agreement_lines, 9, (1.0, 0.8, 0.4), 2),
    }
    named, sizes = {*only} - {"9", "10", "50"}, {*only} & {"9", "10", "50"}
    for name, methods, seeds, unequal in recorded_spreads() if not named or "records" in named else ():
        print(f"records: {name}: {methods} methods, {seeds} seeds, spread {unequal:.2f}")
    for lines, few, truths, times in (kind for name, kind in kinds.items() if not named or name in named):
        for methods, count in ((few, times * tables), (50, times * tables // 4)):
            for seeds, truth in product((3, 5), truths) if not sizes or str(methods) in sizes else ():
                rng = np.random.default_rng([methods, seeds, round(10 * truth)])
                print(*lines(rng, methods, seeds, truth, count), sep="\n", flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 100, *sys.argv[2:])
