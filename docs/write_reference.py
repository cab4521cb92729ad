"""Writes one page for each bundled plugin, from its spec and the docstring of its function: `nox -s docs`."""

from __future__ import annotations

import inspect
import statistics
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from prunebench.describe import allowed, plugin_facts
from prunebench.plugins import Catalogue, Entry, load_plugins
from prunebench.records import CellRecord, read_results, write_text
from prunebench.specs import Param, ScorerSpec

TITLES = {"scorers": "Methods", "projectors": "Projectors", "selectors": "Selectors", "learners": "Learners"}
Times = Mapping[str, Sequence[tuple[str, int, float]]]


def reference_pages(catalogue: Catalogue, times: Times, distribution: str = "prunebench") -> dict[str, str]:
    """Return file name to text: one page for each plugin of the distribution, and an index.

    times: scorer to (data set, samples, seconds of one scoring) as the records have it.
    """
    pages, index = {}, ["# Reference", "", "Written from the code; do not edit.", ""]
    for kind, title in TITLES.items():
        index += [f"## {title}", ""]
        for name, entry in sorted(catalogue.entries[kind].items()):
            if entry.origin.distribution != distribution:
                continue
            file = f"{kind[:-1]}-{name}.md"
            pages[file] = _page(entry, times.get(name, ()))
            index.append(f"- [{name}]({file}): {entry.spec.summary}")
        index.append("")
    return {"index.md": "\n".join(index).rstrip() + "\n", **pages}


def _page(entry: Entry[Any], times: Iterable[tuple[str, int, float]]) -> str:
    spec = entry.spec
    lines = [f"# {spec.name}", "", spec.summary, ""]
    if spec.paper:
        lines += [f"Source: {spec.paper}.", ""]
    facts = plugin_facts(spec)
    lines += (
        ["| | |", "|---|---|", *(f"| {name} | {_cell(text)} |" for name, text in facts.items()), ""] if facts else []
    )
    lines += ["## What it computes", "", *_docstring(entry.load()), ""]
    if isinstance(spec, ScorerSpec) and spec.labeller:
        lines += ["## Its pseudo-labels", "", *_docstring(entry.load("labeller")), ""]
    if spec.differences:
        lines += ["## Paper, released code, and this one", "", spec.differences, ""]
    lines += _parameters(spec.params)
    if measured := [f"- {data}, {n:,} samples: {_seconds(seconds)}" for data, n, seconds in sorted(times)]:
        lines += ["## Measured", "", "Median of the scorings in the committed records:", "", *measured, ""]
    return "\n".join(lines).rstrip() + "\n"


def _docstring(implementation: Any) -> list[str]:
    return (inspect.getdoc(implementation) or "Not documented.").splitlines()


def _parameters(params: Mapping[str, Param]) -> list[str]:
    if not params:
        return []
    rows = [
        f"| `{name}` | `{param.default}` | {_cell(allowed(param))} | {_cell(param.doc)} | {_cell(param.source)} |"
        for name, param in params.items()
    ]
    head = ["| parameter | default | allowed | meaning | source |", "|---|---|---|---|---|"]
    return ["## Parameters", "", *head, *rows, ""]


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def _seconds(value: float) -> str:
    return f"{value:.2g} s" if value < 10 else f"{value:,.0f} s"


def scoring_times(results: Path) -> Times:
    """Return for each scorer the median seconds of a scoring by data set and size, from the records under `results`."""
    found: dict[str, dict[tuple[str, int], list[float]]] = defaultdict(lambda: defaultdict(list))
    for record in read_results(results):
        if isinstance(record, CellRecord) and record.status == "ok":
            found[record.scorer][record.dataset, record.n_train].append(record.seconds_score)
    return {
        scorer: [(data, n, statistics.median(values)) for (data, n), values in places.items()]
        for scorer, places in found.items()
    }


def update_pages(folder: Path, pages: Mapping[str, str], owned: Collection[str], check: bool) -> None:
    """Write the pages that differ and remove those of `owned` that are none now; with `check`, raise ClickException."""
    names = sorted({*pages, *owned})
    present = {name: path.read_text(encoding="utf-8") for name in names if (path := folder / name).is_file()}
    stale = [name for name in names if pages.get(name) != present.get(name)]
    if check and stale:
        raise click.ClickException(
            f"{folder}: {', '.join(stale)} are not what the code says; run `nox -s docs` and commit it"
        )
    for name in stale:
        if name in pages:
            write_text(folder / name, pages[name])
        else:
            (folder / name).unlink()


@click.command()
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--results", type=click.Path(path_type=Path), default=Path("results"), show_default=True)
@click.option("--check", is_flag=True, help="Write nothing; fail when a page on disk is stale.")
def command(folder: Path, results: Path, check: bool) -> None:
    """Write the reference pages of the bundled plugins into FOLDER."""
    pages = reference_pages(load_plugins(), scoring_times(results))
    update_pages(folder, pages, {path.name for path in folder.glob("*.md")}, check)
    click.echo(f"{len(pages)} pages in {folder}")


if __name__ == "__main__":
    command()
