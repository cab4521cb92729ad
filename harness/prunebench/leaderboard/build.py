"""Records in, board out: pure, and blind to the order of the records."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from typing import Any, Literal

from prunebench.errors import UsageError, did_you_mean
from prunebench.leaderboard.accuracy import accuracy_rows
from prunebench.leaderboard.agreement import agreement_rows
from prunebench.leaderboard.cells import Cell, Entrant, Section, parse_cells
from prunebench.leaderboard.correlation import method_correlation_rows
from prunebench.leaderboard.grid import build_grid
from prunebench.leaderboard.tables import AccuracyRow, Board, FailureRow, Provenance

Missing = Literal["show", "drop", "error"]


def _chosen(records: Iterable[Mapping[str, Any]], suites: Sequence[str] | None) -> list[Mapping[str, Any]]:
    return [record for record in records if suites is None or record.get("suite") in suites]


def _failures(cells: Sequence[Cell]) -> list[FailureRow]:
    """Return unfinished cells, gathered by method and reason."""
    groups: dict[tuple[Section, str, Entrant, str, str], list[Cell]] = defaultdict(list)
    for cell in cells:
        if cell.status != "ok":
            groups[cell.section, cell.training.recipe, cell.entrant, cell.status, cell.reason].append(cell)
    return [
        FailureRow(
            **section._asdict(),
            recipe=recipe,
            **entrant._asdict(),
            status=status,
            reason=reason,
            n_cells=len(members),
            train_archs=", ".join(sorted({cell.training.arch for cell in members})),
            score_backbones=", ".join(sorted({cell.score_backbone for cell in members})),
            keeps=", ".join(sorted({cell.keep for cell in members}, key=Decimal)),
            seeds=", ".join(map(str, sorted({cell.seed for cell in members}))),
        )
        for (section, recipe, entrant, status, reason), members in sorted(groups.items())
    ]


def _distinct(records: Iterable[Mapping[str, Any]], name: str) -> tuple[str, ...]:
    return tuple(sorted({str(record[name]) for record in records if record.get(name)}))


def _order(row: AccuracyRow) -> tuple[Any, ...]:
    """Sort key of the table: section, architecture, pooled rows first, method, then falling budget."""
    pooled = "" if row.is_headline else row.score_backbone
    return (*row.section, row.training, row.method, row.projector, pooled, -Decimal(row.keep))


def build_board(
    records: Iterable[Mapping[str, Any]],
    agreements: Iterable[Mapping[str, Any]] = (),
    *,
    missing: Missing = "show",
    suites: Sequence[str] | None = None,
) -> Board:
    """Return the board of cell records and agreement records.

    missing: "show" keeps holes and ranks complete rows alone, "drop" leaves incomplete rows out, "error"
    refuses them.  suites: names to restrict the board to.  Partial records (from --limit) are shown, unranked.
    Raises UsageError without records or for an unknown suite, DataError for a malformed record.
    """
    every = list(records)
    agreements = list(agreements)
    known = {str(record.get("suite")) for record in (*every, *agreements)}
    for name in suites or ():
        if name not in known:
            raise UsageError(f"no records of suite {name!r}", did_you_mean(name, known))
    chosen, compared = _chosen(every, suites), _chosen(agreements, suites)
    if not chosen and not compared:
        raise UsageError("there are no records to make a board of", "run `prunebench run SUITE` first")
    cells = parse_cells(chosen)
    entries = build_grid(cells, missing)
    return Board(
        accuracy=tuple(sorted(accuracy_rows(entries), key=_order)),
        correlation=(*method_correlation_rows(entries), *agreement_rows(compared)),
        failures=tuple(_failures(cells)),
        provenance=Provenance(
            protocols=_distinct([*chosen, *compared], "protocol"),
            prunebench_versions=_distinct(chosen, "prunebench_version"),
            git_commits=_distinct(chosen, "git_commit"),
            n_cells=len(cells),
            n_cells_dirty=sum(bool(record.get("git_dirty")) for record in chosen),
            n_agreements=len(compared),
            missing=missing,
        ),
    )
