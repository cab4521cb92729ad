"""Rank correlations: of the methods between two trained networks, and of one method's scores from two backbones."""

import math
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd

from prunebench.board.cells import CORRELATIONS, MEAN, METHOD, SECTION, TRAINING, UNPRUNED, WHOLE, groups, mean, rounded
from prunebench.board.facts import listed
from prunebench.board.grid import Grid, caveats_of, versions_in
from prunebench.records import AgreementRecord
from prunebench.registry import Registry, without_noise
from prunebench.stats import MIN_CEILING, Statistic, mean_agreement, rank_agreement

NUMBERS = ("value", "low", "high", "ceiling_a", "ceiling_b", "ceiling", "ratio")
INTEGERS = ("n_methods", "n_seeds", "n_pairs", "n_observations")
COLUMNS = (
    "suite", "dataset", "protocol", "dataset_fingerprint", "quantity", "comparison", "recipe", "keep", "pruning_rate",
    "method", "projector", "a", "b", *NUMBERS, "deterministic", *INTEGERS, "status", "reason", "caveat",
)  # fmt: skip
BLANK = {**dict.fromkeys(COLUMNS, ""), **dict.fromkeys((*NUMBERS, *INTEGERS)), "deterministic": False}
QUANTITIES: dict[str, Statistic] = {"method_tau": "tau", "method_rho": "rho"}
MEASURES = dict(zip(("score_rho", "score_rho_pooled", "score_pearson"), CORRELATIONS, strict=True))
SEEDS, CROSS, NOISE, CONTROL = "seed_to_seed", "cross_backbone", "noise_", "control_"
DISTANCES = ("wasserstein", "kolmogorov_smirnov", "left")  # how measures begin that are no agreement, of 0 and above

Row = dict[str, Any]
Pair = tuple[str, str]
Run = int | tuple[int, int]  # one seed, or two seeds of one backbone


def correlation_table(every: pd.DataFrame, grid: Grid, registry: Registry | None) -> pd.DataFrame:
    """Return one row per quantity and pair of architectures or backbones, and one per mean over pairs of backbones."""
    rows, lines = list[Row](), dict(groups(grid.rows, SECTION))
    for section, members in groups(every, SECTION):
        rows += _method_correlations(grid, lines.get(section, grid.rows[:0]))
        named = _named_pairs(registry, section[0]) if registry and section[0] in registry.suites else {}
        rows += _score_correlations(members[members.backbone_a.notna()], named)
    table = pd.DataFrame([{**BLANK, **row} for row in rows], columns=list(COLUMNS))
    numbers = table[list(NUMBERS)].astype("float64").map(rounded)
    numbers.loc[numbers.low == numbers.high, ["low", "high"]] = math.nan  # no interval has width 0
    return table.assign(**numbers).astype(dict.fromkeys(INTEGERS, "Int64"))


def _method_correlations(grid: Grid, rows: pd.DataFrame) -> Iterator[Row]:
    """Yield method_tau and method_rho of each budget and two architectures, under one recipe where they share one."""
    trainings = list(rows[TRAINING].drop_duplicates().itertuples(index=False, name=None))
    recipes = {arch: {one[1:] for one in trainings if one[0] == arch} for arch, *_ in trainings}
    for _, budget in rows[rows.role != UNPRUNED].groupby("keep", sort=False):
        for a, b in combinations(trainings, 2):
            if a[0] != b[0] and (a[1:] == b[1:] or not recipes[a[0]] & recipes[b[0]]):
                yield from _architectures(grid, budget, a, b)


def _architectures(grid: Grid, rows: pd.DataFrame, a: tuple[str, ...], b: tuple[str, ...]) -> Iterator[Row]:
    ranked = rows[rows.ranked & rows.score_backbone.isin(WHOLE)].reset_index().set_index(METHOD)
    first, second = (ranked["index"][(ranked[TRAINING] == list(one)).all(axis=1)] for one in (a, b))
    both = pd.concat([first, second], axis=1, join="inner", keys=["a", "b"]).sort_index()
    one_version = [not versions_in(grid.cells.record[pair].dropna()) for pair in both.to_numpy()]
    both = both[np.array(one_version, dtype=np.bool_)]
    sides = [grid.seeds.accuracy.loc[list(both[side])].unstack("seed").reindex(both[side]) for side in "ab"]
    values = [side[sides[0].columns.intersection(sides[1].columns)].to_numpy() for side in sides]
    for quantity, statistic in QUANTITIES.items():
        found = rank_agreement(values[0], values[1], statistic)
        yield {
            **rows.iloc[0][[*SECTION, "keep", "pruning_rate"]], "quantity": quantity, "comparison": "archs",
            "recipe": " | ".join(dict.fromkeys([a[1], b[1]])), "a": a[0], "b": b[0], **asdict(found),
            "status": "insufficient" if found.value is None else "ok",
        }  # fmt: skip


def _kind(pair: Pair, control: bool) -> str:
    level = without_noise(pair[1])[1]
    return (CONTROL if control else "") + (SEEDS if pair[0] == pair[1] else f"{NOISE}{level}" if level else CROSS)


def place_of(record: AgreementRecord) -> tuple[str, Pair, Run]:
    """Return the kind of a comparison, its backbones in order, and what it is one observation of."""
    (a, b), (s, t) = sorted([record.backbone_a, record.backbone_b]), sorted([record.seed_a, record.seed_b])
    return _kind((a, b), record.backbone_control), (a, b), s if s == t else (s, t)


def _named_pairs(registry: Registry, suite: str) -> dict[str, set[Pair]]:
    """Return the pairs that a suite names with its backbones, by kind of comparison."""
    named, found = registry.suites[suite], defaultdict(set)
    alone = [(name, name) for name in named.agreement.backbones if not without_noise(name)[1]]
    for a, b in [*map(sorted, named.pairs), *alone]:
        found[_kind((a, b), registry.network(a).control or registry.network(b).control)].add((a, b))
    return found


def more_of(record: AgreementRecord) -> dict[str, float | None]:
    """Return the measures that a suite asks for beside correlations, the two sides of one as their mean."""
    found = dict(record.measures or {})
    sides = [found.pop(name) for name in ("left_a", "left_b") if name in found]
    return {**found, **({"left": mean(sides)} if sides else {})}


def _score_correlations(compared: pd.DataFrame, named: Mapping[str, Collection[Pair]]) -> Iterator[Row]:
    """Yield score_rho and its kin of each method of a section; a mean is over the `named` pairs and any others seen."""
    places = pd.DataFrame(map(place_of, compared.record), compared.index, columns=["kind", "pair", "run"])
    more = pd.DataFrame(map(more_of, compared.record), compared.index).add_prefix("score_")
    measures = MEASURES | {str(name): str(name) for name in sorted(map(str, more))}
    compared = compared.join(places).join(more)
    pairs = {kind: sorted({*named.get(kind, ()), *found.pair}) for (kind,), found in groups(places, ["kind"])}
    runs = {kind: set(found) for kind, found in places.groupby(places.kind.str.removeprefix(CONTROL)).run}
    for method, members in groups(compared, [*SECTION, *METHOD]):
        compared_here = _Compared(members)
        for quantity, measure in measures.items():
            line = _Line(compared_here, measure, runs)
            for kind in sorted(set(members.kind)):
                alone = [(pair, [pair]) for pair in pairs[kind] if pair in set(members.pair)]
                for (a, b), chosen in [((MEAN, MEAN), pairs[kind]), *alone]:
                    place = dict(zip([*SECTION, *METHOD], method, strict=True))
                    yield {**place, "quantity": quantity, "comparison": kind, "a": a, "b": b, **line.row(kind, chosen)}


@dataclass(frozen=True)
class _Compared:
    """All comparisons of one method."""

    rows: pd.DataFrame
    told: dict[tuple[Pair, ...], tuple[str, list[str]]] = field(default_factory=dict)  # what was asked for before

    @cached_property
    def members(self) -> dict[Pair, list[AgreementRecord]]:
        found: dict[Pair, list[AgreementRecord]] = defaultdict(list)
        for pair, record in zip(self.rows.pair, self.rows.record, strict=True):
            found[pair].append(record)
        return dict(found)

    @cached_property
    def versions(self) -> str:
        return versions_in(self.rows.record)

    @cached_property
    def keys(self) -> dict[tuple[str, int], str]:
        """The keys of scores that were compared; those of a failure are only what would have been."""
        found = [one for one in self.rows.record if one.status == "ok"]
        first = {(one.backbone_a, one.seed_a): one.scores_key_a for one in found}
        return first | {(one.backbone_b, one.seed_b): one.scores_key_b for one in found}

    def said(self, pairs: Sequence[Pair]) -> tuple[str, list[str]]:
        """Return what is said against the comparisons of some pairs, and why some of them have no value."""
        if (place := tuple(pairs)) not in self.told:
            members = [record for pair in pairs for record in self.members.get(pair, ())]
            caveat = "; ".join(filter(None, [caveats_of(members), self.versions]))
            self.told[place] = caveat, sorted({record.status_reason for record in members} - {""})
        return self.told[place]


@dataclass(frozen=True)
class _Line:
    """The comparisons of one method, read by one measure; `expected` holds the runs that any method has, by kind."""

    compared: _Compared
    measure: str
    expected: Mapping[str, set[Run]]
    seen: dict[tuple[str, ...], dict[int, int]] = field(default_factory=dict)  # what was asked for before
    ceilings: dict[str, float | None] = field(default_factory=dict)

    @cached_property
    def values(self) -> dict[Pair, dict[Run, float]]:
        found: dict[Pair, dict[Run, float]] = defaultdict(dict)
        rows = self.compared.rows
        columns = (rows.pair, rows.run, rows.status, rows[self.measure])
        for pair, run, status, value in zip(*columns, strict=True):
            if status == "ok" and value is not None and not math.isnan(value):
                found[pair][run] = value
        return dict(found)

    @property
    def is_distance(self) -> bool:
        return self.measure.removeprefix("score_").startswith(DISTANCES)

    @cached_property
    def keys(self) -> dict[tuple[str, int], str]:
        known = "overlap" not in self.measure  # what is kept may be drawn anew from equal scores
        return self.compared.keys if known else dict.fromkeys(self.compared.keys, "")

    def observed(self, pairs: Sequence[Pair]) -> dict[int, int]:
        """Return for each seed the first one whose scores from these backbones have the same keys."""
        names = tuple(sorted({name for pair in pairs for name in pair}))
        if names not in self.seen:
            self.seen[names] = self._observed(names)
        return self.seen[names]

    def _observed(self, names: tuple[str, ...]) -> dict[int, int]:
        seeds = sorted({seed for name, seed in self.keys if name in names}, reverse=True)
        keys = {seed: tuple(self.keys.get((name, seed), "") for name in names) for seed in seeds}
        first = {key: seed for seed, key in keys.items()}  # from the last seed to the first
        return {seed: first[key] if all(key) else seed for seed, key in keys.items()}

    def deterministic(self, pairs: Sequence[Pair]) -> bool:
        seeds = self.observed(pairs)
        return len(seeds) > 1 and len(set(seeds.values())) == 1

    def observations(self, pairs: Sequence[Pair]) -> dict[Pair, dict[Run, float]]:
        """Return the values of each pair of backbones, each distinct observation once."""
        seeds = self.observed(pairs)
        found: dict[Pair, dict[Run, float]] = {pair: {} for pair in pairs}
        for pair in pairs:
            for run, value in sorted(self.values.get(pair, {}).items()):
                name = seeds[run] if isinstance(run, int) else (seeds[run[0]], seeds[run[1]])
                if isinstance(name, int) or name[0] != name[1]:
                    found[pair].setdefault(name, value)
        return found

    def hole(self, kind: str, pairs: Sequence[Pair]) -> str:
        """Return what is lacking, as "5 of 6 pairs of backbones" or "2 of 3 seeds"; empty for nothing."""
        have, wanted = [set(self.values.get(pair, ())) for pair in pairs], self.expected.get(kind, set())
        of = "pairs of " if kind == SEEDS else ""
        if (touched := sum(map(bool, have))) < len(pairs):
            return f"{touched} of {len(pairs)} {'' if of else 'pairs of '}backbones"
        shared = set.intersection(*have)
        complete = shared >= wanted or (shared and self.deterministic(pairs))
        return "" if complete else f"{len(shared)} of {len(wanted)} {of}seeds"

    def ceiling(self, backbone: str) -> float | None:
        """Return the agreement of two seeds of a backbone: 1 by construction for a deterministic method."""
        if backbone not in self.ceilings:
            pair = [(backbone, backbone)]
            lacking = not self.deterministic(pair) and self.hole(SEEDS, pair)
            value = 1.0 if self.deterministic(pair) else mean_agreement(self.observations(pair)).value
            self.ceilings[backbone] = None if lacking else value
        return self.ceilings[backbone]

    def row(self, kind: str, pairs: Sequence[Pair]) -> Row:
        """Return the numbers of one row: of one pair of backbones, or of the mean over several."""
        kind = kind.removeprefix(CONTROL)
        caveat, reasons = self.compared.said(pairs)
        row = {"deterministic": self.deterministic(pairs), "n_seeds": 0, "n_pairs": len(pairs), "n_observations": 0,
               "caveat": caveat}  # fmt: skip
        if kind == SEEDS and row["deterministic"]:
            return row | {"status": "deterministic", "reason": "the scores are the same at every seed"}
        if self.values.keys().isdisjoint(pairs):
            return row | {"status": "insufficient", "reason": "; ".join(reasons) or "no comparison has a value"}
        bounds = (0.0, math.inf) if self.is_distance else (-1.0, 1.0)
        hole, found = self.hole(kind, pairs), mean_agreement(self.observations(pairs), bounds)
        if hole or found.value is None:
            return row | {"status": "hole", "reason": "; ".join([hole or found.reason, *reasons])}
        row |= {"value": found.value, "low": found.low, "high": found.high, "n_seeds": found.n_seeds,
                "n_observations": found.n_pairs}  # fmt: skip
        beside, why = self._ceilings(found.value, pairs) if kind != SEEDS and not self.is_distance else ({}, "")
        return row | beside | {"status": "ok", "reason": "; ".join(filter(None, [*reasons, why]))}

    def _ceilings(self, value: float, pairs: Sequence[Pair]) -> tuple[dict[str, float | None], str]:
        """Return ceiling and ratio of a value across backbones or under noise, and why there is none."""
        pairs = [(without_noise(a)[0], without_noise(b)[0]) for a, b in pairs]  # noise is what the ceiling is without
        known = {name: self.ceiling(name) for name in sorted({name for pair in pairs for name in pair})}
        # Of a pair the geometric mean of its two backbones, of several pairs the mean.
        positive = {name: ceiling if ceiling and ceiling > 0 else math.nan for name, ceiling in known.items()}
        joint = mean(math.sqrt(positive[a] * positive[b]) for a, b in pairs)
        sides = [known[name] for name in pairs[0]] if len(pairs) == 1 else [None, None]
        found = dict(zip(("ceiling_a", "ceiling_b", "ceiling"), [*sides, joint], strict=True))
        if unknown := [name for name, ceiling in known.items() if ceiling is None]:
            return found, f"no ceiling: two seeds of {listed(unknown)} were not compared"
        if joint is None:
            return found, "no ceiling: two seeds of one backbone do not agree"
        if joint < MIN_CEILING:
            return found, f"no ratio: the ceiling is below {MIN_CEILING}"
        return found | {"ratio": value / joint}, ""
