"""How far one method scores the samples alike from two backbones, beside what two seeds of one backbone agree."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations
from typing import Any

from prunebench.board.accuracy import rounded
from prunebench.board.grid import MEAN, Method, Section, mean, method_of, versions_in
from prunebench.board.method_correlation import COLUMNS
from prunebench.board.varied import listed, scored
from prunebench.records import AgreementRecord
from prunebench.stats import mean_agreement, ratio_to_ceiling

MEASURES = {
    "score_rho": "within_class_spearman", "score_rho_pooled": "pooled_spearman", "score_pearson": "pearson",
}  # fmt: skip
SEEDS, CROSS, CONTROL = "seed_to_seed", "cross_backbone", "control_"

Pair = tuple[str, str]
Run = int | tuple[int, int]  # one seed, or two seeds of one backbone


def kind_of(record: AgreementRecord) -> str:
    """Return the kind of comparison: across backbones or from seed to seed, of an untrained control or not."""
    kind = SEEDS if record.backbone_a == record.backbone_b else CROSS
    return CONTROL + kind if record.backbone_control else kind


def named_pairs(backbones: Sequence[str], controls: Collection[str]) -> dict[str, set[Pair]]:
    """Return the pairs that a suite names with its backbones, by kind of comparison."""
    found: dict[str, set[Pair]] = defaultdict(set)
    for a, b in [*combinations(sorted(backbones), 2), *((name, name) for name in backbones)]:
        kind = SEEDS if a == b else CROSS
        found[CONTROL + kind if {a, b} & set(controls) else kind].add((a, b))
    return found


def score_correlations(
    section: Section, records: Sequence[AgreementRecord], named: Mapping[str, Collection[Pair]]
) -> Iterator[dict[str, Any]]:
    """Yield score_rho (within class), score_rho_pooled and score_pearson of each method and kind of comparison.

    records: one per place.  named: the pairs of backbones that the suite names.  A mean is over those and any others
    seen in the section; pairs with an untrained control have means of their own.
    """
    pairs: dict[str, set[Pair]] = defaultdict(set, {kind: set(members) for kind, members in named.items()})
    runs: dict[str, set[Run]] = defaultdict(set)
    lines: dict[Method, list[AgreementRecord]] = defaultdict(list)
    for record in records:
        pairs[kind_of(record)].add(_pair(record))
        runs[kind_of(record)].add(_run(record))
        lines[method_of(record)].append(record)
    for method, members in sorted(lines.items()):
        for quantity, measure in MEASURES.items():
            line = _Line(members, measure, runs)
            for kind in sorted({kind_of(record) for record in members}):
                every = sorted(pairs[kind])
                alone = [(pair, [pair]) for pair in every if line.about([pair])]
                for names, chosen in [((MEAN, MEAN), every), *alone]:
                    yield {**_labels(section, method, quantity, kind, names), **line.row(kind, chosen)}


def _pair(record: AgreementRecord) -> Pair:
    a, b = sorted([record.backbone_a, record.backbone_b])
    return a, b


def _run(record: AgreementRecord) -> Run:
    a, b = sorted([record.seed_a, record.seed_b])
    return a if a == b else (a, b)


def _labels(section: Section, method: Method, quantity: str, kind: str, names: Pair) -> dict[str, Any]:
    return {
        **dict.fromkeys(COLUMNS, ""),
        **section._asdict(),
        **method._asdict(),
        "quantity": quantity,
        "comparison": kind,
        "a": names[0],
        "b": names[1],
        "n_methods": None,
    }


@dataclass(frozen=True)
class _Line:
    """All comparisons of one method, read by one measure.

    expected: by kind of comparison, the seeds or pairs of seeds that any method of the section has.
    """

    records: Sequence[AgreementRecord]
    measure: str
    expected: Mapping[str, Collection[Run]]

    @cached_property
    def values(self) -> dict[Pair, dict[Run, float]]:
        found: dict[Pair, dict[Run, float]] = defaultdict(dict)
        for record in self.records:
            value = getattr(record, self.measure)
            if record.status == "ok" and value is not None:
                found[_pair(record)][_run(record)] = value
        return found

    @cached_property
    def keys(self) -> dict[tuple[str, int], str]:
        return {(name, seed): key for record in self.records for name, seed, key in scored(record)}

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
        seeds = kind.endswith(SEEDS)
        touched = sum(map(bool, have))
        if touched < len(pairs):
            return f"{touched} of {len(pairs)} {'backbones' if seeds else 'pairs of backbones'}"
        shared = set.intersection(*have)
        if shared >= wanted or (shared and self.deterministic(pairs)):
            return ""
        return f"{len(shared)} of {len(wanted)} {'pairs of seeds' if seeds else 'seeds'}"

    def ceiling(self, backbone: str) -> float | None:
        """Return the agreement of two seeds of a backbone: 1 by construction for a deterministic method."""
        pair = [(backbone, backbone)]
        if self.deterministic(pair):
            return 1.0
        kinds = {kind_of(record) for record in self.about(pair)}
        return None if not kinds or self.hole(kinds.pop(), pair) else mean_agreement(self.observations(pair)).value

    def row(self, kind: str, pairs: Sequence[Pair]) -> dict[str, Any]:
        """Return the numbers of one row: of one pair of backbones, or of the mean over several."""
        members, constant, hole = self.about(pairs), self.deterministic(pairs), self.hole(kind, pairs)
        reasons = sorted({record.status_reason for record in members} - {""})
        caveats = {part for record in members for part in record.caveat.split("; ")} | {versions_in(self.records)}
        row: dict[str, Any] = {
            **dict.fromkeys(("value", "low", "high", "ceiling_a", "ceiling_b", "ceiling", "ratio")),
            "deterministic": constant, "n_seeds": 0, "n_pairs": len(pairs), "n_observations": 0, "status": "ok",
            "caveat": "; ".join(sorted(caveats - {""})),
        }  # fmt: skip
        if constant and kind.endswith(SEEDS):
            return {**row, "status": "deterministic", "reason": "the scores are the same at every seed"}
        found = mean_agreement(self.observations(pairs))
        if hole or found.value is None:
            known = any(self.values.get(pair) for pair in pairs)
            reasons = [hole, *reasons] if known else reasons or ["no comparison has a value"]
            return {**row, "status": "hole" if known else "insufficient", "reason": "; ".join(filter(None, reasons))}
        row |= {name: rounded(getattr(found, name)) for name in ("value", "low", "high")}
        row |= {"n_seeds": found.n_seeds, "n_observations": found.n_pairs}
        if kind.endswith(CROSS):
            beside = self._ceilings(found.value, pairs)
            reasons.append(beside.pop("reason"))
            row |= beside
        return {**row, "reason": "; ".join(filter(None, reasons))}

    def _ceilings(self, value: float, pairs: Sequence[Pair]) -> dict[str, Any]:
        """Return the ceiling of a value across backbones: the geometric mean of the two, mean over the pairs."""
        known = {name: self.ceiling(name) for name in sorted({name for pair in pairs for name in pair})}
        joint = mean(_joint(known[a], known[b]) for a, b in pairs)
        ratio = ratio_to_ceiling(value, joint, joint)
        unknown = [name for name, ceiling in known.items() if ceiling is None]
        reason = f"no ceiling: two seeds of {listed(unknown)} were not compared" if unknown else ""
        if joint is None and not unknown:
            reason = "no ceiling: two seeds of one backbone do not agree"
        elif ratio is None and not unknown:
            reason = "no ratio: the ceiling is below 0.1"
        sides = [known[name] for name in pairs[0]] if len(pairs) == 1 else [None, None]
        return {
            "ceiling_a": rounded(sides[0]), "ceiling_b": rounded(sides[1]), "ceiling": rounded(joint),
            "ratio": rounded(ratio), "reason": reason,
        }  # fmt: skip


def _joint(a: float | None, b: float | None) -> float | None:
    return None if a is None or b is None or min(a, b) <= 0 else float((a * b) ** 0.5)
