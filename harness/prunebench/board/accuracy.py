"""The numbers of a table of accuracies: means with intervals, paired gains over the baseline, ranks."""

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pandas as pd

from prunebench.board.cells import BASELINE, DECIMALS, METHOD, UNPRUNED, WHOLE, groups, label, rounded, rounded_bounds
from prunebench.board.grid import TABLE, Grid, by_row_and_seed
from prunebench.errors import UsageError
from prunebench.stats import Gain, Interval, Rank, gains, mean_intervals, ranks

COLUMNS = (
    "suite", "dataset", "protocol", "dataset_fingerprint", "train_arch", "recipe", "recipe_digest", "method",
    "projector", "role", "score_backbone", "keep", "pruning_rate", "accuracy_mean", "accuracy_low", "accuracy_high",
    "accuracy_best_mean", "n_seeds", "n_seeds_expected", "n_backbones", "n_backbones_expected", "n_observations",
    "deterministic", "n_failed", "gain_mean", "gain_low", "gain_high", "gain_n_seeds", "gain_significant", "rank",
    "rank_low", "rank_high", "versions", "diagnostics", "caveat", "status", "hole", "status_reason",
)  # fmt: skip
INTEGERS = ("gain_n_seeds", "rank", "rank_low", "rank_high")
Values = Mapping[int, dict[int, float]]  # accuracy by row and seed
Names = Mapping[int, dict[int, str]]  # of observations, by row and seed


def accuracy_table(grid: Grid) -> pd.DataFrame:
    """Return the rows of the grid with their numbers; raises UsageError for a second baseline."""
    rows, whole = grid.rows, grid.rows.score_backbone.isin(WHOLE)
    baselines = rows[(rows.role == BASELINE) & whole]
    for _, found in groups(baselines, [*TABLE, "keep"]):
        if len(found) > 1:
            names = [label(row) for row in found[METHOD].to_dict("records")]
            raise UsageError(
                f"{found.suite.iloc[0]} on {found.dataset.iloc[0]} has two baselines, {names[0]} and {names[1]}",
                "a gain needs one reference: give the role 'baseline' to one method of the suite",
            )
    accuracy, observed = by_row_and_seed(grid.seeds.accuracy.dropna()), by_row_and_seed(grid.seeds.observation)
    reference = {place: found.index[0] for place, found in groups(baselines, [*TABLE, "keep"])}
    numbers: dict[int, dict[str, Any]] = {}
    for place, column in groups(rows.assign(column=rows.score_backbone.mask(whole, "")), [*TABLE, "keep", "column"]):
        numbers |= _column(column, accuracy, observed, reference.get(place[:-1]))
    best = rows.accuracy_best_mean.astype(float).round(DECIMALS) + 0.0
    table = rows.assign(accuracy_best_mean=best).join(pd.DataFrame.from_dict(numbers, orient="index"))
    # A table without rows has these types too.
    return table.reindex(columns=list(COLUMNS)).astype(dict.fromkeys(INTEGERS, "Int64") | {"status_reason": "str"})


def _column(column: pd.DataFrame, accuracy: Values, observed: Names, baseline: int | None) -> dict[int, dict[str, Any]]:
    """Return the numbers of the rows that stand in one column of a table; only whole methods are ranked."""
    complete = column[column.complete]
    # Written backwards, so that the first seed of an observation stays.
    distinct = {str(row): {observed[row][seed]: value for seed, value in reversed(accuracy[row].items())}
                for row in complete.index}  # fmt: skip
    means = mean_intervals({name: list(values.values()) for name, values in distinct.items()})
    pruned = list(complete.index[~complete.role.isin([BASELINE, UNPRUNED])])
    gain = _gains(column.loc[pruned], accuracy, observed, baseline) if baseline is not None else {}
    ranked = complete.index[complete.ranked & complete.score_backbone.isin(WHOLE)]
    places = _ranks({str(row): accuracy[row] for row in ranked}, means)
    return {int(row): _numbers(means.get(str(row)), gain.get(str(row)), places.get(str(row))) for row in column.index}


def _gains(pruned: pd.DataFrame, accuracy: Values, observed: Names, baseline: int) -> dict[str, Gain]:
    """Return the gains over the `n` seeds that a row and the baseline share, equal pairs of observations taken once."""
    paired, shared, rows, reference = {}, {}, dict[str, int](), accuracy[baseline]
    for row, *named in pruned[["method", "projector", "score_backbone"]].itertuples():
        both = [seed for seed in accuracy[row] if seed in reference]
        seeds = {(observed[row][seed], observed[baseline][seed]): seed for seed in reversed(both)}
        name = "\0".join((*named, str(row)))  # the order of these names is that in which the page has the rows
        paired[name], rows[name] = {seed: accuracy[row][seed] for seed in sorted(seeds.values())}, row
        shared[name] = len(both)
    return {str(rows[name]): replace(gain, n=shared[name]) for name, gain in gains(paired, reference).items()}


def _ranks(rows: Mapping[str, Mapping[int, float]], means: Mapping[str, Interval]) -> dict[str, Rank]:
    """Return ranks; means that are equal as printed are equal here."""
    values = {}
    for name, accuracy in rows.items():
        shift = round(means[name].mean, DECIMALS) - math.fsum(accuracy.values()) / len(accuracy)
        values[name] = {seed: value + shift for seed, value in accuracy.items()}
    return ranks(values) if len(values) > 1 else {}


def _numbers(found: Interval | None, gain: Gain | None, place: Rank | None) -> dict[str, Any]:
    numbers = dict[str, Any]()
    for name, one in (("accuracy", found), ("gain", gain)):
        low, high = rounded_bounds(one.low, one.high) if one else (None, None)
        numbers |= {f"{name}_mean": rounded(one.mean) if one else None, f"{name}_low": low, f"{name}_high": high}
    return {
        **numbers,
        "n_observations": found.n if found else 0,
        "gain_n_seeds": gain.n if gain else None,
        "gain_significant": gain is not None and gain.significant,
        **dict(zip(("rank", "rank_low", "rank_high"), place or (None, None, None), strict=True)),
    }
