"""The files of the board, from templates: the same board gives the same bytes."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from importlib import resources
from typing import NamedTuple

import msgspec
import pandas as pd
from jinja2 import Environment, PackageLoader, StrictUndefined

from prunebench.board.cells import DECIMALS
from prunebench.board.claims import Claims
from prunebench.board.comparison import BlockView
from prunebench.board.render import charts, verdict, view
from prunebench.board.render.page_data import page_json
from prunebench.board.render.picture import picture
from prunebench.board.table import Board
from prunebench.board.verdict import Judged
from prunebench.guard import cell, shown

SCRIPTS = (
    "data",
    "spreads",
    "statistics",
    "state",
    "dialogs",
    "answer",
    "tables",
    "charts",
    "agreement",
    "map",
    "page",
)
POLICY = {
    "show": "rows with a hole are shown and take no rank",
    "drop": "rows with a hole are left out",
    "error": "no row has a hole",
}


class Library(NamedTuple):
    """A library that is embedded in the page: its text, and the licence that goes with every copy."""

    name: str
    version: str
    text: str
    licence: str
    sha256: str


@cache
def libraries() -> tuple[Library, ...]:
    """Return the libraries of the page in the order in which they are loaded."""
    folder = resources.files("prunebench.board.render") / "vendor"

    def read(name: str) -> str:
        return (folder / name).read_text(encoding="utf-8")

    listed = msgspec.toml.decode(read("vendor.toml"))
    return tuple(
        Library(name, one["version"], read(one["file"]), read(one["licence"]), one["sha256"])
        for name, one in listed.items()
    )


def board_files(board: Board, compared: Sequence[BlockView] = (), left_out: str = "") -> dict[str, str]:
    """Return file name to content of every file of the board; compared: published tables, if there are any.  left_out:
    which of them are not there."""
    facts = {
        "compared": bool(compared),
        "board": board, "sections": view.sections(board), "policy": POLICY[board.missing],
        "versions": _distinct(board.sections.prunebench_versions), "commits": _distinct(board.sections.git_commits),
    }  # fmt: skip
    pages = ("comparison.html", "comparison.md") if compared else ()
    beside = {
        name: _environment(html=name.endswith("html"))
        .get_template(f"{name}.j2")
        .render(blocks=compared, left_out=left_out)
        for name in pages
    }
    return beside | {
        "accuracy.csv": _csv(board.accuracy),
        "index.html": _environment(html=True).get_template("index.html.j2").render(facts, data=page_json(board)),
        "leaderboard.md": _environment(html=False).get_template("leaderboard.md.j2").render(facts),
        "rank_correlation.csv": _csv(board.rank_correlation),
    }


def verdict_files(claims: Claims, judged: Sequence[Judged], board: Board) -> dict[str, str]:
    """Return the page of the claims beside the records, and the picture, by the names that the claims give them."""
    page = _environment(html=False).get_template("verdict.md.j2")
    found = {claims.page: page.render(claims=claims, judged=judged, words=verdict)}
    if claims.picture is not None:
        drawn = _environment(html=True).get_template("picture.svg.j2")
        found[claims.picture.file] = drawn.render(picture(board, claims.picture, claims.groups))
    return found


@cache
def _environment(html: bool) -> Environment:
    environment = Environment(
        loader=PackageLoader("prunebench.board.render"), autoescape=html, trim_blocks=True, lstrip_blocks=True,
        undefined=StrictUndefined, keep_trailing_newline=True,
    )  # fmt: skip
    for function in (view.percent, view.number, view.rate, view.marked, _md, _data, _thousands, _capitalised, _signed):
        environment.filters[function.__name__.lstrip("_")] = function
    environment.globals |= {
        "notes": view.notes,
        "charts": charts,
        "px": charts.px,
        "libraries": libraries,
        "scripts": SCRIPTS,
    }
    return environment


def _md(text: str) -> str:
    """Return text that Markdown takes as it is, in one line."""
    for mark in "\\`*|":
        text = text.replace(mark, f"\\{mark}")
    return " ".join(shown(text).replace("<", "&lt;").replace("](", "]\\(").split())  # links and pictures, too


def _data(value: float | int | str | None) -> str:
    """Return a value as the CSV files hold it."""
    return "" if value is None else f"{value:.{DECIMALS}f}" if isinstance(value, float) else str(value)


def _thousands(value: int) -> str:
    return f"{value:,}"


def _capitalised(text: str) -> str:
    return text[:1].upper() + text[1:]


def _signed(value: float) -> str:
    """Return a gain in points with its sign."""
    return charts.tick(round(value, 3), signed=True)


def _distinct(texts: pd.Series[str]) -> list[str]:
    return sorted({part for text in texts for part in text.split(", ")} - {""})


def _csv(frame: pd.DataFrame) -> str:
    """Return RFC 4180 text with LF: numbers with six decimals, empty where there is none, true and false."""
    flags = frame.select_dtypes("bool").columns
    table = frame.assign(**{name: frame[name].map({True: "true", False: "false"}) for name in flags})
    table = table.apply(lambda column: column.map(lambda one: cell(one) if isinstance(one, str) else one))
    text: str = table.to_csv(index=False, float_format=f"%.{DECIMALS}f", lineterminator="\n")
    return text
