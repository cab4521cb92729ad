"""The board as Markdown."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from prunebench.leaderboard.cells import Section
from prunebench.leaderboard.command import run_command
from prunebench.leaderboard.headline import (
    BOLD,
    AgreementLine,
    Headline,
    Line,
    agreement_lines,
    arch_correlations,
    baseline_of,
    caveat_notes,
    headlines,
    marked,
    number,
    percent,
    rate_label,
    signed_percent,
)
from prunebench.leaderboard.tables import AccuracyRow, Board, CorrelationRow


def _escaped(text: str) -> str:
    return text.replace("|", "\\|").replace("<", "&lt;").replace("\r", " ").replace("\n", " ")


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """Return a table; the first column to the left, all others to the right."""
    lines = ["| " + " | ".join(head) + " |", "|" + "|".join([":--", *["--:"] * (len(head) - 1)]) + "|"]
    return lines + ["| " + " | ".join(row) + " |" for row in rows] + [""]


def _accuracy(row: AccuracyRow | None) -> str:
    """Return "82.1 ±0.4 (**+5.4**)" and the rank: bold where the interval of the gain excludes 0."""
    if row is None or row.accuracy_mean is None:
        return "hole"
    text = percent(row.accuracy_mean)
    if row.accuracy_half_width is not None:
        text += f" ±{percent(row.accuracy_half_width)}"
    if row.gain_mean is not None:
        gain = signed_percent(row.gain_mean)
        text += f" (**{gain}**)" if row.gain_excludes_zero else f" ({gain})"
    if row.rank is not None:
        text += f" <sup>{row.rank}</sup>"
    return text if row.status == "ok" else f"{text} [{row.n_seeds} of {row.n_seeds_expected} seeds]"


def _headline(table: Headline) -> list[str]:
    seeds = sorted({row.n_seeds_expected for line in table.lines for row in line.rows.values()})
    text = [f"### {_escaped(table.training.arch)}, recipe {_escaped(table.training.recipe)}", ""]
    facts = [f"Seeds: {', '.join(map(str, seeds))}."]
    if table.unpruned is not None:
        facts.append(f"Nothing pruned: {_accuracy(table.unpruned)}.")
    if table.section.partial:
        facts.append("Partial run: not ranked.")
    text += [" ".join(facts), ""]
    head = ["method", *[rate_label(rate) for rate in table.rates]]
    rows = [[_escaped(marked(line)), *[_accuracy(line.rows.get(rate)) for rate in table.rates]] for line in table.lines]
    return text + _table(head, rows) + _notes(table.lines)


def _notes(lines: Sequence[Line] | Sequence[AgreementLine]) -> list[str]:
    return [part for note in caveat_notes(lines) for part in (_escaped(note), "")]


def _range(row: CorrelationRow) -> str:
    if row.value is None:
        return "insufficient"
    between = "" if row.low is None else f" [{number(row.low)}, {number(row.high)}]"
    return number(row.value) + between


def _archs(rows: Sequence[CorrelationRow]) -> list[str]:
    if not rows:
        return []
    text = [
        "### Do two architectures rank the methods alike?",
        "",
        "Kendall tau-b with its 95 % bootstrap interval over seeds; the ceiling is what the seeds of one "
        "architecture reach among themselves.",
        "",
    ]
    head = ["architectures", "pruning rate", "method_tau", "ceiling", "ratio", "method_rho", "methods", "seeds"]
    rho = {(row.a, row.b, row.recipe, row.keep): row for row in rows if row.quantity == "method_rho"}
    body = [
        [
            f"{_escaped(row.a)}, {_escaped(row.b)}",
            rate_label(row.pruning_rate),
            _range(row),
            number(row.ceiling),
            number(row.ratio),
            number(rho[row.a, row.b, row.recipe, row.keep].value),
            str(row.n_methods),
            str(row.n_seeds),
        ]
        for row in rows
        if row.quantity == "method_tau"
    ]
    return text + _table(head, body)


def _scores(lines: Sequence[AgreementLine]) -> list[str]:
    if not lines:
        return []
    text = [
        "### Does a method score the same samples alike from two backbones?",
        "",
        "Spearman within class, mean over classes and pairs of backbones. Agreement across backbones means "
        "something only beside the agreement of two seeds of one backbone, its noise ceiling.",
        "",
    ]
    head = ["method", "across backbones", "seed to seed", "ratio", "pairs", "untrained control"]
    body = [
        [
            _escaped(marked(line)),
            _range(line.cross) if line.cross else "-",
            number(line.seed.value if line.seed else None),
            number(line.cross.ratio if line.cross else None),
            str(line.cross.n_pairs if line.cross else 0),
            number(line.control.value if line.control else None),
        ]
        for line in lines
    ]
    return text + _table(head, body) + _notes(lines)


def _failures(board: Board, section: Section) -> list[str]:
    rows = [row for row in board.failures if row.section == section]
    if not rows:
        return []
    text = ["### Cells without an accuracy", ""]
    for row in rows:
        reason = f": {_escaped(row.reason)}" if row.reason else ""
        cells = "cell" if row.n_cells == 1 else "cells"
        text.append(
            f"- {_escaped(row.label)}, {row.n_cells} {cells} {row.status} (keep {row.keeps}; seeds {row.seeds}; "
            f"{_escaped(row.train_archs)}){reason}"
        )
    return [*text, ""]


def _explained(rows: Sequence[AccuracyRow]) -> str:
    if not rows:
        return "Nothing is trained in this suite."
    text = "Accuracy in %, mean ± half-width of the 95 % t interval over seeds, by pruning rate."
    if reference := baseline_of(rows):
        text += f" In parentheses: the paired gain over {_escaped(reference)}, {BOLD}."
    return text + " Raised: the rank, shared by methods that the seeds cannot tell apart."


def _section(board: Board, section: Section) -> list[str]:
    name = f"## {_escaped(section.suite)} on {_escaped(section.dataset)}"
    rows = [row for row in board.accuracy if row.section == section]
    text = [f"{name}{' (partial)' if section.partial else ''}", ""]
    text += [f"Protocol {section.protocol or 'unknown'}. {_explained(rows)}", ""]
    for table in headlines(board, section):
        text += _headline(table)
    text += _archs(arch_correlations(board, section)) + _scores(agreement_lines(board, section))
    text += _failures(board, section)
    return [*text, f"Reproduce: `{run_command(board, section)}`, then `prunebench leaderboard`.", ""]


def render_markdown(board: Board) -> str:
    """Return leaderboard.md."""
    text = ["# Leaderboard", ""]
    for section in board.sections:
        text += _section(board, section)
    facts = board.provenance
    text += [
        f"From {facts.n_cells} cells and {facts.n_agreements} agreement records; "
        f"prunebench {', '.join(facts.prunebench_versions) or 'unknown'}. All numbers: `accuracy.csv`, "
        "`rank_correlation.csv`. Generated file: change the records, not this page.",
    ]
    return "\n".join(text) + "\n"
