"""How far two training architectures rank the methods alike."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from decimal import Decimal
from itertools import combinations
from typing import Any, Literal

import numpy as np

from prunebench.board.accuracy import WHOLE, rounded
from prunebench.board.grid import Row, Table
from prunebench.records import complement
from prunebench.stats import RankAgreement, rank_agreement

COLUMNS = (
    "suite", "dataset", "protocol", "dataset_fingerprint", "quantity", "comparison", "recipe", "keep", "pruning_rate",
    "method", "projector", "a", "b", "value", "low", "high", "ceiling_a", "ceiling_b", "ceiling", "ratio",
    "deterministic", "n_methods", "n_seeds", "n_pairs", "n_observations", "status", "reason", "caveat",
)  # fmt: skip
INTEGERS = ("n_methods", "n_seeds", "n_pairs", "n_observations")
ARCHS = "archs"


def method_correlations(tables: Sequence[Table]) -> Iterator[dict[str, Any]]:
    """Yield method_tau and method_rho of each budget and pair of architectures of one section.

    Over the methods that are ranked on both, in one version.  Architectures are compared under one recipe where they
    share one, else under any.
    """
    recipes: dict[str, set[tuple[str, str]]] = defaultdict(set)
    for table in tables:
        recipes[table.training.train_arch].add(table.training[1:])
    keeps = {row.keep for table in tables for row in table.rows if row.role != "unpruned"}
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
    methods = [
        name for name in sorted(sides[0].keys() & sides[1].keys()) if _one_version(sides[0][name], sides[1][name])
    ]
    seeds = sorted(set.intersection(*[set(side[name].accuracy) for side in sides for name in methods] or [set()]))
    values = [
        np.array([[side[name].accuracy[seed] for seed in seeds] for name in methods]).reshape(len(methods), len(seeds))
        for side in sides
    ]
    quantities: tuple[tuple[str, Literal["tau", "rho"]], ...] = (("method_tau", "tau"), ("method_rho", "rho"))
    for quantity, statistic in quantities:
        found = rank_agreement(values[0], values[1], statistic)
        yield {
            **dict.fromkeys(COLUMNS, ""),
            **a.section._asdict(),
            "quantity": quantity,
            "comparison": ARCHS,
            "recipe": " | ".join(dict.fromkeys([a.training.recipe, b.training.recipe])),
            "keep": keep,
            "pruning_rate": complement(keep),
            "a": a.training.train_arch,
            "b": b.training.train_arch,
            **_numbers(found),
            "deterministic": False,
            "n_pairs": None,
            "n_observations": None,
            "status": "insufficient" if found.value is None else "ok",
            "reason": found.reason,
        }


def _one_version(a: Row, b: Row) -> bool:
    versions = {(c.scorer_version, c.projector_version) for row in (a, b) for c in row.cells.values()}
    return len(versions) == 1


def _numbers(found: RankAgreement) -> dict[str, Any]:
    names = ("value", "low", "high", "ceiling_a", "ceiling_b", "ceiling", "ratio")
    return {
        **{name: rounded(getattr(found, name)) for name in names},
        "n_methods": found.n_methods,
        "n_seeds": found.n_seeds,
    }
