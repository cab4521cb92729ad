"""How far two training architectures rank the methods alike."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from decimal import Decimal
from itertools import combinations
from typing import Any, Literal

import numpy as np

from prunebench.board.accuracy import WHOLE, rounded
from prunebench.board.grid import UNPRUNED, Table, versions_in
from prunebench.records import complement
from prunebench.stats import rank_agreement

NUMBERS = ("value", "low", "high", "ceiling_a", "ceiling_b", "ceiling", "ratio")
INTEGERS = ("n_methods", "n_seeds", "n_pairs", "n_observations")
COLUMNS = (
    "suite", "dataset", "protocol", "dataset_fingerprint", "quantity", "comparison", "recipe", "keep", "pruning_rate",
    "method", "projector", "a", "b", *NUMBERS, "deterministic", *INTEGERS, "status", "reason", "caveat",
)  # fmt: skip
QUANTITIES: dict[str, Literal["tau", "rho"]] = {"method_tau": "tau", "method_rho": "rho"}


def method_correlations(tables: Sequence[Table]) -> Iterator[dict[str, Any]]:
    """Yield method_tau and method_rho of each budget and pair of architectures of one section.

    Over the methods that are ranked on both, in one version.  Architectures are compared under one recipe where they
    share one, else under any.
    """
    recipes: dict[str, set[tuple[str, ...]]] = defaultdict(set)
    for table in tables:
        recipes[table.training.train_arch].add(table.training[1:])
    keeps = {row.keep for table in tables for row in table.rows if row.role != UNPRUNED}
    for keep in sorted(keeps, key=Decimal, reverse=True):
        for a, b in combinations(tables, 2):
            (first, *mine), (second, *other) = a.training, b.training
            if first != second and (mine == other or not recipes[first] & recipes[second]):
                yield from _architectures(a, b, keep)


def _architectures(a: Table, b: Table, keep: str) -> Iterator[dict[str, Any]]:
    sides = [
        {row.method: row for row in table.rows if row.keep == keep and row.ranked and row.score_backbone in WHOLE}
        for table in (a, b)
    ]
    methods = [name for name in sorted(sides[0].keys() & sides[1].keys())
               if not versions_in(cell for side in sides for cell in side[name].cells.values())]  # fmt: skip
    seeds = sorted(set.intersection(*[set(side[name].accuracy) for side in sides for name in methods] or [set()]))
    values = [
        np.array([[side[name].accuracy[seed] for seed in seeds] for name in methods]).reshape(len(methods), len(seeds))
        for side in sides
    ]
    for quantity, statistic in QUANTITIES.items():
        found = asdict(rank_agreement(values[0], values[1], statistic))
        yield {
            **dict.fromkeys(COLUMNS, ""), **a.section._asdict(), "quantity": quantity, "comparison": "archs",
            "recipe": " | ".join(dict.fromkeys([a.training.recipe, b.training.recipe])),
            "keep": keep, "pruning_rate": complement(keep), "a": a.training.train_arch, "b": b.training.train_arch,
            **dict.fromkeys(INTEGERS), **found, **{name: rounded(found[name]) for name in NUMBERS},
            "deterministic": False, "status": "insufficient" if found["value"] is None else "ok",
        }  # fmt: skip
