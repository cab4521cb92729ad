"""What the page shows, from the ledger: classes, samples by value, near-duplicates, doubtful labels, skipped ones."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import takewhile
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from prunebench.pruning.folders import REASONS
from prunebench.pruning.source import Skipped

LISTED, GROUPS, MEMBERS, CLEAREST, PAIRS, SKIPPED = 16, 12, 6, 24, 12, 200
APART = ("schema", "versions", "notes", "proof", "stability", "backbones")  # of the manifest: elsewhere on the page
FEW_CLASSES, EXTREMES, MOST_CLASSES = 40, 12, 2000


class ClassRow(NamedTuple):
    """A class: how many samples it has, how many of them each budget keeps, and how many have a doubtful label."""

    name: str
    samples: int
    kept: tuple[int, ...]
    suspected: int


@dataclass(frozen=True)
class Classes:
    """The classes to show at once, those that are folded away, and how many there are."""

    shown: Sequence[ClassRow]
    folded: Sequence[ClassRow]
    count: int
    largest: int


class Group(NamedTuple):
    """Near-duplicates: rows of the ledger, of which the first `MEMBERS` are shown, and whether their classes differ."""

    rows: Sequence[int]
    mixed: bool


@dataclass(frozen=True, kw_only=True)
class Listed:
    """The samples that are listed, by their rows of the ledger.

    first, last: in the order in which they are taken.  uncovered: see there.  groups: the largest of `n_groups` groups
    of near-duplicates with `n_copies` samples.  suspects: the clearest of `n_suspects`.  leaked: the
    clearest of `n_leaked` near-duplicates of a reference."""

    first: Sequence[int]
    last: Sequence[int]
    uncovered: Sequence[tuple[int, int, float]]
    groups: Sequence[Group]
    n_groups: int
    n_copies: int
    suspects: Sequence[int]
    n_suspects: int
    leaked: Sequence[int]
    n_leaked: int

    def rows(self) -> set[int]:
        """Return all rows that are shown."""
        pairs = {row for pair in self.uncovered for row in pair[:2]}
        copies = {row for group in self.groups for row in group.rows[:MEMBERS]}
        return {*self.first, *self.last, *self.suspects, *self.leaked} | pairs | copies


class Reason(NamedTuple):
    """Why samples could not be read, how many, and the first of them."""

    code: str
    samples: int
    example: Skipped


def classes(ledger: pd.DataFrame, columns: Sequence[str]) -> Classes | None:
    """Return the counts of each class, None without classes.  columns: of the ledger, one for each budget.

    More than 40 classes are folded; those of which the first budget keeps the smallest and the largest share stay."""
    if not ledger["class"].any():
        return None
    doubted = ledger["suspected_class"] if "suspected_class" in ledger else ledger["class"].str.slice(0, 0)
    counted = ledger[list(columns)].assign(suspected=doubted.fillna("") != "", samples=1).groupby(ledger["class"]).sum()
    rows = [
        ClassRow(str(name), samples, tuple(kept), suspected) for name, *kept, suspected, samples in counted.itertuples()
    ]
    largest = max(row.samples for row in rows)
    if len(rows) <= FEW_CLASSES:
        return Classes(rows, (), len(rows), largest)
    by_share = sorted(rows, key=lambda row: (row.kept[0] / row.samples, row.name))
    by_size = sorted(rows, key=lambda row: (-row.samples, row.name))[:MOST_CLASSES]
    return Classes(by_share[:EXTREMES] + by_share[-EXTREMES:], by_size, len(rows), largest)


def listed(ledger: pd.DataFrame) -> Listed:
    """Return the samples to list."""
    first, last = by_value(ledger)
    largest, n_groups, n_copies = groups(ledger)
    suspects, n_suspects = _clearest(ledger, "suspected_class", "votes")
    leaked, n_leaked = _clearest(ledger, "reference_copy", "reference_cosine")
    return Listed(
        first=first, last=last, uncovered=uncovered(ledger), groups=largest, n_groups=n_groups, n_copies=n_copies,
        suspects=suspects, n_suspects=n_suspects, leaked=leaked, n_leaked=n_leaked,
    )  # fmt: skip


def by_value(ledger: pd.DataFrame) -> tuple[list[int], list[int]]:
    """Return the rows that the method takes first, and those that it takes last, the last of all first."""
    ranked = ledger["rank"].dropna().astype("int64").sort_values(kind="stable").index
    most = min(LISTED, (len(ranked) + 1) // 2)
    return ranked[:most].tolist(), ranked[::-1][:most].tolist()


def groups(ledger: pd.DataFrame) -> tuple[list[Group], int, int]:
    """Return the largest groups of near-duplicates, how many groups there are, and how many samples are in one."""
    if "duplicate_group" not in ledger:
        return [], 0, 0
    inside = ledger.loc[ledger["duplicate_group"].notna(), ["duplicate_group", "class", "kept"]]
    sizes = inside["duplicate_group"].value_counts(sort=False)
    largest = sorted(sizes.index, key=lambda number: (-sizes[number], number))[:GROUPS]
    found = []
    for number in largest:
        members = inside[inside["duplicate_group"] == number].sort_values("kept", ascending=False, kind="stable")
        found.append(Group(members.index.tolist(), members["class"].nunique() > 1))
    return found, len(sizes), len(inside)


def _clearest(ledger: pd.DataFrame, name: str, by: str) -> tuple[list[int], int]:
    """Return the rows that have a name in one column and the largest values of another, and how many have a name."""
    if name not in ledger:
        return [], 0
    named = ledger.loc[ledger[name].fillna("") != "", by]
    return named.sort_values(ascending=False, kind="stable").index[:CLEAREST].tolist(), len(named)


def probabilities(ledger: pd.DataFrame) -> list[tuple[float, int, int]]:
    """Return each keep probability above 0, the largest first, with the number of its samples, and how many of
    those are kept; nothing where it is not known, or all of them are 0 or 1."""
    if not shares(ledger):
        return []
    frame = ledger.groupby("keep_probability")["kept"].agg(["size", "sum"])
    return [(float(share), int(size), int(kept)) for share, size, kept in
            zip(frame.index[::-1], frame["size"][::-1], frame["sum"][::-1], strict=True) if share > 0]  # fmt: skip


def shares(ledger: pd.DataFrame) -> list[float]:
    """Return the keep probability of each sample, nothing where it is not known, or all of them are 0 or 1."""
    known = ledger.get("keep_probability")
    return [] if known is None or known.isin([0, 1]).all() else known.astype(float).tolist()


def uncovered(ledger: pd.DataFrame) -> list[tuple[int, int, float]]:
    """Return the dropped rows that are least alike the kept one that stands for them, with its row and their cosine."""
    if "kept_neighbour" not in ledger:
        return []
    names, cosines = ledger["kept_neighbour"].fillna("").to_numpy(), ledger["cosine"].to_numpy(dtype=np.float64)
    rows = np.flatnonzero(names != "")
    rows = rows[np.argsort(cosines[rows], kind="stable")][:PAIRS]
    places = np.flatnonzero(ledger["id"].isin(names[rows]))
    place = dict(zip(ledger["id"].to_numpy()[places], places.tolist(), strict=True))
    return [(int(row), place[names[row]], float(cosines[row])) for row in rows]


def reasons(ledger: pd.DataFrame) -> list[tuple[str, str, int]]:
    """Return each reason code of the ledger, in words, with the number of its samples."""
    counts = ledger["reason"].value_counts(sort=False)
    return [(code, text, int(counts[code])) for code, text in REASONS.items() if code in counts]


def skipped(samples: Sequence[Skipped]) -> list[Reason]:
    """Return why samples were skipped, the most frequent first."""
    found: dict[str, list[Skipped]] = {}
    for one in samples:
        found.setdefault(one.code, []).append(one)
    return [
        Reason(code, len(some), some[0]) for code, some in sorted(found.items(), key=lambda it: (-len(it[1]), it[0]))
    ]


def settings(manifest: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return each setting of a manifest by its name, such as method.scorer.name; versions and long lists apart."""
    shown = {name: value for name, value in manifest.items() if name not in APART}
    return [(name, _shown(value)) for name, value in _flat(shown)]


def _flat(values: Mapping[str, Any], above: str = "") -> list[tuple[str, Any]]:
    found = []
    for name, value in values.items():
        inside = isinstance(value, Mapping) and value
        found += _flat(value, f"{above}{name}.") if inside else [(f"{above}{name}", value)]
    return found


def _shown(value: Any) -> str:
    if isinstance(value, list | tuple):
        some = ", ".join(map(_shown, value[:20]))
        return f"{some} and {len(value) - 20:,} more" if len(value) > 20 else some or "none"
    return "-" if value is None or value == "" or value == {} else str(value)


def command(manifest: Mapping[str, Any]) -> str:
    """Return the command that repeats a pruning, as far as a manifest knows: the data by their name alone."""
    data, method, choice = (manifest.get(name, {}) for name in ("data", "method", "choice"))
    scorer, network, reading = method.get("scorer", {}), manifest.get("network", {}), data.get("reading", {})
    words = ["prunebench", "prune", data.get("title", "DATA")]
    options: list[tuple[str, Any]] = [("--keep", keep) for keep in manifest.get("keep", ())]
    labels = reading.get("labels")  # the name of a file, or True for labels that were given from Python
    options += [("--labels", labels if isinstance(labels, str) else None), ("--split", reading.get("split"))]
    options += [("--scorer", scorer.get("name"))]
    options += [("--param", f"{name}={_value(value)}") for name, value in scorer.get("params", {}).items()]
    if choice.get("selector_named"):
        options.append(("--selector", choice["selector"]))
    options += [("--selector-param", f"{name}={_value(value)}") for name, value in choice.get("params", {}).items()]
    options += [("--projector", method.get("projector", {}).get("name")), ("--balance", choice.get("balance"))]
    networks = {network.get("model"): network, **manifest.get("other_networks", {})}
    options += [("--backbone", name) for name in networks]
    files = takewhile(lambda known: known.get("sha256"), networks.values())  # the first file is that of the first
    options += [("--weights", known["weights"]) for known in files]
    search = manifest.get("neighbours", {}).get("search", "auto")
    options += [("--search", None if search == "auto" else search), ("--seed", method.get("seed"))]
    options += [("--protect", "protected.txt" if choice.get("protected") else None)]
    options += [("--drop-duplicates", choice.get("drop_duplicates")), ("--clusters", choice.get("clusters"))]
    options += [("--reference", choice.get("reference"))]
    words += [str(word) for name, value in options if value not in (None, "") for word in (name, value)]
    return shlex.join([*words, "--out", "kept"])


def _value(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def intervals(proof: Mapping[str, Any]) -> list[tuple[str, list[tuple[str, str, Mapping[str, Any]]]]]:
    """Return for each budget of a proof the accuracies to draw: the class of the mark, what it is, and the interval."""
    names = {"kept": "kept", "random": "random, same size", "next": "next larger budget", "everything": "everything"}
    return [
        (str(row["keep"]), [(name, label, row[name]) for name, label in names.items() if row.get(name)])
        for row in proof.get("rows", ())
    ]  # fmt: skip


def limits(proof: Mapping[str, Any]) -> tuple[float, float]:
    """Return the smallest and the largest accuracy that an interval of the proof reaches."""
    ends = [
        one[end] for _, marks in intervals(proof) for _, _, one in marks for end in ("mean", "low", "high")
        if one.get(end) is not None
    ]  # fmt: skip
    return float(np.min(ends)), float(np.max(ends))
