"""The board as one self-contained page that works offline and from a file."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from html import escape
from importlib.resources import files

from prunebench.leaderboard import html_tables as tables
from prunebench.leaderboard.cells import Section
from prunebench.leaderboard.charts import accuracy_chart, agreement_chart, gain_chart, in_rows, marker, swatch
from prunebench.leaderboard.command import run_command
from prunebench.leaderboard.headline import (
    BOLD,
    AgreementLine,
    Headline,
    agreement_lines,
    arch_correlations,
    baseline_of,
    headlines,
    percent,
    rate_label,
)
from prunebench.leaderboard.tables import Board, columns

POLICY = {
    "show": "incomplete rows are shown as holes and take no rank",
    "drop": "incomplete rows are left out",
    "error": "no row is incomplete",
}


def _asset(name: str) -> str:
    return files("prunebench.leaderboard").joinpath(name).read_text(encoding="utf-8")


def anchors(sections: Iterable[Section]) -> dict[Section, str]:
    """Return a readable, unique fragment for each section."""
    found: dict[Section, str] = {}
    for section in sections:
        words = f"{section.suite}-{section.dataset}{'-partial' if section.partial else ''}"
        base = slug = re.sub(r"[^A-Za-z0-9]+", "-", words).strip("-").lower() or "section"
        count = 1
        while slug in found.values():
            count += 1
            slug = f"{base}-{count}"
        found[section] = slug
    return found


def board_json(board: Board) -> str:
    """Return all tables as JSON that can stand inside a script element."""
    facts: dict[str, object] = {"provenance": asdict(board.provenance)}
    tables_by_name = {"accuracy": board.accuracy, "rank_correlation": board.correlation, "failures": board.failures}
    for name, rows in tables_by_name.items():
        names = columns(type(rows[0])) if rows else []
        facts[name] = {"columns": names, "rows": [[getattr(row, column) for column in names] for row in rows]}
    return json.dumps(facts, ensure_ascii=False, sort_keys=True, separators=(",", ":")).replace("<", "\\u003c")


def _legend(found: Headline) -> str:
    items = [
        f'<li><button type="button" data-series="{index}" aria-pressed="false">{swatch(line)}'
        f"{escape(line.label)}</button></li>"
        for index, line in enumerate(found.lines)
    ]
    return f'<ul class="legend" aria-label="Methods: press to single out">{"".join(items)}</ul>'


def _facts(found: Headline) -> str:
    seeds = sorted({row.n_seeds_expected for line in found.lines for row in line.rows.values()})
    facts = [f"{' or '.join(map(str, seeds))} seed{'' if seeds == [1] else 's'}"] if seeds else []
    full = found.unpruned
    if full is not None and full.accuracy_mean is not None:
        half = "" if full.accuracy_half_width is None else f" ±{percent(full.accuracy_half_width)}"
        count = "" if full.status == "ok" else f" ({full.n_seeds} of {full.n_seeds_expected} seeds)"
        facts.append(f"nothing pruned: {percent(full.accuracy_mean)}{half}{count}")
    return f'<p class="facts">{"; ".join(facts)}</p>' if facts else ""


def _named(name: str, found: Headline, chart: str) -> str:
    how = "by share pruned, in steps"
    if in_rows(found):
        how = f"with 95 % intervals, {' and '.join(map(rate_label, found.rates))} pruned"
    return f'<p class="chart-name">{escape(name)} <span class="soft">{how}</span></p>{chart}'


def _training(found: Headline, slug: str, index: int, reference: str) -> str:
    arch, recipe = found.training
    chart = accuracy_chart(found, f"{slug}-chart-{index}")
    gains = gain_chart(found, f"{slug}-gain-{index}")
    figure = f"<figure>{_named('Accuracy, %', found, chart)}{'' if in_rows(found) else _legend(found)}" if chart else ""
    figure += _named(f"Gain over {reference}, points", found, gains) if gains else ""
    figure += "</figure>" if chart else ""
    caption = "Accuracy in % by pruning rate, mean ± half-width of the 95 % t interval over seeds."
    if reference:
        caption += f" Below: paired gain over {escape(reference)}, {BOLD}."
    if found.section.partial:
        caption += " Partial run: not ranked."
    else:
        caption += " Raised: rank, shared where seeds cannot tell methods apart; shaded: first."
    return (
        f'<h3 id="{slug}-{index}">Trained: {escape(arch)} <span class="tag">{escape(recipe)}</span></h3>'
        f'{_facts(found)}<div class="beside" data-linked>{figure}{tables.headline_table(found, caption)}</div>'
        f"{tables.backbone_table(found)}"
    )


def _key(lines: Sequence[AgreementLine]) -> str:
    """Return the legend of the agreement chart."""
    samples = [
        (marker("diamond", 13, 6, "cross"), "across backbones, mean"),
        ('<line class="pair" x1="13" x2="13" y1="1" y2="11"/>', "one pair of backbones"),
        (marker("circle", 13, 6, "ceiling"), "seed to seed: the noise ceiling"),
    ]
    items = [
        f'<li><svg class="swatch" viewBox="0 0 26 12" aria-hidden="true">{mark}</svg>{text}</li>'
        for mark, text in samples
    ]
    return f'<ul class="legend marks">{"".join(items)}</ul>' if lines else ""


def _agreement(lines: Sequence[AgreementLine], slug: str) -> str:
    if not lines:
        return ""
    chart = agreement_chart(lines, f"{slug}-agreement-chart")
    figure = f"<figure>{chart}{_key(lines)}</figure>" if chart else ""
    return (
        f'<h3 id="{slug}-agreement">Does a method score samples alike from two backbones?</h3>'
        f'<div class="beside">{figure}{tables.agreement_table(lines)}</div>{tables.pair_table(lines)}'
    )


def _section(board: Board, section: Section, slug: str) -> str:
    rows = [row for row in board.accuracy if row.section == section]
    reference = baseline_of(rows)
    tag = ' <span class="tag">partial</span>' if section.partial else ""
    parts = [
        f'<section aria-labelledby="{slug}"><h2 id="{slug}">{escape(section.suite)} on {escape(section.dataset)}{tag}'
        f'</h2><p class="soft">Protocol {escape(section.protocol or "unknown")}. Reproduce with '
        f"<code>{escape(run_command(board, section))}</code></p>"
    ]
    for index, found in enumerate(headlines(board, section), start=1):
        parts.append(_training(found, slug, index, reference))
    if correlations := arch_correlations(board, section):
        heading = "Do two architectures rank the methods alike?"
        parts.append(f'<h3 id="{slug}-ranks">{heading}</h3>{tables.arch_table(correlations)}')
    parts.append(_agreement(agreement_lines(board, section), slug))
    if failures := [row for row in board.failures if row.section == section]:
        heading = "Cells without an accuracy"
        parts.append(f'<h3 id="{slug}-failures">{heading}</h3>{tables.failure_table(failures)}')
    return "".join(parts) + "</section>"


def _footer(board: Board) -> str:
    facts = board.provenance
    commits = ", ".join(commit[:12] for commit in facts.git_commits) or "unknown"
    if facts.n_cells_dirty:
        commits += f" ({facts.n_cells_dirty} cells from a changed tree)"
    entries = [
        ("Protocol", ", ".join(facts.protocols) or "unknown"),
        ("prunebench", ", ".join(facts.prunebench_versions) or "unknown"),
        ("Commit", commits),
        ("Records", f"{facts.n_cells} cells, {facts.n_agreements} agreements; {POLICY[facts.missing]}"),
    ]
    listed = "".join(f"<dt>{name}</dt><dd>{escape(text)}</dd>" for name, text in entries)
    return (
        f"<footer><dl>{listed}</dl><p>All numbers: "
        '<a href="accuracy.csv">accuracy.csv</a>, <a href="rank_correlation.csv">rank_correlation.csv</a> '
        '<button type="button" id="download">Download as JSON</button></p></footer>'
    )


def render_html(board: Board) -> str:
    """Return index.html: no network, no fonts, no timestamp; the same board gives the same bytes."""
    slugs = anchors(board.sections)
    links = "".join(
        f'<li><a href="#{slug}">{escape(section.suite)} on {escape(section.dataset)}'
        f"{' (partial)' if section.partial else ''}</a></li>"
        for section, slug in slugs.items()
    )
    body = "\n".join(_section(board, section, slug) for section, slug in slugs.items())
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>prunebench leaderboard</title>
<link rel="icon" href="data:,">
<style>
{_asset("page.css")}</style>
</head>
<body>
<a class="skip" href="#main">Skip to the tables</a>
<header>
<h1>Data pruning leaderboard</h1>
<p>Which part of a training set to keep: accuracy after training on what each method keeps, and whether its
ranking survives another network. Numbers closer than their intervals are not a difference.</p>
<nav aria-label="Suites"><ul>{links}</ul></nav>
</header>
<main id="main">
{body}
</main>
{_footer(board)}
<script type="application/json" id="board-data">{board_json(board)}</script>
<script>
{_asset("page.js")}</script>
</body>
</html>
"""
