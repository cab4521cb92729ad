"""The tables of the page, as HTML text: every one with a caption, scopes and sortable columns."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from prunebench.leaderboard.headline import (
    AgreementLine,
    Headline,
    Line,
    caveat_notes,
    marked,
    number,
    percent,
    rate_label,
    signed_percent,
)
from prunebench.leaderboard.tables import AccuracyRow, CorrelationRow, FailureRow, cell_text


def heads(names: Sequence[str], text: Sequence[str] = ()) -> str:
    """Return the header row; columns of words start rising when sorted, columns of numbers falling."""
    cells = []
    for index, name in enumerate(names):
        words = index == 0 or name in text
        css = ' class="text"' if name in text else ""
        first = "" if words else ' data-first="falling"'
        cells.append(f'<th scope="col"{css}{first}><button type="button">{escape(name)}</button></th>')
    return f"<thead><tr>{''.join(cells)}</tr></thead>"


def table(caption: str, head: str, rows: Sequence[str], name: str) -> str:
    """Return a table in a region that scrolls sideways and can take the focus to do so."""
    return (
        f'<div class="scroll" role="region" tabindex="0" aria-label="{escape(name)}"><table>'
        f"<caption>{caption}</caption>{head}<tbody>{''.join(rows)}</tbody></table></div>"
    )


def value_cell(value: float | int | None, text: str, css: str = "", title: str = "") -> str:
    """Return a cell that shows `text` and carries the number of the CSV file in data-value."""
    attributes = f' class="{css}"' if css else ""
    attributes += f' title="{escape(title)}"' if title else ""
    return f'<td data-value="{cell_text(value)}"{attributes}>{text}</td>'


def text_cell(text: str) -> str:
    return f'<td class="text" data-value="{escape(text)}">{escape(text)}</td>'


def row_head(label: str, tag: str = "", shown: str = "") -> str:
    mark = f' <span class="tag">{escape(tag)}</span>' if tag else ""
    return f'<th scope="row" data-value="{escape(label)}">{escape(shown or label)}{mark}</th>'


def footnotes(lines: Sequence[Line] | Sequence[AgreementLine]) -> str:
    """Return the caveats of the marked lines, for the caption."""
    return "".join(f" {escape(note)}." for note in caveat_notes(lines))


def _gain(row: AccuracyRow) -> str:
    if row.gain_mean is None:
        return ""
    text = signed_percent(row.gain_mean)
    if row.gain_low is not None and row.gain_high is not None:
        text += f" ±{percent((row.gain_high - row.gain_low) / 2)}"
    if row.gain_excludes_zero:
        text = f'<strong class="{"up" if row.gain_mean > 0 else "down"}">{text}</strong>'
    return f'<span class="gain">{text}</span>'


def accuracy_cell(row: AccuracyRow | None) -> str:
    """Return accuracy, half-width, rank and gain; a hole says why it is one."""
    if row is None or row.accuracy_mean is None:
        reason = row.status_reason if row is not None else "not run"
        kind = reason.split(":")[0].split(" (")[0] or "hole"
        return value_cell(None, f"{escape(kind.replace('_', ' '))}", "hole", reason)
    text = percent(row.accuracy_mean)
    if row.accuracy_half_width is not None:
        text += f' <span class="half">±{percent(row.accuracy_half_width)}</span>'
    if row.rank is not None:
        text += f'<span class="rank" title="rank">{row.rank}</span>'
    text += _gain(row)
    if row.status != "ok":
        text += f'<span class="count">{row.n_seeds} of {row.n_seeds_expected} seeds</span>'
    return value_cell(row.accuracy_mean, text, "lead" if row.rank == 1 else "", row.status_reason)


def _line(line: Line, index: int | None, rates: Sequence[str]) -> str:
    link = f' data-series="{index}"' if index is not None else ""
    head = row_head(line.label, "baseline" if line.role == "baseline" else "", marked(line))
    if index is None:
        head += text_cell(line.score_backbone)
    return f"<tr{link}>{head}{''.join(accuracy_cell(line.rows.get(rate)) for rate in rates)}</tr>"


def headline_table(found: Headline, caption: str) -> str:
    rows = [_line(line, index, found.rates) for index, line in enumerate(found.lines)]
    head = heads(["method", *[rate_label(rate) for rate in found.rates]])
    caption += footnotes(found.lines)
    return table(caption, head, rows, f"Accuracy, {found.training.arch}")


def backbone_table(found: Headline) -> str:
    """Return the rows of single scoring backbones, folded away; empty where no method uses one."""
    if not found.details:
        return ""
    ordered = sorted(found.details, key=lambda line: (line.label, line.score_backbone))
    head = heads(["method", "scored with", *[rate_label(rate) for rate in found.rates]], ["scored with"])
    rows = [_line(line, None, found.rates) for line in ordered]
    caption = f"Accuracy in % of {escape(found.training.arch)} for each backbone that scored the samples."
    body = table(caption, head, rows, f"Accuracy by scoring backbone, {found.training.arch}")
    return f"<details><summary>By scoring backbone</summary>{body}</details>"


def _interval(row: CorrelationRow | None) -> str:
    if row is None:
        return value_cell(None, "-")
    if row.value is None:
        return value_cell(None, "insufficient", "hole", row.reason)
    text = number(row.value)
    if row.low is not None:
        text += f' <span class="half">[{number(row.low)}, {number(row.high)}]</span>'
    return value_cell(row.value, text, "", row.reason)


def _plain(row: CorrelationRow | None) -> str:
    value = None if row is None else row.value
    return value_cell(value, number(value))


def arch_table(rows: Sequence[CorrelationRow]) -> str:
    """Return method_tau and method_rho between architectures, each with ceiling and ratio."""
    rho = {(row.a, row.b, row.recipe, row.keep): row for row in rows if row.quantity == "method_rho"}
    body = []
    for row in (row for row in rows if row.quantity == "method_tau"):
        other = rho[row.a, row.b, row.recipe, row.keep]
        body.append(
            f"<tr>{row_head(f'{row.a}, {row.b}')}"
            + value_cell(float(row.pruning_rate), rate_label(row.pruning_rate))
            + _interval(row)
            + value_cell(row.ceiling, number(row.ceiling))
            + value_cell(row.ratio, number(row.ratio))
            + _interval(other)
            + value_cell(other.ceiling, number(other.ceiling))
            + value_cell(row.n_methods, str(row.n_methods))
            + value_cell(row.n_seeds, str(row.n_seeds))
            + "</tr>"
        )
    names = ["architectures", "pruned", "method_tau", "ceiling", "ratio", "method_rho", "ceiling of rho"]
    caption = (
        "Kendall tau-b and Spearman's rho between two training architectures, over methods, with the 95 % "
        "bootstrap interval over seeds. The ceiling is what halves of the seeds of one architecture reach "
        "among themselves; ratio = tau / ceiling."
    )
    return table(caption, heads([*names, "methods", "seeds"]), body, "Rank correlation between architectures")


def agreement_table(lines: Sequence[AgreementLine]) -> str:
    """Return agreement across backbones beside seed to seed, a line a method."""
    body = []
    controlled = any(line.control for line in lines)
    for line in lines:
        ratio = line.cross.ratio if line.cross else None
        pairs = line.cross.n_pairs if line.cross else 0
        body.append(
            f"<tr>{row_head(line.label, shown=marked(line))}{_interval(line.cross)}{_plain(line.seed)}"
            + value_cell(ratio, number(ratio))
            + _plain(line.pooled)
            + _plain(line.pearson)
            + (_plain(line.control) if controlled else "")
            + value_cell(pairs, str(pairs))
            + "</tr>"
        )
    control = ["control"] if controlled else []
    names = ["method", "across backbones", "seed to seed", "ratio", "pooled", "Pearson", *control, "pairs"]
    caption = (
        "Spearman within class of one method's scores, mean over classes and pairs of backbones, with the 95 % "
        "interval over seeds. Seed to seed, on one backbone, is its noise ceiling"
        f"{'; control: against an untrained network' if controlled else ''}."
    )
    return table(caption + footnotes(lines), heads(names), body, "Agreement of scores")


def pair_table(lines: Sequence[AgreementLine]) -> str:
    """Return every pair behind the means, folded away."""
    body = []
    for line in lines:
        for row in line.pairs:
            kind = row.comparison.replace("_", " ")
            names = text_cell(kind) + text_cell(row.a if row.a == row.b else f"{row.a}, {row.b}")
            pairs = value_cell(row.n_pairs, str(row.n_pairs))
            body.append(f"<tr>{row_head(line.label)}{names}{_interval(row)}{pairs}{text_cell(row.reason)}</tr>")
    head = heads(
        ["method", "comparison", "backbones", "Spearman", "pairs", "note"], ["comparison", "backbones", "note"]
    )
    found = table("Spearman within class of each pair of backbones, mean over seeds.", head, body, "Every pair")
    return f"<details><summary>Every pair of backbones</summary>{found}</details>"


def failure_table(rows: Sequence[FailureRow]) -> str:
    body = []
    for row in rows:
        place = f"{row.train_archs}; keep {row.keeps}; seeds {row.seeds}"
        body.append(
            f"<tr>{row_head(row.label)}{text_cell(row.status.replace('_', ' '))}"
            + value_cell(row.n_cells, str(row.n_cells))
            + text_cell(place)
            + text_cell(row.reason)
            + "</tr>"
        )
    head = heads(["method", "status", "cells", "where", "reason"], ["status", "where", "reason"])
    return table("Every status but ok, with the reason that was recorded.", head, body, "Cells without an accuracy")
