"""What the board says beside its numbers: titles, commands, failures, sources, and what the seeds moved."""

from __future__ import annotations

import shlex
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from decimal import Decimal
from typing import Any

import pandas as pd

from prunebench.board.grid import NONE, UNPRUNED, Section, Table, Training, method_of, plain, section_of
from prunebench.records import AgreementRecord, CellRecord, Record
from prunebench.registry import Suite

TABLES = (*Section._fields, *Training._fields, "title", "n_seeds", "varied")
SECTIONS = (
    *Section._fields, "title", "command", "varied_scores", "prunebench_versions", "git_commits", "n_cells",
    "n_cells_dirty", "n_comparisons",
)  # fmt: skip
FAILURES = (*Section._fields, "status", "reason", "methods", "n_records", "where")
PLACES = {
    "": ("train_arch",), "keep ": ("keep",), "scored with ": ("score_backbone", "backbone_a", "backbone_b"),
    "seeds ": ("seed", "seed_a", "seed_b"),
}  # fmt: skip
UNKNOWN = "The records do not say what the seeds moved."
LINE = ("projector", "method", "score_backbone", "keep")


def section_facts(
    records: Sequence[Record], suites: Mapping[str, Suite], registry_file: str | None, needs_data: Collection[str]
) -> pd.DataFrame:
    """Return one row per section: its title, the command that computes it, and where its records come from."""
    sections: dict[Section, list[Record]] = defaultdict(list)
    for record in records:
        sections[section_of(record)].append(record)
    rows = []
    for section, members in sorted(sections.items()):
        cells = [record for record in members if isinstance(record, CellRecord)]
        command = run_command(members, suites.get(section.suite), registry_file, section.dataset in needs_data)
        rows.append({
            **section._asdict(), "title": _title(section, sections), "command": command,
            "varied_scores": varied_in_scores(
                [record for record in members if isinstance(record, AgreementRecord)], networks_of(cells)
            ),
            "prunebench_versions": _listed(members, "prunebench_version"),
            "git_commits": _listed(members, "git_commit"), "n_cells": len(cells),
            "n_cells_dirty": sum(cell.git_dirty for cell in cells), "n_comparisons": len(members) - len(cells),
        })  # fmt: skip
    return pd.DataFrame(rows, columns=list(SECTIONS))


def _title(section: Section, others: Iterable[Section]) -> str:
    """Return "suite on data set", with protocol and data where one suite has results of several."""
    same = [other for other in others if other[:2] == section[:2]]
    title = f"{section.suite} on {section.dataset}"
    title += f", protocol {section.protocol}" if len({other.protocol for other in same}) > 1 else ""
    several = len({other.dataset_fingerprint for other in same}) > 1
    return title + (f", data {section.dataset_fingerprint[:8]}" if several else "")


def _values(records: Iterable[Record], *names: str) -> set[Any]:
    """Return what the records hold in some fields, but for nothing."""
    return {getattr(record, name) for record in records for name in names if hasattr(record, name)} - {"", "-"}


def _listed(records: Iterable[Record], *names: str) -> str:
    return ", ".join(map(str, sorted(_values(records, *names))))


def run_command(records: Sequence[Record], suite: Suite | None, registry_file: str | None, data: bool) -> str:
    """Return the command that computes the records: no budget and no seed that they do not have.

    It names the methods that are not of the suite, the registry where that is not the default one, and a folder of
    data where the data set does not come with prunebench.
    """
    pruned = [record for record in records if isinstance(record, CellRecord) and record.role != UNPRUNED]
    keeps = sorted({plain(cell.keep) for cell in pruned}, key=Decimal, reverse=True)
    parts = ["prunebench", "run", records[0].suite, "--seeds", str(max(_values(records, *PLACES["seeds "])) + 1)]
    parts += [part for keep in keeps for part in ("--keep", keep)]
    if suite is not None:
        known = {*suite.methods, *suite.agreement_methods, suite.unpruned, suite.baseline}
        parts += [part for method in sorted(_values(records, "method") - known) for part in ("--with", method)]
    parts += ["--registry", registry_file] if registry_file else []
    return " ".join(map(shlex.quote, parts)) + (" --data DIR" if data else "")


def table_facts(found: Sequence[Table]) -> pd.DataFrame:
    """Return one row per table of accuracies: what is trained, over how many seeds, and what those moved."""
    names = Counter((table.section, table.training[:2]) for table in found)
    rows = []
    for table in found:
        arch, recipe, digest = table.training
        digest = f" ({digest[:8] or 'unknown'})" if names[table.section, (arch, recipe)] > 1 else ""
        rows.append({
            **table.section._asdict(), **table.training._asdict(), "title": f"{arch}, recipe {recipe}{digest}",
            "n_seeds": len({cell.seed for cell in table.cells}), "varied": varied_in_cells(table.cells),
        })  # fmt: skip
    return pd.DataFrame(rows, columns=list(TABLES))


def failures(records: Iterable[Record]) -> pd.DataFrame:
    """Return the records without a value, one row per section, status and reason."""
    groups: dict[tuple[Section, str, str], list[Record]] = defaultdict(list)
    for record in records:
        if record.status != "ok":
            groups[section_of(record), record.status.replace("_", " "), record.status_reason].append(record)
    rows: list[dict[str, Any]] = [
        {
            **section._asdict(), "status": status, "reason": reason, "n_records": len(members),
            "methods": ", ".join(sorted({method_of(record).label for record in members})),
            "where": "; ".join(f"{text}{at}" for text, names in PLACES.items() if (at := _listed(members, *names))),
        }
        for (section, status, reason), members in sorted(groups.items())
    ]  # fmt: skip
    return pd.DataFrame(rows, columns=list(FAILURES))


def varied_in_cells(cells: Sequence[CellRecord]) -> str:
    """Return the sentence of a table of accuracies."""
    cells = [cell for cell in cells if cell.status == "ok"]
    if len({cell.seed for cell in cells}) < 2:
        return "There is one seed, so no number has an interval." if cells else ""
    if not any(cell.train_key and cell.scores_key for cell in cells):
        return UNKNOWN
    scores = _distinct(cells, "scores_key", (*LINE, "features_key", "proxy_key"))  # of one network and one proxy run
    moved = _moved(scores, _distinct(cells, "scores_key", LINE))
    if _most(_distinct([cell for cell in cells if cell.scores_key], "subset_digest", (*LINE, "scores_key"))) > 1:
        moved.append("the selection")
    # The same subset trained to another network: the training has a seed of its own.
    training = _most(_distinct([cell for cell in cells if cell.subset_digest], "train_key", (*LINE, "subset_digest")))
    return _sentence(moved, networks_of(cells), _most(_distinct(cells, "proxy_key", LINE)), training > 1)


def networks_of(cells: Iterable[CellRecord]) -> int:
    """Return how many networks of one name scored the samples, over all seeds; 0 where the records do not say."""
    return _most(_distinct(cells, "features_key", ("score_backbone",)))


def varied_in_scores(records: Sequence[AgreementRecord], networks: int) -> str:
    """Return the sentence of a table of agreement of scores; networks: of one name, 0 for an unknown number."""
    sides = [(record, *side) for record in records for side in scored(record)]
    if len({seed for _, _, seed, _ in sides}) < 2:
        return "There is one seed, so no number has an interval, and there is no ceiling." if records else ""
    keys: dict[tuple[Any, ...], set[Any]] = defaultdict(set)
    for record, backbone, _, key in sides:
        if key:
            keys[record.projector, record.method, backbone].add(key)
    # Scores that are equal at all seeds come from one network.
    fixed = {place[-1] for place, found in keys.items() if len(found) == 1} == {place[-1] for place in keys}
    moved = _moved({} if networks > 1 else keys, keys)
    return _sentence(moved, 1 if fixed else networks, 0, False) if keys else UNKNOWN


def scored(record: AgreementRecord) -> list[tuple[str, int, str]]:
    """Return (backbone, seed, key of the scores) of the two sides of a comparison."""
    return [(record.backbone_a, record.seed_a, record.scores_key_a),
            (record.backbone_b, record.seed_b, record.scores_key_b)]  # fmt: skip


def _distinct(cells: Iterable[CellRecord], key: str, same: Sequence[str]) -> dict[tuple[Any, ...], set[Any]]:
    """Return the distinct values of `key` among cells that are the same in the fields `same`."""
    found: dict[tuple[Any, ...], set[Any]] = defaultdict(set)
    for cell in cells:
        if value := getattr(cell, key):
            found[tuple(getattr(cell, name) for name in same)].add(value)
    return found


def _most(found: Mapping[tuple[Any, ...], set[Any]]) -> int:
    return max(map(len, found.values()), default=0)


def _moved(own: Mapping[tuple[Any, ...], set[Any]], scores: Mapping[tuple[Any, ...], set[Any]]) -> list[str]:
    """Return what moved the scores; own: those of one network and one proxy run.  Places begin with the projector."""
    randomness = any(len(keys) > 1 for place, keys in own.items() if place[0] == NONE)
    projection = any(len(keys) > 1 for place, keys in scores.items() if place[0] != NONE)
    return ["the methods' own randomness"] * randomness + ["the projection"] * projection


def _sentence(moved: Sequence[str], networks: int, proxies: int, training: bool) -> str:
    moved = [*moved, *[f"the scoring network ({networks} per backbone)"] * (networks > 1)]
    moved += [f"the proxy run ({proxies} of them)"] * (proxies > 1) + ["the training"] * training
    text = f"Seeds move {listed(moved)}" if moved else "Seeds move nothing here: every method is deterministic"
    shared = ["one network per backbone"] * (networks == 1) + ["one proxy run"] * (proxies == 1)
    return text + (f"; {listed(shared)} {'is' if len(shared) == 1 else 'are'} shared by all seeds." if shared else ".")


def listed(parts: Sequence[str]) -> str:
    """Return "a", "a and b" or "a, b and c"."""
    return " and ".join(filter(None, [", ".join(parts[:-1]), *parts[-1:]]))
