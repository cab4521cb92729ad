"""Rank correlations: of the methods between two trained networks, and of one method's scores from two backbones."""

from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from itertools import combinations
from typing import Any, Literal

import pandas as pd

from prunebench.board.cells import (
    CORRELATIONS,
    MEAN,
    METHOD,
    SECTION,
    TRAINING,
    UNPRUNED,
    WHOLE,
    groups,
    mean,
    rounded,
    versions_in,
)  # fmt: skip
from prunebench.board.facts import listed
from prunebench.board.grid import Grid, caveats_of, records_of
from prunebench.records import AgreementRecord
from prunebench.stats import mean_agreement, rank_agreement, ratio_to_ceiling

NUMBERS = ("value", "low", "high", "ceiling_a", "ceiling_b", "ceiling", "ratio")
INTEGERS = ("n_methods", "n_seeds", "n_pairs", "n_observations")
COLUMNS = (
    "suite", "dataset", "protocol", "dataset_fingerprint", "quantity", "comparison", "recipe", "keep", "pruning_rate",
    "method", "projector", "a", "b", *NUMBERS, "deterministic", *INTEGERS, "status", "reason", "caveat",
)  # fmt: skip
QUANTITIES: dict[str, Literal["tau", "rho"]] = {"method_tau": "tau", "method_rho": "rho"}
MEASURES = dict(zip(("score_rho", "score_rho_pooled", "score_pearson"), CORRELATIONS, strict=True))
SEEDS, CROSS, CONTROL = "seed_to_seed", "cross_backbone", "control_"

Pair = tuple[str, str]
Run = int | tuple[int, int]  # one seed, or two seeds of one backbone


def method_correlations(grid: Grid) -> Iterator[dict[str, Any]]:
    """Yield method_tau and method_rho of each budget and two architectures, under one recipe where they share one."""
    trainings = list(grid.rows[TRAINING].drop_duplicates().itertuples(index=False, name=None))
    recipes: dict[str, set[tuple[str, ...]]] = defaultdict(set)
    for arch, *recipe in trainings:
        recipes[arch].add(tuple(recipe))
    for _, rows in grid.rows[grid.rows.role != UNPRUNED].groupby("keep", sort=False):
        for a, b in combinations(trainings, 2):
            if a[0] != b[0] and (a[1:] == b[1:] or not recipes[a[0]] & recipes[b[0]]):
                yield from _architectures(grid, rows, a, b)


def _architectures(
    grid: Grid, rows: pd.DataFrame, a: tuple[str, ...], b: tuple[str, ...]
) -> Iterator[dict[str, Any]]:  # fmt: skip
    ranked = rows[rows.ranked & rows.score_backbone.isin(WHOLE)].reset_index().set_index(METHOD)
    first, second = (ranked["index"][(ranked[TRAINING] == list(one)).all(axis=1)] for one in (a, b))
    both = pd.concat([first, second], axis=1, join="inner", keys=["a", "b"]).sort_index()
    one_version = [not versions_in(records_of(grid.cells.loc[pair])) for pair in both.to_numpy()]
    both = both.loc[both.index[one_version]] if len(both) else both
    sides = [grid.seeds.accuracy.loc[list(both[side])].unstack("seed").reindex(both[side]) for side in "ab"]
    values = [side[sides[0].columns.intersection(sides[1].columns)].to_numpy() for side in sides]
    for quantity, statistic in QUANTITIES.items():
        found = asdict(rank_agreement(values[0], values[1], statistic))
        yield {
            **dict.fromkeys(COLUMNS, ""), **{name: rows[name].iloc[0] for name in (*SECTION, "keep", "pruning_rate")},
            "quantity": quantity, "comparison": "archs", "recipe": " | ".join(dict.fromkeys([a[1], b[1]])),
            "a": a[0], "b": b[0], **dict.fromkeys(INTEGERS), **found,
            **{name: rounded(found[name]) for name in NUMBERS}, "deterministic": False,
            "status": "insufficient" if found["value"] is None else "ok",
        }  # fmt: skip


def _pair(record: AgreementRecord) -> Pair:
    a, b = sorted([record.backbone_a, record.backbone_b])
    return a, b


def _run(record: AgreementRecord) -> Run:
    a, b = sorted([record.seed_a, record.seed_b])
    return a if a == b else (a, b)


def _kind(pair: Pair, control: bool) -> str:
    return (CONTROL if control else "") + (SEEDS if pair[0] == pair[1] else CROSS)


def named_pairs(backbones: Sequence[str], controls: Collection[str]) -> dict[str, set[Pair]]:
    """Return the pairs that a suite names with its backbones, by kind of comparison."""
    found: dict[str, set[Pair]] = defaultdict(set)
    for a, b in [*combinations(sorted(backbones), 2), *((name, name) for name in backbones)]:
        found[_kind((a, b), a in controls or b in controls)].add((a, b))
    return found


def score_correlations(compared: pd.DataFrame, named: Mapping[str, Collection[Pair]]) -> Iterator[dict[str, Any]]:
    """Yield score_rho and its kin of each method of a section; a mean is over the `named` pairs and any others seen."""
    pairs: dict[str, set[Pair]] = defaultdict(set, {kind: set(members) for kind, members in named.items()})
    runs: dict[str, set[Run]] = defaultdict(set)
    for record in compared.record:
        kind = _kind(_pair(record), record.backbone_control)
        pairs[kind].add(_pair(record))
        runs[kind.removeprefix(CONTROL)].add(_run(record))
    for method, members in groups(compared, [*SECTION, *METHOD]):
        kinds = sorted({_kind(_pair(record), record.backbone_control) for record in members.record})
        for quantity, measure in MEASURES.items():
            line = _Line(list(members.record), measure, runs)
            for kind in kinds:
                every = sorted(pairs[kind])
                alone = [(pair, [pair]) for pair in every if line.about([pair])]
                for (a, b), chosen in [((MEAN, MEAN), every), *alone]:
                    yield {
                        **dict.fromkeys(COLUMNS, ""), **dict(zip([*SECTION, *METHOD], method, strict=True)),
                        "quantity": quantity, "comparison": kind, "a": a, "b": b, "n_methods": None,
                        **line.row(kind, chosen),
                    }  # fmt: skip


@dataclass(frozen=True)
class _Line:
    """All comparisons of one method, read by one measure; `expected` holds the runs that any method has, by kind."""

    records: Sequence[AgreementRecord]
    measure: str
    expected: Mapping[str, Collection[Run]]

    @cached_property
    def values(self) -> dict[Pair, dict[Run, float]]:
        found: dict[Pair, dict[Run, float]] = defaultdict(dict)
        for record in self.records:
            if record.status == "ok" and (value := getattr(record, self.measure)) is not None:
                found[_pair(record)][_run(record)] = value
        return found

    @cached_property
    def keys(self) -> dict[tuple[str, int], str]:
        first = {(one.backbone_a, one.seed_a): one.scores_key_a for one in self.records}
        return first | {(one.backbone_b, one.seed_b): one.scores_key_b for one in self.records}

    def about(self, pairs: Sequence[Pair]) -> list[AgreementRecord]:
        return [record for record in self.records if _pair(record) in pairs]

    def observed(self, pairs: Sequence[Pair]) -> dict[int, int]:
        """Return for each seed the first one whose scores from these backbones have the same keys."""
        names = sorted({name for pair in pairs for name in pair})
        first: dict[tuple[str, ...], int] = {}
        found = {}
        for seed in sorted({seed for name, seed in self.keys if name in names}):
            keys = tuple(self.keys.get((name, seed), "") for name in names)
            found[seed] = first.setdefault(keys, seed) if all(keys) else seed
        return found

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
        have, wanted = [set(self.values.get(pair, {})) for pair in pairs], set(self.expected[kind])
        of = "pairs of " if kind == SEEDS else ""
        if (touched := sum(map(bool, have))) < len(pairs):
            return f"{touched} of {len(pairs)} {'' if of else 'pairs of '}backbones"
        shared = set.intersection(*have)
        complete = shared >= wanted or (shared and self.deterministic(pairs))
        return "" if complete else f"{len(shared)} of {len(wanted)} {of}seeds"

    def ceiling(self, backbone: str) -> float | None:
        """Return the agreement of two seeds of a backbone: 1 by construction for a deterministic method."""
        pair = [(backbone, backbone)]
        if self.deterministic(pair):
            return 1.0
        return None if self.hole(SEEDS, pair) else mean_agreement(self.observations(pair)).value

    def row(self, kind: str, pairs: Sequence[Pair]) -> dict[str, Any]:
        """Return the numbers of one row: of one pair of backbones, or of the mean over several."""
        kind, members = kind.removeprefix(CONTROL), self.about(pairs)
        reasons = sorted({record.status_reason for record in members} - {""})
        row: dict[str, Any] = {
            **dict.fromkeys(NUMBERS), "deterministic": self.deterministic(pairs), "n_seeds": 0, "n_pairs": len(pairs),
            "n_observations": 0, "status": "ok",
            "caveat": "; ".join(filter(None, [caveats_of(members), versions_in(self.records)])),
        }  # fmt: skip
        if kind == SEEDS and row["deterministic"]:
            return {**row, "status": "deterministic", "reason": "the scores are the same at every seed"}
        hole, found = self.hole(kind, pairs), mean_agreement(self.observations(pairs))
        if not any(self.values.get(pair) for pair in pairs):
            return {**row, "status": "insufficient", "reason": "; ".join(reasons) or "no comparison has a value"}
        if hole or found.value is None:
            return {**row, "status": "hole", "reason": "; ".join([hole or found.reason, *reasons])}
        row |= {name: rounded(getattr(found, name)) for name in ("value", "low", "high")}
        row |= {"n_seeds": found.n_seeds, "n_observations": found.n_pairs}
        beside, why = self._ceilings(found.value, pairs) if kind == CROSS else ({}, "")
        return {**row, **beside, "reason": "; ".join(filter(None, [*reasons, why]))}

    def _ceilings(self, value: float, pairs: Sequence[Pair]) -> tuple[dict[str, float | None], str]:
        """Return ceiling and ratio of a value across backbones, and why there is none."""
        known = {name: self.ceiling(name) for name in sorted({name for pair in pairs for name in pair})}
        # Of a pair the geometric mean of its two backbones, of several pairs the mean.
        joint = mean(_joint(known[a], known[b]) for a, b in pairs)
        ratio = ratio_to_ceiling(value, joint, joint)
        unknown = [name for name, ceiling in known.items() if ceiling is None]
        why = (
            "no ceiling: two seeds of one backbone do not agree"
            if joint is None
            else "no ratio: the ceiling is below 0.1"
        )
        why = f"no ceiling: two seeds of {listed(unknown)} were not compared" if unknown else why
        sides = [known[name] for name in pairs[0]] if len(pairs) == 1 else [None, None]
        names = ("ceiling_a", "ceiling_b", "ceiling", "ratio")
        return dict(zip(names, map(rounded, [*sides, joint, ratio]), strict=True)), "" if ratio is not None else why


def _joint(a: float | None, b: float | None) -> float | None:
    return None if a is None or b is None or min(a, b) <= 0 else float((a * b) ** 0.5)
