"""Agreement records to rows: how alike one method scores the samples from two backbones, or two seeds."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from prunebench.errors import DataError
from prunebench.leaderboard.correlation import joint_ceiling
from prunebench.leaderboard.tables import CorrelationRow, rounded
from prunebench.stats import Interval, mean_interval, ratio_to_ceiling

MEASURES = (
    ("score_rho", "within_class_spearman"),
    ("score_rho_pooled", "pooled_spearman"),
    ("score_pearson", "pearson"),
)
REQUIRED = ("suite", "dataset", "method", "backbone_a", "seed_a", "backbone_b", "seed_b")


class Scope(NamedTuple):
    """One method with its projector on one data set."""

    suite: str
    dataset: str
    protocol: str
    method: str
    projector: str


@dataclass(frozen=True)
class _Pair:
    """Two score vectors that differ in the backbone or in the seed; `run` names what they share."""

    comparison: str
    a: str
    b: str
    run: tuple[int, ...]
    values: Mapping[str, float | None]
    reason: str
    caveat: str


def _scope(record: Mapping[str, Any]) -> Scope:
    protocol, projector = str(record.get("protocol", "")), str(record.get("projector") or "-")
    return Scope(str(record["suite"]), str(record["dataset"]), protocol, str(record["method"]), projector)


def _pair(record: Mapping[str, Any]) -> _Pair:
    """Return the pair of a record; raises DataError unless exactly one of backbone and seed differs."""
    if missing := [name for name in REQUIRED if name not in record]:
        raise DataError(f"agreement record lacks {', '.join(missing)}", "write records with `prunebench run`")
    a, b = sorted([str(record["backbone_a"]), str(record["backbone_b"])])
    seeds = tuple(sorted({int(record["seed_a"]), int(record["seed_b"])}))
    if (a == b) == (len(seeds) == 1):
        raise DataError(
            f"agreement record of {record['method']} compares {a}, {b} at seeds {seeds}",
            "compare two backbones at one seed, or two seeds of one backbone",
        )
    comparison = "seed_to_seed" if a == b else "cross_backbone"
    control = "control_" if record.get("backbone_control") else ""
    values: dict[str, float | None] = {}
    for quantity, name in MEASURES:
        value = record.get(name)
        values[quantity] = float(value) if value is not None and math.isfinite(value) else None
    return _Pair(
        control + comparison, a, b, seeds, values, str(record.get("reason") or ""), str(record.get("caveat") or "")
    )


def _mean(values: Iterable[float | None]) -> float | None:
    known = sorted(value for value in values if value is not None)
    return math.fsum(known) / len(known) if known else None


def _pair_means(pairs: Sequence[_Pair], quantity: str) -> dict[tuple[str, str], float | None]:
    """Return the mean over seeds (or seed pairs) of each pair of backbones."""
    by_names: dict[tuple[str, str], list[float | None]] = defaultdict(list)
    for pair in pairs:
        by_names[pair.a, pair.b].append(pair.values[quantity])
    return {names: _mean(values) for names, values in sorted(by_names.items())}


def _seed_interval(pairs: Sequence[_Pair], quantity: str) -> Interval | None:
    """Return the interval over seeds of the mean over pairs, from the seeds at which all pairs are known.

    The pairs of one seed share backbones and are not independent, so the seed is the unit.  None for
    seed-to-seed agreement, whose pairs share seeds as well.
    """
    if any(pair.a == pair.b for pair in pairs):
        return None
    by_seed: dict[tuple[int, ...], dict[tuple[str, str], float]] = defaultdict(dict)
    for pair in pairs:
        value = pair.values[quantity]
        if value is not None:
            by_seed[pair.run][pair.a, pair.b] = value
    names = {(pair.a, pair.b) for pair in pairs}
    means = [
        math.fsum(sorted(found.values())) / len(names) for _, found in sorted(by_seed.items()) if found.keys() == names
    ]
    return mean_interval(means) if means else None


def _row(
    scope: Scope,
    quantity: str,
    comparison: str,
    names: tuple[str, str],
    pairs: Sequence[_Pair],
    value: float | None,
    ceilings: tuple[float | None, float | None],
) -> CorrelationRow:
    interval = _seed_interval(pairs, quantity)
    known = [pair for pair in pairs if pair.values[quantity] is not None]
    return CorrelationRow(
        **scope._asdict(),
        quantity=quantity,
        comparison=comparison,
        recipe="",
        keep="",
        pruning_rate="",
        a=names[0],
        b=names[1],
        value=rounded(value),
        low=rounded(interval.low) if interval else None,
        high=rounded(interval.high) if interval else None,
        ceiling_a=rounded(ceilings[0]),
        ceiling_b=rounded(ceilings[1]),
        ceiling=rounded(joint_ceiling(*ceilings)),
        ratio=rounded(ratio_to_ceiling(value, *ceilings)),
        n_methods=None,
        n_seeds=len({seed for pair in known for seed in pair.run}),
        n_pairs=len(known),
        status="ok" if known else "insufficient",
        reason="; ".join(sorted({pair.reason for pair in pairs if pair.reason})),
        caveat="; ".join(sorted({pair.caveat for pair in pairs if pair.caveat})),
    )


def _scope_rows(scope: Scope, pairs: Sequence[_Pair], quantity: str) -> list[CorrelationRow]:
    """Return the mean over pairs and each pair, for every kind of comparison of one method."""
    kinds: dict[str, list[_Pair]] = defaultdict(list)
    ceilings: dict[str, float | None] = {}
    for pair in pairs:
        kinds[pair.comparison].append(pair)
    for kind, members in kinds.items():
        if kind.endswith("seed_to_seed"):
            ceilings |= {a: mean for (a, _), mean in _pair_means(members, quantity).items()}
    rows = []
    for kind in sorted(kinds):
        members = kinds[kind]
        means = _pair_means(members, quantity)
        crosses = kind.endswith("cross_backbone")
        ceiling = None
        if crosses:
            shared = [ceilings.get(name) for name in sorted({name for names in means for name in names})]
            ceiling = _mean(shared) if None not in shared else None
        rows.append(_row(scope, quantity, kind, ("mean", "mean"), members, _mean(means.values()), (ceiling, ceiling)))
        for (a, b), value in means.items():
            chosen = [pair for pair in members if (pair.a, pair.b) == (a, b)]
            own = (ceilings.get(a), ceilings.get(b)) if crosses else (None, None)
            rows.append(_row(scope, quantity, kind, (a, b), chosen, value, own))
    return rows


def agreement_rows(records: Iterable[Mapping[str, Any]]) -> list[CorrelationRow]:
    """Return score_rho (within class), score_rho_pooled and score_pearson for each method and comparison.

    Two backbones at one seed are compared across backbones; two seeds of one backbone give the noise ceiling.
    Pairs that involve an untrained control network stay on lines of their own and out of every other mean.
    """
    by_scope: dict[Scope, list[_Pair]] = defaultdict(list)
    for record in records:
        pair = _pair(record)
        by_scope[_scope(record)].append(pair)
    return [
        row
        for scope in sorted(by_scope)
        for quantity, _ in MEASURES
        for row in _scope_rows(scope, by_scope[scope], quantity)
    ]
