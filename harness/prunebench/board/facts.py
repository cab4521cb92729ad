"""What the board says beside its numbers: titles, commands that compute a section, failures, where records come from."""

from __future__ import annotations

import shlex
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from decimal import Decimal
from typing import Any

import pandas as pd

from prunebench.board.grid import UNPRUNED, Section, Table, Training, method_of, plain, section_of
from prunebench.board.varied import varied_in_cells, varied_in_scores
from prunebench.records import AgreementRecord, CellRecord, Record
from prunebench.registry import Suite

TABLES = (*Section._fields, *Training._fields, "title", "n_seeds", "varied")
SECTIONS = (
    *Section._fields, "title", "command", "varied_scores", "prunebench_versions", "git_commits", "n_cells",
    "n_cells_dirty", "n_comparisons",
)  # fmt: skip
FAILURES = (*Section._fields, "status", "reason", "methods", "n_records", "where")


def section_facts(
    cells: Sequence[CellRecord],
    compared: Sequence[AgreementRecord],
    suites: Mapping[str, Suite],
    registry_file: str | None,
    needs_data: Collection[str],
) -> pd.DataFrame:
    """Return one row per section."""
    records: dict[Section, list[Record]] = defaultdict(list)
    for record in (*cells, *compared):
        records[section_of(record)].append(record)
    rows = []
    for section, members in sorted(records.items()):
        own = [record for record in members if isinstance(record, CellRecord)]
        pairs = [record for record in members if isinstance(record, AgreementRecord)]
        command = run_command(members, suites.get(section.suite), registry_file, section.dataset in needs_data)
        rows.append({
            **section._asdict(),
            "title": _title(section, records),
            "command": command,
            "varied_scores": varied_in_scores(pairs),
            "prunebench_versions": _distinct(members, "prunebench_version"),
            "git_commits": _distinct(members, "git_commit"),
            "n_cells": len(own),
            "n_cells_dirty": sum(cell.git_dirty for cell in own),
            "n_comparisons": len(pairs),
        })  # fmt: skip
    return pd.DataFrame(rows, columns=list(SECTIONS))


def _distinct(records: Iterable[Record], name: str) -> str:
    return ", ".join(sorted({str(getattr(record, name)) for record in records} - {""}))


def _title(section: Section, others: Iterable[Section]) -> str:
    """Return "suite on data set", with protocol and data where one suite has results of several."""
    same = [other for other in others if other[:2] == section[:2]]
    title = f"{section.suite} on {section.dataset}"
    if len({other.protocol for other in same}) > 1:
        title += f", protocol {section.protocol}"
    if len({other.dataset_fingerprint for other in same}) > 1:
        title += f", data {section.dataset_fingerprint[:8]}"
    return title


def run_command(
    records: Sequence[Record], suite: Suite | None, registry_file: str | None = None, data: bool = False
) -> str:
    """Return the command that computes the records: no budget and no seed that they do not have.

    It names the methods that are not of the suite, the registry where that is not the default one, and a folder of
    data where the data set does not come with prunebench.
    """
    cells = [record for record in records if isinstance(record, CellRecord)]
    seeds = {cell.seed for cell in cells}
    for record in records:
        if isinstance(record, AgreementRecord):
            seeds |= {record.seed_a, record.seed_b}
    keeps = sorted({plain(cell.keep) for cell in cells if cell.role != UNPRUNED}, key=Decimal, reverse=True)
    parts = ["prunebench", "run", records[0].suite, "--seeds", str(max(seeds) + 1)]
    parts += [part for keep in keeps for part in ("--keep", keep)]
    if suite is not None:
        named = {*suite.methods, *suite.agreement_methods, suite.unpruned, suite.baseline}
        for method in sorted({record.method for record in records} - named):
            parts += ["--with", method]
    parts += ["--registry", registry_file] if registry_file else []
    return " ".join(map(shlex.quote, parts)) + (" --data DIR" if data else "")


def table_facts(found: Sequence[Table]) -> pd.DataFrame:
    """Return one row per table of accuracies: what is trained, over how many seeds, and what those moved."""
    names = Counter((table.section, table.training[:2]) for table in found)
    rows = []
    for table in found:
        arch, recipe, digest = table.training
        several = names[table.section, (arch, recipe)] > 1
        rows.append({
            **table.section._asdict(),
            **table.training._asdict(),
            "title": f"{arch}, recipe {recipe}" + (f" ({digest[:8] or 'unknown'})" if several else ""),
            "n_seeds": len(table.seeds),
            "varied": varied_in_cells(table.cells),
        })  # fmt: skip
    return pd.DataFrame(rows, columns=list(TABLES))


def failures(records: Iterable[Record]) -> pd.DataFrame:
    """Return the records without a value, one row per section, status and reason."""
    groups: dict[tuple[Section, str, str], list[Record]] = defaultdict(list)
    for record in records:
        if record.status != "ok":
            groups[section_of(record), record.status, record.status_reason].append(record)
    rows: list[dict[str, Any]] = [
        {
            **section._asdict(),
            "status": status.replace("_", " "),
            "reason": reason,
            "methods": ", ".join(sorted({method_of(record).label for record in members})),
            "n_records": len(members),
            "where": _where(members),
        }
        for (section, status, reason), members in sorted(groups.items())
    ]
    return pd.DataFrame(rows, columns=list(FAILURES))


def _where(records: Sequence[Record]) -> str:
    """Return the places of some records: what they trained, kept, were scored with, and their seeds."""
    cells = [record for record in records if isinstance(record, CellRecord)]
    compared = [record for record in records if isinstance(record, AgreementRecord)]
    parts = []
    if cells:
        keeps = sorted({plain(cell.keep) for cell in cells}, key=Decimal)
        archs = sorted({cell.train_arch for cell in cells})
        parts.append(f"{', '.join(archs)}; keep {', '.join(keeps)}; seeds {_seeds({cell.seed for cell in cells})}")
        if backbones := sorted({cell.score_backbone for cell in cells} - {"-"}):
            parts.append(f"scored with {', '.join(backbones)}")
    if compared:
        sides = sorted({name for record in compared for name in (record.backbone_a, record.backbone_b)})
        seeds = {seed for record in compared for seed in (record.seed_a, record.seed_b)}
        parts.append(f"scores of {', '.join(sides)}; seeds {_seeds(seeds)}")
    return "; ".join(parts)


def _seeds(seeds: Iterable[int]) -> str:
    return ", ".join(map(str, sorted(seeds)))
