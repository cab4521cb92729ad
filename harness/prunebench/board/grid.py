"""Records sorted into tables: one record per place, and for each row the cells that its mean is over."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import cached_property
from typing import Any, NamedTuple, TypeVar

import msgspec

from prunebench.errors import ResultConflict
from prunebench.records import FINAL, CellRecord, Record, complement, encode
from prunebench.registry import Listing, standing

BASELINE, UNPRUNED, NONE, MEAN = "baseline", "unpruned", "-", "mean"
MADE_OF = ("scorer_version", "projector_version", "scorer", "scorer_params", "selector", "selector_params")
CORRELATIONS = ("within_class_spearman", "pooled_spearman", "pearson")

R = TypeVar("R", bound=Record)


class Section(NamedTuple):
    """What may share tables: one suite on one content of one data set, under one protocol."""

    suite: str
    dataset: str
    protocol: str
    dataset_fingerprint: str


class Training(NamedTuple):
    """What the subsets train: a network by a recipe of one content."""

    train_arch: str
    recipe: str
    recipe_digest: str


class Method(NamedTuple):
    """One line of a table: a method with its projector."""

    method: str
    projector: str

    @property
    def label(self) -> str:
        return self.method if self.projector == NONE else f"{self.method} + {self.projector}"


def section_of(record: Record) -> Section:
    """Return the section that a record belongs to."""
    return Section(record.suite, record.dataset, record.protocol, record.dataset_fingerprint)


def method_of(record: Record) -> Method:
    """Return the line that a record belongs to."""
    return Method(record.method, record.projector)


def plain(keep: str) -> str:
    """Return a decimal string without trailing zeros: "0.10" to "0.1"."""
    return complement(complement(keep))


def mean(values: Iterable[float | None]) -> float | None:
    """Return the mean whatever the order of the values, or None where one is None or there is none."""
    given = list(values)
    known = sorted(value for value in given if value is not None)
    return math.fsum(known) / len(known) if known and len(known) == len(given) else None


def one_per_place(records: Iterable[R]) -> list[R]:
    """Return one record per place, sorted by place, whatever the order in which they come.

    A finished record wins over a failure.  Attempts of one key that differ are averaged: never the last, never twice.
    Raises ResultConflict where two keys finished for one place.
    """
    places: dict[tuple[Any, ...], dict[str, R]] = defaultdict(dict)
    for one in records:
        places[(*section_of(one), *one.place, getattr(one, "recipe_digest", ""))][encode(one)] = one
    return [_merged([places[place][text] for text in sorted(places[place])]) for place in sorted(places)]


def _merged(attempts: Sequence[R]) -> R:
    finished = [one for one in attempts if one.status == "ok"]
    first = (finished or [one for one in attempts if one.status in FINAL] or attempts)[0]
    if len(keys := sorted({one.key for one in finished})) > 1:
        raise ResultConflict(
            f"two finished records claim one place on the board: {first.method} in {first.file}, "
            f"{', '.join(map(str, first.place[2:]))} (keys {' and '.join(keys)})",
            "give variants of a method names of their own, or remove the record of the older version",
        )
    if len(finished) < 2:
        return first
    names = ("accuracy", "accuracy_best") if isinstance(first, CellRecord) else CORRELATIONS
    return msgspec.structs.replace(first, **{name: mean(getattr(one, name) for one in finished) for name in names})


def with_remarks(records: Iterable[Record], listings: Mapping[str, Listing]) -> Iterator[tuple[Record, bool]]:
    """Yield each record, what the registry says of its scorer added to the caveat, and whether that is in quarantine.

    The registry decides when the board is written, not when the record was: a method can enter and leave quarantine
    without being run again.
    """
    for record in records:
        dist, _, version = record.scorer_dist.rpartition(" ")
        found = standing(listings, "scorer", record.scorer, dist, version)
        caveat = "; ".join(filter(None, [record.caveat, found.remark]))
        yield msgspec.structs.replace(record, caveat=caveat), found.tier == "quarantine"


def caveats_of(records: Iterable[Record]) -> str:
    """Return what is said against some records, each sentence once."""
    return "; ".join(sorted({part for record in records for part in record.caveat.split("; ") if part}))


def versions_in(records: Iterable[Record]) -> str:
    """Return what differs between the finished records of one line that should be one method; empty for one version."""
    finished = [record for record in records if record.status == "ok"]
    for name in MADE_OF:
        if len(found := sorted({str(getattr(record, name, "")) for record in finished})) > 1:
            return f"{len(found)} versions in one row, {name.replace('_', ' ')} {' and '.join(found)}"
    return ""


@dataclass(frozen=True, kw_only=True)
class Row:
    """One method at one budget in one table, before its statistics.

    score_backbone: the backbone that scored the samples, "mean" for all of them, "-" for a method that reads none.
    backbones, seeds: those that the mean is over.  cells: what there is of them, by (backbone, seed).
    """

    method: Method
    role: str
    keep: str
    score_backbone: str
    backbones: tuple[str, ...]
    seeds: tuple[int, ...]
    cells: Mapping[tuple[str, int], CellRecord]
    quarantined: bool
    versions: str

    def by_seed(self, name: str) -> dict[int, float]:
        """Return the mean over the backbones of a number of the cells, for the seeds at which each of them has it."""
        means = {s: mean(getattr(self.cells.get((b, s)), name, None) for b in self.backbones) for s in self.seeds}
        return {seed: value for seed, value in means.items() if value is not None}

    @cached_property
    def accuracy(self) -> dict[int, float]:
        return self.by_seed("accuracy")

    @cached_property
    def observations(self) -> dict[int, str]:
        """Seed to the name of its observation: seeds that trained on the same keys throughout have one name."""
        keys = {seed: [self.cells[backbone, seed].train_key for backbone in self.backbones] for seed in self.accuracy}
        return {seed: " ".join(found) if all(found) else f"seed {seed}" for seed, found in keys.items()}

    @property
    def complete(self) -> bool:
        return len(self.accuracy) == len(self.seeds)

    @property
    def deterministic(self) -> bool:
        return self.complete and len(self.seeds) > 1 and len(set(self.observations.values())) == 1

    @property
    def ranked(self) -> bool:
        """Whether the row takes part in ranks and correlations."""
        return self.complete and not self.quarantined and not self.versions and self.role != UNPRUNED

    @property
    def finished_backbones(self) -> int:
        finished = Counter(backbone for (backbone, _), cell in self.cells.items() if cell.status == "ok")
        return sum(finished[backbone] == len(self.seeds) for backbone in self.backbones)

    @property
    def hole(self) -> str:
        """What is lacking, as "1 of 2 backbones" or "3 of 5 seeds"; empty for a complete row."""
        if self.complete:
            return ""
        if not any(cell.status == "ok" for cell in self.cells.values()):
            return " or ".join(sorted({c.status.replace("_", " ") for c in self.cells.values()})) or "not run"
        if not self.accuracy or len({backbone for backbone, _ in self.cells}) < len(self.backbones):
            return f"{self.finished_backbones} of {len(self.backbones)} backbones"
        return f"{len(self.accuracy)} of {len(self.seeds)} seeds"

    @property
    def reason(self) -> str:
        """Why cells of the row hold no accuracy, the most frequent reason first."""
        counts: Counter[str] = Counter()
        for backbone in self.backbones:
            for cell in (self.cells.get((backbone, seed)) for seed in self.seeds):
                if cell is None:
                    counts["not run" if len(self.backbones) == 1 else f"not run with {backbone}"] += 1
                elif cell.status != "ok":
                    counts[": ".join(filter(None, [cell.status, cell.status_reason]))] += 1
        return "; ".join(f"{text} ({n})" for text, n in sorted(counts.items(), key=lambda item: (-item[1], item[0])))


class Table(NamedTuple):
    """All rows of one training of one section; `cells` are its records, those that failed among them."""

    section: Section
    training: Training
    cells: Sequence[CellRecord]
    rows: Sequence[Row]


def tables(
    cells: Sequence[CellRecord], quarantined: frozenset[str], named: Mapping[str, Sequence[str]]
) -> Iterator[Table]:
    """Yield every table with every method of its section at every budget, run or not, in a fixed order.

    cells: one per place.  quarantined: keys of records.  named: suite to the backbones that it names.  A mean is over
    those, any others seen in the section, and the seeds seen in the table.
    """
    digests: dict[tuple[object, ...], set[str]] = defaultdict(set)
    for cell in cells:
        digests[section_of(cell), cell.train_arch, cell.recipe] |= {cell.recipe_digest} - {""}
    grouped: dict[Section, dict[Training, list[CellRecord]]] = defaultdict(lambda: defaultdict(list))
    for cell in cells:
        known = digests[section_of(cell), cell.train_arch, cell.recipe]
        # A failure may not have come as far as to know the content of its recipe.
        digest = min(known) if not cell.recipe_digest and len(known) == 1 else cell.recipe_digest
        grouped[section_of(cell)][Training(cell.train_arch, cell.recipe, digest)].append(cell)
    for section, trainings in sorted(grouped.items()):
        mine = [cell for members in trainings.values() for cell in members]
        roles = {method_of(cell): cell.role for cell in sorted(mine, key=lambda cell: cell.role, reverse=True)}
        keeps = sorted({plain(cell.keep) for cell in mine if cell.role != UNPRUNED}, key=Decimal, reverse=True)
        seen = {cell.score_backbone for cell in mine} | set(named.get(section.suite, ()))
        for training, members in sorted(trainings.items()):
            lines: dict[Method, list[CellRecord]] = defaultdict(list)
            for cell in members:
                lines[method_of(cell)].append(cell)
            seeds = tuple(sorted({cell.seed for cell in members}))
            rows: list[Row] = []
            for method, role in sorted(roles.items()):
                budgets = ["1"] if role == UNPRUNED else keeps
                rows += _rows(method, role, budgets, seeds, seen - {NONE}, lines[method], quarantined)
            yield Table(section, training, members, rows)


def _rows(
    method: Method, role: str, keeps: Sequence[str], seeds: tuple[int, ...], backbones: set[str],
    own: Sequence[CellRecord], quarantined: frozenset[str],
) -> Iterator[Row]:  # fmt: skip
    read = {cell.score_backbone for cell in own}
    expected = (NONE,) if read <= {NONE} else tuple(sorted(backbones | read))
    held, versions = any(cell.key in quarantined for cell in own), versions_in(own)
    for keep in keeps:
        cells = {(cell.score_backbone, cell.seed): cell for cell in own if plain(cell.keep) == keep}
        for label in expected if expected == (NONE,) else (MEAN, *expected):
            chosen = expected if label == MEAN else (label,)
            found = {place: cell for place, cell in cells.items() if place[0] in chosen}
            yield Row(method=method, role=role, keep=keep, score_backbone=label, backbones=chosen, seeds=seeds,
                      cells=found, quarantined=held, versions=versions)  # fmt: skip
